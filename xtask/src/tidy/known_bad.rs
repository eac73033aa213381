//! The check that every known-bad build has a test that detects it.

use std::collections::BTreeSet;

use super::Finding;
use crate::tree::Tree;

const FOLDER: &str = "tests/known-bad/";

/// A test names every known-bad build; a build that no test runs proves nothing.
pub(crate) fn named(tree: &Tree) -> Vec<Finding> {
    let tests: Vec<(&str, &str)> = tree
        .texts_ending(".rs")
        .filter(|(path, _)| is_test(path))
        .collect();
    known_bad_builds(tree)
        .into_iter()
        .filter(|(_, name)| !tests.iter().any(|(_, text)| mentions(text, name)))
        .map(|(path, name)| {
            Finding::whole(&path, format!("no test names the known-bad build `{name}`"))
        })
        .collect()
}

/// The binaries of the folder: `src/bin/NAME.rs`, or a folder `NAME` with a manifest and a `main`.
fn known_bad_builds(tree: &Tree) -> BTreeSet<(String, String)> {
    let mut builds = BTreeSet::new();
    for path in tree.paths() {
        let Some(inside) = path.strip_prefix(FOLDER) else {
            continue;
        };
        let parts: Vec<&str> = inside.split('/').collect();
        let name = match parts.as_slice() {
            ["src", "bin", file] => file.strip_suffix(".rs"),
            [folder, "src", "main.rs"] | ["src", "bin", folder, "main.rs"] => Some(*folder),
            _ => None,
        };
        if let Some(name) = name {
            builds.insert((path.to_owned(), name.to_owned()));
        }
    }
    builds
}

/// True for a file in a `tests` folder. Within the folder of known-bad builds, only a `tests` folder inside it counts.
fn is_test(path: &str) -> bool {
    let inside = path.strip_prefix(FOLDER).unwrap_or(path);
    inside.split('/').any(|folder| folder == "tests")
}

/// True if the text contains the name as a complete word.
fn mentions(text: &str, name: &str) -> bool {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != '-')
        .any(|word| word == name || word.strip_prefix("CARGO_BIN_EXE_") == Some(name))
}

#[cfg(test)]
mod tests {
    use super::super::samples::findings;
    use super::*;

    #[test]
    fn a_known_bad_build_that_no_test_names_is_found() {
        let build = ("tests/known-bad/src/bin/early-ack.rs", "");
        let folder = ("tests/known-bad/offset-reuse/src/main.rs", "");
        let test = (
            "tests/known-bad/tests/detection.rs",
            "env!(\"CARGO_BIN_EXE_early-ack\"); run(\"offset-reuse\");",
        );

        assert_eq!(findings(named, &[build, folder, test]), [""; 0]);
        assert_eq!(
            findings(
                named,
                &[
                    build,
                    ("tests/known-bad/tests/detection.rs", "\"early-ack-2\"")
                ]
            ),
            ["tests/known-bad/src/bin/early-ack.rs: no test names the known-bad build `early-ack`"]
        );
    }
}
