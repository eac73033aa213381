//! Toxics that delay, slow down, cut and change bytes.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;

use steadfast_proxy::{BlackHoleMode, EventKind, Proxy, Select, Toxic, ToxicKind};

use crate::setup::{
    accept, assert_quiet, assert_reset, connect, listener, millis, pair, pattern, receive,
    receive_all, send, start, timed, wait_for_event,
};

#[test]
fn latency_is_never_less_than_planned_in_either_direction() {
    let mut pair = pair([Toxic::latency(millis(100)).both()]);

    let ((), time) = timed(|| {
        send(&mut pair.client, b"ping");
        assert_eq!(receive(&mut pair.server, 4), b"ping");
        send(&mut pair.server, b"pong");
        assert_eq!(receive(&mut pair.client, 4), b"pong");
    });

    assert!(time >= millis(200) && time < millis(5000), "{time:?}");
}

#[test]
fn latency_does_not_limit_the_throughput_and_keeps_the_order() {
    let mut pair = pair([Toxic::latency_with_jitter(millis(100), millis(50)).upstream()]);
    let bytes = pattern(8 << 20);
    let sent = bytes.clone();
    let mut client = pair.client.try_clone().unwrap();
    let sender = std::thread::spawn(move || send(&mut client, &sent));

    let (received, time) = timed(|| receive(&mut pair.server, bytes.len()));

    sender.join().unwrap();
    assert!(received == bytes, "the bytes arrive in order");
    // One chunk of 32 KiB per 100 ms would take 25 s.
    assert!(time < millis(10_000), "{time:?}");
}

#[test]
fn several_latencies_add_up_and_a_removal_passes_what_is_held() {
    let first = Toxic::latency(millis(60)).named("first");
    let second = Toxic::latency(millis(60)).named("second");
    let mut pair = pair([first, second]);
    let ((), time) = timed(|| {
        send(&mut pair.server, b"a");
        receive(&mut pair.client, 1);
    });
    assert!(time >= millis(120), "{time:?}");

    let hour = Toxic::latency(millis(3_600_000)).named("hour");
    pair.affect(hour);
    send(&mut pair.server, b"b");
    assert_quiet(&mut pair.client);
    pair.proxy.remove_toxics();
    assert_eq!(receive(&mut pair.client, 1), b"b");
}

#[test]
fn bandwidth_is_in_kilobytes_of_1000_bytes_per_second() {
    let mut pair = pair([Toxic::bandwidth(200).upstream()]);
    let bytes = pattern(100_000);

    let ((), time) = timed(|| {
        send(&mut pair.client, &bytes);
        assert_eq!(receive(&mut pair.server, bytes.len()), bytes);
    });

    assert!(time >= millis(500) && time < millis(5000), "{time:?}");
}

#[test]
fn a_bandwidth_of_zero_stalls_until_it_is_removed() {
    let mut pair = pair([Toxic::bandwidth(0).upstream()]);
    send(&mut pair.client, b"held");
    assert_quiet(&mut pair.server);

    pair.proxy.remove_toxic("bandwidth_upstream").unwrap();

    assert_eq!(receive(&mut pair.server, 4), b"held");
}

#[test]
fn the_slicer_passes_pieces_with_pauses() {
    let mut pair = pair([Toxic::slicer(10, 0, millis(40)).upstream()]);
    let bytes = pattern(50);

    let (first, time) = timed(|| {
        send(&mut pair.client, &bytes);
        let mut buffer = [0; 64];
        let len = std::io::Read::read(&mut pair.server, &mut buffer).unwrap();
        let first = buffer[..len].to_vec();
        let rest = receive(&mut pair.server, bytes.len() - len);
        assert_eq!([first.clone(), rest].concat(), bytes);
        first
    });

    assert!(first.len() < bytes.len(), "the chunk is cut");
    assert!(time >= millis(160), "{time:?}");
}

#[test]
fn a_stall_holds_for_its_time_and_loses_nothing() {
    let stall = ToxicKind::Stall {
        after_bytes: 4,
        time: millis(300),
    };
    let mut pair = pair([Toxic::new(stall).upstream()]);
    let (rest, time) = timed(|| {
        send(&mut pair.client, b"pass held");
        assert_eq!(receive(&mut pair.server, 4), b"pass");
        receive(&mut pair.server, 5)
    });

    assert_eq!(rest, b" held");
    assert!(time >= millis(300), "{time:?}");
}

