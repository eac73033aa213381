//! Replacing an open connection by its standby: nothing is interrupted, lost or repeated. `standby` tests what precedes.

use std::time::Duration;

use steadfast_core::dialect::centrifuge::{Call, CallError, Input, SendError, SubscriptionEvent};
use steadfast_core::event::{
    MigrationError, MigrationReason, SessionEvent, SessionPhase, SessionState,
};
use steadfast_core::io::{ConnectionLoss, Frame};
use steadfast_core::link::SWITCH_TIMEOUT;
use steadfast_core::policy::{EndpointLogs, SessionSettings};
use steadfast_machine::Instant;
use steadfast_protocol::message::{Command, ReplyResult, Request};

use crate::script::{Script, ack, at, dial_failure, key_of, recovered, settings, subscribed};

pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

pub(crate) fn two_endpoints(logs: EndpointLogs) -> SessionSettings {
    let mut settings = settings();
    settings.link.priorities = vec![0, 1];
    settings.endpoint_logs = logs;
    settings
}

/// Ready at the first of two endpoints, subscribed at offset 3.
pub(crate) fn subscribed_at_first(logs: EndpointLogs) -> Script {
    let mut script = Script::with(two_endpoints(logs), 1);
    script.connect();
    script.subscribe("chat", 10);
    script.reply_to_subscribe(subscribed(at(3)));
    script.drain_subscription_events();
    assert_eq!(script.phase(), SessionPhase::Ready);
    script
}

/// With a standby that is dialled.
pub(crate) fn migrating() -> Script {
    let mut script = subscribed_at_first(EndpointLogs::Shared);
    script.migrate(None);
    script
}

/// With a publication in flight and an accepted standby.
pub(crate) fn switching() -> Script {
    let mut script = subscribed_at_first(EndpointLogs::Shared);
    script.publish();
    script.migrate(None);
    script.connect_standby();
    script
}

pub(crate) fn keys(commands: &[Command]) -> Vec<String> {
    commands.iter().filter_map(key_of).collect()
}

pub(crate) fn rpc() -> Call {
    Call::Rpc {
        method: "m".to_owned(),
        data: "1".into(),
    }
}

/// The id of the command with an idempotent publish.
pub(crate) fn publish_id(commands: &[Command]) -> u32 {
    let found = commands.iter().find(|it| key_of(it).is_some());
    found.expect("a publish").id
}

/// The position in the subscribe command among these, if it is recovered.
fn recovers_from(commands: &[Command]) -> Option<u64> {
    let mut requests = commands.iter().map(|command| &command.request);
    requests.find_map(|request| {
        let Request::Subscribe(it) = request else {
            return None;
        };
        it.recover.then_some(it.position.offset)
    })
}

/// The events since this number of them.
pub(crate) fn events_since(script: &Script, count: usize) -> Vec<SessionEvent> {
    script
        .events
        .iter()
        .skip(count)
        .map(|it| it.1.clone())
        .collect()
}

/// Why the last attempt to replace the connection failed.
pub(crate) fn last_failure(script: &Script) -> MigrationError {
    let mut events = script.events.iter().rev();
    let last = events.find_map(|(_, event)| {
        let SessionEvent::MigrationFailed { error, .. } = event else {
            return None;
        };
        Some(error.clone())
    });
    last.expect("a failed migration")
}

/// The connection that was replaced is closed by its peer.
fn retire(script: &mut Script) {
    let old = script.invariants.retiring().expect("a replaced connection");
    script.lose(old);
}

