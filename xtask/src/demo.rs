//! `make run`: builds and starts the demo from a fresh clone, with progress.

use std::io::BufReader;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::Message;

use crate::page;
use crate::tools::{command, say};

/// The product's binary.
const PROGRAM: &str = "steadfast";

/// Builds the page and the program, and replaces this process with the program; returns only on failure.
///
/// # Errors
///
/// When something is missing, or cannot be installed, built or started.
pub(crate) fn run() -> Result<()> {
    say("1/3 page: built in some seconds if its sources have changed");
    page::build()?;
    say(
        "2/3 program: compiled if something has changed; the first build takes a few minutes on two cores",
    );
    let program = build()?;
    say(&format!("3/3 start: {} demo", program.display()));
    let error = command(&program).arg("demo").exec();
    Err(error).with_context(|| format!("failed to start {}", program.display()))
}

/// Builds the program and returns its path, as cargo reports it: the target folder is configurable. Cargo shows its
/// progress on standard error.
fn build() -> Result<PathBuf> {
    let mut cargo = command("cargo")
        .args(["build", "--locked", "--release", "--bin", PROGRAM])
        .args(["--message-format", "json-render-diagnostics"])
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to start cargo")?;
    let messages = cargo.stdout.take().context("cargo has no output")?;
    let mut program = None;
    for message in Message::parse_stream(BufReader::new(messages)) {
        let message = message.context("failed to read the messages of cargo")?;
        program = executable(message).or(program);
    }
    let status = cargo.wait()?;
    ensure!(
        status.success(),
        "failed to build {PROGRAM}: cargo exited with {status}"
    );
    program.with_context(|| format!("cargo did not report where it built {PROGRAM}"))
}

fn executable(message: Message) -> Option<PathBuf> {
    let Message::CompilerArtifact(artifact) = message else {
        return None;
    };
    let path = artifact.executable?;
    (artifact.target.name == PROGRAM).then(|| path.into_std_path_buf())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;
    use crate::tree::root;

    #[test]
    fn the_program_is_started_where_cargo_reports_it() {
        let messages = r#"
{"reason":"compiler-artifact","package_id":"a","manifest_path":"/a","target":{"kind":["lib"],"crate_types":["lib"],"name":"steadfast","src_path":"/a.rs","edition":"2024","doc":true,"doctest":true,"test":true},"profile":{"opt_level":"3","debuginfo":0,"debug_assertions":false,"overflow_checks":false,"test":false},"features":[],"filenames":["/t/libsteadfast.rlib"],"executable":null,"fresh":true}
{"reason":"compiler-artifact","package_id":"b","manifest_path":"/b","target":{"kind":["bin"],"crate_types":["bin"],"name":"steadfast","src_path":"/b.rs","edition":"2024","doc":true,"doctest":true,"test":true},"profile":{"opt_level":"3","debuginfo":0,"debug_assertions":false,"overflow_checks":false,"test":false},"features":[],"filenames":["/elsewhere/release/steadfast"],"executable":"/elsewhere/release/steadfast","fresh":true}
{"reason":"build-finished","success":true}
"#;
        let messages = Message::parse_stream(messages.trim().as_bytes());

        let found: Vec<PathBuf> = messages.filter_map(|it| executable(it.unwrap())).collect();

        assert_eq!(found, [Path::new("/elsewhere/release/steadfast")]);
    }

    #[test]
    fn another_operating_system_is_rejected_before_anything_is_built() {
        let said = make_machine("uname", "echo Darwin");

        assert!(
            said.contains("unsupported operating system Darwin"),
            "{said}"
        );
    }

    #[test]
    fn an_old_compiler_is_rejected_before_anything_is_built() {
        let said = make_machine("rustc", "echo 'rustc 1.80.1 (3f5fd8dd4 2024-08-06)'");

        assert!(said.contains("unsupported Rust 1.80.1"), "{said}");
        assert!(said.contains("rustup update"), "{said}");
    }

    /// Runs `make machine`, which must fail, with another program of this name; returns what it printed on standard error.
    fn make_machine(program: &str, script: &str) -> String {
        let folder = std::env::temp_dir().join(format!(
            "steadfast-machine-{program}-{}",
            std::process::id()
        ));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(program);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let system = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(folder.clone()).chain(std::env::split_paths(&system));
        let output = std::process::Command::new("make")
            .arg("machine")
            .current_dir(root())
            .env("PATH", std::env::join_paths(folders).unwrap())
            .output()
            .unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }
}
