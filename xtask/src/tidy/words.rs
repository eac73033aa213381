//! Checks of language: words that the glossary replaces, and doc comments that say nothing.
//!
//! A word counts wherever it occurs: in prose, in messages, and as a part of an identifier in any style of case.

use super::Finding;
use crate::tree::Tree;

/// Files that people write and read.
const ENDS: [&str; 11] = [
    ".rs", ".md", ".toml", ".ts", ".tsx", ".mjs", ".py", ".css", ".html", ".sh", "Makefile",
];

/// This list, and the record that explains the choice of terms by the words they replace.
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
        "nobody, somebody, everybody, everyone, whoever, people, person",
        "the subscriber, client, caller or operator",
    ),
    (
        "answer, answers, answered, answering, unanswered",
        "reply, response, acknowledgement or result",
    ),
    ("promise, promises, promised", "guarantee or invariant"),
    (
        "judge, judges, judged, judging, judgement",
        "check or evaluate",
    ),
    ("book, books", "ledger or statistics"),
    ("room, rooms", "channel, capacity, space or module"),
    ("owe, owes, owed", "expected, missing or pending"),
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
        "carry out, carries out, carried out, obey, obeys",
        "execute or apply",
    ),
    (
        "look at, looks at, looked at, looking at",
        "check, inspect or poll",
    ),
    ("hole, holes", "gap"),
    ("herd", "thundering herd"),
    ("life", "connection, lifetime or write generation"),
    ("die, dies, died, death", "crash, exit or end"),
    ("wish, wishes", "options or request"),
    ("want, wants, wanted", "require, request or ask for"),
    ("hear, hears, heard", "receive"),
    ("stir, stirs, stirred", "receive bytes"),
    ("shall", "must or should"),
    ("greet, greets, greeting", "handshake or banner"),
    ("seat, seats, bell, farewell", "permit, waker or exit guard"),
    ("hammer, hammers, hammered", "overload"),
    ("flatter, flatters, embellish", "inflate"),
    ("made-up", "invalid"),
    ("misfit, misfits", "unexpected reply or validation error"),
    ("remedy, remedies", "action"),
    ("obstacle, obstacles", "state or reason"),
];

/// Standard terms and ordinary meanings that contain a replaced word.
const STANDARD_TERMS: [&str; 16] = [
    "thundering herd",
    "lag behind",
    "lags behind",
    "lagged behind",
    "lagging behind",
    "fall behind",
    "falls behind",
    "fell behind",
    "behind a proxy",
    "behind a reverse proxy",
    "behind the proxy",
    "black hole",
    "black holes",
    "time to live",
    "tells the client to",
    "tell the client to",
];

/// Words that a folder or file needs, since another project named the thing so.
const EXCEPTIONS: [(&str, &str); 6] = [
    // JavaScript's type, and Node's module.
    ("web/", "promise"),
    ("tests/browser/", "promise"),
    ("tests/browser/", "promises"),
    ("tests/third-party/node/", "promise"),
    // `MutationObserver` of the browser.
    ("tests/browser/src/user.mjs", "mutation"),
    // The kernel's parent-death signal.
    ("crates/steadfast-lab/src/launcher.rs", "death"),
];

/// No text uses a word that the glossary replaces.
pub(crate) fn replaced(tree: &Tree) -> Vec<Finding> {
    let phrases = Phrases::new();
    let mut found = Vec::new();
    for (path, text) in tree.texts() {
        let is_written = ENDS.iter().any(|end| path.ends_with(end));
        if !is_written || EXEMPT_FILES.contains(&path) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for (phrase, instead) in phrases.found_in(line) {
                let is_exception = EXCEPTIONS
                    .iter()
                    .any(|(folder, allowed)| path.starts_with(folder) && phrase == *allowed);
                if !is_exception {
                    let message = format!("`{phrase}`: say {instead}");
                    found.push(Finding::at(path, number + 1, message));
                }
            }
        }
    }
    found
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

/// The words of a line in lower case: runs of letters, split where an identifier in camel case begins a new word.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut was_lower = false;
    for letter in line.chars() {
        let begins_word = was_lower && letter.is_uppercase();
        if !letter.is_alphabetic() || begins_word {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        }
        if letter.is_alphabetic() {
            word.extend(letter.to_lowercase());
        }
        was_lower = letter.is_lowercase();
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// The fewest words of a doc comment: fewer only repeat the name of what they document.
const DOC_WORDS_MIN: usize = 3;

/// A doc comment adds what the name does not say.
pub(crate) fn doc_comments(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in tree.texts_ending(".rs") {
        let lines: Vec<Option<&str>> = text.lines().map(doc_text).collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(comment) = line else { continue };
            let neighbours = [at.checked_sub(1), Some(at + 1)];
            let is_alone = neighbours
                .into_iter()
                .all(|it| it.and_then(|it| lines.get(it).copied().flatten()).is_none());
            if is_alone && comment.split_whitespace().count() < DOC_WORDS_MIN {
                let message =
                    format!("doc comment `{comment}`: say what the name does not, or name it so");
                found.push(Finding::at(path, at + 1, message));
            }
        }
    }
    found
}

/// The text of an outer or inner doc comment, if the line is one.
fn doc_text(line: &str) -> Option<&str> {
    let line = line.trim_start();
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
        ];

        let found = findings(replaced, &samples);

        assert_eq!(
            found,
            [
                "Makefile:1: `beside`: say next to or in addition to",
                "a.md:1: `told`: say report, notify, send, return or log",
                "b.rs:1: `answer`: say reply, response, acknowledgement or result",
                "b.rs:2: `book`: say ledger or statistics",
                "b.rs:2: `owed`: say expected, missing or pending",
                "c.ts:1: `under way`: say in flight or in progress",
                "c.ts:1: `goes on`: say continue or resume",
            ]
        );
    }

    #[test]
    fn standard_terms_longer_words_and_other_files_are_left_alone() {
        let samples = [
            (
                "a.md",
                "A thundering herd; a shard lags behind; Black holes; time to live.\n",
            ),
            (
                "b.rs",
                "let lifetime = understand(mushroom, booking, standard, diet);\n",
            ),
            ("web/src/a.ts", "const done: Promise<void> = start();\n"),
            ("notes.txt", "told\n"),
            ("docs/adr/0005-the-fields-terms.md", "told\n"),
        ];

        assert_eq!(findings(replaced, &samples), [""; 0]);
        assert_eq!(findings(replaced, &[("a.rs", "// a promise\n")]).len(), 1);
    }

    #[test]
    fn a_doc_comment_of_one_or_two_words_is_found() {
        let bad = "/// Which.\na: u8,\n    /// The code.\nb: u8,\n";
        let good = "/// The close code, from 1000 to 4999.\na: u8,\n/// Which\n/// of them.\nb: u8,\n// Here.\n//// x\n";

        assert_eq!(findings(doc_comments, &[("a.rs", bad)]).len(), 2);
        assert_eq!(findings(doc_comments, &[("a.rs", good)]), [""; 0]);
    }
}