#[test]
fn an_idle_session_switches_when_the_standby_is_accepted_and_resumes_without_an_interruption() {
    let mut script = subscribed_at_first(EndpointLogs::Shared);
    let (old, before) = (script.attempt(), script.events.len());

    script.migrate(None);
    assert_eq!(script.invariants.transports(), 2, "the present one stays");
    assert_eq!(script.snapshot().endpoint, 0);
    script.connect_standby();

    assert_ne!(script.attempt(), old);
    assert_eq!(script.snapshot().endpoint, 1);
    assert_eq!(script.closes, [1_000], "the old connection is closed");
    let commands = script.commands();
    assert_eq!(recovers_from(&commands), Some(3));
    let id = commands.first().expect("a subscribe").id;
    script.reply_to(id, Ok(ReplyResult::Subscribe(recovered(at(3), &[4]))));
    let resumed = SubscriptionEvent::Resumed { position: at(3) };
    assert_eq!(script.drain_subscription_events().first(), Some(&resumed));
    let epoch = script.snapshot().epoch;
    assert_eq!(
        events_since(&script, before),
        [
            SessionEvent::Migrating {
                endpoint: 1,
                reason: MigrationReason::Requested
            },
            SessionEvent::Connected {
                epoch,
                endpoint: 1,
                downtime: Some(Duration::ZERO)
            },
            SessionEvent::Ready { epoch },
        ]
    );
    assert_eq!(script.snapshot().reconnects, 0);
    retire(&mut script);
    assert_eq!(script.invariants.transports(), 1);
    assert_eq!(script.phase(), SessionPhase::Ready);
}

#[test]
fn a_publication_and_a_call_in_flight_complete_over_the_old_connection_and_are_not_sent_again() {
    let mut script = subscribed_at_first(EndpointLogs::Independent);
    let old = script.attempt();
    script.publish();
    let call = script.call(rpc(), Duration::from_mins(1));
    let commands = script.commands();
    script.migrate(None);

    script.connect_standby();

    assert_eq!(script.attempt(), old, "requests are in flight");
    script.reply_to(publish_id(&commands), Ok(ack(4, false)));
    assert_eq!(script.attempt(), old, "the call is in flight");
    script.push("chat", 4);
    let last = commands.last().expect("a call").id;
    script.reply_to(last, Ok(ReplyResult::Rpc("2".into())));
    assert_ne!(script.attempt(), old);
    assert!(script.publication_outcomes.iter().all(|it| it.1.is_ok()));
    assert_eq!(script.publication_outcomes.len(), 1);
    assert_eq!(script.call_outcomes.len(), 1);
    assert!(
        script
            .call_outcomes
            .iter()
            .all(|it| it.0 == call && it.1.is_ok())
    );
    assert_eq!(
        script.drain_subscription_events().len(),
        1,
        "its item is delivered"
    );
    let resent = script.commands();
    assert_eq!(keys(&resent), Vec::<String>::new());
    assert_eq!(resent.len(), 1, "only the subscription: {resent:?}");
}

#[test]
fn requests_that_are_made_before_the_switch_wait_for_the_new_connection() {
    let mut script = switching();
    let in_flight = script.commands();

    let publication = script.publish();
    script.call(rpc(), Duration::from_mins(1));
    script.subscribe("news", 10);

    assert_eq!(script.commands(), [], "nothing is sent to the old server");
    assert_eq!(script.standby_inbox, [], "nor to the new one");
    script.reply_to(publish_id(&in_flight), Ok(ack(4, false)));
    let commands = script.commands();
    assert_eq!(keys(&commands), [format!("k{}", publication.0)]);
    let is_subscribe = |it: &&Command| matches!(it.request, Request::Subscribe(_));
    assert_eq!(commands.iter().filter(is_subscribe).count(), 2);
    assert_eq!(commands.len(), 4, "and the call: {commands:?}");
}

#[test]
fn the_switch_waits_until_the_socket_has_accepted_what_was_sent() {
    let mut script = migrating();
    let old = script.attempt();
    script.handle(Input::SendBuffer {
        attempt: old,
        bytes: 10,
    });

    script.connect_standby();

    assert_eq!(script.attempt(), old);
    script.handle(Input::SendBuffer {
        attempt: old,
        bytes: 0,
    });
    assert_ne!(script.attempt(), old);
}

#[test]
fn after_the_switch_timeout_what_has_no_reply_ends_as_after_a_loss() {
    let mut script = switching();
    let old = script.attempt();
    script.call(rpc(), Duration::from_mins(1));
    assert_eq!(script.call_outcomes, [], "not sent yet");
    script.advance(SWITCH_TIMEOUT.saturating_sub(Duration::from_millis(1)));
    assert_eq!(script.attempt(), old);

    script.advance(Duration::from_millis(1));

    assert_ne!(script.attempt(), old);
    assert_eq!(keys(&script.retired_inbox), ["k2"]);
    assert_eq!(keys(&script.commands()), ["k2"], "sent again with its key");
    assert_eq!(script.publication_outcomes, []);
}

