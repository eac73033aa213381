//! What is executed instead of a command that cannot run here as written: no network, and no second build.
//!
//! | written | executed |
//! | --- | --- |
//! | `make run` | `steadfast demo`, which `make run` starts after the build |
//! | another target of make | the same with `--dry-run`; the steps of `make test` run it or a short form of it |
//! | `cargo build ... --bin steadfast` | nothing: the program of this run is there |
//! | `cargo run ... --bin steadfast -- ARGUMENTS` | `steadfast ARGUMENTS` |
//! | `lab run` of a scenario of the clone | the same with `--profile short`, and with the drivers of the project itself, which are built |
//! | a row of a table with `lab run` | `lab check` with the same arguments |
//! | `FILE` | a scenario |
//! | `lab report DIR` | the same with the first run that the documents have stored |
//! | `pip install PACKAGES` | nothing: they are installed with those of the third-party clients |
//! | `npm install PACKAGES` | a link to the installed packages of the third-party clients |

use std::path::Path;

use anyhow::{Result, ensure};

/// The release build as the documents write it.
const BUILD: &str = "cargo build --locked --release --bin steadfast";
const SCENARIO: &str = "scenarios/gateway-kill.toml";
const STORED: &str = "lab report \"$(ls -d steadfast-lab/*/ | head -n 1)\"";
const RUN: &str = "cargo run --release --bin steadfast -- ";
/// Options of `lab run` that `lab check` does not have, with the number of their values.
const ONLY_OF_RUNS: [(&str, usize); 5] = [
    ("--gateway", 1),
    ("--placebo", 0),
    ("--json", 0),
    ("--out", 1),
    ("--report", 1),
];

/// The command that the shell executes.
pub(super) fn substitute(command: &str, is_row: bool, drivers: &Path) -> Result<String> {
    if command == "make run" {
        return Ok("target/release/steadfast demo".to_owned());
    }
    if let Some(target) = command.strip_prefix("make ") {
        return Ok(format!("make --dry-run {target}"));
    }
    if command == BUILD {
        return Ok("test -x target/release/steadfast".to_owned());
    }
    if let Some(names) = command.strip_prefix("npm install ") {
        let packages = drivers.join("node/node_modules");
        for name in names.split_whitespace() {
            let folder = packages.join(name);
            ensure!(folder.is_dir(), "{} is not installed", folder.display());
        }
        return Ok(format!("ln -s {} node_modules", packages.display()));
    }
    if let Some(names) = command.strip_prefix("pip install ") {
        return Ok(format!("python3 -m pip show --quiet {names}"));
    }
    let command = match command.strip_prefix(RUN) {
        Some(arguments) => format!("target/release/steadfast {arguments}"),
        None => command.to_owned(),
    };
    let command = command
        .replace("FILE", SCENARIO)
        .replace("lab report DIR", STORED);
    let is_shipped = command.contains("lab run scenarios/");
    Ok(match (command.contains("lab run"), is_row) {
        (true, true) => check(&command),
        (true, false) if is_shipped => {
            format!("{command} --profile short --drivers {}", drivers.display())
        }
        (true, false) | (false, _) => command,
    })
}

/// The check of a scenario that takes the place of its run.
fn check(command: &str) -> String {
    let mut kept = Vec::new();
    let mut words = command.split_whitespace();
    while let Some(word) = words.next() {
        match ONLY_OF_RUNS.iter().find(|(option, _)| *option == word) {
            Some((_, values)) => words.by_ref().take(*values).for_each(drop),
            None => kept.push(word),
        }
    }
    kept.join(" ").replace("lab run", "lab check")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_network_or_minutes_is_replaced() {
        let executed_for =
            |command: &str, is_row| substitute(command, is_row, Path::new("/nowhere")).unwrap();

        for (written, executed) in [
            ("make run", "target/release/steadfast demo"),
            ("make sim", "make --dry-run sim"),
            (BUILD, "test -x target/release/steadfast"),
            (
                "cargo run --release --bin steadfast -- lab run scenarios/a.toml",
                "target/release/steadfast lab run scenarios/a.toml --profile short --drivers /nowhere",
            ),
            ("steadfast lab run own.toml", "steadfast lab run own.toml"),
            ("steadfast serve --port 9000", "steadfast serve --port 9000"),
        ] {
            assert_eq!(executed_for(written, false), executed);
        }
        assert_eq!(
            executed_for("steadfast lab run FILE --gateway PROGRAM --seed 7", true),
            "steadfast lab check scenarios/gateway-kill.toml --seed 7"
        );
    }
}
