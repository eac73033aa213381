//! Checks of language: words that the glossary replaces, and doc comments that only repeat a name.
//!
//! A word counts wherever it occurs: in prose, in messages, and as a part of an identifier in any style of case.

use std::path::Path;

use super::Finding;
use crate::tree::Tree;

/// Name endings of the files to check.
const ENDS: [&str; 15] = [
    ".rs",
    ".md",
    ".toml",
    ".ts",
    ".tsx",
    ".mjs",
    ".js",
    ".py",
    ".css",
    ".html",
    ".sh",
    ".txt",
    ".yml",
    "Makefile",
    "pre-commit",
];

/// This file, and the decision record that lists the replaced words with the terms that replace them.
const EXEMPT_FILES: [&str; 2] = [
    "xtask/src/tidy/words.rs",
    "docs/adr/0005-the-fields-terms.md",
];

/// Words and phrases with what to say instead. Words are separated by spaces, alternatives by commas.
const REPLACED: [(&str, &str); 40] = [
    (
        "told, tell, tells, telling, untold",
        "report, notify, send, return or log",
    ),
    (
        "stand, stands, stood, standing",
        "be, be stored, be active or be listed",
    ),
    (
        "nobody, somebody, everybody, everyone, anyone, anybody, someone, no one, whoever, people, person",
        "the subscriber, client, caller or operator",
    ),
    (
        "answer, answers, answered, answering, unanswered",
        "reply, response, acknowledgement or result",
    ),
    (
        "promise, promises, promised, promising",
        "guarantee or invariant",
    ),
    (
        "judge, judges, judged, judging, judgement, judgment",
        "check or evaluate",
    ),
    ("book, books", "ledger or statistics"),
    ("room, rooms", "channel, capacity, space or module"),
    ("owe, owes, owed, owing", "expected, missing or pending"),
    ("roster", "topology"),
    ("agenda", "schedule"),
    (
        "twin, twins, gym, mutant, mutants, mutation, mutations",
        "known-bad build or planted bug",
    ),
    ("behind", "after"),
    ("beside, besides", "next to or in addition to"),
    ("anew", "again"),
    ("for ever", "indefinitely"),
    ("meanwhile", "in the meantime or concurrently"),
    ("by itself, by themselves", "automatically"),
    ("under way", "in flight or in progress"),
    ("go on, goes on, went on, going on", "continue or resume"),
    (
        "come back, comes back, came back, coming back",
        "reconnect, resubscribe or retry",
    ),
    (
        "carry out, carries out, carried out, carrying out, obey, obeys, obeyed",
        "execute or apply",
    ),
    (
        "look at, looks at, looked at, looking at",
        "check, inspect or poll",
    ),
    ("hole, holes", "gap"),
    ("herd", "thundering herd"),
    ("life", "connection, lifetime or write generation"),
    ("die, dies, died, dying, death", "crash, exit or end"),
    ("wish, wishes, wished", "options or request"),
    (
        "want, wants, wanted, wanting",
        "require, request or ask for",
    ),
    ("hear, hears, heard, hearing", "receive"),
    ("stir, stirs, stirred", "receive bytes"),
    ("shall", "must or should"),
    ("greet, greets, greeted, greeting", "handshake or banner"),
    ("seat, seats, bell, farewell", "permit, waker or exit guard"),
    ("hammer, hammers, hammered, hammering", "overload"),
    ("flatter, flatters, embellish", "inflate"),
    ("made-up", "invalid"),
    ("misfit, misfits", "unexpected reply or validation error"),
    ("remedy, remedies", "action"),
    ("obstacle, obstacles", "state or reason"),
];

/// Standard terms that contain a replaced word.
const STANDARD_TERMS: [&str; 6] = [
    "thundering herd",
    "lag behind",
    "lags behind",
    "lagged behind",
    "black hole",
    "time to live",
];

/// Words that are permitted in a folder or file, since they are names that other projects chose.
const EXCEPTIONS: [(&str, &str); 10] = [
    // JavaScript's type, and Node's module.
    ("web/", "promise"),
    ("tests/third-party/node/", "promise"),
    ("tests/browser/", "promise"),
    ("tests/browser/", "promises"),
    // `MutationObserver` of the browser.
    ("tests/browser/src/user.mjs", "mutation"),
    // The kernel's parent-death signal.
    ("crates/steadfast-lab/src/launcher.rs", "death"),
    // The program `cargo-mutants`, its settings and its results.
    ("Makefile", "mutants"),
    (".cargo/", "mutants"),
    ("xtask/src/", "mutants"),
    ("CONTRIBUTING.md", "mutants"),
];

