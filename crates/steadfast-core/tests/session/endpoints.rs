//! Several endpoints: how soon a session is connected to another one, which one it tries first, and what holds an endpoint
//! down.

use std::time::Duration;

use steadfast_core::dialect::centrifuge::Input;
use steadfast_core::event::{DialErrorKind, DialStage, DisconnectCause, SessionState};
use steadfast_core::io::{CredentialsError, DialFailure};
use steadfast_core::policy::SessionSettings;
use steadfast_core::secret::Secret;
use steadfast_protocol::codes::ErrorCode;

use crate::script::{Script, dial_failure, settings};

const FLOOR: Duration = Duration::from_millis(50);
/// The longest delay after the loss of a stable connection.
const FIRST_DELAY_MAX: Duration = Duration::from_millis(1_050);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_AFTER: Duration = Duration::from_mins(1);

/// The latest end of a hold-down.
const HELD_AT_MOST: Duration = Duration::from_mins(15);

const PREFERRED: usize = 0;
const FALLBACK: usize = 1;

/// What the preferred server does with an attempt.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Refuses,
    /// Packets are dropped: the dial never completes.
    BlackHole,
    /// The kernel accepts the connection, and the process does nothing.
    Frozen,
    /// HTTP status 503, with a delay.
    Unavailable,
    /// The connect command is rejected temporarily.
    Rejects,
    /// Accepts the connection, and drops it at once.
    Drops,
}

const FAULTS: [Fault; 6] = [
    Fault::Refuses,
    Fault::BlackHole,
    Fault::Frozen,
    Fault::Unavailable,
    Fault::Rejects,
    Fault::Drops,
];

impl Fault {
    /// Responds to the attempt in progress.
    fn apply(self, script: &mut Script) {
        match self {
            Self::Refuses => script.dial_fails(),
            Self::BlackHole => {}
            Self::Frozen => script.dial(),
            Self::Unavailable => unavailable(script),
            Self::Rejects => {
                script.dial();
                script.reject_connect(ErrorCode::Internal.reply());
            }
            Self::Drops => {
                script.connect();
                script.lose_connection();
            }
        }
    }

    /// The longest time from the start of this attempt to the start of the next one.
    const fn time_max(self) -> Duration {
        match self {
            Self::Refuses | Self::Unavailable | Self::Rejects => FLOOR,
            Self::BlackHole | Self::Frozen => CONNECT_TIMEOUT,
            // The loss of a connection is followed by the backoff.
            Self::Drops => FIRST_DELAY_MAX,
        }
    }
}

/// The server at the endpoint that is dialled responds with HTTP status 503 and a delay.
fn unavailable(script: &mut Script) {
    let attempt = script.attempt();
    let failure = DialFailure {
        stage: DialStage::Upgrade,
        kind: DialErrorKind::HttpStatus(503),
        retry_after: Some(RETRY_AFTER),
        ..dial_failure()
    };
    script.handle(Input::DialFailed { attempt, failure });
}

/// This machine has no network.
fn network_is_down(script: &mut Script) {
    let attempt = script.attempt();
    let failure = DialFailure {
        is_local: true,
        ..dial_failure()
    };
    script.handle(Input::DialFailed { attempt, failure });
}

/// The application returns the outcome of the last request for credentials.
fn fetched(script: &mut Script, outcome: Result<&str, CredentialsError>) {
    let (_, id, _) = *script.fetches.last().expect("a fetch");
    let outcome = outcome.map(|text| Secret::new(text.to_owned()));
    script.handle(Input::CredentialsFetched { id, outcome });
}

fn two_endpoints() -> SessionSettings {
    let mut settings = settings();
    settings.link.priorities = vec![0, 1];
    settings
}

/// Connected to the preferred endpoint for two minutes.
fn stable(seed: u64) -> Script {
    let mut script = Script::with(two_endpoints(), seed);
    script.connect();
    script.keep_alive(120);
    assert_eq!(dialled(&script), PREFERRED);
    script
}

/// The endpoint of the last dial.
fn dialled(script: &Script) -> usize {
    script.dials.last().expect("a dial").1
}

/// Waits for attempts until one is at the fallback endpoint, which accepts it. Returns the time.
fn fail_over(script: &mut Script, fault: Fault) -> Duration {
    let began = script.now;
    while script.state() != SessionState::Connected {
        if dialled(script) == FALLBACK && script.invariants.is_dialing() {
            script.connect();
        } else {
            if script.invariants.is_dialing() {
                fault.apply(script);
            }
            script.advance_to_next_dial();
        }
    }
    script.now - began
}

