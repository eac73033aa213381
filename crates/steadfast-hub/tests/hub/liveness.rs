//! Pings, silence, and peers that never send a connect command.

use std::time::Duration;

use steadfast_engine::memory::Offsets;
use steadfast_hub::io::Input;
use steadfast_hub::policy::HubSettings;
use steadfast_protocol::message::Reply;

use crate::messages::{PONG, connect};
use crate::script::{Script, settings};

pub(crate) fn the_first_ping_is_sent_after_half_an_interval_to_a_full_one_and_pings_are_spread(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    let peers: Vec<_> = (0..50).map(|_| script.connect()).collect();

    script.advance(Duration::from_millis(12_400));
    assert!(peers.iter().all(|peer| script.read(*peer).is_empty()));
    script.advance(Duration::from_secs(6));
    let early = peers
        .iter()
        .filter(|peer| script.read(**peer) == [Reply::Ping])
        .count();
    script.advance(Duration::from_millis(6_800));
    let late = peers
        .iter()
        .filter(|peer| script.read(**peer) == [Reply::Ping])
        .count();

    assert!(early > 10 && late > 10, "{early} early, {late} late");
    assert_eq!(early + late, 50);
}

pub(crate) fn a_peer_that_is_silent_after_a_ping_is_closed_with_3012(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    script.advance(Duration::from_secs(25 + 7));
    assert!(script.closed.is_empty() || script.read(peer) == [Reply::Ping]);
    script.advance(Duration::from_secs(2));

    assert_eq!(script.close_code(peer), Some(3012));
}

pub(crate) fn a_peer_that_sends_pongs_is_pinged_indefinitely_and_never_closed(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();
    let mut pings = 0;

    for _ in 0..24 * 60 * 60 {
        script.advance(Duration::from_secs(1));
        if script.read(peer) == [Reply::Ping] {
            pings += 1;
            script.send(peer, PONG);
        }
    }

    assert_eq!(script.close_code(peer), None);
    assert!((3400..=3460).contains(&pings), "{pings} pings in 24 h");
}

pub(crate) fn a_ping_follows_the_one_before_after_exactly_one_interval(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();
    let mut next_ping = || {
        let mut ticks = 0;
        while script.read(peer) != [Reply::Ping] {
            script.advance(Duration::from_millis(100));
            ticks += 1;
        }
        script.send(peer, PONG);
        ticks
    };

    next_ping();

    assert_eq!([next_ping(), next_ping(), next_ping()], [250; 3]);
}

pub(crate) fn any_inbound_byte_counts_as_activity_and_the_late_pong_stays_legal(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();
    while script.read(peer) != [Reply::Ping] {
        script.advance(Duration::from_millis(100));
    }

    script.advance(Duration::from_secs(7));
    script.handle(Input::BytesReceived { peer });
    script.advance(Duration::from_secs(5));
    assert_eq!(script.close_code(peer), None);
    script.send(peer, PONG);
    assert_eq!(script.close_code(peer), None);

    script.send(peer, PONG);
    assert_eq!(script.close_code(peer), Some(3501));
}

pub(crate) fn a_peer_that_never_sends_a_connect_command_is_closed_as_stale(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let (silent, connected) = (script.accept(), script.connect());

    script.advance(Duration::from_millis(9_900));
    assert_eq!(script.close_code(silent), None);
    script.advance(Duration::from_millis(200));

    assert_eq!(script.close_code(silent), Some(3502));
    assert_eq!(script.close_code(connected), None);
}

pub(crate) fn a_silent_peer_of_a_full_hub_is_closed_with_try_again_later(offsets: Offsets) {
    let mut script = Script::with(
        offsets,
        HubSettings {
            peers_max: 1,
            ..settings()
        },
    );
    script.connect();
    let silent = script.accept();

    script.advance(Duration::from_secs(11));

    let (code, reason) = &script.closed[&silent];
    assert_eq!(
        (*code, reason.as_str()),
        (1013, "at capacity; retry_in=10s")
    );
}

pub(crate) fn a_rejected_peer_that_does_not_close_is_closed(offsets: Offsets) {
    let mut script = Script::with(
        offsets,
        HubSettings {
            peers_max: 1,
            ..settings()
        },
    );
    script.connect();
    let rejected = script.accept();
    script.send(rejected, connect());

    script.advance(Duration::from_secs(6));

    assert_eq!(script.close_code(rejected), Some(3013));
}

pub(crate) fn a_shutdown_closes_all_peers_with_advice_to_reconnect(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let (open, fresh) = (script.connect(), script.accept());

    script.handle(Input::ShutdownRequested);
    let late = script.accept();

    for peer in [open, fresh, late] {
        assert_eq!(script.close_code(peer), Some(3001));
    }
}