/// No text and no path uses a word that the glossary replaces.
pub(crate) fn replaced(tree: &Tree) -> Vec<Finding> {
    let phrases = Phrases::new();
    let mut found = Vec::new();
    let mut report = |path: &str, line: usize, (phrase, instead): (&str, &str)| {
        let is_exception = EXCEPTIONS
            .iter()
            .any(|(folder, allowed)| path.starts_with(folder) && phrase == *allowed);
        if !is_exception {
            found.push(Finding::at(
                path,
                line,
                format!("`{phrase}`: say {instead}"),
            ));
        }
    };
    for path in tree.paths() {
        for phrase in phrases.found_in(path) {
            report(path, 0, phrase);
        }
    }
    for (path, text) in tree.texts() {
        let is_written = ENDS.iter().any(|end| path.ends_with(end));
        if !is_written || EXEMPT_FILES.contains(&path) {
            continue;
        }
        let (mut previous, mut before) = ("", Vec::new());
        for (number, line) in text.lines().enumerate() {
            let here = phrases.found_in(line);
            // What begins in one line and ends in the next is in neither of them.
            let mut across = Vec::new();
            if continues(path, previous, line) {
                across = phrases.found_in(&format!("{previous} {line}"));
                across.retain(|phrase| !before.contains(phrase) && !here.contains(phrase));
            }
            for phrase in here.iter().chain(&across) {
                report(path, number + 1, *phrase);
            }
            (previous, before) = (line, here);
        }
    }
    found
}

/// True if a sentence can continue from one line to the next: in Markdown and in comments.
fn continues(path: &str, previous: &str, line: &str) -> bool {
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    let is_prose = Path::new(path).extension().is_some_and(|it| it == "md");
    is_prose || (is_comment(previous) && is_comment(line))
}

/// The lists above in the form in which they are searched for.
struct Phrases {
    standard: Vec<String>,
    /// Each replaced phrase: as searched, as written, and what to say instead.
    replaced: Vec<(String, &'static str, &'static str)>,
}

impl Phrases {
    fn new() -> Self {
        let replaced = REPLACED.iter().flat_map(|(phrases, instead)| {
            let phrases = phrases.split(", ");
            phrases.map(|phrase| (spaced(phrase), phrase, *instead))
        });
        Self {
            standard: STANDARD_TERMS.iter().map(|term| spaced(term)).collect(),
            replaced: replaced.collect(),
        }
    }

    /// The replaced phrases of a line, each with what to say instead.
    fn found_in(&self, line: &str) -> Vec<(&'static str, &'static str)> {
        let mut text = spaced(line);
        for term in &self.standard {
            text = text.replace(term.as_str(), " ; ");
        }
        let found = self.replaced.iter().filter(|it| text.contains(&it.0));
        found
            .map(|(_, phrase, instead)| (*phrase, *instead))
            .collect()
    }
}

/// The words with a space around each, so that a search for a phrase matches only at its boundaries.
fn spaced(text: &str) -> String {
    format!(" {} ", words(text).join(" "))
}

