//! Unmodified SDKs over slow links, in network namespaces.

use std::env;
use std::process::Command;

use steadfast_e2e::binaries;
use steadfast_e2e::namespaces;

#[test]
fn clients_on_slow_links_recover_what_they_missed_and_keep_their_connection() {
    if let Some(reason) = namespaces::unavailable() {
        // Where tests are required to be complete, a missing permission must not go unnoticed.
        assert!(env::var_os("CI").is_none(), "{reason}");
        println!("skipped, because network namespaces are not available: {reason}");
        return;
    }
    let gateway = binaries::gateway().unwrap();

    let output = Command::new(env!("CARGO_BIN_EXE_steadfast-e2e"))
        .args(["slow-links", "--gateway"])
        .arg(gateway)
        .output()
        .unwrap();

    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}
