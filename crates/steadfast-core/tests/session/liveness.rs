//! A dead peer is noticed in time under any traffic, and a living one is never cut. R1 to R5.

use std::time::Duration;

use steadfast_core::event::{Cause, Event};
use steadfast_core::io::Input;
use steadfast_core::policy::{LivenessSettings, SessionSettings};
use steadfast_machine::Instant;

use crate::script::{Script, liveness, settings};

const STEP: Duration = Duration::from_millis(250);

/// One who watches a peer.
trait Watch {
    fn connected(&mut self, now: Instant);
    fn heard(&mut self, now: Instant);
    fn sent(&mut self, now: Instant);
    /// True when it gives the peer up. A peer that answers probes is told by the caller.
    fn look(&mut self, now: Instant) -> bool;
}

/// What is wrong with a watch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    SendsRearm,
    DeafToPongs,
    CountsWriteErrors,
    CountsForever,
    CarriesOver,
}

/// Pings every ten seconds, and gives up after the second one in a row that was not answered.
struct Faulty {
    fault: Fault,
    armed_at: Instant,
    misses: u32,
    is_answered: bool,
    began: Instant,
}

impl Faulty {
    const fn new(fault: Fault) -> Self {
        Self {
            fault,
            armed_at: Instant::START,
            misses: 0,
            is_answered: true,
            began: Instant::START,
        }
    }
}

impl Watch for Faulty {
    fn connected(&mut self, now: Instant) {
        self.armed_at = now;
        self.began = now;
        self.is_answered = true;
        if self.fault != Fault::CarriesOver {
            self.misses = 0;
        }
    }

    fn heard(&mut self, _: Instant) {
        self.is_answered = true;
        let keeps = matches!(self.fault, Fault::CountsForever | Fault::CarriesOver);
        if !keeps {
            self.misses = 0;
        }
    }

    fn sent(&mut self, now: Instant) {
        if self.fault == Fault::SendsRearm {
            self.armed_at = now;
        }
    }

    fn look(&mut self, now: Instant) -> bool {
        if self.fault == Fault::DeafToPongs {
            return now.saturating_since(self.began) >= Duration::from_mins(2);
        }
        if now.saturating_since(self.armed_at) >= Duration::from_secs(10) {
            self.armed_at = now;
            // A write into a connection that is half open succeeds.
            let is_miss = !self.is_answered && self.fault != Fault::CountsWriteErrors;
            self.misses += u32::from(is_miss);
            self.is_answered = false;
        }
        self.misses >= 2
    }
}

/// The session, and how many losses of it were seen.
struct Ours(Script, usize);

impl Ours {
    fn new() -> Self {
        let mut script = Script::with(talkative(), 1);
        script.connect();
        Self(script, 0)
    }

    fn losses(&self) -> usize {
        let is_loss = |event: &Event| matches!(event, Event::Lost { .. });
        self.0.events.iter().filter(|(_, it)| is_loss(it)).count()
    }
}

impl Watch for Ours {
    fn connected(&mut self, now: Instant) {
        self.0.pass(now.saturating_since(self.0.now));
        if self.0.account.is_open() {
            self.0.lose();
        }
        while !self.0.account.is_open() {
            if !self.0.account.is_dialing() {
                self.0.handle(Input::Kicked);
            }
            self.0.connect();
        }
        self.1 = self.losses();
    }

    fn heard(&mut self, now: Instant) {
        self.0.pass(now.saturating_since(self.0.now));
        self.0.hear();
    }

    fn sent(&mut self, now: Instant) {
        self.0.pass(now.saturating_since(self.0.now));
        self.0.publish();
    }

    fn look(&mut self, now: Instant) -> bool {
        self.0.pass(now.saturating_since(self.0.now));
        let losses = self.losses();
        std::mem::replace(&mut self.1, losses) < losses
    }
}

/// A window that no test here fills, so that it goes on sending.
fn talkative() -> SessionSettings {
    let mut settings = settings();
    settings.outbox.messages_max = 1_000;
    settings.outbox.window = 1_000;
    settings.outbox.channel_window = 1_000;
    settings
}

