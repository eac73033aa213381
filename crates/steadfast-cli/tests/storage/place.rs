//! A data directory that is moved, replaced or removed while a gateway uses it: nothing more is acknowledged, and the
//! operator finds out what to do.

use std::path::Path;

use crate::gateway::{Client, Gateway, errors, serve};
use crate::wait::wait_until;

/// The segment that a new log writes to.
const SEGMENT: &str = "0000000000000001.segment";

/// The segment that the log reserves for later.
const NEXT_SEGMENT: &str = "0000000000000002.segment";

type Change = fn(&Path, &Path);

/// What happens to the directory, and whether moving it back is enough.
const CHANGES: [(&str, Change); 5] = [
    ("moved", |data, other| std::fs::rename(data, other).unwrap()),
    ("removed", |data, _| std::fs::remove_dir_all(data).unwrap()),
    ("its segment removed", |data, _| {
        std::fs::remove_file(data.join(SEGMENT)).unwrap();
    }),
    ("moved, and an empty one at its path", |data, other| {
        std::fs::rename(data, other).unwrap();
        std::fs::create_dir(data).unwrap();
    }),
    ("replaced by a copy of itself", |data, other| {
        std::fs::rename(data, other).unwrap();
        std::fs::create_dir(data).unwrap();
        for entry in std::fs::read_dir(other).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), data.join(entry.file_name())).unwrap();
        }
    }),
];

#[test]
fn nothing_is_acknowledged_once_the_directory_was_moved_replaced_or_removed() {
    for (name, change) in CHANGES {
        let parent = tempfile::tempdir().unwrap();
        let (data, other) = (parent.path().join("data"), parent.path().join("other"));
        let gateway = Gateway::start(&data);
        let mut client = Client::connect(&gateway);
        for number in 0..20 {
            assert!(client.publish("news", &number.to_string()));
        }
        wait_for_next_segment(&data);

        change(&data, &other);

        for number in 20..40 {
            let text = number.to_string();
            assert!(
                !client.publish("news", &text),
                "{name}: {number} was acknowledged"
            );
        }
        let response = gateway.readiness();
        assert!(response.starts_with("HTTP/1.1 503 "), "{name}: {response}");
        let reason = "was moved, replaced or removed while the gateway was using it";
        assert!(response.contains(reason), "{name}: {response}");
        gateway.wait_for_log("move the data directory back");
        let (found, _) = client.history("news");
        assert_eq!(found.len(), 20, "{name}: readers are served");
    }
}

#[test]
fn every_acknowledged_message_is_in_the_directory_that_is_moved_back() {
    let parent = tempfile::tempdir().unwrap();
    let (data, other) = (parent.path().join("data"), parent.path().join("other"));
    let mut gateway = Gateway::start(&data);
    let mut client = Client::connect(&gateway);
    let moving = std::thread::spawn({
        let (data, other) = (data.clone(), other.clone());
        move || std::fs::rename(data, other).unwrap()
    });
    let mut acknowledged = Vec::new();
    for number in 0_u32.. {
        let text = number.to_string();
        let moved = moving.is_finished();
        if !client.publish("news", &text) {
            break;
        }
        assert!(!moved, "{number} was acknowledged after the move");
        acknowledged.push(text);
    }
    moving.join().unwrap();
    gateway.stop();

    std::fs::rename(&other, &data).unwrap();
    let gateway = Gateway::start(&data);

    let (found, _) = Client::connect(&gateway).history("news");
    assert!(found.starts_with(&acknowledged), "{found:?}");
}

#[test]
fn an_idle_gateway_notices_that_its_directory_is_gone() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let gateway = Gateway::start(&data);
    wait_for_next_segment(&data);

    std::fs::remove_dir_all(&data).unwrap();

    let response = gateway.wait_for_readiness("HTTP/1.1 503 ");
    assert!(
        response.contains("was moved, replaced or removed"),
        "{response}"
    );
}

#[test]
fn a_second_gateway_is_refused_also_on_the_new_path_and_without_the_lock_file() {
    let parent = tempfile::tempdir().unwrap();
    let (data, other) = (parent.path().join("data"), parent.path().join("other"));
    let gateway = Gateway::start(&data);
    std::fs::rename(&data, &other).unwrap();

    let moved = serve(&other).output().unwrap();
    std::fs::remove_file(other.join("lock")).unwrap();
    let without_file = serve(&other).output().unwrap();

    assert_eq!(moved.status.code(), Some(4));
    let holder = format!("is in use by process {}", gateway.id());
    assert!(errors(&moved).contains(&holder), "{}", errors(&moved));
    assert_eq!(without_file.status.code(), Some(4));
    assert!(errors(&without_file).contains("is in use by another process"));
}

/// Waits until the segment after the one that is written to is reserved: then the gateway creates no file in the
/// directory that would disturb the change of it.
fn wait_for_next_segment(data: &Path) {
    wait_until("the next segment is reserved", || {
        data.join(NEXT_SEGMENT).exists()
    });
}
