//! Checks of documents as a set: every page is reachable, and decision records are numbered.

use std::collections::BTreeSet;

use super::Finding;
use crate::tree::Tree;

const RECORDS: &str = "docs/adr/";
const RECORDS_INDEX: &str = "docs/adr/README.md";

/// Decision records are numbered from 0001 without gaps, and the index links each record.
pub(crate) fn records(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    let index = tree.text(RECORDS_INDEX).unwrap_or("");
    let records = tree
        .texts_ending(".md")
        .filter(|(path, _)| path.starts_with(RECORDS) && *path != RECORDS_INDEX);
    for (expected, (path, _)) in (1_usize..).zip(records) {
        let name = path.strip_prefix(RECORDS).unwrap_or(path);
        if !name.starts_with(&format!("{expected:04}-")) {
            found.push(Finding::whole(
                path,
                format!("expected the number {expected:04}"),
            ));
        }
        if !links(index).any(|link| link == name) {
            found.push(Finding::whole(
                path,
                format!("{RECORDS_INDEX} does not link it"),
            ));
        }
    }
    found
}

/// Every page under `docs/` is linked by another document.
pub(crate) fn pages(tree: &Tree) -> Vec<Finding> {
    let linked: BTreeSet<String> = tree
        .texts_ending(".md")
        .flat_map(|(path, text)| links(text).map(move |link| (path, resolved(path, link))))
        .filter(|(path, link)| path != link)
        .map(|(_, link)| link)
        .collect();
    tree.texts_ending(".md")
        .map(|(path, _)| path)
        .filter(|path| path.starts_with("docs/") && !linked.contains(*path))
        .map(|path| Finding::whole(path, "no other document links this page"))
        .collect()
}

/// The targets of Markdown links, without their anchors.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#', ' ']).next())
}

/// A relative link as a path from the root.
fn resolved(page: &str, link: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::super::samples::findings;
    use super::*;

    #[test]
    fn a_record_out_of_order_or_not_linked_is_found() {
        let index = (RECORDS_INDEX, "[one](0001-one.md) [two](0002-two.md)");
        let good = [
            index,
            ("docs/adr/0001-one.md", ""),
            ("docs/adr/0002-two.md", ""),
        ];
        let bad = [
            index,
            ("docs/adr/0001-one.md", ""),
            ("docs/adr/0003-three.md", ""),
        ];

        assert_eq!(findings(records, &good), [""; 0]);
        assert_eq!(
            findings(records, &bad),
            [
                "docs/adr/0003-three.md: expected the number 0002",
                "docs/adr/0003-three.md: docs/adr/README.md does not link it",
            ]
        );
    }

    #[test]
    fn a_page_without_links_to_it_is_found() {
        let pages_of = |guide: &'static str| {
            [
                ("README.md", "[words](docs/glossary.md)"),
                ("docs/glossary.md", guide),
                ("docs/guide/start.md", "[me](start.md)"),
            ]
        };

        assert_eq!(
            findings(pages, &pages_of("[start](guide/start.md#first)")),
            [""; 0]
        );
        assert_eq!(
            findings(pages, &pages_of("")),
            ["docs/guide/start.md: no other document links this page"]
        );
    }
}
