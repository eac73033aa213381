//! The standby before the switch: whatever its server does, the present connection stays, and what ends that or closes the
//! session gives the standby up.

use std::time::Duration;

use steadfast_core::dialect::centrifuge::Input;
use steadfast_core::event::{
    DisconnectCause, MigrationError, SessionEvent, SessionPhase, SessionState,
};
use steadfast_core::io::{Attempt, DialFailure};
use steadfast_core::link::SWITCH_TIMEOUT;
use steadfast_core::policy::EndpointLogs;
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::ReplyResult;

use crate::migration::{
    CLOSE_TIMEOUT, events_since, keys, last_failure, migrating, publish_id, rpc,
    subscribed_at_first, switching, two_endpoints,
};
use crate::script::{Script, ack, dial_failure, settings};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What the server of the standby does.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Refuses,
    /// Refuses, and every further attempt would fail as well.
    IsInvalid,
    BlackHole,
    /// Opens the transport and says nothing.
    Frozen,
    Rejects,
    /// Rejects the client for good.
    Forbids,
    Violates,
    Drops,
    /// Closes the connection with the advice not to reconnect.
    Dismisses,
    DropsAfterAccepting,
    ViolatesAfterAccepting,
    DismissesAfterAccepting,
}

const FAULTS: [Fault; 12] = [
    Fault::Refuses,
    Fault::IsInvalid,
    Fault::BlackHole,
    Fault::Frozen,
    Fault::Rejects,
    Fault::Forbids,
    Fault::Violates,
    Fault::Drops,
    Fault::Dismisses,
    Fault::DropsAfterAccepting,
    Fault::ViolatesAfterAccepting,
    Fault::DismissesAfterAccepting,
];

const DISMISSAL: &[u8] = br#"{"push":{"disconnect":{"code":3500,"reason":"invalid token"}}}"#;

impl Fault {
    fn apply(self, script: &mut Script) {
        let attempt = script.standby();
        match self {
            Self::Refuses | Self::IsInvalid => {
                let failure = DialFailure {
                    is_final: matches!(self, Self::IsInvalid),
                    ..dial_failure()
                };
                return script.handle(Input::DialFailed { attempt, failure });
            }
            Self::BlackHole => return keep_alive(script, CONNECT_TIMEOUT),
            Self::Frozen
            | Self::Rejects
            | Self::Forbids
            | Self::Violates
            | Self::Drops
            | Self::Dismisses
            | Self::DropsAfterAccepting
            | Self::ViolatesAfterAccepting
            | Self::DismissesAfterAccepting => script.dial_standby(),
        }
        match self {
            Self::Frozen => keep_alive(script, CONNECT_TIMEOUT),
            Self::Rejects => script.reply_to_standby(Err(ErrorCode::Internal.reply())),
            Self::Forbids => script.reply_to_standby(Err(ErrorCode::PermissionDenied.reply())),
            Self::Violates => script.receive_on(attempt, b"no json"),
            Self::Drops => script.lose(attempt),
            Self::Dismisses => script.receive_on(attempt, DISMISSAL),
            Self::DropsAfterAccepting => {
                script.accept_standby();
                script.lose(attempt);
            }
            Self::ViolatesAfterAccepting => {
                script.accept_standby();
                script.receive_on(attempt, b"no json");
            }
            Self::DismissesAfterAccepting => {
                script.accept_standby();
                script.receive_on(attempt, DISMISSAL);
            }
            Self::Refuses | Self::IsInvalid | Self::BlackHole => {}
        }
    }
}

/// The peer of the present connection sends bytes each second.
fn keep_alive(script: &mut Script, time: Duration) {
    script.keep_alive(time.as_secs());
}