#[test]
fn a_slow_reader_lets_the_sender_block() {
    let mut pair = pair([Toxic::slow_read(0).upstream()]);
    pair.client.set_write_timeout(Some(millis(300))).unwrap();
    let chunk = vec![0; 1 << 16];
    let mut written = 0_usize;

    let error = loop {
        match pair.client.write(&chunk) {
            Ok(len) => written += len,
            Err(error) => break error,
        }
        assert!(written < 256 << 20, "the window never closes");
    };

    assert!(matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut
    ));
    assert_eq!(pair.proxy.counters().to_server.received_bytes, 0);
    pair.proxy.remove_toxics();
    receive(&mut pair.server, written);
}

#[test]
fn a_black_hole_that_drops_never_blocks_the_sender_and_resets_at_its_removal() {
    let mut pair = pair([Toxic::black_hole()]);
    send(&mut pair.client, &pattern(8 << 20));
    send(&mut pair.server, b"lost");
    pair.client.shutdown(Shutdown::Write).unwrap();
    assert_quiet(&mut pair.server);
    assert_quiet(&mut pair.client);

    pair.proxy.remove_toxics();

    assert_reset(&mut pair.server);
}

#[test]
fn a_black_hole_in_one_direction_leaves_the_other_open() {
    let mut pair = pair([Toxic::black_hole().upstream()]);
    send(&mut pair.client, b"lost");
    send(&mut pair.server, b"seen");

    assert_eq!(receive(&mut pair.client, 4), b"seen");
    assert_quiet(&mut pair.server);
}

#[test]
fn a_black_hole_that_holds_loses_nothing() {
    let hold = ToxicKind::BlackHole {
        mode: BlackHoleMode::Hold,
        close_after: millis(0),
    };
    let mut pair = pair([Toxic::new(hold).both()]);
    send(&mut pair.client, b"held");
    pair.client.shutdown(Shutdown::Write).unwrap();
    assert_quiet(&mut pair.server);

    pair.proxy.remove_toxics();

    assert_eq!(receive_all(&mut pair.server), b"held");
}

#[test]
fn corruption_inverts_one_bit_of_one_byte() {
    let mut pair = pair([Toxic::corrupt(5).upstream()]);
    let bytes = pattern(20);
    send(&mut pair.client, &bytes);

    let received = receive(&mut pair.server, bytes.len());

    let bits = bytes
        .iter()
        .zip(&received)
        .map(|(sent, got)| (sent ^ got).count_ones());
    let changed: Vec<_> = bits.enumerate().filter(|(_, bits)| *bits > 0).collect();
    assert_eq!(changed, [(5, 1)]);
}

#[test]
fn only_the_first_bytes_are_lost() {
    let first = Select {
        first_bytes: Some(3),
        ..Select::default()
    };
    let mut pair = pair([Toxic::black_hole().upstream().select(first)]);

    send(&mut pair.client, b"abcdef");

    assert_eq!(receive(&mut pair.server, 3), b"def");
}

/// Number 12 of the defects of the original: nothing delays the start of a connection.
#[test]
fn a_slow_connect_delays_the_dial_and_the_first_byte() {
    let (listener, address) = listener();
    let slow = Toxic::new(ToxicKind::SlowConnect {
        dial_delay: millis(100),
        first_byte_delay: millis(100),
    });
    let proxy = start(Proxy::to(address).toxic(slow.upstream()));

    let ((), time) = timed(|| {
        let mut client = connect(&proxy);
        send(&mut client, b"a");
        let mut server = None;
        let ((), dialled) = timed(|| server = Some(accept(&listener)));
        assert!(dialled >= millis(90), "{dialled:?}");
        assert_eq!(receive(&mut server.unwrap(), 1), b"a");
    });

    assert!(time >= millis(200), "{time:?}");
}

#[test]
fn a_toxic_with_a_duration_removes_itself() {
    let mut pair = pair([]);
    let mut events = pair.proxy.events();
    let stall = Toxic::stall().upstream().lasting(millis(200));
    let ((), time) = timed(|| {
        pair.affect(stall);
        send(&mut pair.client, b"late");
        assert_eq!(receive(&mut pair.server, 4), b"late");
    });

    assert!(time >= millis(200), "{time:?}");
    let is_expired = |kind: &EventKind| *kind == EventKind::ToxicExpired("stall_upstream".into());
    wait_for_event(&pair.proxy, &mut events, is_expired);
    assert_eq!(pair.proxy.toxics(), []);
    let (mut client, mut server) = pair.another();
    send(&mut client, b"a");
    assert_eq!(receive(&mut server, 1), b"a");
}
