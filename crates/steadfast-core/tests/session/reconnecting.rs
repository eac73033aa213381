//! Reconnecting: how often, how soon, for how long, and when not.

use std::time::Duration;

use steadfast_core::dialect::centrifuge::{Input, Item, SubscriptionEvent};
use steadfast_core::event::{
    ConnectionErrorKind, DisconnectCause, SessionEvent, SessionPhase, SessionState,
};
use steadfast_core::io::{Attempt, ConnectionLoss, DialFailure, Frame};
use steadfast_machine::Instant;
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::Request;

use crate::script::{EXPONENTIAL, Script, at, dial_failure, item, recovered, settings, subscribed};

/// The longest delay of the backoff.
const LONGEST: Duration = Duration::from_millis(20_050);

/// A client that reconnects.
trait Client {
    /// A connection was established.
    fn connected(&mut self);
    /// The connection ended, or the attempt failed. Returns the delay before the next attempt; `None` if there is none.
    fn ended(&mut self) -> Option<Duration>;
    /// The application asks for a new connection.
    fn reconnect(&mut self);
    /// The first socket times out, long after it was replaced.
    fn late_timeout(&mut self);
    fn sockets(&self) -> usize;
    fn is_connected(&self) -> bool;
}

/// A client with faults that were found in published libraries.
#[derive(Default)]
struct Faulty {
    level: u32,
    failures: u32,
    sockets: usize,
    is_connected: bool,
}

impl Client for Faulty {
    fn connected(&mut self) {
        self.sockets = self.sockets.max(1);
        self.is_connected = true;
        // The backoff is reset, as if the server had proved that it works.
        self.level = 0;
        self.failures = 0;
    }

    fn ended(&mut self) -> Option<Duration> {
        self.is_connected = false;
        self.sockets = 0;
        let pause = Duration::from_millis(250) * 2_u32.pow(self.level);
        self.level += 1;
        self.failures += 1;
        // The client gives up after five attempts.
        (self.failures < 5).then_some(pause)
    }

    fn reconnect(&mut self) {
        // The old socket is forgotten and stays open.
        self.sockets += 1;
    }

    fn late_timeout(&mut self) {
        // The timeout does not name its socket.
        self.is_connected = false;
    }

    fn sockets(&self) -> usize {
        self.sockets
    }

    fn is_connected(&self) -> bool {
        self.is_connected
    }
}

/// The session; the invariants count its transports.
impl Client for Script {
    fn connected(&mut self) {
        self.connect();
    }

    fn ended(&mut self) -> Option<Duration> {
        if self.invariants.is_dialing() {
            self.dial_fails();
        } else {
            self.lose_connection();
        }
        (self.state() != SessionState::Failed).then(|| self.advance_to_next_dial())
    }

    fn reconnect(&mut self) {
        self.handle(Input::ReconnectRequested);
    }

    fn late_timeout(&mut self) {
        let (attempt, loss) = (
            Attempt(1),
            ConnectionLoss::Failed {
                kind: ConnectionErrorKind::Other,
                text: "late".to_owned(),
            },
        );
        self.handle(Input::Lost { attempt, loss });
    }

    fn sockets(&self) -> usize {
        usize::from(self.invariants.is_open()) + usize::from(self.invariants.is_dialing())
    }

    fn is_connected(&self) -> bool {
        self.state() == SessionState::Connected
    }
}

/// The number of attempts within a minute if the server accepts and immediately drops connections.
fn flaps(client: &mut impl Client) -> usize {
    let (mut time, mut attempts) = (Duration::ZERO, 0);
    while time < Duration::from_mins(1) {
        attempts += 1;
        client.connected();
        time += client.ended().expect("it retries");
    }
    attempts
}

#[test]
fn a_server_that_accepts_and_drops_is_not_flooded_with_attempts() {
    let (faulty, ours) = (flaps(&mut Faulty::default()), flaps(&mut Script::new()));

    assert!(faulty > 100, "{faulty}");
    assert!(ours < 25, "{ours}");
}

