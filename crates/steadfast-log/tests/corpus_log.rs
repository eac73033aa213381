//! Runs the committed fuzz corpus of the log's segments as an ordinary test, without a fuzzer.

use std::fs;
use std::path::Path;

#[cfg(test)]
#[expect(unreachable_pub, reason = "the fuzz crate exports the same file")]
#[path = "../../../fuzz/src/log_segment.rs"]
mod log_segment;

/// Fewer files than this mean that the corpus was not found, not that there is little to check.
const FILES_MIN: usize = 20;

#[test]
fn the_log_keeps_its_guarantees_over_the_entire_corpus_and_with_changed_bytes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/log_segment");
    let mut files: Vec<_> = fs::read_dir(corpus)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();

    for file in &files {
        println!("{}", file.display());
        let content = fs::read(file).unwrap();
        log_segment::check(&content);
        // Only every seventh byte is changed, so that the test stays short; the fuzzer tries all bytes.
        for at in (0..content.len()).step_by(7) {
            let mut changed = content.clone();
            changed[at] ^= 0xa5;
            log_segment::check(&changed);
        }
    }

    assert!(
        files.len() >= FILES_MIN,
        "only {} corpus files",
        files.len()
    );
}