#[test]
fn a_session_is_connected_to_the_fallback_within_the_stated_time_whatever_the_preferred_server_does()
 {
    for fault in FAULTS {
        for seed in 0..50 {
            let mut script = stable(seed);
            script.lose_connection();

            let time = fail_over(&mut script, fault);

            let bound = FIRST_DELAY_MAX + fault.time_max();
            assert!(time <= bound, "{fault:?}, seed {seed}: {time:?}");
            assert_eq!(script.snapshot().endpoint, FALLBACK);
            assert_eq!(script.dials.len(), 3, "{fault:?}: one attempt at each");
        }
    }
}

#[test]
fn a_new_session_is_connected_to_the_fallback_if_the_preferred_server_is_not_available() {
    for fault in FAULTS {
        let mut script = Script::with(two_endpoints(), 1);

        let time = fail_over(&mut script, fault);

        assert!(time <= fault.time_max(), "{fault:?}: {time:?}");
    }
}

#[test]
fn a_server_that_is_silent_on_an_open_connection_is_not_dialled_before_the_fallback() {
    let mut script = stable(1);
    let silent_since = script.now;

    script.advance_to_next_dial();

    assert_eq!(dialled(&script), FALLBACK);
    let detection_max = Duration::from_secs(25);
    assert!(script.now - silent_since <= detection_max + FIRST_DELAY_MAX);
}

#[test]
fn an_endpoint_that_can_never_be_reached_does_not_end_a_session_that_has_others() {
    let fails_for_good = |script: &mut Script| {
        let attempt = script.attempt();
        let failure = DialFailure {
            is_final: true,
            ..dial_failure()
        };
        script.handle(Input::DialFailed { attempt, failure });
    };
    let mut script = Script::with(two_endpoints(), 1);
    fails_for_good(&mut script);
    assert_eq!(script.state(), SessionState::Connecting);
    script.advance_to_next_dial();
    assert_eq!(dialled(&script), FALLBACK);
    let mut hopeless = Script::with(two_endpoints(), 1);

    script.connect();
    for _ in 0..2 {
        fails_for_good(&mut hopeless);
        if hopeless.state() != SessionState::Failed {
            hopeless.advance_to_next_dial();
        }
    }

    assert_eq!(script.state(), SessionState::Connected);
    assert_eq!(hopeless.state(), SessionState::Failed);
    assert_eq!(hopeless.dials.len(), 2, "one attempt at each");
}

#[test]
fn an_overloaded_server_is_not_dialled_before_the_fallback() {
    for (code, first) in [(1_013, FALLBACK), (1_012, PREFERRED), (1_001, PREFERRED)] {
        let mut script = stable(1);

        script.lose_with(code, "");
        script.advance_to_next_dial();

        assert_eq!(dialled(&script), first, "{code}");
    }
}

#[test]
fn a_server_that_accepts_and_drops_connections_is_tried_after_the_fallback_until_its_hold_down_ends()
 {
    let mut script = stable(1);
    script.lose_connection();
    fail_over(&mut script, Fault::Drops);
    script.keep_alive(60);

    script.lose_connection();
    script.advance_to_next_dial();
    assert_eq!(dialled(&script), FALLBACK);
    script.connect();
    script.keep_alive(HELD_AT_MOST.as_secs());
    script.lose_connection();
    script.advance_to_next_dial();

    assert_eq!(dialled(&script), PREFERRED);
}

#[test]
fn a_delay_that_one_server_requests_does_not_delay_attempts_at_the_others() {
    for seed in 0..50 {
        let mut script = Script::with(two_endpoints(), seed);
        let requested_at = script.now;
        unavailable(&mut script);
        let mut last = requested_at;

        // The fallback refuses each attempt, and the other is excluded for the time that its server requested.
        while script.now < requested_at + RETRY_AFTER {
            script.advance_to_next_dial();
            if dialled(&script) == PREFERRED {
                break;
            }
            assert!(script.now - last <= Duration::from_millis(20_050));
            last = script.now;
            script.dial_fails();
        }

        assert!(script.dials.len() > 4, "{:?}", script.dials);
        let mut attempts = script.dials.iter().skip(1);
        let early = attempts
            .find(|(at, endpoint)| *endpoint == PREFERRED && *at < requested_at + RETRY_AFTER);
        assert_eq!(early, None, "seed {seed}");
    }
}

#[test]
fn the_shorter_of_the_delays_that_all_servers_request_applies() {
    let mut script = Script::with(two_endpoints(), 1);
    unavailable(&mut script);
    script.advance_to_next_dial();
    let attempt = script.attempt();
    let retry_after = Duration::from_secs(30);
    let failure = DialFailure {
        retry_after: Some(retry_after),
        ..dial_failure()
    };
    script.handle(Input::DialFailed { attempt, failure });

    let time = script.advance_to_next_dial();

    assert_eq!(dialled(&script), FALLBACK);
    assert!(
        time >= retry_after && time <= retry_after * 5 / 4,
        "{time:?}"
    );
}