#[test]
fn a_server_that_always_goes_away_is_not_flooded_whatever_delay_it_requests() {
    for (code, reason) in [
        (1_012, ""),
        (1_012, "; retry_in=0s"),
        (3_001, "; retry_in=1s"),
    ] {
        for is_accepted in [true, false] {
            let mut script = Script::new();
            while script.now < Instant::START + Duration::from_mins(5) {
                script.dial();
                if is_accepted {
                    script.accept_connect();
                }
                script.lose_with(code, reason);
                script.advance_to_next_dial();
            }

            let attempts = script.dials.len();
            assert!(attempts < 50, "{attempts} after {code} {reason:?}");
        }
    }
}

#[test]
fn a_flap_doubles_an_exponential_range_once() {
    // The largest of many first, second and third delays is close to the maximum of its range, and never above.
    let mut longest = [Duration::ZERO; 3];
    let mut exponential = settings();
    exponential.link.backoff.range = EXPONENTIAL;
    for seed in 0..400 {
        let mut script = Script::with(exponential.clone(), seed);
        for longest in &mut longest {
            script.connect();
            script.lose_connection();
            *longest = script.advance_to_next_dial().max(*longest);
        }
    }

    for (longest, range_ms) in longest.into_iter().zip([500, 1_000, 2_000]) {
        let range = Duration::from_millis(range_ms + 50);
        assert!(longest <= range && longest > range * 9 / 10, "{longest:?}");
    }
}

/// The outages of a client whose server is killed every ten seconds and restarts within a second, for three minutes.
fn outages_under_kills(seed: u64) -> Vec<Duration> {
    const EVERY: Duration = Duration::from_secs(10);
    const DOWN: Duration = Duration::from_secs(1);
    let mut script = Script::with(settings(), seed);
    script.connect();
    let mut outages = Vec::new();
    let mut kill = script.now + EVERY;
    let end = script.now + EVERY * 18;
    while kill < end {
        while script.now < kill {
            let rest = kill - script.now;
            script.advance(rest.min(Duration::from_secs(1)));
            script.receive_pong();
        }
        script.lose_connection();
        let lost = script.now;
        loop {
            script.advance_to_next_dial();
            while kill + EVERY <= script.now {
                kill = kill + EVERY;
            }
            if script.now >= kill + DOWN {
                break;
            }
            script.dial_fails();
        }
        script.connect();
        outages.push(script.now - lost);
        kill = kill + EVERY;
    }
    outages
}

#[test]
fn a_server_that_serves_between_its_kills_does_not_drive_its_clients_to_the_cap() {
    // If each end of a connection within its first ten seconds counted fully as a failure, half of the outages would
    // exceed 8 s and one in a hundred would exceed 44 s, although the server is down for one second.
    let mut outages: Vec<Duration> = (0..200).flat_map(outages_under_kills).collect();
    outages.sort_unstable();
    let [half, most, all] =
        [50, 99, 100].map(|percent| outages[(outages.len() - 1) * percent / 100]);

    assert!(half < Duration::from_secs(2), "{half:?}");
    assert!(most < Duration::from_secs(6), "{most:?}");
    assert!(all <= LONGEST, "{all:?}");
}

#[test]
fn a_server_that_was_down_for_an_hour_is_found_again_within_one_cap() {
    let mut faulty = Faulty::default();
    let tries = std::iter::from_fn(|| faulty.ended()).take(100);
    assert!(tries.sum::<Duration>() < Duration::from_hours(1), "it ends");

    let mut script = Script::ready();
    script.lose_connection();
    let back_at = script.now + Duration::from_hours(1);
    let mut sizes = Vec::new();
    while script.now < back_at {
        assert!(script.dials.len() < 2_000, "the delays have ended");
        sizes.push(script.size());
        script.publish_for(Some(Duration::from_mins(5)));
        if script.invariants.is_dialing() {
            script.dial_fails();
        }
        script.advance_to_next_dial();
        assert!(script.snapshot().queued <= 64, "bounded");
    }
    if script.invariants.is_dialing() {
        script.connect();
    }

    assert!(script.now - back_at <= LONGEST, "{:?}", script.now);
    assert_eq!(script.phase(), SessionPhase::Ready);
    // The largest size in the second half hour is at most a tenth above the largest in the first half hour.
    let (early, late) = sizes.split_at(sizes.len() / 2);
    let most = |sizes: &[usize]| sizes.iter().copied().max().expect("some");
    assert!(most(late) <= most(early) * 11 / 10, "{sizes:?}");
    assert!(script.dials.len() > 120, "{}", script.dials.len());
}

