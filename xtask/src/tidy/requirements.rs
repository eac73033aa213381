//! The tables of requirements: every item is there exactly once, and what it names as evidence exists.
//!
//! `docs/requirements/README.md` lists the systems with their counts, and describes the columns of a table. This check
//! finds no test that proves too little: it finds names that nothing has.

use std::collections::BTreeMap;

use super::Finding;
use crate::tree::Tree;

const FOLDER: &str = "docs/requirements/";
const INDEX: &str = "docs/requirements/README.md";
/// The columns of a table: id, requirement, state, evidence, what is missing or why nothing is required.
const COLUMNS: usize = 5;

/// Checks the tables of all systems that have one.
pub(crate) fn evidence(tree: &Tree) -> Vec<Finding> {
    let Some(index) = tree.text(INDEX) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (line, cells) in rows(index) {
        let [key, count, table, ..] = cells.as_slice() else {
            continue;
        };
        let Ok(count) = count.parse::<usize>() else {
            continue;
        };
        // A system without a link has no table yet.
        let Some(name) = target(table) else {
            continue;
        };
        let path = format!("{FOLDER}{name}");
        match tree.text(&path) {
            Some(text) => found.extend(table_findings(tree, &path, text, (key, count))),
            None => found.push(Finding::at(INDEX, line, format!("{path} does not exist"))),
        }
    }
    found
}

fn table_findings(
    tree: &Tree,
    path: &str,
    text: &str,
    (key, count): (&str, usize),
) -> Vec<Finding> {
    let prefix = format!("{key}-");
    let mut found = Vec::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (line, cells) in rows(text) {
        let Some(id) = cells.first().filter(|it| it.starts_with(&prefix)) else {
            continue;
        };
        *seen.entry(id.clone()).or_default() += 1;
        let messages = row_messages(tree, path, &cells);
        found.extend(
            messages
                .into_iter()
                .map(|message| Finding::at(path, line, format!("{id}: {message}"))),
        );
    }
    for number in 1..=count {
        let id = format!("{key}-{number:02}");
        match seen.remove(&id) {
            Some(1) => {}
            None => found.push(Finding::whole(path, format!("{id} is missing"))),
            Some(times) => found.push(Finding::whole(path, format!("{id} is there {times} times"))),
        }
    }
    let unknown = seen.into_keys();
    found.extend(unknown.map(|id| Finding::whole(path, format!("{id} is no item of the system"))));
    found
}

/// What is wrong with one row.
fn row_messages(tree: &Tree, path: &str, cells: &[String]) -> Vec<String> {
    let [_, requirement, state, evidence, reason] = cells else {
        return vec![format!("{} columns instead of {COLUMNS}", cells.len())];
    };
    let mut messages = Vec::new();
    if requirement.is_empty() {
        messages.push("it has no words".to_owned());
    }
    match state.as_str() {
        "shown" if evidence.is_empty() => messages.push("shown without evidence".to_owned()),
        "shown" => {}
        "open" | "context" if reason.is_empty() => {
            messages.push(format!("`{state}` needs a reason in the last column"));
        }
        "open" | "context" => {}
        other => messages.push(format!("unknown state `{other}`")),
    }
    for name in quoted(evidence) {
        let is_there = match name.strip_prefix("scenario ") {
            Some(scenario) => has_scenario(tree, scenario),
            None => has_test(tree, name),
        };
        if !is_there {
            messages.push(format!("`{name}` does not exist"));
        }
    }
    for link in targets(evidence) {
        if !has_page(tree, path, link) {
            messages.push(format!("the page {link} does not exist"));
        }
    }
    if !evidence.is_empty()
        && quoted(evidence).next().is_none()
        && targets(evidence).next().is_none()
    {
        messages.push("evidence is a test, a scenario or a page".to_owned());
    }
    messages
}

/// The rows of tables, with their lines counted from 1 and the texts of their cells.
fn rows(text: &str) -> impl Iterator<Item = (usize, Vec<String>)> {
    let lines = (1..).zip(text.lines());
    lines.filter_map(|(line, text)| {
        let inside = text.trim().strip_prefix('|')?.strip_suffix('|')?;
        let cells = inside.split('|').map(|cell| cell.trim().to_owned());
        Some((line, cells.collect()))
    })
}

/// The texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The targets of the links of a text.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
}

fn target(text: &str) -> Option<&str> {
    targets(text).next()
}

/// `NAME`, or `NAME: CHECK` for one check of a scenario.
fn has_scenario(tree: &Tree, name: &str) -> bool {
    let (name, check) = name.split_once(": ").unwrap_or((name, ""));
    let Some(text) = tree.text(&format!("scenarios/{name}.toml")) else {
        return false;
    };
    check.is_empty() || text.contains(&format!("id = \"{check}\""))
}

