//! Checks of Rust files: the header, the length, the names of files and modules, disabled lints, and conversions of
//! integers.

use super::Finding;
use crate::tree::Tree;

/// A file with more lines than this, not counting its tests, fails the check; files are split at half of this length.
const LINES_MAX: usize = 800;

/// Generic names, which do not say what a module contains.
const GENERIC_NAMES: [&str; 4] = ["utils", "helpers", "common", "misc"];

/// The file whose functions convert integers that do not fit.
const CONVERSIONS: &str = "crates/steadfast-machine/src/units/convert.rs";

/// The integer types, as the compiler names them.
const INTEGERS: [&str; 12] = [
    "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize",
];

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

/// An integer that does not fit is not replaced by another number: such a number is indistinguishable from a valid one.
pub(crate) fn conversions(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in tree.texts_ending(".rs") {
        if path == CONVERSIONS {
            continue;
        }
        for (at, call) in text
            .match_indices("try_from(")
            .chain(text.match_indices("try_into("))
        {
            let (before, _) = text.split_at(at);
            let (_, arguments) = text.split_at(at + call.len());
            let is_of_integers = before.ends_with('.')
                || INTEGERS
                    .iter()
                    .any(|integer| before.ends_with(&format!("{integer}::")));
            if is_of_integers && after_call(arguments).starts_with(".unwrap_or") {
                found.push(Finding::at(
                    path,
                    before.matches('\n').count() + 1,
                    "an integer that does not fit becomes another one: use `steadfast_machine::convert`, \
                     or state the invariant with `expect`",
                ));
            }
        }
    }
    found
}

/// What follows the arguments of a call and the white space after them.
fn after_call(arguments: &str) -> &str {
    let mut open = 1_usize;
    let end = arguments.find(|letter| {
        match letter {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        open == 0
    });
    let (_, rest) = arguments.split_at(end.map_or(arguments.len(), |end| end + 1));
    rest.trim_start()
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
    fn an_integer_that_is_replaced_when_it_does_not_fit_is_found() {
        let fallback = ".unwrap_or";
        let good = "let a = u8::try_from(b).expect(\"small\");\n\
                    let c = u8::try_from(d).ok().map(f).unwrap_or(e);\n\
                    let g = Duration::try_from(h).unwrap_or_default();\n";
        let bad = [
            (
                "a.rs",
                format!("let a = u8::try_from(b(c)){fallback}(u8::MAX);\n"),
            ),
            (
                "b.rs",
                format!("\nlet a = usize::try_from(b)\n    {fallback}(0);\n"),
            ),
            (
                "c.rs",
                format!("let a: u8 = b.try_into(){fallback}_default();\n"),
            ),
            (
                CONVERSIONS,
                format!("number.try_into(){fallback}(T::MAX)\n"),
            ),
        ];
        let samples: Vec<(&str, &str)> = bad.iter().map(|(path, text)| (*path, &**text)).collect();

        let found = findings(conversions, &samples);

        assert_eq!(findings(conversions, &[("good.rs", good)]), [""; 0]);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[1].starts_with("b.rs:2: "), "{found:?}");
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
