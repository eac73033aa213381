//! The command that runs a scenario again with the same plan and options, as it can be pasted into a shell.

use std::ffi::OsStr;
use std::path::Path;

use crate::args::{DRIVERS_DEFAULT, LabRun};

/// Returns the command; `program` is this program as it was started.
pub(super) fn command(program: &OsStr, arguments: &LabRun, seed: u64) -> String {
    // Every field is named, so that a new option cannot be forgotten here.
    let LabRun {
        scenario,
        out,
        gateway,
        drivers,
        placebo,
        output,
        isolated: _,
    } = arguments;
    let mut words = vec![quoted(program), "lab run".to_owned()];
    words.push(quoted(scenario.file.as_os_str()));
    words.push(format!("--seed {seed}"));
    let mut option = |name: &str, value: &OsStr| words.push(format!("{name} {}", quoted(value)));
    for profile in &scenario.profile {
        option("--profile", profile.as_ref());
    }
    for param in &scenario.params {
        option("-p", param.as_ref());
    }
    if let Some(gateway) = gateway {
        option("--gateway", gateway.as_os_str());
    }
    if drivers != Path::new(DRIVERS_DEFAULT) {
        option("--drivers", drivers.as_os_str());
    }
    if let Some(out) = out {
        option("--out", out.as_os_str());
    }
    for report in &output.report {
        option("--report", report.path.as_os_str());
    }
    let flags = [("--placebo", *placebo), ("--json", output.json)];
    let flags = flags.into_iter().filter(|(_, is_set)| *is_set);
    words.extend(flags.map(|(flag, _)| flag.to_owned()));
    words.join(" ")
}

/// A word of a shell command; only letters, digits and `-_./:=,+@%` need no quotes.
fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,+@%".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Arguments, Command, Lab};

    #[test]
    fn the_command_repeats_every_option_and_quotes_for_a_shell() {
        let arguments = [
            "steadfast",
            "lab",
            "run",
            "my scenarios/a.toml",
            "--profile",
            "short",
            "--profile",
            "it's",
            "-p",
            "clients=5",
            "-p",
            "name=a b",
            "--gateway",
            "./other gateway",
            "--drivers",
            "drivers",
            "--out",
            "$HOME",
            "--report",
            "my report.html",
            "--placebo",
            "--json",
        ];

        let command = command("target/release/steadfast".as_ref(), &parse(&arguments), 7);

        assert_eq!(
            command,
            "target/release/steadfast lab run 'my scenarios/a.toml' --seed 7 --profile short \
             --profile 'it'\\''s' -p clients=5 -p 'name=a b' --gateway './other gateway' \
             --drivers drivers --out '$HOME' --report 'my report.html' --placebo \
             --json"
        );
    }

    #[test]
    fn the_command_has_no_option_that_was_not_set() {
        let command = command(
            "steadfast".as_ref(),
            &parse(&["steadfast", "lab", "run", "a.toml", "--seed", "3"]),
            3,
        );

        assert_eq!(command, "steadfast lab run a.toml --seed 3");
    }

    fn parse(arguments: &[&str]) -> LabRun {
        let parsed = Arguments::try_parse_from(arguments).unwrap();
        let Command::Lab(Lab::Run(arguments)) = parsed.command else {
            panic!("not `lab run`");
        };
        arguments
    }
}
