//! A dead peer is detected in time under any traffic, and a living one is never disconnected.

use std::time::Duration;

use steadfast_core::dialect::centrifuge::Input;
use steadfast_core::event::{DisconnectCause, SessionEvent};
use steadfast_core::io::Timer;
use steadfast_core::policy::{LivenessSettings, SessionSettings};
use steadfast_machine::Instant;

use crate::script::{Script, liveness, settings};

const STEP: Duration = Duration::from_millis(250);

/// A failure detector.
trait Detector {
    fn connected(&mut self, now: Instant);
    fn received(&mut self, now: Instant);
    fn sent(&mut self, now: Instant);
    /// Returns true when it gives up the peer. The caller reports the replies to probes.
    fn poll(&mut self, now: Instant) -> bool;
}

/// The fault of a detector.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    SendsResetTimer,
    IgnoresPongs,
    CountsWriteErrorsOnly,
    CountsForever,
    CarriesOver,
}

/// Sends a ping every ten seconds, and gives up after two consecutive ones without a reply.
struct Faulty {
    fault: Fault,
    timer_set_at: Instant,
    misses: u32,
    has_reply: bool,
    began: Instant,
}

impl Faulty {
    const fn new(fault: Fault) -> Self {
        Self {
            fault,
            timer_set_at: Instant::START,
            misses: 0,
            has_reply: true,
            began: Instant::START,
        }
    }
}

impl Detector for Faulty {
    fn connected(&mut self, now: Instant) {
        self.timer_set_at = now;
        self.began = now;
        self.has_reply = true;
        if self.fault != Fault::CarriesOver {
            self.misses = 0;
        }
    }

    fn received(&mut self, _: Instant) {
        self.has_reply = true;
        let keeps = matches!(self.fault, Fault::CountsForever | Fault::CarriesOver);
        if !keeps {
            self.misses = 0;
        }
    }

    fn sent(&mut self, now: Instant) {
        if self.fault == Fault::SendsResetTimer {
            self.timer_set_at = now;
        }
    }

    fn poll(&mut self, now: Instant) -> bool {
        if self.fault == Fault::IgnoresPongs {
            return now.saturating_since(self.began) >= Duration::from_mins(2);
        }
        if now.saturating_since(self.timer_set_at) >= Duration::from_secs(10) {
            self.timer_set_at = now;
            // A write to a half-open connection succeeds.
            let is_miss = !self.has_reply && self.fault != Fault::CountsWriteErrorsOnly;
            self.misses += u32::from(is_miss);
            self.has_reply = false;
        }
        self.misses >= 2
    }
}

/// The session, and the number of losses seen so far.
struct SessionDetector(Script, usize);

impl SessionDetector {
    fn new() -> Self {
        let mut script = Script::with(without_limits(), 1);
        script.connect();
        Self(script, 0)
    }

    fn losses(&self) -> usize {
        let is_loss = |event: &SessionEvent| matches!(event, SessionEvent::Lost { .. });
        self.0.events.iter().filter(|(_, it)| is_loss(it)).count()
    }
}

impl Detector for SessionDetector {
    fn connected(&mut self, now: Instant) {
        self.0.advance(now.saturating_since(self.0.now));
        if self.0.invariants.is_open() {
            self.0.lose_connection();
        }
        while !self.0.invariants.is_open() {
            if !self.0.invariants.is_dialing() {
                self.0.redial();
            }
            self.0.connect();
        }
        self.1 = self.losses();
    }

    fn received(&mut self, now: Instant) {
        self.0.advance(now.saturating_since(self.0.now));
        self.0.receive_pong();
    }

    fn sent(&mut self, now: Instant) {
        self.0.advance(now.saturating_since(self.0.now));
        self.0.publish();
    }

    fn poll(&mut self, now: Instant) -> bool {
        self.0.advance(now.saturating_since(self.0.now));
        let losses = self.losses();
        std::mem::replace(&mut self.1, losses) < losses
    }
}

