//! Runs the committed fuzz corpora of the JSON decoders, and of what a server's connection receives, as ordinary tests,
//! without a fuzzer.

use std::fs;
use std::path::Path;

#[expect(unreachable_pub, reason = "the fuzz crate exports the same file")]
#[path = "../../../fuzz/src/inbound.rs"]
mod inbound;
#[expect(unreachable_pub, reason = "the fuzz crate exports the same file")]
#[path = "../../../fuzz/src/json_commands.rs"]
mod json_commands;
#[expect(unreachable_pub, reason = "the fuzz crate exports the same file")]
#[path = "../../../fuzz/src/json_replies.rs"]
mod json_replies;

/// Fewer files than this mean that a corpus was not found.
const FILES_MIN: usize = 18;

#[test]
fn the_decoder_of_commands_keeps_its_invariants_on_the_corpus() {
    run("json_commands", json_commands::check);
}

#[test]
fn the_decoder_of_replies_keeps_its_invariants_on_the_corpus() {
    run("json_replies", json_replies::check);
}

#[test]
fn a_connection_receives_the_same_however_the_corpus_is_split() {
    run("inbound", inbound::check);
    run("json_commands", |message| {
        for choice in [[0, 0], [3, 6], [200, 30]] {
            inbound::check(&[&choice, message].concat());
        }
    });
}

#[expect(
    clippy::print_stdout,
    reason = "the last name printed is the file that fails"
)]
fn run(corpus: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(corpus);
    let mut files: Vec<_> = fs::read_dir(corpus)
        .expect("the corpus is committed")
        .map(|entry| entry.expect("the corpus can be listed").path())
        .collect();
    files.sort();

    for file in &files {
        println!("{}", file.display());
        check(&fs::read(file).expect("a listed file can be read"));
    }

    assert!(
        files.len() >= FILES_MIN,
        "only {} corpus files",
        files.len()
    );
}
