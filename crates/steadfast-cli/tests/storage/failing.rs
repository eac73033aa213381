//! A disk that fails or is full: what clients, probes and operators find out, and what a restart does.
//!
//! A limit of the size of files makes writes and new segments fail with an error that is not a full disk.

use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::gateway::{Client, Gateway, errors, serve_small, text};
use crate::namespace;

/// Starts a gateway that receives an error, and no signal, when a file would become too large.
fn start(data: &Path) -> Gateway {
    let served = serve_small(data);
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(served.get_program())
        .args(served.get_args())
        .env_clear();
    Gateway::start_with(command)
}

fn limit_files(gateway: &Gateway, bytes: Option<u64>) {
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    let id = Pid::from_raw(i32::try_from(gateway.id()).unwrap());
    prlimit(id, Resource::Fsize, limit).unwrap();
}

#[test]
fn a_failed_write_ends_the_gateway_with_its_own_code_and_a_restart_has_everything_acknowledged() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let mut gateway = start(&data);
    let mut client = Client::connect(&gateway);
    let padding = "x".repeat(2_000);
    for _ in 0..15 {
        assert!(client.publish("news", &padding));
    }

    // The next record is above this byte position, and the file with the log lines is not.
    limit_files(&gateway, Some(16 << 10));
    assert!(!client.publish("news", "lost"));

    let status = gateway.wait();
    assert_eq!(status.code(), Some(6), "{}", gateway.log());
    let log = gateway.log();
    assert!(
        log.contains("failed to write to the log: File too large"),
        "{log}"
    );
    assert!(log.contains("Start the gateway again"), "{log}");
    let again = Gateway::start(&data);
    let (found, _) = Client::connect(&again).history("news");
    assert!(found.len() >= 15, "{}", found.len());
}

#[test]
fn a_segment_that_cannot_be_created_is_reported_with_its_error_and_retried() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let gateway = start(&data);
    let mut client = Client::connect(&gateway);
    let padding = "x".repeat(2_000);
    assert!(client.publish("news", &padding));

    // All records fit below this byte position, and no new segment does.
    limit_files(&gateway, Some((64 << 10) - 1024));
    while client.publish("news", &padding) {}

    let response = gateway.readiness();
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    assert!(
        response.contains("failed to create log segment "),
        "{response}"
    );
    assert!(response.contains("File too large"), "{response}");
    assert!(!response.contains("no space"), "{response}");
    assert!(!gateway.log().contains("no space"), "{}", gateway.log());
    assert!(!client.history("news").0.is_empty(), "readers are served");

    limit_files(&gateway, None);
    gateway.wait_for_readiness("HTTP/1.1 200 ");
    assert!(client.publish("news", &padding));
}

#[test]
fn a_gateway_on_a_full_disk_starts_again_and_again_for_readers() {
    let parent = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=400k none \"$1\" && cd \"$1\" && touch full-disk && \
                  exec \"$2\" --exact failing::inside_a_full_disk --nocapture";
    let test = std::env::current_exe().unwrap();
    let output = match namespace::run(script, &[parent.path(), &test]) {
        Ok(output) => output,
        Err(reason) => return println!("SKIP: {reason}"),
    };
    assert!(
        output.status.success(),
        "{}{}",
        text(&output),
        errors(&output)
    );
    assert!(text(&output).contains("starts=6"), "{}", text(&output));
}

/// The part of the test above that runs in a mount namespace; alone it does nothing.
#[test]
fn inside_a_full_disk() {
    let mounted = Path::new(".");
    if !mounted.join("full-disk").exists() {
        return;
    }
    let data = mounted.join("data");
    // What is freed in the end: more than a segment.
    std::fs::write(mounted.join("filler"), vec![1; 128 << 10]).unwrap();
    let mut gateway = Gateway::start_with(serve_small(&data));
    let mut client = Client::connect(&gateway);
    let padding = "x".repeat(2_000);
    let mut acknowledged = 0;
    while client.publish("news", &padding) {
        acknowledged += 1;
    }
    std::fs::write(mounted.join("rest"), vec![1; 1 << 20]).unwrap_err();
    for start in 1..=6 {
        gateway.kill();
        gateway = Gateway::start_with(serve_small(&data));
        let mut client = Client::connect(&gateway);
        // What was rejected for lack of space may be stored in part, and then counts too.
        let found = client.history("news").0.len();
        assert!(
            found >= acknowledged,
            "start {start}: {found} of {acknowledged}"
        );
        while client.publish("news", &padding) {
            acknowledged += 1;
        }
        let response = gateway.readiness();
        assert!(
            response.contains("no space left for the log, which needs 65536 bytes"),
            "{response}"
        );
    }
    std::fs::remove_file(mounted.join("filler")).unwrap();
    gateway.wait_for_readiness("HTTP/1.1 200 ");
    println!("starts=6 acknowledged={acknowledged}");
}