#[test]
fn whatever_the_server_of_the_standby_does_the_present_connection_stays() {
    for fault in FAULTS {
        // The call in flight keeps the session from switching at once.
        let mut script = subscribed_at_first(EndpointLogs::Shared);
        script.call(rpc(), Duration::from_mins(1));
        script.migrate(None);
        let (old, before) = (script.attempt(), script.events.len());
        let id = script.commands().last().expect("a call").id;

        fault.apply(&mut script);

        assert_eq!(script.attempt(), old, "{fault:?}");
        assert_eq!(script.invariants.transports(), 1, "{fault:?}");
        let events = events_since(&script, before);
        assert!(
            matches!(
                events[..],
                [SessionEvent::MigrationFailed {
                    endpoint: Some(1),
                    error: MigrationError::Failed(_)
                }]
            ),
            "{fault:?}: {events:?}"
        );
        assert_eq!(script.phase(), SessionPhase::Ready, "{fault:?}");
        script.reply_to(id, Ok(ReplyResult::Rpc("2".into())));
        assert!(
            script.call_outcomes.iter().all(|it| it.1.is_ok()),
            "{fault:?}"
        );
        assert_eq!(script.call_outcomes.len(), 1, "{fault:?}");
        let next = script.publish();
        let sent = [format!("k{}", next.0)];
        assert_eq!(keys(&script.commands()), sent, "{fault:?}");
    }
}

#[test]
fn a_failed_migration_holds_its_endpoint_down() {
    let mut script = migrating();
    script.connect_standby();
    script.keep_alive(60);
    script.migrate(Some(0));
    let attempt = script.standby();
    let failure = dial_failure();
    script.handle(Input::DialFailed { attempt, failure });
    script.keep_alive(60);

    script.lose_connection();
    script.advance_to_next_dial();

    // Otherwise the preferred endpoint would be first.
    assert_eq!(script.dials.last().map(|it| it.1), Some(1));
}

#[test]
fn a_server_that_requests_a_delay_is_not_dialled_before() {
    let mut script = migrating();
    let attempt = script.standby();
    let failure = DialFailure {
        retry_after: Some(Duration::from_mins(1)),
        ..dial_failure()
    };
    script.handle(Input::DialFailed { attempt, failure });

    script.migrate(Some(1));

    assert!(matches!(
        last_failure(&script),
        MigrationError::Postponed { .. }
    ));
    let dials = script.dials.len();
    script.migrate(None);
    assert_eq!(script.dials.len(), dials + 1);
    assert_eq!(
        script.dials.last().map(|it| it.1),
        Some(0),
        "no other is available"
    );
    let attempt = script.standby();
    script.handle(Input::DialFailed {
        attempt,
        failure: dial_failure(),
    });
    script.keep_alive(80);
    script.migrate(Some(1));
    assert_eq!(
        script.dials.last().map(|it| it.1),
        Some(1),
        "the delay has passed"
    );
}

#[test]
fn a_request_has_no_effect_while_a_standby_exists_and_fails_without_a_ready_connection() {
    let mut script = Script::with(two_endpoints(EndpointLogs::Shared), 1);
    script.migrate(None);
    assert_eq!(last_failure(&script), MigrationError::NotReady);
    script.connect();
    script.migrate(Some(2));
    assert_eq!(last_failure(&script), MigrationError::UnknownEndpoint);
    script.migrate(Some(1));
    let (dials, events) = (script.dials.len(), script.events.len());

    script.migrate(Some(0));
    script.migrate(None);

    assert_eq!((script.dials.len(), script.events.len()), (dials, events));
}

#[test]
fn if_the_present_connection_is_lost_before_the_standby_is_accepted_the_standby_is_given_up() {
    for is_dialled in [false, true] {
        let mut script = migrating();
        if is_dialled {
            script.dial_standby();
        }
        let late = script.standby();

        script.lose_connection();

        assert_eq!(last_failure(&script), MigrationError::Abandoned);
        assert_eq!(script.state(), SessionState::Reconnecting);
        assert_eq!(script.invariants.transports(), 0);
        script.handle(Input::Dialled { attempt: late });
        assert_eq!(script.state(), SessionState::Reconnecting, "a late input");
        script.advance_to_next_dial();
        assert!(script.attempt() > late, "attempts never repeat");
        script.connect();
        assert_eq!(script.state(), SessionState::Connected);
    }
}

