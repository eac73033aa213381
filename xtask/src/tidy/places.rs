//! Checks for what must not be tracked: paths of one machine, other registries, and files that a build creates.

use super::Finding;
use crate::tree::Tree;

/// Prefixes of absolute paths that exist on one machine only; each is split so that this file passes the check.
const MACHINE_PATHS: [(&str, &str); 4] = [
    ("/ho", "me/"),
    ("/ro", "ot/"),
    ("/Us", "ers/"),
    ("/wo", "rk/"),
];

/// Settings that direct a package client to another registry; each is split for the same reason.
const REGISTRY_SETTINGS: [(&str, &str); 4] = [
    ("index-", "url"),
    ("replace-", "with"),
    ("find-", "links"),
    ("npm_config_", "registry"),
];

/// The name endings of built files.
const BUILT_ENDS: [&str; 3] = [".min.js", ".js.map", ".css.map"];

/// No text contains a path of one machine, or a setting for another registry.
pub(crate) fn machines(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in tree.texts() {
        for (number, line) in text.lines().enumerate() {
            if MACHINE_PATHS
                .iter()
                .any(|(head, tail)| names_path(line, &[*head, *tail].concat()))
            {
                found.push(Finding::at(path, number + 1, "names a path of one machine"));
            }
            if REGISTRY_SETTINGS
                .iter()
                .any(|(head, tail)| line.contains(&[*head, *tail].concat()))
            {
                found.push(Finding::at(
                    path,
                    number + 1,
                    "sends a package client to another registry",
                ));
            }
        }
    }
    found
}

/// True when the path begins a word: in `a/home/`, it is a part of a relative path.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line.get(..at).and_then(|head| head.chars().next_back());
        before.is_none_or(|letter| !letter.is_alphanumeric() && !"._-}/".contains(letter))
    })
}

/// Files that a build creates are not tracked.
pub(crate) fn assets(tree: &Tree) -> Vec<Finding> {
    tree.paths()
        .filter(|path| {
            let in_output = path
                .split('/')
                .any(|folder| folder == "dist" || folder == "node_modules");
            in_output || BUILT_ENDS.iter().any(|end| path.ends_with(end))
        })
        .map(|path| Finding::whole(path, "a built file is tracked"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples::findings;
    use super::*;

    #[test]
    fn a_path_of_one_machine_is_found() {
        let bad = ["see /ho", "me/ann/notes\n"].concat();
        let setting = ["[global]\nindex-", "url = https://pypi.example.org\n"].concat();

        assert_eq!(
            findings(
                machines,
                &[("a.md", "https://example.org/home/x and docs/work/x\n")]
            ),
            [""; 0]
        );
        assert_eq!(
            findings(machines, &[("a.md", &bad)]),
            ["a.md:1: names a path of one machine"]
        );
        assert_eq!(findings(machines, &[("pip.conf", &setting)]).len(), 1);
    }

    #[test]
    fn a_built_file_is_found() {
        let good = [("web/src/main.ts", ""), ("web/index.html", "")];
        let bad = [
            ("web/dist/main.js", ""),
            ("web/a.min.js", ""),
            ("web/a.js.map", ""),
        ];

        assert_eq!(findings(assets, &good), [""; 0]);
        assert_eq!(findings(assets, &bad).len(), 3);
    }
}
