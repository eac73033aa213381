//! Backups next to a serving gateway, interrupted ones, restored ones, plain copies, and forgotten channels.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::gateway::{Client, Gateway, errors, log, log_with, serve, steadfast, text};
use crate::namespace;
use crate::wait::wait_until;

#[test]
fn a_backup_next_to_a_gateway_has_everything_acknowledged_before_it_while_segments_come_and_go() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let gateway = Gateway::start_small(&data);
    let (acknowledged, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let padding = "x".repeat(2_000);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = Client::connect(&gateway);
            for number in 1.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                assert!(client.publish("news", &format!("{number} {padding}")));
                acknowledged.store(number, Ordering::Release);
            }
        });
        let mut client = Client::connect(&gateway);
        for round in 0_u64..4 {
            // Enough for several segments, and for retention to remove some.
            let enough = 300 * (round + 1);
            wait_until("enough is acknowledged", || {
                acknowledged.load(Ordering::Acquire) >= enough
            });
            let (_, position) = client.history("news");
            let before = acknowledged.load(Ordering::Acquire);
            let (backup, restored) = (parent.path().join("backup"), parent.path().join("new"));

            let verified = log(&["verify"], &data);
            let backed_up = log_with(&["backup"], &[&data, &backup]);
            let restoring = log_with(&["restore"], &[&backup, &restored]);

            for output in [&verified, &backed_up, &restoring] {
                assert_eq!(output.status.code(), Some(0), "{}", errors(output));
            }
            check_restored(&restored, before, &position);
            std::fs::remove_dir_all(&backup).unwrap();
            std::fs::remove_dir_all(&restored).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    let removed = !data.join("0000000000000001.segment").exists();
    assert!(removed, "retention has removed segments");
}

/// A gateway on a restored directory has everything up to a number, without a gap, and continues no position.
fn check_restored(restored: &Path, acknowledged: u64, position: &Value) {
    let gateway = Gateway::start_small(restored);
    gateway.wait_for_log("all channel epochs are new");
    let mut client = Client::connect(&gateway);
    let (found, _) = client.history("news");
    let number = |text: &String| text.split_once(' ').unwrap().0.parse::<u64>().unwrap();
    let numbers: Vec<u64> = found.iter().map(number).collect();
    let first = numbers[0];
    let expected: Vec<u64> = (first..).take(numbers.len()).collect();
    assert_eq!(numbers, expected);
    assert!(
        numbers.last() >= Some(&acknowledged),
        "{:?}",
        numbers.last()
    );
    let reply = client.subscribe("news", Some(position));
    assert_ne!(reply["recovered"], true, "{reply}");
}

#[test]
fn a_backup_that_is_killed_at_any_moment_is_complete_or_refused() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let mut gateway = Gateway::start_small(&data);
    let mut client = Client::connect(&gateway);
    for number in 0..150 {
        assert!(client.publish("news", &format!("{number} {}", "x".repeat(2_000))));
    }
    gateway.stop();
    let mut incomplete = 0;
    for round in 0..30 {
        let backup = parent.path().join(format!("backup-{round}"));
        let mut command = steadfast();
        command.args(["log", "backup"]).arg(&data).arg(&backup);
        let mut child = command.spawn().unwrap();
        let files = || std::fs::read_dir(&backup).map_or(0, Iterator::count);
        while files() < round % 6 && child.try_wait().unwrap().is_none() {}
        child.kill().unwrap();
        let has_finished = child.wait().unwrap().success();

        let verified = log(&["verify"], &backup);
        let served = if files() > 1 {
            serve(&backup).output().unwrap()
        } else {
            continue;
        };

        if !backup.join("incomplete").exists() && !backup.join("backup").exists() {
            // Killed before the copy began: an empty directory.
            assert!(!has_finished && files() <= 1);
            continue;
        }
        assert_eq!(served.status.code(), Some(4), "{}", errors(&served));
        if verified.status.code() == Some(0) {
            assert!(
                errors(&served).contains(" is a backup"),
                "{}",
                errors(&served)
            );
            continue;
        }
        assert!(!has_finished, "{}", errors(&verified));
        assert_eq!(verified.status.code(), Some(4));
        incomplete += usize::from(errors(&verified).contains("is incomplete"));
    }
    assert!(incomplete > 0, "no backup was interrupted");
}