/// In-flight limits that no test here reaches, so that sending continues.
pub(crate) fn without_limits() -> SessionSettings {
    let mut settings = settings();
    settings.outbox.messages_max = 1_000;
    settings.outbox.in_flight_max = 1_000;
    settings.outbox.channel_in_flight_max = 1_000;
    settings
}

/// The time until a silent peer is detected, while the client sends with this interval, if any.
fn detection(detector: &mut impl Detector, sends: Option<Duration>) -> Option<Duration> {
    detector.connected(Instant::START);
    let mut sent_at = Instant::START;
    let mut now = Instant::START;
    while now < Instant::START + Duration::from_mins(10) {
        now = now + STEP;
        if sends.is_some_and(|pause| now.saturating_since(sent_at) >= pause) {
            sent_at = now;
            detector.sent(now);
        }
        if detector.poll(now) {
            return Some(now - Instant::START);
        }
    }
    None
}

/// The peer sends one pong with this interval and nothing else. Returns true if it is not given up within an hour.
fn survives(detector: &mut impl Detector, pause: Duration) -> bool {
    detector.connected(Instant::START);
    let mut last_received_at = Instant::START;
    let mut now = Instant::START;
    while now < Instant::START + Duration::from_hours(1) {
        now = now + STEP;
        if now.saturating_since(last_received_at) >= pause {
            last_received_at = now;
            detector.received(now);
        }
        if detector.poll(now) {
            return false;
        }
    }
    true
}

#[test]
fn sends_do_not_postpone_failure_detection() {
    let pause = Some(Duration::from_secs(1));

    assert_eq!(
        detection(&mut Faulty::new(Fault::SendsResetTimer), pause),
        None
    );
    let found = detection(&mut SessionDetector::new(), pause).expect("noticed");
    assert!(found <= Duration::from_secs(25), "{found:?}");
}

#[test]
fn a_connection_with_nothing_but_pongs_is_not_dropped() {
    let pause = Duration::from_secs(8);

    assert!(!survives(&mut Faulty::new(Fault::IgnoresPongs), pause));
    assert!(survives(&mut SessionDetector::new(), pause));
}

#[test]
fn a_peer_that_accepts_pings_and_sends_nothing_is_dead() {
    let mut faulty = Faulty::new(Fault::CountsWriteErrorsOnly);

    assert_eq!(detection(&mut faulty, None), None);
    assert!(detection(&mut SessionDetector::new(), None).is_some());
}

#[test]
fn occasional_pauses_of_a_living_peer_do_not_accumulate() {
    let pause = Duration::from_secs(22);

    assert!(!survives(&mut Faulty::new(Fault::CountsForever), pause));
    assert!(survives(&mut SessionDetector::new(), pause));
}

#[test]
fn a_new_connection_does_not_inherit_the_misses_of_the_old_one() {
    // Silent for almost too long, then a new connection that is silent for a while and then receives.
    fn is_disconnected(detector: &mut impl Detector) -> bool {
        detector.connected(Instant::START);
        let mut now = Instant::START;
        while now < Instant::START + Duration::from_secs(24) {
            now = now + STEP;
            assert!(!detector.poll(now), "not before its timeout");
        }
        detector.connected(now);
        let reconnected_at = now;
        while now < reconnected_at + Duration::from_secs(22) {
            now = now + STEP;
            if detector.poll(now) {
                return true;
            }
        }
        false
    }

    assert!(is_disconnected(&mut Faulty::new(Fault::CarriesOver)));
    assert!(!is_disconnected(&mut SessionDetector::new()));

    // The silence of the old connection does not count before the first byte of the new one either.
    let mut script = Script::ready();
    script.advance(Duration::from_secs(24));
    let probes = script.probes.len();
    script.lose_connection();
    script.handle(Input::ReconnectRequested);
    script.dial();
    script.advance(Duration::from_secs(9));
    assert_eq!((probes, script.probes.len()), (2, 2));
}

