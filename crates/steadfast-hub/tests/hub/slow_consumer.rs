//! Slow consumers: peers that accept fewer bytes than are sent to them.

use std::time::Duration;

use steadfast_engine::memory::Offsets;
use steadfast_hub::event::Event;
use steadfast_hub::io::Input;
use steadfast_hub::policy::HubSettings;

use crate::messages::{pushes, recover, recovered, unsubscribe};
use crate::responses::{first_page, page};
use crate::script::{EPOCH_TEXT, Script, settings};

pub(crate) fn a_peer_with_a_send_buffer_above_the_limit_is_closed_with_3008(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.subscribe("news", 0);

    script.handle(Input::SendBuffer {
        peer,
        bytes: 1 << 20,
    });
    assert_eq!(script.close_code(peer), None);
    script.handle(Input::SendBuffer {
        peer,
        bytes: (1 << 20) + 1,
    });
    script.commit("news", 1);

    assert_eq!(script.close_code(peer), Some(3008));
    assert!(script.fanouts.is_empty());
}

pub(crate) fn bytes_that_stay_in_the_send_buffer_past_the_write_timeout_close_with_3009(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    script.handle(Input::SendBuffer { peer, bytes: 10 });
    script.advance(Duration::from_millis(9_900));
    script.handle(Input::SendBuffer { peer, bytes: 20 });
    assert_eq!(script.close_code(peer), None);
    script.advance(Duration::from_millis(200));

    assert_eq!(script.close_code(peer), Some(3009));
}

pub(crate) fn a_slow_peer_that_accepts_its_bytes_within_the_write_timeout_stays(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    // The send buffer is never empty: 30 more bytes are added before the remaining 15 are written.
    script.handle(Input::SendBuffer { peer, bytes: 30 });
    for _ in 0..10 {
        script.advance(Duration::from_secs(4));
        script.handle(Input::BytesReceived { peer });
        script.handle(Input::Written { peer, bytes: 15 });
        script.handle(Input::SendBuffer { peer, bytes: 45 });
        script.advance(Duration::from_secs(4));
        script.handle(Input::Written { peer, bytes: 15 });
    }

    assert_eq!(script.close_code(peer), None);
}

pub(crate) fn the_pong_timeout_of_a_buffered_ping_starts_once_it_is_written(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    script.handle(Input::SendBuffer { peer, bytes: 300 });
    while script.read(peer).is_empty() {
        script.advance(Duration::from_secs(1));
        script.handle(Input::Written { peer, bytes: 1 });
    }
    // The rest of a frame, and then the ping. This takes longer than the pong timeout, which would apply if the ping had
    // been sent.
    script.handle(Input::PingBuffered { peer, bytes: 20 });
    for _ in 0..10 {
        script.advance(Duration::from_secs(2));
        script.handle(Input::Written { peer, bytes: 2 });
    }
    script.advance(Duration::from_millis(7_900));
    assert_eq!(script.close_code(peer), None);
    script.advance(Duration::from_millis(200));

    assert_eq!(script.close_code(peer), Some(3012));
}

pub(crate) fn a_silent_peer_is_closed_an_interval_after_the_ping_whatever_it_acknowledges(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    let peer = script.connect();
    script.handle(Input::SendBuffer { peer, bytes: 1000 });
    let step = |script: &mut Script| {
        script.advance(Duration::from_secs(1));
        script.handle(Input::Written { peer, bytes: 1 });
    };
    while script.read(peer).is_empty() {
        step(&mut script);
    }

    // On a slow link, the pong follows what the client has not received yet: longer than the pong timeout.
    for _ in 0..24 {
        step(&mut script);
        assert_eq!(script.close_code(peer), None);
    }
    step(&mut script);

    assert_eq!(script.close_code(peer), Some(3012));
}

pub(crate) fn a_peer_that_acknowledges_nothing_is_closed_after_the_pong_timeout(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();
    while script.read(peer).is_empty() {
        script.advance(Duration::from_millis(100));
    }

    // The socket accepts what is sent, and never reports that it has space again.
    script.advance(Duration::from_secs(4));
    script.handle(Input::SendBuffer { peer, bytes: 10 });
    script.advance(Duration::from_millis(3_900));
    assert_eq!(script.close_code(peer), None);
    script.advance(Duration::from_millis(200));

    assert_eq!(script.close_code(peer), Some(3012));
}

pub(crate) fn a_link_that_moves_is_not_closed_until_it_stops(offsets: Offsets) {
    // The pong timeout is longer than the write timeout.
    let mut script = Script::with(
        offsets,
        HubSettings {
            pong_timeout: Duration::from_secs(20),
            ..settings()
        },
    );
    let peer = script.connect();

    script.handle(Input::SendBuffer { peer, bytes: 300 });
    for _ in 0..12 {
        script.advance(Duration::from_secs(9));
        script.handle(Input::BytesReceived { peer });
        script.handle(Input::Written { peer, bytes: 1 });
    }
    script.advance(Duration::from_millis(9_900));
    assert_eq!(script.close_code(peer), None);
    script.advance(Duration::from_millis(200));

    assert_eq!(script.close_code(peer), Some(3009));
}