/// The peer falls silent; the client goes on sending with this pause, if any. How long until it is noticed?
fn detection(watch: &mut impl Watch, sends: Option<Duration>) -> Option<Duration> {
    watch.connected(Instant::START);
    let mut sent_at = Instant::START;
    let mut now = Instant::START;
    while now < Instant::START + Duration::from_mins(10) {
        now = now + STEP;
        if sends.is_some_and(|pause| now.saturating_since(sent_at) >= pause) {
            sent_at = now;
            watch.sent(now);
        }
        if watch.look(now) {
            return Some(now - Instant::START);
        }
    }
    None
}

/// The peer says a byte this often and nothing else. True when it is never given up within an hour.
fn survives(watch: &mut impl Watch, pause: Duration) -> bool {
    watch.connected(Instant::START);
    let mut heard_at = Instant::START;
    let mut now = Instant::START;
    while now < Instant::START + Duration::from_hours(1) {
        now = now + STEP;
        if now.saturating_since(heard_at) >= pause {
            heard_at = now;
            watch.heard(now);
        }
        if watch.look(now) {
            return false;
        }
    }
    true
}

#[test]
fn r1_sends_do_not_put_off_the_question_whether_the_peer_lives() {
    let pause = Some(Duration::from_secs(1));

    assert_eq!(detection(&mut Faulty::new(Fault::SendsRearm), pause), None);
    let found = detection(&mut Ours::new(), pause).expect("noticed");
    assert!(found <= Duration::from_secs(25), "{found:?}");
}

#[test]
fn r2_a_link_with_nothing_but_pongs_is_not_cut() {
    let pause = Duration::from_secs(14);

    assert!(!survives(&mut Faulty::new(Fault::DeafToPongs), pause));
    assert!(survives(&mut Ours::new(), pause));
}

#[test]
fn r3_a_peer_that_takes_pings_and_says_nothing_is_dead() {
    let mut faulty = Faulty::new(Fault::CountsWriteErrors);

    assert_eq!(detection(&mut faulty, None), None);
    assert!(detection(&mut Ours::new(), None).is_some());
}

#[test]
fn r4_rare_pauses_of_a_living_peer_do_not_add_up() {
    let pause = Duration::from_secs(22);

    assert!(!survives(&mut Faulty::new(Fault::CountsForever), pause));
    assert!(survives(&mut Ours::new(), pause));
}

#[test]
fn r5_a_new_connection_does_not_inherit_the_misses_of_the_old_one() {
    // Silent for almost too long, then a new connection that is silent for a while and speaks.
    fn is_cut(watch: &mut impl Watch) -> bool {
        watch.connected(Instant::START);
        let mut now = Instant::START;
        while now < Instant::START + Duration::from_secs(24) {
            now = now + STEP;
            assert!(!watch.look(now), "not before its time");
        }
        watch.connected(now);
        let reconnected_at = now;
        while now < reconnected_at + Duration::from_secs(22) {
            now = now + STEP;
            if watch.look(now) {
                return true;
            }
        }
        false
    }

    assert!(is_cut(&mut Faulty::new(Fault::CarriesOver)));
    assert!(!is_cut(&mut Ours::new()));

    // Nor does the silence of the old one count before the first byte of the new one.
    let mut script = Script::ready();
    script.pass(Duration::from_secs(24));
    let asked = script.probes.len();
    script.lose();
    script.handle(Input::Kicked);
    script.dial();
    script.pass(Duration::from_secs(9));
    assert_eq!((asked, script.probes.len()), (2, 2));
}

#[test]
fn a_dead_peer_is_noticed_within_25_seconds_and_5_in_the_fast_profile_under_any_traffic() {
    let fast = LivenessSettings {
        idle: Duration::from_secs(3),
        timeout: Duration::from_secs(2),
        write_stall: Duration::from_secs(5),
        grace: Duration::from_secs(1),
    };
    for (profile, bound) in [(liveness(), 25), (fast, 5)] {
        for pause_ms in [300, 1_000, 7_000, 14_000] {
            for traffic in [
                Traffic::Idle,
                Traffic::Outgoing,
                Traffic::Incoming,
                Traffic::Both,
            ] {
                let mut settings = talkative();
                settings.liveness = profile;
                let mut script = Script::with(settings, 1);
                script.connect();
                let pause = Duration::from_millis(pause_ms);
                // It lived and spoke until now.
                for _ in 0..40 {
                    script.pass(pause.min(profile.timeout / 2));
                    traffic.go_out(&mut script);
                    traffic.come_in(&mut script);
                }
                script.hear();
                let silent_since = script.now;
                while script.last_loss().is_none() {
                    script.pass(pause);
                    traffic.go_out(&mut script);
                }

                let (at, event) = script.last_loss().expect("lost");
                let took = at - silent_since;
                assert!(took <= Duration::from_secs(bound), "{took:?}");
                let is_silence = matches!(
                    event,
                    Event::Lost { cause: Cause::Silence(_), detection, .. } if detection == took
                );
                assert!(is_silence, "{event:?}");
                assert!(script.probes.len() >= 2, "it was asked");
            }
        }
    }
}

