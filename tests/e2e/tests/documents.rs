//! Every command and sample of the documents works as written.

use std::env;
use std::process::Command;

use steadfast_e2e::{binaries, documents, namespaces};

#[test]
fn every_command_and_sample_of_the_documents_works() {
    if let Some(reason) = namespaces::unavailable() {
        // Where tests are required to be complete, a missing permission must not go unnoticed.
        assert!(env::var_os("CI").is_none(), "{reason}");
        println!("skipped, because network namespaces are not available: {reason}");
        return;
    }
    let gateway = binaries::gateway().unwrap();

    let output = Command::new(env!("CARGO_BIN_EXE_steadfast-e2e"))
        .args(["documents", "--gateway"])
        .arg(gateway)
        .output()
        .unwrap();

    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

#[test]
fn the_readme_shows_the_example_of_the_client_library() {
    documents::check_example().unwrap();
}