#[test]
fn a_dead_peer_is_detected_within_25_seconds_and_5_in_the_fast_profile_under_any_traffic() {
    let fast = LivenessSettings::new(Duration::from_secs(3), Duration::from_secs(2))
        .ping_after_request(Duration::from_secs(2))
        .write_timeout(Duration::from_secs(5))
        .clock_jump_grace(Duration::from_secs(1));
    for (profile, bound) in [(liveness(), 25), (fast, 5)] {
        for pause_ms in [300, 1_000, 7_000, 14_000] {
            for traffic in [
                Traffic::Idle,
                Traffic::Outgoing,
                Traffic::Incoming,
                Traffic::Both,
            ] {
                let mut settings = without_limits();
                settings.link.liveness = profile;
                let mut script = Script::with(settings, 1);
                script.connect();
                let pause = Duration::from_millis(pause_ms);
                // Until now the peer was alive and sent bytes.
                for _ in 0..40 {
                    script.advance(pause.min(profile.pong_timeout / 2));
                    traffic.send(&mut script);
                    traffic.receive(&mut script);
                }
                script.receive_pong();
                let silent_since = script.now;
                while script.last_loss().is_none() {
                    script.advance(pause);
                    traffic.send(&mut script);
                }

                let (at, event) = script.last_loss().expect("lost");
                let took = at - silent_since;
                assert!(took <= Duration::from_secs(bound), "{took:?}");
                let is_silence = matches!(
                    event,
                    SessionEvent::Lost { cause: DisconnectCause::PongTimeout(_), detection, .. } if detection == took
                );
                assert!(is_silence, "{event:?}");
                assert!(script.probes.len() >= 2, "it was probed");
            }
        }
    }
}

/// The direction of the traffic before the peer fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Traffic {
    Idle,
    Outgoing,
    Incoming,
    Both,
}

impl Traffic {
    fn send(self, script: &mut Script) {
        if matches!(self, Self::Outgoing | Self::Both) {
            script.publish();
        }
    }

    /// Bytes of the peer; without traffic of its own it replies to probes.
    fn receive(self, script: &mut Script) {
        if matches!(self, Self::Incoming | Self::Both) || !script.probes.is_empty() {
            script.receive_pong();
        }
    }
}

#[test]
fn a_healthy_idle_connection_is_never_dropped_in_24_hours() {
    let mut script = Script::ready();
    let end = script.now + Duration::from_hours(24);

    // The peer sends nothing unprompted and replies to each probe after two seconds.
    let mut replied = 0;
    while script.now < end {
        script.advance(Duration::from_secs(1));
        if script.probes.len() > replied {
            replied = script.probes.len();
            script.advance(Duration::from_secs(2));
            script.receive_pong();
        }
    }

    assert_eq!(script.last_loss(), None);
    assert!(replied > 4_000, "{replied} probes");
    let rtt = script.snapshot().rtt.expect("measured");
    assert!(rtt >= Duration::from_secs(2) && rtt <= Duration::from_secs(3));
}

#[test]
fn after_a_suspension_the_client_probes_once_more_before_it_gives_up() {
    for suspended in [14, 16, 26, 31, 600] {
        for before in [0, 16, 21] {
            let mut script = Script::ready();
            script.advance(Duration::from_secs(before));
            let probes = script.probes.len();

            script.freeze(Duration::from_secs(suspended));
            if script.invariants.is_open() && script.probes.len() > probes {
                script.advance(Duration::from_secs(1));
                script.receive_pong();
            }
            script.advance(Duration::from_secs(10));

            let late = before + suspended;
            if late > 31 {
                assert_eq!(
                    script.last_loss(),
                    None,
                    "{before} s, suspended for {suspended} s"
                );
            }
        }
    }
}

#[test]
fn a_suspension_over_the_second_probe_gives_the_peer_time_to_reply() {
    let mut script = Script::ready();
    script.advance(Duration::from_secs(16));

    // The second probe was due at 20 s and is sent at 26 s, when the connection would also be given up.
    script.freeze(Duration::from_secs(10));
    script.advance(Duration::from_secs(1));

    assert_eq!(script.last_loss(), None);
    script.advance(Duration::from_secs(2));
    assert!(script.last_loss().is_some(), "the grace period is over");
}

