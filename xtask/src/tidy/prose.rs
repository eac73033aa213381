//! Checks of Markdown prose: one sentence per line, so that a diff shows only the changed sentence.
//!
//! Tables, lists, quotations and code are not checked.

use super::Finding;
use crate::tree::Tree;

/// Names that keep their capital inside a heading; a word with a capital after its first letter needs no entry.
const PROPER_NAMES: [&str; 14] = [
    "Steadfast",
    "Centrifuge",
    "Centrifugo",
    "Toxiproxy",
    "Rust",
    "Cargo",
    "Go",
    "Node",
    "Bun",
    "Python",
    "Linux",
    "Debian",
    "Markdown",
    "Unix",
];

/// The full stop of one of these does not end a sentence.
const SHORT_FORMS: [&str; 7] = ["e.g.", "i.e.", "etc.", "vs.", "no.", "cf.", "resp."];

/// A line of prose holds one whole sentence.
pub(crate) fn sentences(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in tree.texts_ending(".md") {
        let lines = kinds(text);
        for (at, (kind, line)) in lines.iter().enumerate() {
            if *kind != Kind::Prose {
                continue;
            }
            if has_two_sentences(line) {
                found.push(Finding::at(path, at + 1, "two sentences on one line"));
            }
            let continues = lines
                .get(at + 1)
                .is_some_and(|(next, _)| *next == Kind::Prose);
            if continues && !ends_sentence(line) {
                found.push(Finding::at(
                    path,
                    at + 1,
                    "a sentence continues on the next line",
                ));
            }
        }
    }
    found
}

/// A heading has a capital only in its first word and in names.
pub(crate) fn headings(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in tree.texts_ending(".md") {
        for (at, (kind, line)) in kinds(text).iter().enumerate() {
            if *kind == Kind::Heading
                && let Some(word) = stray_capital(line)
            {
                found.push(Finding::at(
                    path,
                    at + 1,
                    format!("`{word}` has a capital inside a heading"),
                ));
            }
        }
    }
    found
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Prose,
    Heading,
    Other,
}

fn kinds(text: &str) -> Vec<(Kind, &str)> {
    let mut fenced = false;
    let mut listed = false;
    let mut kinds = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim_start();
        let fence = trimmed.starts_with("```") || trimmed.starts_with("~~~");
        if fence {
            fenced = !fenced;
        }
        let kind = if fenced || fence || trimmed.is_empty() {
            Kind::Other
        } else if trimmed.starts_with('#') {
            Kind::Heading
        } else if listed && line != trimmed {
            // The line is indented under a list item.
            Kind::Other
        } else if trimmed.starts_with(['|', '>', '<', '!'])
            || is_list(trimmed)
            || is_link_target(trimmed)
        {
            Kind::Other
        } else {
            Kind::Prose
        };
        if !trimmed.is_empty() {
            listed = is_list(trimmed) || (listed && line != trimmed);
        }
        kinds.push((kind, line));
    }
    kinds
}

fn is_list(line: &str) -> bool {
    let digits = line.trim_start_matches(|letter: char| letter.is_ascii_digit());
    ["- ", "* ", "+ "].iter().any(|mark| line.starts_with(mark))
        || (digits != line && digits.starts_with(". "))
}

/// True for `[name]: target`, which defines the target of links.
fn is_link_target(line: &str) -> bool {
    line.starts_with('[') && line.contains("]: ")
}

fn has_two_sentences(line: &str) -> bool {
    let bare = without_code(line);
    let words: Vec<&str> = bare.split_whitespace().collect();
    words.windows(2).any(|pair| {
        let [before, after] = pair else { return false };
        let capital = after
            .trim_start_matches(['*', '_', '(', '[', '"'])
            .chars()
            .next()
            .is_some_and(char::is_uppercase);
        capital && ends_sentence(before) && !before.ends_with(':') && !SHORT_FORMS.contains(before)
    })
}

fn ends_sentence(line: &str) -> bool {
    line.trim_end()
        .trim_end_matches(['*', '_', ')', '`', '"', ']'])
        .ends_with(['.', '!', '?', ':'])
}

/// The line with each piece of code replaced by one word in lower case, so that code is not read as prose.
fn without_code(line: &str) -> String {
    line.split('`')
        .enumerate()
        .map(|(at, part)| if at % 2 == 0 { part } else { "code" })
        .collect()
}

fn stray_capital(heading: &str) -> Option<String> {
    let bare = without_code(heading.trim_start().trim_start_matches('#'));
    // A heading such as `[0.1.0]` is a version that links to its changes.
    if bare.trim_start().starts_with('[') {
        return None;
    }
    let mut words = bare
        .split_whitespace()
        .skip_while(|word| !word.contains(char::is_alphabetic));
    words.next();
    words
        .map(|word| word.trim_matches(|letter: char| !letter.is_alphanumeric()))
        .find(|word| {
            let mut letters = word.chars();
            let capital = letters.next().is_some_and(char::is_uppercase);
            let plain = letters.all(|letter| letter.is_lowercase() || letter == '\'');
            capital && plain && word.len() > 1 && !PROPER_NAMES.contains(word)
        })
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::samples::findings;
    use super::*;

    #[test]
    fn a_line_with_two_sentences_is_found() {
        let good = "A line. \nAnother, e.g. Bun, with `a. B`: C.\n\n- A list. It may.\n\n| A. B |\n\n```\nA. B\n```\n";
        let bad = "One sentence. Two of them.\n";

        assert_eq!(findings(sentences, &[("a.md", good)]), [""; 0]);
        assert_eq!(
            findings(sentences, &[("a.md", bad)]),
            ["a.md:1: two sentences on one line"]
        );
    }

    #[test]
    fn a_sentence_over_two_lines_is_found() {
        let good = "One.\nTwo (really).\n\n- a list\n  that continues\n\nAt the end\n";
        let bad = "A sentence that\ncontinues.\n";

        assert_eq!(findings(sentences, &[("a.md", good)]), [""; 0]);
        assert_eq!(
            findings(sentences, &[("a.md", bad)]),
            ["a.md:1: a sentence continues on the next line"]
        );
    }

    #[test]
    fn a_heading_in_title_case_is_found() {
        let good = "# The WebSocket of Steadfast\n## 1. How it works\n## [Unreleased]\n### TOML and `Code Here`\n";
        let bad = "# How It works\n";

        assert_eq!(findings(headings, &[("a.md", good)]), [""; 0]);
        assert_eq!(
            findings(headings, &[("a.md", bad)]),
            ["a.md:1: `It` has a capital inside a heading"]
        );
    }
}