#[test]
fn a_session_that_must_not_reconnect_does_not_continue_over_the_standby() {
    let mut script = switching();

    script.lose_with(3_500, "invalid token");

    assert_eq!(script.state(), SessionState::Failed);
    assert_eq!(script.invariants.transports(), 0);
}

#[test]
fn a_close_at_each_stage_gives_up_the_standby_and_ends_the_session() {
    for stage in 0..4 {
        let mut script = subscribed_at_first(EndpointLogs::Shared);
        script.publish();
        script.migrate(None);
        if stage > 0 {
            script.dial_standby();
        }
        if stage > 1 {
            script.accept_standby();
        }
        if stage > 2 {
            script.advance(SWITCH_TIMEOUT);
            assert!(script.invariants.retiring().is_some());
        }

        script.handle(Input::CloseRequested {
            drain: Duration::ZERO,
        });
        assert_eq!(script.invariants.standby(), None, "stage {stage}");
        script.advance(CLOSE_TIMEOUT);

        assert_eq!(script.state(), SessionState::Disconnected, "stage {stage}");
        assert_eq!(script.invariants.transports(), 0, "stage {stage}");
        assert_eq!(script.invariants.pending(), 0, "stage {stage}");
    }
}

#[test]
fn a_session_that_drains_keeps_its_connection_and_sends_what_waited_for_the_switch() {
    let mut script = switching();
    let old = script.attempt();
    let in_flight = script.commands();
    let waiting = script.publish();

    script.handle(Input::CloseRequested {
        drain: Duration::from_mins(1),
    });

    assert_eq!(script.attempt(), old);
    assert_eq!(script.invariants.standby(), None);
    assert_eq!(keys(&script.inbox), [format!("k{}", waiting.0)]);
    script.reply_to(publish_id(&in_flight), Ok(ack(4, false)));
    script.migrate(None);
    assert_eq!(last_failure(&script), MigrationError::NotReady);
}

#[test]
fn late_inputs_of_a_failed_standby_have_no_effect() {
    let mut script = migrating();
    let late = script.standby();
    script.handle(Input::DialFailed {
        attempt: late,
        failure: dial_failure(),
    });
    let before = script.events.len();

    script.handle(Input::Dialled { attempt: late });
    script.receive_on(late, b"no json");
    script.lose(late);
    script.lose(Attempt(late.0 + 1));

    assert_eq!(events_since(&script, before), []);
    assert_eq!(script.phase(), SessionPhase::Ready);
}

#[test]
fn a_dial_that_is_queued_has_no_timeout_until_it_starts() {
    let mut script = migrating();
    let attempt = script.standby();
    script.handle(Input::DialQueued { attempt });
    script.keep_alive(60);
    assert_eq!(script.standby(), attempt);

    script.handle(Input::DialStarted { attempt });
    script.keep_alive(CONNECT_TIMEOUT.as_secs());

    assert_eq!(
        last_failure(&script),
        MigrationError::Failed(DisconnectCause::ConnectTimeout)
    );
}

#[test]
fn a_standby_whose_peer_becomes_silent_is_given_up_as_any_connection() {
    let mut liveness = settings().link.liveness;
    liveness.ping_after_idle = Duration::from_secs(2);
    liveness.pong_timeout = Duration::from_secs(2);
    let mut settings = two_endpoints(EndpointLogs::Shared);
    settings.link.liveness = liveness;
    let mut script = Script::with(settings, 1);
    script.connect();
    script.migrate(None);
    script.dial_standby();

    script.keep_alive(4);

    let error = last_failure(&script);
    let is_timeout = matches!(
        error,
        MigrationError::Failed(DisconnectCause::PongTimeout(_))
    );
    assert!(is_timeout, "{error:?}");
    assert_eq!(script.state(), SessionState::Connected);
}