/// Who speaks before the peer dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Traffic {
    Idle,
    Outgoing,
    Incoming,
    Both,
}

impl Traffic {
    fn go_out(self, script: &mut Script) {
        if matches!(self, Self::Outgoing | Self::Both) {
            script.publish();
        }
    }

    /// Bytes of the peer; without any of its own it answers probes.
    fn come_in(self, script: &mut Script) {
        if matches!(self, Self::Incoming | Self::Both) || !script.probes.is_empty() {
            script.hear();
        }
    }
}

#[test]
fn a_healthy_idle_link_is_never_cut_in_24_hours() {
    let mut script = Script::ready();
    let end = script.now + Duration::from_hours(24);

    // The peer says nothing by itself and answers each probe after two seconds.
    let mut answered = 0;
    while script.now < end {
        script.pass(Duration::from_secs(1));
        if script.probes.len() > answered {
            answered = script.probes.len();
            script.pass(Duration::from_secs(2));
            script.hear();
        }
    }

    assert_eq!(script.last_loss(), None);
    assert!(answered > 4_000, "{answered} probes");
    let rtt = script.snapshot().rtt.expect("measured");
    assert!(rtt >= Duration::from_secs(2) && rtt <= Duration::from_secs(3));
}

#[test]
fn whoever_slept_asks_once_more_before_it_blames_the_peer() {
    for asleep in [14, 16, 26, 31, 600] {
        for before in [0, 16, 21] {
            let mut script = Script::ready();
            script.pass(Duration::from_secs(before));
            let probes = script.probes.len();

            script.freeze(Duration::from_secs(asleep));
            if script.account.is_open() && script.probes.len() > probes {
                script.pass(Duration::from_secs(1));
                script.hear();
            }
            script.pass(Duration::from_secs(10));

            let late = before + asleep;
            if late > 31 {
                assert_eq!(
                    script.last_loss(),
                    None,
                    "{before} s, asleep for {asleep} s"
                );
            }
        }
    }
}

#[test]
fn a_sleep_over_the_second_probe_gives_the_peer_time_to_answer_it() {
    let mut script = Script::ready();
    script.pass(Duration::from_secs(16));

    // The second probe was due at 20 s and goes out at 26 s, when the verdict is overdue as well.
    script.freeze(Duration::from_secs(10));
    script.pass(Duration::from_secs(1));

    assert_eq!(script.last_loss(), None);
    script.pass(Duration::from_secs(2));
    assert!(script.last_loss().is_some(), "the grace is over");
}

#[test]
fn a_peer_that_takes_nothing_is_given_up_and_one_that_takes_slowly_is_not() {
    for takes in [false, true] {
        let mut script = Script::ready();
        let attempt = script.attempt();
        let mut bytes = 100_000;
        for _ in 0..60 {
            script.pass(Duration::from_secs(1));
            script.hear();
            if script.account.is_open() {
                let publications = script.commands();
                for command in publications {
                    script.answer(command.id, Ok(crate::script::ack(1, false)));
                }
                script.publish();
                // What is added hides what was taken from whoever compares sums only.
                bytes += 100;
                bytes -= if takes { 50 } else { 0 };
                script.handle(Input::Unsent { attempt, bytes });
            }
        }

        assert_eq!(script.last_loss().is_some(), !takes, "{:?}", script.events);
    }
}

#[test]
fn whoever_slept_does_not_blame_the_peer_for_what_it_did_not_write_itself() {
    let mut script = Script::ready();
    let attempt = script.attempt();
    script.handle(Input::Unsent { attempt, bytes: 10 });

    script.freeze(Duration::from_mins(1));
    let stands = script.last_loss().is_none();
    script.hear();
    script.handle(Input::Unsent { attempt, bytes: 0 });
    script.pass(Duration::from_secs(5));

    assert!(stands && script.last_loss().is_none());
}