#[test]
fn whatever_is_requested_there_is_one_transport() {
    fn most_sockets(client: &mut impl Client) -> usize {
        client.connected();
        let mut most = 0;
        for _ in 0..3 {
            client.reconnect();
            most = client.sockets().max(most);
        }
        most
    }
    assert_eq!(most_sockets(&mut Faulty::default()), 4);
    assert_eq!(most_sockets(&mut Script::new()), 1);

    // In each phase, the invariants count transports after each of these inputs.
    let mut script = Script::new();
    for _ in 0..8 {
        for input in [
            Input::ReconnectRequested,
            Input::OpenRequested,
            Input::RestartRequested,
        ] {
            script.handle(input);
        }
        if script.invariants.is_dialing() {
            script.dial();
        } else if script.phase() == SessionPhase::Handshake {
            script.accept_connect();
        } else {
            script.lose_connection();
        }
    }
}

#[test]
fn late_inputs_of_an_old_socket_do_not_end_the_new_connection() {
    fn is_disconnected(client: &mut impl Client) -> bool {
        client.connected();
        client.ended();
        client.connected();
        client.late_timeout();
        !client.is_connected()
    }
    assert!(is_disconnected(&mut Faulty::default()));
    let mut script = Script::new();
    assert!(!is_disconnected(&mut script));

    let attempt = Attempt(1);
    let failure = dial_failure();
    script.handle(Input::DialFailed { attempt, failure });
    script.handle(Input::Dialled { attempt });
    script.handle(Input::SendBuffer { attempt, bytes: 9 });
    let message = "garbage".into();
    script.handle(Input::Received {
        attempt,
        frame: Frame::Text(message),
    });
    script.advance(Duration::from_secs(12));

    assert_eq!(script.state(), SessionState::Connected);
}

#[test]
fn a_reconnect_before_the_server_detects_the_loss_resumes_as_well() {
    // The client keeps its position, so that nothing depends on what the server has saved by then.
    let mut script = Script::ready();
    script.subscribe("chat", 100);
    script.reply_to_subscribe(subscribed(at(4)));
    script.push("chat", 5);
    script.lose_connection();
    script.handle(Input::ReconnectRequested);
    script.connect();
    let command = script.reply_to_subscribe(recovered(at(5), &[6]));

    let Request::Subscribe(request) = command.request else {
        panic!("not a subscribe");
    };
    assert_eq!((request.recover, request.position), (true, at(5)));
    let last = script.drain_subscription_events().pop();
    assert_eq!(
        last,
        Some(SubscriptionEvent::Item(Item::Publication(item(6))))
    );
}

#[test]
fn only_policy_or_a_terminal_code_leads_to_failed_and_a_restart_leads_out() {
    let mut limited = settings();
    limited.link.backoff.attempts_max = Some(3);
    let mut by_policy = Script::with(limited, 1);
    by_policy.dial_fails();
    for _ in 0..2 {
        by_policy.advance_to_next_dial();
        by_policy.dial_fails();
    }
    let mut by_code = Script::ready();
    by_code.lose_with(3_500, "invalid token");
    let mut by_rejection = Script::new();
    by_rejection.dial();
    by_rejection.reject_connect(ErrorCode::PermissionDenied.reply());
    let mut by_dial = Script::new();
    let failure = DialFailure {
        is_final: true,
        ..dial_failure()
    };
    let attempt = by_dial.attempt();
    by_dial.handle(Input::DialFailed { attempt, failure });

    for mut script in [by_policy, by_code, by_rejection, by_dial] {
        assert_eq!(script.state(), SessionState::Failed);
        let dials = script.dials.len();
        script.handle(Input::ReconnectRequested);
        script.advance(Duration::from_hours(1));
        assert_eq!(script.dials.len(), dials, "no automatic attempt");
        script.handle(Input::RestartRequested);
        script.connect();
        script.publish();
        assert_eq!(script.phase(), SessionPhase::Ready);
        assert_eq!(script.commands().len(), 1);
    }
}

#[test]
fn the_time_without_a_connection_includes_the_time_of_the_failure() {
    let mut script = Script::ready();
    script.lose_with(3_500, "");
    script.advance(Duration::from_mins(3));
    script.handle(Input::RestartRequested);
    script.connect();

    let downtime = script.events.iter().find_map(|(_, event)| {
        let SessionEvent::Connected { downtime, .. } = event else {
            return None;
        };
        *downtime
    });
    assert_eq!(downtime, Some(Duration::from_mins(3)));
}

