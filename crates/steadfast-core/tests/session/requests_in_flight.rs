//! A dead peer is detected early while a request is in flight, and a living one is never given up.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;
use steadfast_core::dialect::centrifuge::Call;
use steadfast_core::event::SessionEvent;
use steadfast_core::policy::SessionSettings;
use steadfast_machine::{Generator, Instant, Seed};
use steadfast_protocol::message::{Command, Request};

use crate::script::{Script, ack, settings};

/// A request that is sent to a peer that may be frozen.
type Send = fn(&mut Script);

const REQUESTS: [Send; 2] = [publish, call];

fn publish(script: &mut Script) {
    script.publish();
}

fn call(script: &mut Script) {
    let method = "m".to_owned();
    let data = "1".into();
    script.call(Call::Rpc { method, data }, Duration::from_mins(1));
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The peer replies to this number of requests, each after a round trip.
fn reply_to_requests(script: &mut Script, requests: usize, round_trip: Duration) {
    for _ in 0..requests {
        script.publish();
        script.advance(round_trip);
        reply_to_all(script);
    }
}

fn reply_to_all(script: &mut Script) {
    for command in script.commands() {
        script.reply_to(command.id, Ok(ack(1, false)));
    }
}

/// From now on the peer is frozen: the time until the client detects it.
fn detection(script: &mut Script) -> Duration {
    let frozen_at = script.now;
    while script.last_loss().is_none() {
        script.advance(millis(10));
    }
    let (at, event) = script.last_loss().expect("lost");
    assert!(matches!(event, SessionEvent::Lost { .. }));
    at - frozen_at
}

#[test]
fn a_freeze_with_a_request_in_flight_is_detected_within_12_seconds() {
    for send in REQUESTS {
        let mut script = Script::ready();
        send(&mut script);

        assert_eq!(detection(&mut script), Duration::from_secs(12));
        assert_eq!(
            script.probes,
            [2, 7].map(|at| Instant::START + Duration::from_secs(at))
        );
    }
}

#[test]
fn a_freeze_with_a_request_in_flight_is_detected_within_4_seconds_if_round_trips_are_known() {
    for send in REQUESTS {
        let mut script = Script::ready();
        reply_to_requests(&mut script, 8, millis(30));
        send(&mut script);

        let took = detection(&mut script);

        // The transmission time of the request is added.
        assert!(took >= millis(4_000) && took < millis(4_200), "{took:?}");
        assert_eq!(script.probes.len(), 2);
    }
}

#[test]
fn seven_round_trips_do_not_determine_a_timeout() {
    let mut script = Script::ready();
    reply_to_requests(&mut script, 7, millis(30));
    script.publish();

    assert_eq!(detection(&mut script), Duration::from_secs(12));
}

#[test]
fn a_full_window_that_is_frozen_is_detected_early() {
    // 100 publications per second, of which 64 are in flight and wait for the frozen peer.
    let mut settings = many_publications();
    settings.outbox.channel_in_flight_max = 64;
    let mut script = Script::with(settings, 1);
    script.connect();
    reply_to_requests(&mut script, 20, millis(10));
    let frozen_at = script.now;
    while script.last_loss().is_none() {
        script.publish();
        script.advance(millis(10));
    }

    let (at, _) = script.last_loss().expect("lost");
    assert!(at - frozen_at < Duration::from_secs(5), "{at:?}");
    assert_eq!(script.snapshot().in_flight, 0);
    assert!(script.snapshot().queued > 64);
}

#[test]
fn bytes_of_requests_with_replies_do_not_postpone_the_detection() {
    let mut script = Script::ready();
    reply_to_requests(&mut script, 20, millis(10));
    script.publish();
    // Not measured, because the publication is.
    let (method, data) = ("m".to_owned(), format!("{:40960}", "1").into());
    script.call(Call::Rpc { method, data }, Duration::from_mins(1));
    script.advance(millis(10));
    reply_to_all(&mut script);
    script.publish();

    let took = detection(&mut script);

    assert!(took < millis(4_200), "{took:?}");
}

#[test]
fn bytes_after_the_probe_do_not_postpone_the_detection() {
    let mut script = Script::with(many_publications(), 1);
    script.connect();
    reply_to_requests(&mut script, 20, millis(10));
    script.publish();
    script.advance(millis(2_500));
    assert_eq!(script.probes.len(), 1);
    for _ in 0..2 {
        let (method, data) = ("m".to_owned(), format!("{:40960}", "1").into());
        script.call(Call::Rpc { method, data }, Duration::from_mins(1));
    }

    let took = detection(&mut script) + millis(2_500);

    assert!(took < millis(4_200), "{took:?}");
}

#[test]
fn replies_prove_that_earlier_bytes_have_arrived_while_requests_are_always_in_flight() {
    for has_lost_call in [false, true] {
        let mut script = Script::ready();
        if has_lost_call {
            // The server never replies to it, and it is the first request that is measured.
            let (method, data) = ("m".to_owned(), "1".into());
            script.call(Call::Rpc { method, data }, Duration::from_secs(1));
            script.commands();
        }
        script.publish();
        for _ in 0..1_000 {
            let unread = script.commands();
            script.publish();
            script.advance(millis(20));
            for command in unread {
                script.reply_to(command.id, Ok(ack(1, false)));
            }
        }

        let took = detection(&mut script);

        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

#[test]
fn the_timeout_covers_the_transmission_of_the_bytes_in_flight() {
    // 40 KiB take 2.5 s with 128 kbit/s.
    let mut script = Script::ready();
    reply_to_requests(&mut script, 8, millis(30));
    let (method, data) = ("m".to_owned(), format!("{:40960}", "1").into());
    script.call(Call::Rpc { method, data }, Duration::from_mins(1));

    let took = detection(&mut script);

    assert!(took >= millis(6_500) && took < millis(6_600), "{took:?}");
}

#[test]
fn long_round_trips_postpone_the_probe_and_extend_the_timeout() {
    // Four round trips of 1 s, then one second and the variation, which has decreased with the samples.
    let mut script = Script::ready();
    reply_to_requests(&mut script, 40, Duration::from_secs(1));
    script.publish();

    let took = detection(&mut script);

    assert!(took >= millis(6_000) && took < millis(6_200), "{took:?}");
}

#[test]
fn variable_round_trips_extend_the_timeout() {
    let mut script = Script::ready();
    for _ in 0..20 {
        reply_to_requests(&mut script, 1, millis(500));
        reply_to_requests(&mut script, 1, millis(1_500));
    }
    script.publish();

    let took = detection(&mut script);

    // Four round trips of 1 s, then one of them and four times the variation of half a second.
    assert!(took >= millis(6_800) && took < millis(7_500), "{took:?}");
}

#[test]
fn a_suspension_is_hardly_a_round_trip() {
    let mut script = Script::ready();
    let (method, data) = ("m".to_owned(), "1".into());
    script.call(Call::Rpc { method, data }, Duration::from_hours(2));
    script.freeze(Duration::from_hours(1));
    reply_to_all(&mut script);
    reply_to_requests(&mut script, 40, millis(30));
    script.publish();

    let took = detection(&mut script);

    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn without_a_request_in_flight_the_idle_timeout_applies() {
    let mut script = Script::ready();
    reply_to_requests(&mut script, 20, millis(30));

    assert_eq!(detection(&mut script), Duration::from_secs(25));
}

#[test]
fn a_request_that_expires_without_a_byte_of_the_peer_counts_as_in_flight() {
    let mut script = Script::ready();
    let (method, data) = ("m".to_owned(), "1".into());
    script.call(Call::Rpc { method, data }, Duration::from_secs(1));

    assert_eq!(detection(&mut script), Duration::from_secs(12));
}

#[test]
fn a_server_that_replies_to_probes_may_take_any_time_for_a_request() {
    let mut script = Script::ready();
    reply_to_requests(&mut script, 20, millis(30));
    let (method, data) = ("m".to_owned(), "1".into());
    script.call(Call::Rpc { method, data }, Duration::from_hours(2));
    let began = script.now;
    while script.now < began + Duration::from_hours(1) {
        let probes = script.probes.len();
        script.advance(millis(100));
        if script.probes.len() > probes {
            script.receive_pong();
        }
    }

    assert_eq!(script.last_loss(), None);
    // One each 2 s, as long as the request is in flight.
    let probes = script.probes.len();
    assert!((1_700..=1_800).contains(&probes), "{probes}");
}

/// What a living peer sends later, in order.
struct LivingPeer {
    generator: Generator,
    round_trip: Duration,
    pause_max: Duration,
    replies: VecDeque<(Instant, Option<Command>)>,
    probes: usize,
}

impl LivingPeer {
    /// Receives what the client has sent. The reply follows after a jittered round trip; one in twenty follows after a
    /// pause of the peer.
    fn receive(&mut self, script: &mut Script) {
        let commands = script.commands().into_iter();
        let requests = commands.filter(|it| it.request != Request::Pong).map(Some);
        let probes = script.probes.split_off(self.probes).into_iter();
        let arrived: Vec<_> = probes.map(|_| None).chain(requests).collect();
        for request in arrived {
            let delay = if self.generator.chance(1, 20) {
                self.generator.between(Duration::ZERO, self.pause_max)
            } else {
                let jittered = self
                    .generator
                    .between(self.round_trip / 2, self.round_trip * 2);
                jittered.min(self.pause_max)
            };
            let earliest = self.replies.back().map_or(Instant::START, |(at, _)| *at);
            self.replies
                .push_back(((script.now + delay).max(earliest), request));
        }
    }

    fn reply(&mut self, script: &mut Script) {
        while let Some((_, request)) = self.replies.pop_front_if(|(at, _)| *at <= script.now) {
            match request {
                Some(command) => script.reply_to(command.id, Ok(ack(1, false))),
                None => script.receive_pong(),
            }
        }
    }
}

/// Runs a client that publishes at random times for a day with a living peer, which replies within `pause_max`.
fn live_for_a_day(seed: u64, round_trip: Duration, pause_max: Duration) -> Script {
    let mut script = Script::with(many_publications(), seed);
    script.connect();
    script.commands();
    let mut peer = LivingPeer {
        generator: Seed::new(seed).generator(),
        round_trip,
        pause_max,
        replies: VecDeque::new(),
        probes: 0,
    };
    let end = script.now + Duration::from_hours(24);
    let mut publish_at = script.now;
    while script.now < end && script.last_loss().is_none() {
        if script.now >= publish_at {
            script.publish();
            // Bursts, and silences of up to a minute.
            let longest = *[50, 2_000, 60_000]
                .get(peer.generator.below_len(3))
                .expect("in range");
            publish_at = script.now + peer.generator.between(millis(1), millis(longest));
        }
        peer.receive(&mut script);
        let next_reply = peer.replies.front().map(|(at, _)| *at);
        let events = [Some(publish_at), next_reply, script.deadline()];
        let next = events.into_iter().flatten().min().expect("a publication");
        script.advance(next - script.now);
        peer.receive(&mut script);
        peer.reply(&mut script);
    }
    script
}

fn many_publications() -> SessionSettings {
    let mut settings = settings();
    settings.outbox.messages_max = 1_000;
    settings.outbox.in_flight_max = 64;
    settings
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_peer_that_replies_within_4_seconds_is_never_given_up_in_24_hours(
        seed in any::<u64>(),
        round_trip_ms in prop_oneof![1_u64..100, 100_u64..2_000],
    ) {
        let script = live_for_a_day(seed, millis(round_trip_ms), millis(3_999));

        prop_assert_eq!(script.last_loss(), None);
    }
}

#[test]
fn a_peer_with_longer_pauses_is_given_up() {
    let script = live_for_a_day(1, millis(20), Duration::from_secs(8));

    assert!(script.last_loss().is_some());
}

#[test]
fn a_suspended_client_does_not_blame_its_peer() {
    for suspended in [Duration::from_secs(2), Duration::from_mins(1)] {
        let mut script = Script::ready();
        reply_to_requests(&mut script, 20, millis(30));
        script.publish();
        script.advance(millis(2_500));
        assert_eq!(script.probes.len(), 1);

        // The second probe was due after 3 s and the end after 4 s, while the client was suspended.
        script.freeze(suspended);
        script.advance(millis(1_000));
        assert_eq!(script.last_loss(), None);
        reply_to_all(&mut script);
        script.receive_pong();
        script.advance(Duration::from_secs(10));
        assert_eq!(script.last_loss(), None);
    }
}
