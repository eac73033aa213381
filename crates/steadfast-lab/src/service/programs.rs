//! The programs of the machine: where they are, and which versions they have.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_faults::report::ProgramVersion;
use steadfast_faults::scenario::model::{Program, Scenario};

use crate::runner::RunSetup;

/// Longest time for a program to print its version.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Interval at which it is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// The argument with which the programs of this project print their version.
const OWN: &str = "--version";
/// Longest version that is shown, in characters.
const LEN_MAX: usize = 100;

/// The path of a program: a path is checked, a name is searched for.
pub(super) fn find(program: &str, search: &[PathBuf]) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| is_program(path));
    }
    let mut candidates = search.iter().map(|folder| folder.join(program));
    candidates.find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    let is_executable =
        |it: std::fs::Metadata| it.is_file() && it.permissions().mode() & 0o111 != 0;
    path.metadata().is_ok_and(is_executable)
}

/// The program of each service with its version. A program whose path depends on the instance is left out.
pub(crate) fn versions(scenario: &Scenario, setup: &RunSetup) -> Vec<ProgramVersion> {
    let services = scenario.services().iter().filter_map(|service| {
        let (path, argument) = match &service.program {
            Program::Gateway => (setup.gateway.clone(), Some(OWN)),
            Program::Steadfast => (setup.launcher.clone()?, Some(OWN)),
            Program::Command { cmd, package } => {
                let path = find(&cmd.to_string(), &setup.search)?;
                (path, package.map(|it| it.version))
            }
        };
        let argument = service.version.as_deref().or(argument);
        let version = match argument {
            Some(argument) => version(&path, argument).unwrap_or_else(|| "unknown".to_owned()),
            None => "not recorded: the service has no `version`".to_owned(),
        };
        Some(ProgramVersion {
            service: service.name.clone(),
            version,
            program: path.display().to_string(),
        })
    });
    services.collect()
}

/// The first line that a program prints.
fn version(program: &Path, argument: &str) -> Option<String> {
    let mut child = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let clock = Clock::start();
    let deadline = clock.now() + TIMEOUT;
    while !matches!(child.try_wait(), Ok(Some(_))) {
        if clock.now() >= deadline {
            drop(child.kill());
            drop(child.wait());
            return None;
        }
        thread::park_timeout(POLL_INTERVAL);
    }
    let mut text = String::new();
    child.stdout?.take(4_096).read_to_string(&mut text).ok()?;
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    Some(line.trim().chars().take(LEN_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_searched_for_and_a_path_is_checked() {
        let search = [PathBuf::from("/nonexistent"), PathBuf::from("/bin")];

        assert_eq!(find("sh", &search), Some(PathBuf::from("/bin/sh")));
        assert_eq!(find("/bin/sh", &[]), Some(PathBuf::from("/bin/sh")));
        assert_eq!(find("sh", &search[..1]), None);
        assert_eq!(find("/etc/passwd", &search), None, "not executable");
    }

    #[test]
    fn the_version_is_the_first_line() {
        let version = version(Path::new("/bin/echo"), "thing 1.2");

        assert_eq!(version.as_deref(), Some("thing 1.2"));
    }
}