/// `CRATE::BINARY MODULE::TEST`: a function of this name in a file of the binary whose path has the modules. The binary
/// `lib` has the unit tests of the crate.
fn has_test(tree: &Tree, name: &str) -> bool {
    let Some((binary, test)) = name.split_once(' ') else {
        return false;
    };
    let Some((owner, binary)) = binary.split_once("::") else {
        return false;
    };
    let mut modules: Vec<&str> = test.split("::").collect();
    let Some(function) = modules.pop() else {
        return false;
    };
    // The module of unit tests has no file of its own.
    modules.retain(|module| *module != "tests");
    let short = owner.strip_prefix("steadfast-").unwrap_or(owner);
    let roots = [
        format!("crates/{owner}"),
        format!("tests/{short}"),
        owner.to_owned(),
    ];
    let is_of_binary = |path: &str| {
        let inside = roots
            .iter()
            .find_map(|root| path.strip_prefix(root.as_str()));
        inside.is_some_and(|inside| match binary {
            "lib" => inside.starts_with("/src/"),
            _ => inside
                .strip_prefix("/tests/")
                .and_then(|inside| inside.strip_prefix(binary))
                .is_some_and(|rest| rest == ".rs" || rest.starts_with('/')),
        })
    };
    let signature = format!("fn {function}(");
    tree.texts_ending(".rs").any(|(path, text)| {
        let has_modules = modules.iter().all(|module| {
            let parts = path.split('/');
            parts
                .clone()
                .any(|part| part == *module || part == format!("{module}.rs"))
        });
        is_of_binary(path) && has_modules && text.contains(&signature)
    })
}

/// A page that exists, with the heading of the anchor if there is one.
fn has_page(tree: &Tree, from: &str, link: &str) -> bool {
    let (link, fragment) = link.split_once('#').unwrap_or((link, ""));
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    let Some(text) = tree.text(&parts.join("/")) else {
        return false;
    };
    let mut headings = text
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
    fragment.is_empty() || headings.any(|heading| anchor(heading) == fragment)
}

/// The anchor of a heading: small letters, hyphens for spaces, no punctuation.
fn anchor(heading: &str) -> String {
    let letters = heading.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ if letter.is_alphanumeric() => Some(letter.to_ascii_lowercase()),
        _ => None,
    });
    letters.collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples::findings;
    use super::*;

    const README: (&str, &str) = (
        INDEX,
        "| key | items | table |\n| --- | ---: | --- |\n| T | 2 | [t.md](t.md) |\n| P | 51 | not yet |\n",
    );
    const OTHERS: [(&str, &str); 5] = [
        (
            "crates/steadfast-core/tests/session/idle.rs",
            "fn it_stays_open() {}",
        ),
        (
            "crates/steadfast-core/src/backoff/tests.rs",
            "fn it_is_random() {}",
        ),
        ("tests/e2e/tests/lab.rs", "fn it_passes() {}"),
        ("scenarios/cut.toml", "id = \"noticed\""),
        ("docs/how-to/keys.md", "# Keys\n\n## Check a key\n"),
    ];
    const GOOD: &str = "| T-01 | a ping | shown | `steadfast-core::session idle::it_stays_open`, `steadfast-core::lib backoff::tests::it_is_random`, `steadfast-e2e::lab it_passes`, `scenario cut: noticed`, [keys](../how-to/keys.md#check-a-key) | |\n| T-02 | a cluster | context | | the place of the old test |\n";

    fn of(table: &str) -> Vec<String> {
        let mut samples = vec![README, ("docs/requirements/t.md", table)];
        samples.extend(OTHERS);
        findings(evidence, &samples)
    }

    #[test]
    fn a_table_whose_evidence_exists_is_accepted() {
        assert_eq!(of(GOOD), [""; 0]);
    }

    #[test]
    fn a_missing_a_repeated_and_an_unknown_item_are_found() {
        let first = GOOD.lines().next().unwrap();
        let table = format!("{first}\n{first}\n| T-03 | more | context | | a reason |\n");

        assert_eq!(
            of(&table),
            [
                "docs/requirements/t.md: T-01 is there 2 times",
                "docs/requirements/t.md: T-02 is missing",
                "docs/requirements/t.md: T-03 is no item of the system",
            ]
        );
    }

    #[test]
    fn a_table_that_does_not_exist_is_found() {
        assert_eq!(
            findings(evidence, &[README]),
            ["docs/requirements/README.md:3: docs/requirements/t.md does not exist"]
        );
    }

    #[test]
    fn evidence_that_does_not_exist_is_found() {
        for (there, broken) in [
            ("idle::it_stays_open", "idle::it_stays_closed"),
            ("idle::it_stays_open", "busy::it_stays_open"),
            ("steadfast-core::session", "steadfast-core::other"),
            ("steadfast-core::session", "steadfast-hub::session"),
            ("steadfast-core::lib backoff", "steadfast-hub::lib backoff"),
            ("steadfast-e2e::lab", "steadfast-e2e::docs"),
            ("scenario cut: noticed", "scenario cut: unnoticed"),
            ("scenario cut: noticed", "scenario healed"),
            ("keys.md#check-a-key", "keys.md#create-a-key"),
            ("how-to/keys.md", "how-to/locks.md"),
        ] {
            let table = GOOD.replace(there, broken);

            assert_eq!(of(&table).len(), 1, "{broken}: {:?}", of(&table));
        }
    }

    #[test]
    fn a_row_without_a_state_its_evidence_or_its_reason_is_found() {
        for (there, broken) in [
            ("| context | |", "| done | |"),
            ("| the place of the old test |", "| |"),
            ("| context | | the place of the old test |", "| shown | | |"),
            ("| context | | the", "| context | some words | the"),
            ("| a cluster |", "| |"),
            ("| the place of the old test |", "|"),
        ] {
            let table = GOOD.replace(there, broken);

            assert_eq!(of(&table).len(), 1, "{broken}: {:?}", of(&table));
        }
    }
}