pub(crate) fn send_buffers_that_need_too_much_memory_close_the_slowest_peers_until_enough_is_freed(
    offsets: Offsets,
) {
    const MIB: usize = 1 << 20;
    let mut script = Script::new(offsets);
    let peers: Vec<_> = (0..6).map(|_| script.connect()).collect();
    for (peer, kib) in peers.iter().zip([100, 700, 300, 0, 700, 200]) {
        if kib > 0 {
            let bytes = kib << 10;
            script.handle(Input::SendBuffer { peer: *peer, bytes });
        }
        script.advance(Duration::from_millis(100));
    }
    // Of two peers with as much, this one has made progress later.
    script.handle(Input::Written {
        peer: peers[1],
        bytes: 0,
    });

    // The limit is 4 MiB. Above it, an eighth is freed, in as many steps as the shell needs.
    let closed = [
        (4 * MIB, None),
        (4 * MIB + 1, Some(4)),
        (4 * MIB, Some(1)),
        (3 * MIB + MIB / 2 + 1, Some(2)),
        (3 * MIB + MIB / 2, None),
        (4 * MIB, None),
        (4 * MIB + 1, Some(5)),
    ];
    for (bytes, expected) in closed {
        let before = script.closed.clone();
        script.handle(Input::UnsentMemory { bytes });
        let after: Vec<_> = script.closed.keys().collect();
        let new = after.into_iter().find(|peer| !before.contains_key(peer));
        assert_eq!(new, expected.map(|index: usize| &peers[index]), "{bytes}");
    }

    assert_eq!(script.close_code(peers[4]), Some(3008));
    assert!(
        script
            .events
            .iter()
            .any(|event| matches!(event, Event::UnsentMemoryLimitReached { count: 1 }))
    );
}

pub(crate) fn the_write_timeout_restarts_when_the_send_buffer_drains_in_time(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    for _ in 0..5 {
        script.handle(Input::SendBuffer { peer, bytes: 10 });
        script.advance(Duration::from_secs(4));
        script.handle(Input::Drained { peer });
    }

    assert_eq!(script.close_code(peer), None);
}

/// A send buffer into which a page does not fit.
const ABOVE_BUDGET: usize = 1 << 20;

pub(crate) fn a_recovery_whose_response_arrives_while_bytes_are_buffered_continues_when_they_are_written(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    script.fill("news", 7);
    let peer = script.connect();
    script.send(peer, recover(2, "news", EPOCH_TEXT, 0));

    script.handle(Input::SendBuffer {
        peer,
        bytes: ABOVE_BUDGET,
    });
    script.respond(first_page(7, &[1, 2, 3]));
    assert_eq!(script.read(peer), [recovered(2, 0, &[])]);
    script.commit("news", 8);
    assert_eq!(script.read(peer), []);
    script.handle(Input::Drained { peer });
    script.respond(first_page(8, &[1, 2, 3]));
    script.handle(Input::SendBuffer {
        peer,
        bytes: ABOVE_BUDGET,
    });
    script.respond(first_page(8, &[4, 5, 6]));
    script.handle(Input::Drained { peer });
    script.respond(first_page(8, &[4, 5, 6]));
    script.respond(page(8, &[7, 8]));
    script.commit("news", 9);

    assert_eq!(script.read(peer), pushes("news", 1..=9));
}

pub(crate) fn a_peer_that_recovers_many_channels_is_sent_one_page_at_a_time(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();
    for (id, channel) in [(2, "one"), (3, "two"), (4, "three")] {
        script.fill(channel, 9);
        script.send(peer, recover(id, channel, EPOCH_TEXT, 0));
        let request = script.requests.pop().unwrap();
        script.requests.insert(0, request);
        script.respond(first_page(9, &[1, 2, 3]));
    }
    script.read(peer);

    let mut order = Vec::new();
    for offset in [4, 4, 4, 7, 7, 7] {
        assert_eq!(script.requests.len(), 1);
        let offsets: Vec<u64> = (offset..offset + 3).collect();
        script.respond(if offset == 4 {
            first_page(9, &offsets)
        } else {
            page(9, &offsets)
        });
        order.push(script.read(peer));
    }

    assert!(script.requests.is_empty());
    for (sent, (channel, offset)) in order.iter().zip([
        ("one", 4),
        ("two", 4),
        ("three", 4),
        ("one", 7),
        ("two", 7),
        ("three", 7),
    ]) {
        assert_eq!(*sent, pushes(channel, offset..offset + 3));
    }
}

pub(crate) fn a_cancelled_recovery_lets_the_next_one_continue(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();
    for (id, channel) in [(2, "one"), (3, "two")] {
        script.fill(channel, 6);
        script.send(peer, recover(id, channel, EPOCH_TEXT, 0));
        let request = script.requests.pop().unwrap();
        script.requests.insert(0, request);
        script.respond(first_page(6, &[1, 2, 3]));
    }
    script.read(peer);

    script.send(peer, unsubscribe(4, "one"));
    script.read(peer);
    script.respond(page(6, &[4, 5, 6]));
    script.respond(page(6, &[4, 5, 6]));

    assert_eq!(script.read(peer), pushes("two", 4..=6));
}
