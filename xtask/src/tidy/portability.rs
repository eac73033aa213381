//! Checks that the published crates, which compile for every system, use what only some systems have under a condition
//! for these systems.
//!
//! The compiler finds the rest, with `make portable`; this check needs no other target, and so runs with all others.

use std::ops::Range;

use super::Finding;
use super::manifests::PUBLISHED;
use crate::tree::Tree;

const LINUX: &str = "target_os = \"linux\"";
const UNIX: &str = "unix";

/// What only some systems have, and the condition for them. The constants of the operating system are in `rustix`.
const RESERVED: [(&str, &str); 7] = [
    ("tcp_user_timeout", LINUX),
    ("tcp_notsent_lowat", LINUX),
    ("Boottime", LINUX),
    ("os::linux", LINUX),
    ("os::unix", UNIX),
    ("os::fd", UNIX),
    ("rustix::", UNIX),
];

/// Crates that are a dependency of some systems only.
const RESERVED_CRATES: [&str; 3] = ["libc", "nix", "rustix"];

/// What only some systems have is used under `cfg` in an item, or in a module that is declared under it.
pub(crate) fn conditions(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for name in PUBLISHED {
        let folder = format!("crates/{name}/src/");
        for (path, text) in tree
            .texts_ending(".rs")
            .filter(|it| it.0.starts_with(&folder))
        {
            let inherited = conditions_of_module(tree, path);
            found.extend(unconditional(text, &inherited).into_iter().map(
                |(line, word, condition)| {
                    let message = format!("`{word}` is not under `cfg({condition})`");
                    Finding::at(path, line, message)
                },
            ));
        }
    }
    found
}

/// A crate that only some systems need is a dependency of these systems.
pub(crate) fn dependencies(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for name in PUBLISHED {
        let path = format!("crates/{name}/Cargo.toml");
        let mut section = "";
        for (number, line) in tree.text(&path).unwrap_or_default().lines().enumerate() {
            if line.starts_with('[') {
                section = line;
            }
            let reserved = RESERVED_CRATES
                .iter()
                .find(|it| line.split(['.', ' ', '=']).next() == Some(it));
            if let Some(reserved) = reserved
                && !section.starts_with("[target.")
            {
                let message = format!("`{reserved}` is a dependency on every system");
                found.push(Finding::at(&path, number + 1, message));
            }
        }
    }
    found
}

/// The conditions under which the modules above this file declare it.
fn conditions_of_module(tree: &Tree, path: &str) -> Vec<String> {
    let mut conditions = Vec::new();
    let mut module = path.trim_end_matches(".rs");
    while let Some((parent, name)) = module.rsplit_once('/') {
        let parent_file = if parent.ends_with("/src") {
            format!("{parent}/lib.rs")
        } else {
            format!("{parent}.rs")
        };
        let Some(text) = tree.text(&parent_file) else {
            break;
        };
        let declaration = format!("mod {name};");
        let declared = items(text).find(|item| item.last_line.ends_with(&declaration));
        conditions.extend(declared.map(|item| item.condition.to_owned()));
        module = parent;
    }
    conditions
}

/// The lines that use something outside of its condition, with the word and the condition.
fn unconditional(text: &str, inherited: &[String]) -> Vec<(usize, &'static str, &'static str)> {
    let guards: Vec<Item<'_>> = items(text).collect();
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for (word, condition) in RESERVED {
            let is_guarded = guards
                .iter()
                .filter(|item| item.lines.contains(&index))
                .map(|item| item.condition)
                .chain(inherited.iter().map(String::as_str))
                .any(|it| implies(it, condition));
            if code.contains(word) && !is_guarded {
                found.push((index + 1, word, condition));
            }
        }
    }
    found
}

/// Whether code under `cfg(given)` is only compiled for systems of `required`.
fn implies(given: &str, required: &str) -> bool {
    let is_alternative = given.contains("not(") || given.contains("any(");
    let names = |condition: &str| given.contains(condition);
    !is_alternative && (names(required) || (required == UNIX && names(LINUX)))
}

/// An item after `#[cfg(…)]`.
struct Item<'a> {
    condition: &'a str,
    /// Counted from 0, with the attribute.
    lines: Range<usize>,
    last_line: &'a str,
}