/// The words of a text in lower case: sequences of letters, split where an identifier in camel case begins a new word.
fn words(text: &str) -> Vec<String> {
    // An escape such as `\n` in a string is not part of the word after it.
    let letters: Vec<char> = text.replace("\\n", " ").chars().collect();
    let mut words = Vec::new();
    let mut word = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let neighbour = |at: Option<usize>| at.and_then(|at| letters.get(at)).copied();
        let before = neighbour(at.checked_sub(1)).unwrap_or(' ');
        let after = neighbour(at.checked_add(1)).unwrap_or(' ');
        // In both `fooBar` and `HTTPBar`, a word begins at `B`.
        let begins_word = letter.is_uppercase()
            && (before.is_lowercase() || (before.is_uppercase() && after.is_lowercase()));
        if !letter.is_alphabetic() || begins_word {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        }
        if letter.is_alphabetic() {
            word.extend(letter.to_lowercase());
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// The minimum number of words of a doc comment: a shorter comment only repeats the name.
const DOC_WORDS_MIN: usize = 3;

/// A doc comment adds what the name does not say.
pub(crate) fn doc_comments(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in tree.texts() {
        if ![".rs", ".ts", ".tsx"].iter().any(|end| path.ends_with(end)) {
            continue;
        }
        let mut lines = text.lines().enumerate().peekable();
        while let Some((at, line)) = lines.next() {
            let Some(first) = doc_text(line) else {
                continue;
            };
            let mut comment = first.to_owned();
            while let Some(more) = lines.peek().and_then(|(_, next)| doc_text(next)) {
                comment.push(' ');
                comment.push_str(more);
                lines.next();
            }
            let comment = comment.trim();
            if !comment.is_empty() && comment.split_whitespace().count() < DOC_WORDS_MIN {
                let message =
                    format!("doc comment `{comment}`: say what the name does not, or name it so");
                found.push(Finding::at(path, at + 1, message));
            }
        }
    }
    found
}

/// The text of a line of a doc comment, if it is one.
fn doc_text(line: &str) -> Option<&str> {
    let line = line.trim();
    if let Some(text) = line.strip_prefix("/**") {
        return text.strip_suffix("*/").map(str::trim);
    }
    let text = line
        .strip_prefix("///")
        .or_else(|| line.strip_prefix("//!"))?;
    (!text.starts_with('/')).then(|| text.trim())
}

#[cfg(test)]
mod tests {
    use super::super::samples::findings;
    use super::*;

    #[test]
    fn a_replaced_word_is_found_in_prose_messages_and_identifiers() {
        let samples = [
            ("a.md", "Who is told?\n"),
            ("b.rs", "let answer_timeout = 1;\nfn f(x: BookOwed) {}\n"),
            ("c.ts", "const isUnderWay = true; // it goes on\n"),
            ("Makefile", "# beside peers\n"),
            (
                "d.rs",
                "// It comes\n// back. HTTPAnswer\n\"\\nowed\"\nfn go() {}\nlet on = 1;\n",
            ),
            ("peers/broken-twin.rs", ""),
        ];

        let found = findings(replaced, &samples);

        assert_eq!(
            found,
            [
                "peers/broken-twin.rs: `twin`: say known-bad build or planted bug",
                "Makefile:1: `beside`: say next to or in addition to",
                "a.md:1: `told`: say report, notify, send, return or log",
                "b.rs:1: `answer`: say reply, response, acknowledgement or result",
                "b.rs:2: `book`: say ledger or statistics",
                "b.rs:2: `owed`: say expected, missing or pending",
                "c.ts:1: `under way`: say in flight or in progress",
                "c.ts:1: `goes on`: say continue or resume",
                "d.rs:2: `answer`: say reply, response, acknowledgement or result",
                "d.rs:2: `comes back`: say reconnect, resubscribe or retry",
                "d.rs:3: `owed`: say expected, missing or pending",
            ]
        );
    }

    #[test]
    fn standard_terms_longer_words_and_other_files_are_left_alone() {
        let samples = [
            (
                "a.md",
                "A thundering herd; a shard lags behind; a black hole; time to live.\n",
            ),
            (
                "b.rs",
                "let lifetime = understand(mushroom, booking, standard, diet);\n",
            ),
            ("web/src/a.ts", "const done: Promise<void> = start();\n"),
            ("notes.log", "told\n"),
            ("docs/adr/0005-the-fields-terms.md", "told\n"),
        ];

        assert_eq!(findings(replaced, &samples), [""; 0]);
        assert_eq!(findings(replaced, &[("a.rs", "// a promise\n")]).len(), 1);
    }

    #[test]
    fn a_doc_comment_of_one_or_two_words_is_found() {
        let bad = "/// Which.\na: u8,\n    /// The code.\n///\nb: u8,\n/** Where. */\n";
        let good = "/// The close code, from 1000 to 4999.\na: u8,\n/// Which\n/// of them.\nb: u8,\n// Here.\n//// x\n";

        assert_eq!(findings(doc_comments, &[("a.rs", bad)]).len(), 3);
        assert_eq!(findings(doc_comments, &[("a.rs", good)]), [""; 0]);
    }
}
