//! The check that every broken twin has a test that it must fail.

use std::collections::BTreeSet;

use super::Finding;
use crate::tree::Tree;

const GYM: &str = "tests/known-bad/";

/// Every twin in `tests/known-bad` is named by a test; a twin that nothing runs proves nothing.
pub(crate) fn named(tree: &Tree) -> Vec<Finding> {
    let tests: Vec<(&str, &str)> = tree
        .texts_ending(".rs")
        .filter(|(path, _)| is_test(path))
        .collect();
    twins(tree)
        .into_iter()
        .filter(|(_, name)| !tests.iter().any(|(_, text)| mentions(text, name)))
        .map(|(path, name)| Finding::whole(&path, format!("no test names the twin `{name}`")))
        .collect()
}

/// A twin is a binary of the gym: `src/bin/NAME.rs`, or a folder `NAME` with a manifest and a `main`.
fn twins(tree: &Tree) -> BTreeSet<(String, String)> {
    let mut twins = BTreeSet::new();
    for path in tree.paths() {
        let Some(inside) = path.strip_prefix(GYM) else {
            continue;
        };
        let parts: Vec<&str> = inside.split('/').collect();
        let name = match parts.as_slice() {
            ["src", "bin", file] => file.strip_suffix(".rs"),
            [folder, "src", "main.rs"] | ["src", "bin", folder, "main.rs"] => Some(*folder),
            _ => None,
        };
        if let Some(name) = name {
            twins.insert((path.to_owned(), name.to_owned()));
        }
    }
    twins
}

/// A file of a `tests` folder; in the gym itself only those of its own `tests` folder.
fn is_test(path: &str) -> bool {
    let inside = path.strip_prefix(GYM).unwrap_or(path);
    inside.split('/').any(|folder| folder == "tests")
}

/// True when the name stands there as a whole word.
fn mentions(text: &str, name: &str) -> bool {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != '-')
        .any(|word| word == name || word.strip_prefix("CARGO_BIN_EXE_") == Some(name))
}

#[cfg(test)]
mod tests {
    use super::super::samples::findings;
    use super::*;

    #[test]
    fn a_twin_that_no_test_names_is_found() {
        let twin = ("tests/known-bad/src/bin/early-ack.rs", "");
        let folder = ("tests/known-bad/offset-reuse/src/main.rs", "");
        let test = (
            "tests/known-bad/tests/twins.rs",
            "env!(\"CARGO_BIN_EXE_early-ack\"); run(\"offset-reuse\");",
        );

        assert_eq!(findings(named, &[twin, folder, test]), [""; 0]);
        assert_eq!(
            findings(
                named,
                &[twin, ("tests/known-bad/tests/twins.rs", "\"early-ack-2\"")]
            ),
            ["tests/known-bad/src/bin/early-ack.rs: no test names the twin `early-ack`"]
        );
    }
}