#[test]
fn no_attempt_starts_before_the_delay_that_the_server_requests() {
    for seed in 0..50 {
        let mut script = Script::with(settings(), seed);
        script.dial();
        script.advance(Duration::from_secs(8));
        let mut busy = ErrorCode::TooManyRequests.reply();
        busy.message = "at capacity; retry_in=12s".to_owned();
        script.reject_connect(busy);
        let waited = script.advance_to_next_dial();
        assert!(waited >= Duration::from_secs(12), "{waited:?}");
        assert!(waited <= Duration::from_secs(31), "{waited:?}");

        script.connect();
        script.lose_with(1_013, "retry_in=20s");
        assert!(script.advance_to_next_dial() >= Duration::from_secs(20));
    }
}

#[test]
fn reconnect_now_dials_immediately_and_probes_an_open_connection() {
    let mut script = Script::ready();
    script.lose_connection();
    script.handle(Input::ReconnectRequested);
    assert!(script.invariants.is_dialing());

    script.connect();
    script.handle(Input::ReconnectRequested);
    assert_eq!(script.probes.len(), 1);
    script.advance(Duration::from_secs(10));
    assert!(script.last_loss().is_some_and(|(_, event)| matches!(
        event,
        SessionEvent::Lost {
            cause: DisconnectCause::PongTimeout(_),
            ..
        }
    )));
}

#[test]
fn a_delay_counts_from_the_start_of_the_failed_attempt() {
    // The attempt fails after 400 ms. The range of the first delay is 1 s, so its largest draws are close to 1,050 ms.
    let mut longest = Duration::ZERO;
    for seed in 0..200 {
        let mut script = Script::with(settings(), seed);
        script.advance(Duration::from_millis(400));
        script.dial_fails();
        script.advance_to_next_dial();
        let from_start = script.now - Instant::START;
        assert!(from_start >= Duration::from_millis(400));
        longest = longest.max(from_start);
    }

    assert!(longest <= Duration::from_millis(1_050), "{longest:?}");
    assert!(longest > Duration::from_secs(1), "{longest:?}");

    // An attempt that takes longer than its delay is followed by the next one immediately.
    let mut script = Script::new();
    script.advance(Duration::from_secs(9));
    script.dial_fails();
    assert_eq!(script.advance_to_next_dial(), Duration::ZERO);
}

#[test]
fn a_queued_dial_does_not_consume_its_connect_timeout() {
    let mut script = Script::new();
    let attempt = script.attempt();
    script.handle(Input::DialQueued { attempt });
    script.advance(Duration::from_mins(5));
    assert!(script.invariants.is_dialing(), "its timeout does not run");
    script.handle(Input::DialStarted { attempt });
    script.advance(Duration::from_secs(9));
    script.connect();

    assert_eq!(script.phase(), SessionPhase::Ready);

    let mut hangs = Script::new();
    let attempt = hangs.attempt();
    hangs.handle(Input::DialQueued { attempt });
    hangs.advance(Duration::from_mins(5));
    hangs.handle(Input::DialStarted { attempt });
    hangs.advance(Duration::from_secs(10));
    assert_eq!(
        hangs.snapshot().cause,
        Some(DisconnectCause::ConnectTimeout)
    );
}

#[test]
fn an_attempt_that_hangs_at_any_stage_ends_at_its_timeout() {
    for opens in [false, true] {
        let mut script = Script::new();
        if opens {
            script.dial();
        }
        script.advance(Duration::from_secs(10));

        assert_eq!(
            script.snapshot().cause,
            Some(DisconnectCause::ConnectTimeout)
        );
    }
}

#[test]
fn a_session_without_a_connection_for_long_is_degraded_and_keeps_trying() {
    let mut script = Script::ready();
    script.lose_connection();
    while script.now < Instant::START + Duration::from_secs(200) {
        if script.invariants.is_dialing() {
            script.dial_fails();
        }
        script.advance_to_next_dial();
    }
    script.dial_fails();

    assert_eq!(script.phase(), SessionPhase::Degraded);
    script.advance_to_next_dial();
}