#[test]
fn a_backup_onto_a_full_disk_is_refused_in_words() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    Gateway::start_small(&data).stop();
    let script = "mount -t tmpfs -o size=100k none \"$2\" && \"$0\" log backup \"$1\" \"$2/backup\"; echo backup $? && \
                  \"$0\" log verify \"$2/backup\"; echo verify $?";
    let mounted = parent.path().join("mounted");
    std::fs::create_dir(&mounted).unwrap();
    let output = match namespace::run(script, &[&data, &mounted]) {
        Ok(output) => output,
        Err(reason) => return println!("SKIP: {reason}"),
    };

    assert_eq!(text(&output), "backup 4\nverify 4\n", "{}", errors(&output));
    assert!(
        errors(&output).contains("no space left"),
        "{}",
        errors(&output)
    );
    assert!(
        errors(&output).contains("is incomplete"),
        "{}",
        errors(&output)
    );
}

#[test]
fn a_plain_copy_continues_no_position_and_a_moved_directory_continues_all() {
    let parent = tempfile::tempdir().unwrap();
    let (data, copy, moved) = (
        parent.path().join("data"),
        parent.path().join("copy"),
        parent.path().join("moved"),
    );
    let mut gateway = Gateway::start(&data);
    let mut client = Client::connect(&gateway);
    assert!(client.publish("news", "1"));
    let (_, position) = client.history("news");
    gateway.stop();
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([&data, &copy])
        .status();
    assert!(copied.unwrap().success());
    std::fs::rename(&data, &moved).unwrap();

    for (directory, is_recovered) in [(&copy, false), (&moved, true)] {
        let mut gateway = Gateway::start(directory);

        let reply = Client::connect(&gateway).subscribe("news", Some(&position));

        assert_eq!(reply["recovered"] == true, is_recovered, "{reply}");
        // Once the gateway has exited, all its lines are written.
        gateway.stop();
        let warning = "the data directory was copied or restored";
        assert_eq!(
            gateway.log().contains(warning),
            !is_recovered,
            "{}",
            gateway.log()
        );
    }
    // The copy has its own place from its first start on.
    let mut gateway = Gateway::start(&copy);
    gateway.stop();
    assert!(!gateway.log().contains("copied or restored"));
}

#[test]
fn a_forgotten_channel_begins_again_and_an_unknown_one_changes_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let mut gateway = Gateway::start(&data);
    let mut client = Client::connect(&gateway);
    let publish = json!({ "channel": "news", "data": "1", "idempotency_key": "k" });
    let command = json!({ "method": "gw.publish", "data": publish });
    client.call("rpc", command.clone()).unwrap();
    assert!(client.publish("chat", "1"));
    let (_, news) = client.history("news");
    let (_, chat) = client.history("chat");
    let in_use = log_with(&["forget"], &[&data, Path::new("news")]);
    gateway.stop();

    let unknown = log_with(
        &["forget"],
        &[&data, Path::new("chat"), Path::new("absent")],
    );
    let forgotten = log_with(&["forget"], &[&data, Path::new("news")]);

    assert_eq!(in_use.status.code(), Some(4), "{}", errors(&in_use));
    assert_eq!(unknown.status.code(), Some(4));
    assert!(
        errors(&unknown).contains("has no channel \"absent\""),
        "{}",
        errors(&unknown)
    );
    assert_eq!(forgotten.status.code(), Some(0), "{}", errors(&forgotten));
    assert!(
        text(&forgotten).contains(": news\n"),
        "{}",
        text(&forgotten)
    );
    let gateway = Gateway::start(&data);
    let mut client = Client::connect(&gateway);
    assert_eq!(client.history("news").0, Vec::<String>::new());
    assert_eq!(client.history("chat"), (vec!["1".to_owned()], chat));
    assert_ne!(client.subscribe("news", Some(&news))["recovered"], true);
    let reply = client.call("rpc", command).unwrap();
    assert_ne!(
        reply["data"]["duplicate"], true,
        "the key is forgotten too: {reply}"
    );
}