#[test]
fn a_peer_that_accepts_no_bytes_is_given_up_and_a_slow_one_is_not() {
    for accepts in [false, true] {
        let mut script = Script::ready();
        let attempt = script.attempt();
        let mut bytes = 100_000;
        for _ in 0..60 {
            script.advance(Duration::from_secs(1));
            script.receive_pong();
            if script.invariants.is_open() {
                let publications = script.commands();
                for command in publications {
                    script.reply_to(command.id, Ok(crate::script::ack(1, false)));
                }
                script.publish();
                // Added bytes hide write progress from a comparison of totals.
                bytes += 100;
                bytes -= if accepts { 50 } else { 0 };
                script.handle(Input::SendBuffer { attempt, bytes });
            }
        }

        assert_eq!(
            script.last_loss().is_some(),
            !accepts,
            "{:?}",
            script.events
        );
    }
}

#[test]
fn after_a_suspension_missing_write_progress_is_not_the_peers_fault() {
    let mut script = Script::ready();
    let attempt = script.attempt();
    script.handle(Input::SendBuffer { attempt, bytes: 10 });

    script.freeze(Duration::from_mins(1));
    let is_connected = script.last_loss().is_none();
    script.receive_pong();
    script.handle(Input::SendBuffer { attempt, bytes: 0 });
    script.advance(Duration::from_secs(5));

    assert!(is_connected && script.last_loss().is_none());
}

#[test]
fn a_send_after_half_of_the_idle_time_probes_the_peer_at_once() {
    for (silence, probes) in [(millis(7_499), 0), (millis(7_500), 1)] {
        let mut script = Script::ready();
        script.advance(silence);

        script.publish();

        assert_eq!(script.probes.len(), probes, "{silence:?}");
    }
}

#[test]
fn a_socket_that_accepts_nothing_is_given_up_after_the_write_timeout_and_not_later() {
    let mut script = Script::ready();
    let attempt = script.attempt();
    let stalled_at = script.now;
    // Reports of the same size are no progress.
    for _ in 0..15 {
        script.handle(Input::SendBuffer { attempt, bytes: 10 });
        script.keep_alive(1);
    }

    let (at, event) = script.last_loss().expect("a loss");
    let timeout = liveness().write_timeout;
    assert_eq!(at - stalled_at, timeout);
    let SessionEvent::Lost { cause, .. } = event else {
        panic!("{event:?}");
    };
    assert_eq!(cause, DisconnectCause::WriteTimeout(timeout));
}

/// A suspension counts if it is longer than half of the timeout that passed in it: 5 s of 10 s.
#[test]
fn only_a_longer_suspension_extends_a_timeout() {
    for (late, is_extended) in [(millis(5_000), false), (millis(5_001), true)] {
        let mut stalled = Script::ready();
        let attempt = stalled.attempt();
        stalled.handle(Input::SendBuffer { attempt, bytes: 10 });
        stalled.freeze(liveness().write_timeout + late);
        assert_eq!(stalled.last_loss().is_none(), is_extended, "{late:?}");

        let mut silent = Script::ready();
        silent.advance(millis(24_999));
        silent.freeze(millis(1) + late);
        assert_eq!(silent.last_loss().is_none(), is_extended, "{late:?}");
    }
}

#[test]
fn a_silent_peer_is_probed_during_the_handshake_until_the_attempt_times_out() {
    let mut settings = settings();
    settings.link.liveness.ping_after_idle = millis(3_000);
    let mut script = Script::with(settings.clone(), 1);
    let opened_at = script.now;
    script.dial();
    script.advance(millis(3_000));
    assert_eq!(script.probes, [opened_at + millis(3_000)]);

    // With both at the same time, the attempt ends.
    settings.link.liveness.ping_after_idle = settings.link.connect_timeout;
    let mut script = Script::with(settings.clone(), 1);
    script.dial();
    assert_eq!(script.timer(), Some(Timer::ConnectTimeout));
    script.advance(settings.link.connect_timeout);
    assert!(script.probes.is_empty());
    assert!(!script.invariants.is_open());
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