#[test]
fn after_the_switch_timeout_a_call_in_flight_is_interrupted_or_sent_again() {
    let mut script = subscribed_at_first(EndpointLogs::Shared);
    let once = script.call(rpc(), Duration::from_mins(1));
    let channel = "chat".to_owned();
    let idempotent = Call::Presence { channel };
    script.call(idempotent, Duration::from_mins(1));
    script.migrate(None);
    script.connect_standby();

    script.advance(SWITCH_TIMEOUT);

    let maybe_executed = true;
    let interrupted = Err(CallError::Interrupted { maybe_executed });
    assert_eq!(script.call_outcomes, [(once, interrupted)]);
    let commands = script.commands();
    let is_presence = |it: &Command| matches!(it.request, Request::Presence(_));
    assert!(commands.iter().any(is_presence), "{commands:?}");
}

#[test]
fn at_a_server_with_another_log_what_has_no_reply_is_interrupted_and_a_gap_is_reported() {
    let mut script = subscribed_at_first(EndpointLogs::Independent);
    script.publish();
    script.migrate(None);
    script.connect_standby();

    script.advance(SWITCH_TIMEOUT);

    let outcome = script.publication_outcomes.first().map(|it| &it.1);
    assert_eq!(outcome, Some(&Err(SendError::Interrupted)));
    let commands = script.commands();
    assert_eq!(keys(&commands), Vec::<String>::new());
    assert_eq!(recovers_from(&commands), None, "without its position");
    let id = commands.first().expect("a subscribe").id;
    script.reply_to(id, Ok(ReplyResult::Subscribe(subscribed(at(9)))));
    let (from, to) = (Some(at(3)), at(9));
    let gap = SubscriptionEvent::Gap { from, to };
    assert_eq!(script.drain_subscription_events(), [gap]);
}

#[test]
fn a_session_with_one_endpoint_gets_a_second_connection_to_it() {
    let mut script = Script::ready();
    let old = script.attempt();

    script.migrate(None);
    script.connect_standby();

    assert_ne!(script.attempt(), old);
    assert_eq!(script.snapshot().endpoint, 0);
}

#[test]
fn if_the_present_connection_is_lost_the_session_continues_over_an_accepted_standby_at_once() {
    let mut script = switching();
    let (now, before) = (script.now, script.events.len());

    script.lose_connection();

    assert_eq!(script.now, now);
    let events = events_since(&script, before);
    assert!(
        matches!(events.first(), Some(SessionEvent::Lost { .. })),
        "{events:?}"
    );
    assert!(
        matches!(
            events.get(1),
            Some(SessionEvent::Connected {
                endpoint: 1,
                downtime: Some(Duration::ZERO),
                ..
            })
        ),
        "{events:?}"
    );
    let commands = script.commands();
    assert_eq!(keys(&commands), ["k2"], "sent again");
    assert_eq!(recovers_from(&commands), Some(3));
    assert_eq!(
        script.invariants.transports(),
        1,
        "nothing is left to close"
    );
    assert_eq!(script.snapshot().reconnects, 1);
}

#[test]
fn a_replaced_connection_is_given_up_when_its_peer_does_not_close_it() {
    let mut script = migrating();
    script.connect_standby();
    assert_eq!(script.invariants.transports(), 2);

    script.advance(CLOSE_TIMEOUT);

    assert_eq!(script.invariants.transports(), 1);
    assert_eq!(script.state(), SessionState::Connected);
}

#[test]
fn a_second_switch_gives_up_a_connection_that_is_still_closing() {
    let mut script = migrating();
    script.connect_standby();
    script.reply_to_subscribe(recovered(at(3), &[]));

    script.migrate(None);
    assert_eq!(script.invariants.transports(), 3);
    script.connect_standby();

    assert_eq!(script.invariants.transports(), 2);
    assert_eq!(script.snapshot().endpoint, 0);
}

