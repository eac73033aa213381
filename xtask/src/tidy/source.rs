//! Checks of Rust files: the header, the length, the names of files and modules, and disabled lints.

use super::Finding;
use crate::tree::Tree;

/// A file with more lines than this, not counting its tests, fails the check; files are split at half of this length.
const LINES_MAX: usize = 800;

/// Generic names, which do not say what a module contains.
const GENERIC_NAMES: [&str; 4] = ["utils", "helpers", "common", "misc"];

/// Every Rust file begins with a doc comment that says what the file owns.
pub(crate) fn headers(tree: &Tree) -> Vec<Finding> {
    tree.texts_ending(".rs")
        .filter(|(_, text)| !text.trim_start().starts_with("//!"))
        .map(|(path, _)| {
            Finding::at(
                path,
                1,
                "the file does not open with `//!`: what it owns, what not, who calls it",
            )
        })
        .collect()
}

/// No Rust file has more than `LINES_MAX` lines without its tests.
pub(crate) fn lengths(tree: &Tree) -> Vec<Finding> {
    tree.texts_ending(".rs")
        .map(|(path, text)| (path, lines_without_tests(text)))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| {
            Finding::whole(
                path,
                format!("{lines} lines without tests, at most {LINES_MAX}: split it"),
            )
        })
        .collect()
}

fn lines_without_tests(text: &str) -> usize {
    let mut count = 0;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]"
            && lines
                .peek()
                .is_some_and(|next| next.starts_with("mod tests"))
        {
            break;
        }
        count += 1;
    }
    count
}

/// Modules are `foo.rs` next to `foo/`, and no name is generic.
pub(crate) fn names(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in tree.texts_ending(".rs") {
        let file = path.rsplit('/').next().unwrap_or(path);
        if file == "mod.rs" {
            found.push(Finding::whole(
                path,
                "no `mod.rs`: use `foo.rs` next to `foo/`",
            ));
        }
        if GENERIC_NAMES
            .iter()
            .any(|name| file.strip_suffix(".rs") == Some(name))
        {
            found.push(Finding::whole(
                path,
                "the module's name is generic: name what it holds",
            ));
        }
        for (number, line) in text.lines().enumerate() {
            if GENERIC_NAMES.iter().any(|name| declares_module(line, name)) {
                found.push(Finding::at(
                    path,
                    number + 1,
                    "the module's name is generic: name what it holds",
                ));
            }
        }
    }
    found
}

fn declares_module(line: &str, name: &str) -> bool {
    let code = line.trim_start();
    let code = match code.strip_prefix("pub") {
        Some(rest) => rest.trim_start_matches(|letter| letter != ' ').trim_start(),
        None => code,
    };
    code.strip_prefix("mod ")
        .and_then(|rest| rest.split([';', ' ', '{']).next())
        == Some(name)
}

/// An exception to a lint uses `expect` with a reason, so that the compiler reports an exception that is not needed.
pub(crate) fn allowances(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in tree.texts_ending(".rs") {
        for (number, line) in text.lines().enumerate() {
            let code = line.trim_start();
            if code.starts_with('#') && (code.contains("[allow(") || code.contains(" allow(")) {
                found.push(Finding::at(
                    path,
                    number + 1,
                    "`allow` hides a lint indefinitely: `expect` it with a reason",
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::samples::findings;
    use super::*;

    #[test]
    fn a_file_without_a_header_is_found() {
        let found = findings(
            headers,
            &[
                ("a.rs", "//! A.\n"),
                ("b.rs", "use a;\n"),
                ("c.rs", "// C.\n"),
            ],
        );

        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("b.rs:1: ") && found[1].starts_with("c.rs:1: "),
            "{found:?}"
        );
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let limit = "x\n".repeat(LINES_MAX);
        let tested = format!("{limit}#[cfg(test)]\nmod tests {{\n{limit}}}\n");

        let found = findings(
            lengths,
            &[("good.rs", &tested), ("long.rs", &format!("{limit}x\n"))],
        );

        assert_eq!(
            found,
            ["long.rs: 801 lines without tests, at most 800: split it"]
        );
    }

    #[test]
    fn a_generic_name_is_found_in_files_and_in_declarations() {
        let good = [(
            "hub.rs",
            "//! No mod utils.\nmod common_case;\n// mod misc\n",
        )];
        let bad = [
            ("a/mod.rs", ""),
            ("utils.rs", ""),
            ("b.rs", "pub(crate) mod helpers;\n"),
        ];

        assert_eq!(findings(names, &good), [""; 0]);
        assert_eq!(findings(names, &bad).len(), 3);
    }

    #[test]
    fn a_silenced_lint_is_found_and_an_expected_one_is_not() {
        let silenced = ["#", "[allow(dead_code)]\n"].concat();
        let by_feature = ["#", "![cfg_attr(test, allow(dead_code))]\n"].concat();
        let good = "#[expect(dead_code, reason = \"soon\")]\nlet x = allow(1);\n";

        assert_eq!(findings(allowances, &[("good.rs", good)]), [""; 0]);
        assert_eq!(
            findings(allowances, &[("a.rs", &silenced), ("b.rs", &by_feature)]).len(),
            2
        );
    }
}
