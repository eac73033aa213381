//! Commands that have begun and do not end: their timeout, their memory, and commands that are too long.

use std::time::Duration;

use steadfast_engine::memory::Offsets;
use steadfast_hub::event::{Event, HubLimit};
use steadfast_hub::io::{Input, PeerId};
use steadfast_hub::policy::HubSettings;
use steadfast_protocol::codec::IncompleteCommand;
use steadfast_protocol::error::DecodeError;
use steadfast_protocol::message::Reply;

use crate::messages::history;
use crate::script::{Script, settings};

const SECOND: Duration = Duration::from_secs(1);
const KIB: u64 = 1024;

pub(crate) fn a_command_without_progress_is_closed_although_its_peer_replies_to_pings(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    let peer = script.connect();
    report(&mut script, peer, 60 * KIB, true);

    wait_alive(&mut script, peer, 29);
    assert_eq!(script.close_code(peer), None);
    wait_alive(&mut script, peer, 2);

    let (code, reason) = &script.closed[&peer];
    assert_eq!(
        (*code, reason.as_str()),
        (
            3011,
            "force reconnect: no progress of an incomplete command"
        )
    );
}

pub(crate) fn a_command_that_gets_another_kib_in_each_timeout_is_not_closed(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    for kib in 1..=64 {
        report(&mut script, peer, kib * KIB, kib == 1);
        wait_alive(&mut script, peer, 29);
        assert_eq!(script.close_code(peer), None);
    }
    // Less than a KiB is not progress, however often it arrives.
    for bytes in 1..=2 {
        report(&mut script, peer, 64 * KIB + bytes, false);
        wait_alive(&mut script, peer, 1);
    }

    assert_eq!(script.close_code(peer), Some(3011));
}

pub(crate) fn a_command_that_follows_another_one_has_the_entire_timeout(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    for bytes in [10, 9, 700, 700] {
        report(&mut script, peer, bytes, true);
        wait_alive(&mut script, peer, 29);
    }
    script.handle(Input::Incomplete {
        peer,
        command: None,
    });
    wait_alive(&mut script, peer, 100);

    assert_eq!(script.close_code(peer), None);
}

pub(crate) fn a_paused_peer_cannot_make_progress_and_has_the_entire_timeout_afterwards(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    let peer = script.connect();
    for id in 2..6 {
        script.send(peer, history(id, 1));
    }
    assert_eq!(script.paused, [peer]);
    report(&mut script, peer, 10, true);

    script.advance(89 * SECOND);
    script.respond_to_all();
    assert_eq!(script.resumed, [peer]);
    wait_alive(&mut script, peer, 29);
    assert_eq!(script.close_code(peer), None);
    wait_alive(&mut script, peer, 2);

    assert_eq!(script.close_code(peer), Some(3011));
}

pub(crate) fn the_commands_without_progress_for_the_longest_time_are_closed_if_all_need_too_much_memory(
    offsets: Offsets,
) {
    let mut script = Script::with(
        offsets,
        HubSettings {
            incomplete_bytes_max: 200 << 10,
            ..settings()
        },
    );
    let peers: Vec<_> = (0..5).map(|_| script.connect()).collect();
    // The first one is too long and takes no memory.
    handle(&mut script, peers[0], 100 * KIB, 0, true);
    for peer in &peers[1..4] {
        script.advance(SECOND);
        report(&mut script, *peer, 60 * KIB, true);
    }
    script.advance(SECOND);
    report(&mut script, peers[1], 61 * KIB, false);
    assert!(script.closed.is_empty());
    report(&mut script, peers[4], 60 * KIB, true);

    let closed: Vec<_> = script.closed.iter().collect();
    let reason = "too many requests: too many bytes of incomplete commands".to_owned();
    assert_eq!(closed, [(&peers[2], &(3013, reason))]);
    assert!(script.events.contains(&Event::LimitReached {
        limit: HubLimit::IncompleteBytes,
        count: 1
    }));
    // What the closed peer has kept does not count any more.
    report(&mut script, peers[4], 61 * KIB, false);
    assert_eq!(script.closed.len(), 1);
}

pub(crate) fn a_report_about_a_closed_peer_has_no_effect(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();
    script.lose_connection(peer);

    handle(&mut script, peer, 1 << 30, 1 << 30, true);
    script.advance(100 * SECOND);

    assert!(script.closed.is_empty());
}

pub(crate) fn a_command_that_is_too_long_is_rejected_and_reported_with_its_limit(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    for id in [7, 0] {
        let error = DecodeError::CommandTooLong {
            id,
            bytes: 70_000,
            bytes_max: 65_536,
        };
        script.receive_command(peer, Err(error));
    }

    let replies = script.read(peer);
    let [
        Reply::Response {
            id: 7,
            outcome: Err(error),
        },
    ] = replies.as_slice()
    else {
        panic!("{replies:?}");
    };
    assert_eq!(
        (error.code, error.message.as_str()),
        (107, "command 7 has 70000 bytes, the limit is 65536")
    );
    assert_eq!(script.close_code(peer), None);
    assert!(script.events.contains(&Event::LimitReached {
        limit: HubLimit::CommandBytes,
        count: 1
    }));
}

/// Reports a command of which everything is kept.
fn report(script: &mut Script, peer: PeerId, received_bytes: u64, is_new: bool) {
    let kept_bytes = usize::try_from(received_bytes).unwrap();
    handle(script, peer, received_bytes, kept_bytes, is_new);
}

fn handle(script: &mut Script, peer: PeerId, received_bytes: u64, kept_bytes: usize, is_new: bool) {
    script.handle(Input::Incomplete {
        peer,
        command: Some(IncompleteCommand {
            received_bytes,
            kept_bytes,
            is_new,
        }),
    });
}

/// Lets time pass, in which a byte arrives from the peer every second.
fn wait_alive(script: &mut Script, peer: PeerId, seconds: u32) {
    for _ in 0..seconds {
        script.advance(SECOND);
        script.handle(Input::BytesReceived { peer });
    }
}