/// The items, fields and statements that have a condition.
fn items(text: &str) -> impl Iterator<Item = Item<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    let starts: Vec<(usize, &str)> = lines
        .iter()
        .enumerate()
        .filter_map(|(index, line)| {
            let rest = line.trim_start().strip_prefix("#[cfg(")?;
            Some((index, rest.strip_suffix(")]")?))
        })
        .collect();
    starts.into_iter().map(move |(start, condition)| {
        let length = lines.get(start + 1..).map_or(0, length);
        let end = start + 1 + length;
        Item {
            condition,
            lines: start..end,
            last_line: lines.get(end - 1).copied().unwrap_or_default(),
        }
    })
}

/// The number of lines of the item that begins here: up to the line that ends it outside of all brackets.
fn length(lines: &[&str]) -> usize {
    let mut depth = 0_usize;
    for (index, line) in lines.iter().enumerate() {
        let code = line.split("//").next().unwrap_or_default().trim_end();
        depth = (depth + code.matches(['{', '(', '[']).count())
            .saturating_sub(code.matches(['}', ')', ']']).count());
        let is_attribute = code.trim_start().starts_with("#[");
        if depth == 0 && !is_attribute && code.ends_with(['}', ';', ',']) {
            return index + 1;
        }
    }
    lines.len()
}

#[cfg(test)]
mod tests {
    use super::super::samples::findings;
    use super::*;

    const CALL: &str = "    socket.set_tcp_user_timeout(time)?;\n";

    #[test]
    fn a_call_of_linux_outside_of_its_condition_is_found() {
        let linux = "#[cfg(target_os = \"linux\")]\n";
        let function = format!("fn set() {{\n{CALL}}}\n");
        let good = format!("{linux}#[inline]\n{function}// set_tcp_user_timeout\n");
        let tests = format!("#[cfg(all(test, target_os = \"linux\"))]\n{function}");
        let after = format!("{linux}const A: u32 = 1;\n{function}");
        let negated = format!("#[cfg(not(target_os = \"linux\"))]\n{function}");
        let of_unix = format!("#[cfg(unix)]\n{function}");

        for text in [&good, &tests] {
            assert_eq!(
                findings(conditions, &[("crates/steadfast/src/a.rs", text)]),
                [""; 0]
            );
        }
        assert_eq!(
            findings(conditions, &[("crates/steadfast/src/a/b.rs", &after)]),
            [
                "crates/steadfast/src/a/b.rs:4: `tcp_user_timeout` is not under `cfg(target_os = \"linux\")`"
            ]
        );
        for text in [&function, &negated, &of_unix] {
            assert_eq!(
                findings(conditions, &[("crates/steadfast/src/a.rs", text)]).len(),
                1
            );
        }
        assert_eq!(
            findings(conditions, &[("crates/steadfast-gateway/src/a.rs", &after)]),
            [""; 0]
        );
    }

    #[test]
    fn a_module_has_the_conditions_of_its_declaration_and_of_those_above_it() {
        let root = "#[cfg(unix)]\npub(crate) mod unix;\nmod other;\n";
        let files = |linux: &'static str| {
            [
                ("crates/steadfast-clock/src/lib.rs", root),
                ("crates/steadfast-clock/src/unix.rs", linux),
                (
                    "crates/steadfast-clock/src/unix/boot.rs",
                    "use rustix::time::ClockId::Boottime;\n",
                ),
            ]
        };
        let other = [
            ("crates/steadfast-clock/src/lib.rs", root),
            ("crates/steadfast-clock/src/other.rs", "use rustix::time;\n"),
        ];

        let good = files("#[cfg(target_os = \"linux\")]\nmod boot;\n");
        assert_eq!(findings(conditions, &good), [""; 0]);
        assert_eq!(findings(conditions, &files("mod boot;\n")).len(), 1);
        assert_eq!(findings(conditions, &other).len(), 1);
    }

    #[test]
    fn a_crate_of_unix_that_every_system_depends_on_is_found() {
        let good = "[target.'cfg(unix)'.dependencies]\nrustix.workspace = true\n[lints]\n";
        let bad = "[dependencies]\nbytes.workspace = true\nrustix = { version = \"1\" }\n";

        assert_eq!(
            findings(dependencies, &[("crates/steadfast/Cargo.toml", good)]),
            [""; 0]
        );
        assert_eq!(
            findings(dependencies, &[("crates/steadfast/Cargo.toml", bad)]),
            ["crates/steadfast/Cargo.toml:3: `rustix` is a dependency on every system"]
        );
    }
}