#[test]
fn late_inputs_of_a_replaced_connection_have_no_effect() {
    let mut script = switching();
    let old = script.attempt();
    let in_flight = script.commands();
    script.advance(SWITCH_TIMEOUT);
    script.drain_subscription_events();
    let (rtt, commands) = (script.snapshot().rtt, script.commands());

    let late = steadfast_protocol::message::Reply::Response {
        id: publish_id(&in_flight),
        outcome: Ok(ack(4, false)),
    };
    script.reply_on(old, &late);
    script.receive_on(old, b"no json");
    script.handle(Input::SendBuffer {
        attempt: old,
        bytes: 100,
    });
    script.handle(Input::DialFailed {
        attempt: old,
        failure: dial_failure(),
    });
    let loss = ConnectionLoss::MessageTooLarge("late".to_owned());
    script.handle(Input::Lost { attempt: old, loss });

    assert_eq!(script.publication_outcomes, [], "the new server decides");
    assert_eq!(script.snapshot().rtt, rtt);
    assert_eq!(script.state(), SessionState::Connected);
    script.reply_to(publish_id(&commands), Ok(ack(4, true)));
    assert_eq!(script.publication_outcomes.len(), 1);
}

#[test]
fn a_ping_over_the_standby_is_replied_to_before_the_switch_and_once() {
    let mut script = switching();
    let in_flight = script.commands();
    let standby = script.standby();
    let is_pong = |it: &Command| matches!(it.request, Request::Pong);

    script.receive_on(standby, b"{}");

    assert!(matches!(script.standby_inbox[..], [Command { .. }]));
    assert!(script.standby_inbox.iter().all(is_pong));
    script.standby_inbox.clear();
    script.reply_to(publish_id(&in_flight), Ok(ack(4, false)));
    assert_eq!(script.attempt(), standby);
    assert!(!script.commands().iter().any(is_pong));
}

#[test]
fn too_much_from_the_server_of_the_standby_ends_the_wait_for_requests_in_flight() {
    let mut script = switching();
    let standby = script.standby();

    for _ in 0..256 {
        assert_eq!(script.invariants.standby(), Some(standby));
        let frame = Frame::Text("{}".into());
        script.handle(Input::Received {
            attempt: standby,
            frame,
        });
    }

    assert_eq!(script.attempt(), standby);
    assert_eq!(keys(&script.commands()), ["k2"]);
}

#[test]
fn a_replaced_connection_is_not_taken_for_the_next_standby() {
    let mut script = migrating();
    let old = script.attempt();
    script.connect_standby();
    script.reply_to_subscribe(recovered(at(3), &[]));
    script.publish();
    script.migrate(None);
    script.connect_standby();
    assert_eq!(script.invariants.retiring(), Some(old));

    script.receive_on(old, b"{}");

    assert_eq!(script.standby_inbox, [], "the ping was not from there");
}

#[test]
fn a_stable_connection_that_is_replaced_ends_the_backoff_of_the_outage_before_it() {
    let (floor, range_min) = (Duration::from_millis(50), Duration::from_secs(1));
    for seed in 0..20 {
        let mut script = Script::with(two_endpoints(EndpointLogs::Shared), seed);
        while script.now < Instant::START + Duration::from_mins(2) {
            script.dial_fails();
            script.advance_to_next_dial();
        }
        script.connect();
        script.keep_alive(600);
        script.migrate(None);
        script.connect_standby();

        script.lose_connection();

        let delay = script.advance_to_next_dial();
        assert!(delay <= floor + range_min, "{delay:?}");
    }
}

#[test]
fn a_replaced_connection_is_given_up_also_after_the_loss_of_the_one_that_replaced_it() {
    let mut script = migrating();
    let old = script.attempt();
    script.connect_standby();

    script.lose_connection();
    assert_eq!(script.invariants.retiring(), Some(old));
    script.advance(CLOSE_TIMEOUT);

    assert_eq!(script.invariants.retiring(), None);
}
