//! Directories that hold something else than a log. A gateway refuses them before it writes anything: an
//! operator who starts over by removing the data directory must not remove the files of others.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use super::{Names, PARTIAL, SEGMENT, number};
use crate::engine::log::LogError;

/// The directory that a file system has at its root.
pub(super) const LOST_AND_FOUND: &str = "lost+found";

/// What may be next to a log: [`LOST_AND_FOUND`], and the directory of the demo, which is in the default data directory.
const NEIGHBOURS: [&str; 2] = [LOST_AND_FOUND, "demo"];

/// What a gateway and the tools create next to segments. A process that was killed may have left any of them without a
/// segment.
const OWN: [&str; 6] = [
    "lock",
    "instance",
    "instance.partial",
    "incomplete",
    "backup",
    "repair.partial",
];

/// The beginnings of such names that end with a number.
const OWN_NUMBERED: [&str; 2] = ["repaired-", "damaged-"];

/// The number of names that the error lists.
const NAMES_LISTED: usize = 2;

/// Refuses a directory that is not empty and has no log. A directory that does not exist is accepted.
pub(in crate::engine::log) fn check(path: &Path) -> Result<(), LogError> {
    let names = match Names::open(path).and_then(|names| names.all()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result.map_err(|error| LogError::from_io(path, error))?,
    };
    if names.iter().any(|name| is_numbered(name, SEGMENT)) {
        return Ok(());
    }
    let foreign: Vec<&String> = names.iter().filter(|name| is_foreign(name)).collect();
    if foreign.is_empty() {
        return Ok(());
    }
    Err(LogError::Foreign {
        directory: path.to_path_buf(),
        count: foreign.len(),
        names: foreign.into_iter().take(NAMES_LISTED).cloned().collect(),
    })
}

fn is_foreign(name: &str) -> bool {
    let is_own = OWN.contains(&name)
        || OWN_NUMBERED.iter().any(|own| name.starts_with(own))
        || is_numbered(name, PARTIAL);
    !is_own && !NEIGHBOURS.contains(&name)
}

fn is_numbered(name: &str, suffix: &str) -> bool {
    number(OsStr::new(name), suffix).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_directory_with_files_of_others_and_without_a_log_is_foreign() {
        for (names, expected) in [
            (vec![], None),
            (vec!["lost+found", "demo"], None),
            (vec!["lock", "0000000000000001.segment.partial"], None),
            (vec!["instance.partial", "damaged-1", "repaired-1"], None),
            (vec!["notes.txt", "0000000000000001.segment"], None),
            (
                vec!["etc", "bin", "usr", "lost+found"],
                Some("bin, etc and 1 more"),
            ),
            (vec!["1.segment"], Some("1.segment")),
        ] {
            let directory = tempfile::tempdir().unwrap();
            for name in &names {
                std::fs::write(directory.path().join(name), "").unwrap();
            }

            let checked = check(directory.path());

            let text = checked.err().map(|error| error.to_string());
            assert_eq!(
                text,
                expected.map(|listed| format!(
                    "{} is not empty and has no log: it contains {listed}",
                    directory.path().display()
                )),
                "{names:?}"
            );
        }
        assert!(check(Path::new("does/not/exist")).is_ok());
    }
}
