//! Toxics and calls that end connections.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;

use steadfast_proxy::{CloseMode, EndReason, EventKind, Toxic, ToxicKind};

use crate::setup::{
    assert_quiet, assert_reset, millis, pair, pattern, receive, receive_all, reset, send, timed,
    wait_for, wait_for_event,
};

/// Number 2 of the defects of the original: idle connections are not reset, and live ones receive a FIN.
#[test]
fn a_reset_reaches_idle_and_busy_connections_on_both_sides() {
    let mut idle = pair([]);
    let (mut client, mut server) = idle.another();
    send(&mut client, b"a");
    assert_eq!(receive(&mut server, 1), b"a");

    idle.proxy.add_toxic(Toxic::reset()).unwrap();

    for stream in [&mut idle.client, &mut idle.server, &mut client, &mut server] {
        assert_reset(stream);
    }
}

/// The other half of number 2: with a toxicity of 0, every later close was a reset.
#[test]
fn a_connection_that_is_no_victim_closes_with_a_fin() {
    let mut pair = pair([Toxic::reset().toxicity(0.0)]);
    send(&mut pair.client, b"a");
    assert_eq!(receive(&mut pair.server, 1), b"a");

    drop(pair.client);

    assert_eq!(receive_all(&mut pair.server), b"");
}

#[test]
fn a_reset_that_is_removed_at_once_still_happens() {
    let mut pair = pair([]);
    send(&mut pair.client, b"a");
    assert_eq!(receive(&mut pair.server, 1), b"a");

    pair.proxy.add_toxic(Toxic::reset()).unwrap();
    pair.proxy.remove_toxics();

    assert_reset(&mut pair.client);
}

#[test]
fn a_reset_after_a_time_is_never_early() {
    let mut pair = pair([]);

    let ((), time) = timed(|| {
        pair.proxy
            .add_toxic(Toxic::reset_after(millis(150)))
            .unwrap();
        assert_reset(&mut pair.client);
    });

    assert!(time >= millis(150), "{time:?}");
}

#[test]
fn reset_peer_waits_for_the_first_chunk_which_does_not_arrive() {
    let mut pair = pair([Toxic::reset_peer(millis(100)).upstream()]);
    assert_quiet(&mut pair.client);

    let ((), time) = timed(|| {
        send(&mut pair.client, b"a");
        assert_reset(&mut pair.server);
    });

    assert!(time >= millis(100), "{time:?}");
    assert_reset(&mut pair.client);
}

/// Number 3 of the defects of the original: its only timeout is an idle timer.
#[test]
fn a_timeout_is_extended_by_chunks_and_a_black_hole_closes_at_an_absolute_time() {
    let mut idle = pair([Toxic::timeout(millis(400)).upstream()]);
    let ((), time) = timed(|| {
        for _ in 0..5 {
            send(&mut idle.client, b"a");
            assert_quiet(&mut idle.client);
        }
        assert_eq!(receive_all(&mut idle.client), b"");
    });
    assert!(
        time >= 5 * crate::setup::QUIET,
        "each chunk restarts it: {time:?}"
    );

    let close_after = millis(300);
    let mode = steadfast_proxy::BlackHoleMode::Drop;
    let blackhole = ToxicKind::BlackHole { mode, close_after };
    let mut absolute = pair([Toxic::new(blackhole).upstream()]);
    absolute.client.set_read_timeout(Some(millis(50))).unwrap();
    let is_reset = (0..200).any(|_| {
        let sent = absolute.client.write_all(b"a");
        let received = absolute.client.read(&mut [0]);
        let is_reset = |error: io::Error| error.kind() == io::ErrorKind::ConnectionReset;
        sent.is_err() || received.is_err_and(is_reset)
    });
    assert!(is_reset, "the chunks extended it");
}

#[test]
fn removing_a_timeout_closes_the_connections_that_lost_bytes() {
    let mut pair = pair([Toxic::timeout(millis(0)).upstream()]);
    send(&mut pair.client, b"lost");
    assert_quiet(&mut pair.server);

    pair.proxy.remove_toxics();

    assert_eq!(receive_all(&mut pair.server), b"");
}

#[test]
fn limit_data_passes_exactly_its_bytes_before_the_fin() {
    let mut pair = pair([Toxic::limit_data(100_000).upstream()]);
    let bytes = pattern(150_000);
    let sent = bytes.clone();
    let mut client = pair.client.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        // The connection may end during the write.
        drop(client.write_all(&sent));
    });

    assert_eq!(receive_all(&mut pair.server), &bytes[..100_000]);
    assert_eq!(receive_all(&mut pair.client), b"");
    drop(pair.server);
    sender.join().unwrap();
}