#[test]
fn a_server_that_requests_a_delay_is_avoided_while_another_is_available() {
    let mut closed = stable(1);
    closed.lose_with(1_012, "retry_in=60s");
    let mut rejected = Script::with(two_endpoints(), 1);
    rejected.dial_fails();
    rejected.advance_to_next_dial();
    unavailable(&mut rejected);

    for (mut script, available) in [(closed, FALLBACK), (rejected, PREFERRED)] {
        let time = script.advance_to_next_dial();

        assert_eq!(dialled(&script), available);
        assert!(time <= Duration::from_secs(5), "{time:?}");
    }
}

#[test]
fn a_requested_delay_ends_when_it_was_requested_to_also_after_an_attempt_within_it() {
    let mut script = Script::new();
    unavailable(&mut script);
    let requested_at = script.now;

    script.handle(Input::ReconnectRequested);
    script.advance_to_next_dial();

    assert!(script.now >= requested_at + RETRY_AFTER);
    assert!(script.now <= requested_at + RETRY_AFTER * 5 / 4);
}

#[test]
fn a_failure_of_the_clients_own_network_does_not_hold_an_endpoint_down() {
    let mut script = stable(1);
    script.lose_connection();
    script.advance_to_next_dial();
    network_is_down(&mut script);
    let cause = script.snapshot().cause.as_ref();
    assert!(matches!(cause, Some(DisconnectCause::LocalNetwork(_))));
    script.advance_to_next_dial();
    assert_eq!(dialled(&script), FALLBACK);
    script.connect();
    script.keep_alive(60);

    script.lose_connection();
    script.advance_to_next_dial();

    assert_eq!(dialled(&script), PREFERRED);
}

#[test]
fn a_silent_connection_is_no_fault_of_its_server_if_the_client_has_no_network() {
    let mut script = stable(1);
    script.advance_to_next_dial();
    assert_eq!(dialled(&script), FALLBACK);
    network_is_down(&mut script);

    script.advance_to_next_dial();
    assert_eq!(dialled(&script), PREFERRED);
    network_is_down(&mut script);
    script.advance_to_next_dial();

    assert_eq!(dialled(&script), PREFERRED);
}

#[test]
fn a_failure_to_fetch_credentials_is_followed_by_the_backoff_and_concerns_no_endpoint() {
    let mut script = Script::fetching_credentials(two_endpoints());
    for fetches in 1..6 {
        fetched(&mut script, Err(CredentialsError::temporary("down")));
        script.advance(FLOOR);
        assert_eq!(script.fetches.len(), fetches);
        while script.fetches.len() == fetches {
            script.advance(Duration::from_millis(100));
        }
    }

    fetched(&mut script, Ok("token"));

    assert_eq!(dialled(&script), PREFERRED);
}

#[test]
fn credentials_that_were_rejected_are_renewed_for_the_same_endpoint() {
    let mut script = Script::fetching_credentials(two_endpoints());
    fetched(&mut script, Ok("token"));
    script.connect();
    script.keep_alive(120);
    script.lose_connection();
    script.advance_to_next_dial();
    script.dial();
    script.reject_connect(ErrorCode::TokenExpired.reply());

    script.advance(FLOOR);
    fetched(&mut script, Ok("token"));

    assert_eq!(dialled(&script), PREFERRED);
    assert_eq!(script.dials.len(), 3);
}

#[test]
fn the_backoff_applies_between_rounds_and_the_minimum_delay_within_one() {
    let mut script = Script::with(two_endpoints(), 1);
    let mut gaps = Vec::new();
    for _ in 0..40 {
        script.dial_fails();
        gaps.push(script.advance_to_next_dial());
    }

    let within = gaps.iter().step_by(2);
    assert!(within.clone().all(|gap| *gap == FLOOR), "{gaps:?}");
    let between = gaps.iter().skip(1).step_by(2);
    assert!(between.clone().all(|gap| *gap >= FLOOR), "{gaps:?}");
    assert!(between.max() > Some(&Duration::from_secs(1)), "{gaps:?}");
}

#[test]
fn a_session_that_was_closed_or_gave_up_begins_with_the_preferred_endpoint() {
    let mut script = Script::with(two_endpoints(), 1);
    script.connect();
    // Not stable yet, which is no fault of the server.
    let drain = Duration::ZERO;
    script.handle(Input::CloseRequested { drain });
    script.lose_with(1_000, "");
    script.handle(Input::OpenRequested);
    assert_eq!(dialled(&script), PREFERRED);

    script.connect();
    script.lose_with(3_500, "");
    assert_eq!(script.state(), SessionState::Failed);
    script.keep_alive(HELD_AT_MOST.as_secs());
    script.handle(Input::RestartRequested);
    assert_eq!(dialled(&script), PREFERRED);
}
