//! Runs the committed fuzz corpus of the WebSocket decoder as an ordinary test, without a fuzzer.

use std::fs;
use std::path::Path;

#[expect(unreachable_pub, reason = "the fuzz crate exports the same file")]
#[path = "../../../fuzz/src/websocket_decoder.rs"]
mod websocket_decoder;

/// Fewer files than this mean that the corpus was not found.
const FILES_MIN: usize = 40;

#[test]
fn the_decoder_keeps_its_invariants_on_the_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/websocket_decoder");
    let mut files: Vec<_> = fs::read_dir(corpus)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();

    for file in &files {
        println!("{}", file.display());
        websocket_decoder::check(&fs::read(file).unwrap());
    }

    assert!(
        files.len() >= FILES_MIN,
        "found only {} corpus files",
        files.len()
    );
}