#[test]
fn a_half_close_of_a_toxic_leaves_the_other_direction_open() {
    let mut pair = pair([]);
    pair.proxy
        .add_toxic(Toxic::half_close().upstream())
        .unwrap();
    assert_eq!(receive_all(&mut pair.server), b"");

    send(&mut pair.client, b"discarded");
    send(&mut pair.server, b"still");
    assert_eq!(receive(&mut pair.client, 5), b"still");

    pair.proxy.remove_toxics();
    send(&mut pair.client, b"discarded");
    send(&mut pair.server, b"open");
    assert_eq!(receive(&mut pair.client, 4), b"open");
}

#[test]
fn a_half_open_connection_lacks_one_side_and_the_other_does_not_know() {
    let mut pair = pair([]);
    let mut events = pair.proxy.events();

    pair.proxy
        .add_toxic(Toxic::half_open().downstream())
        .unwrap();

    assert_eq!(receive_all(&mut pair.server), b"");
    send(&mut pair.client, &pattern(4 << 20));
    assert_quiet(&mut pair.client);
    let is_end = |kind: &EventKind| matches!(kind, EventKind::Ended { .. });
    let end = wait_for_event(&pair.proxy, &mut events, is_end);
    let name = "half_open_downstream".to_owned();
    let reason = EndReason::HalfOpen { name };
    assert_eq!(
        end.kind,
        EventKind::Ended {
            connection: 1,
            reason
        }
    );

    drop(pair.client);
    wait_for(&pair.proxy, <[_]>::is_empty);
}

#[test]
fn one_connection_is_closed_in_a_chosen_way() {
    let mut pair = pair([]);
    let (mut second, mut second_server) = pair.another();
    let (mut third, mut third_server) = pair.another();
    wait_for(&pair.proxy, |open| {
        open.iter().all(|it| it.upstream.is_some())
    });

    pair.proxy.close_connection(1, CloseMode::Fin).unwrap();
    pair.proxy.close_connection(2, CloseMode::Rst).unwrap();
    pair.proxy.close_connection(3, CloseMode::Silent).unwrap();

    assert_eq!(receive_all(&mut pair.client), b"");
    assert_eq!(receive_all(&mut pair.server), b"");
    assert_reset(&mut second);
    assert_reset(&mut second_server);
    send(&mut third, &pattern(4 << 20));
    assert_quiet(&mut third);
    assert_quiet(&mut third_server);
    pair.proxy.close_connection(3, CloseMode::Rst).unwrap();
    assert_reset(&mut third);
    let error = pair.proxy.close_connection(9, CloseMode::Fin).unwrap_err();
    assert_eq!(
        error.to_string(),
        "connection 9 not found; it may have ended"
    );
}

/// On a network that loses everything, the reset of a client that gives up is lost too.
#[test]
fn a_black_hole_swallows_a_reset_until_it_is_removed() {
    for is_removed in [true, false] {
        let mut pair = pair([Toxic::black_hole()]);
        send(&mut pair.client, b"lost");
        wait_for(&pair.proxy, |open| open[0].to_server.received_bytes == 4);

        reset(pair.client);

        assert_quiet(&mut pair.server);
        send(&mut pair.server, &pattern(4 << 20));
        assert_quiet(&mut pair.server);
        if is_removed {
            pair.proxy.remove_toxics();
        } else {
            pair.proxy.close_connection(1, CloseMode::Rst).unwrap();
        }
        assert_reset(&mut pair.server);
    }
}

/// The direction to the client is open: the client's own bytes meet the server's reset, and nothing returns.
#[test]
fn a_black_hole_to_the_client_swallows_the_reset_of_the_server() {
    let mut pair = pair([Toxic::black_hole().downstream()]);
    send(&mut pair.client, b"a");
    assert_eq!(receive(&mut pair.server, 1), b"a");

    reset(pair.server);

    send(&mut pair.client, &pattern(4 << 20));
    assert_quiet(&mut pair.client);
}

#[test]
fn a_reset_passes_a_black_hole_of_the_other_direction() {
    let mut pair = pair([Toxic::black_hole().downstream()]);
    send(&mut pair.client, b"a");
    assert_eq!(receive(&mut pair.server, 1), b"a");

    reset(pair.client);

    assert_reset(&mut pair.server);
}

/// The server has not finished, although the client has received the FIN of a toxic.
#[test]
fn a_half_closed_connection_ends_only_when_its_sender_finishes() {
    let mut pair = pair([Toxic::half_close()]);
    assert_eq!(receive_all(&mut pair.client), b"");
    let request = pattern(100_000);
    send(&mut pair.client, &request);
    pair.client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(receive_all(&mut pair.server), request);

    for _ in 0..1000 {
        send(&mut pair.server, &request);
    }

    assert_eq!(pair.proxy.connections().len(), 1);
    drop(pair.server);
    wait_for(&pair.proxy, <[_]>::is_empty);
}
