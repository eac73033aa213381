//! A session reports once in an outage that it has been without a connection for long, and keeps what is queued.

use std::time::Duration;

use steadfast_core::dialect::centrifuge::Input;
use steadfast_core::event::{DisconnectCause, SessionEvent, SessionPhase};
use steadfast_machine::Instant;

use crate::script::{Script, ack, key_of, settings};

/// When and after which time without a connection the session reported that it is degraded.
fn reports(script: &Script) -> Vec<(Instant, Duration)> {
    let events = script.events.iter();
    let reports = events.filter_map(|(at, event)| {
        if let SessionEvent::Degraded { downtime, .. } = event {
            return Some((*at, *downtime));
        }
        None
    });
    reports.collect()
}

/// Fails each attempt immediately for this time.
fn without_server(script: &mut Script, time: Duration) {
    let end = script.now + time;
    while let Some(at) = script.deadline().filter(|at| *at <= end) {
        script.advance(at - script.now);
        if script.invariants.is_dialing() {
            script.dial_fails();
        }
    }
    script.advance(end - script.now);
}

#[test]
fn a_session_reports_once_in_each_outage_that_it_is_degraded() {
    let degraded_after = settings().link.degraded_after;
    let mut script = Script::ready();
    let mut expected = Vec::new();

    for _ in 0..2 {
        expected.push((script.now + degraded_after, degraded_after));
        script.lose_connection();
        without_server(&mut script, degraded_after * 5);
        script.advance_to_next_dial();
        script.connect();
    }

    assert_eq!(reports(&script), expected);
    let (_, SessionEvent::Degraded { cause, .. }) = script
        .events
        .iter()
        .find(|(_, event)| matches!(event, SessionEvent::Degraded { .. }))
        .expect("a report")
    else {
        panic!("another event");
    };
    assert!(matches!(cause, DisconnectCause::Dial { .. }), "{cause:?}");
}

#[test]
fn an_outage_before_the_first_connection_and_one_after_a_close_are_reported_too() {
    let degraded_after = settings().link.degraded_after;
    let mut script = Script::new();
    script.dial_fails();
    without_server(&mut script, degraded_after * 2);
    assert_eq!(reports(&script).len(), 1);

    let drain = Duration::ZERO;
    script.handle(Input::CloseRequested { drain });
    script.handle(Input::OpenRequested);
    script.dial_fails();
    without_server(&mut script, degraded_after * 2);

    assert_eq!(reports(&script).len(), 2);
}

#[test]
fn an_attempt_that_is_in_progress_is_awaited_before_the_session_is_degraded() {
    for succeeds in [true, false] {
        let mut settings = settings();
        settings.link.degraded_after = Duration::from_secs(5);
        let mut script = Script::with(settings, 1);
        script.connect();
        script.lose_connection();
        script.advance_to_next_dial();
        script.advance(Duration::from_secs(6));
        assert_eq!(script.phase(), SessionPhase::Dialing);
        assert_eq!(reports(&script), []);

        if succeeds {
            script.connect();
        } else {
            script.dial_fails();
        }

        assert_eq!(reports(&script).is_empty(), succeeds);
    }
}

#[test]
fn a_publication_without_a_time_limit_stays_queued_and_is_sent_after_the_outage() {
    let degraded_after = settings().link.degraded_after;
    let mut script = Script::ready();
    script.lose_connection();
    let limited = script.publish_for(Some(Duration::from_secs(10)));
    let unlimited = script.publish();

    without_server(&mut script, degraded_after * 5);

    let outcomes: Vec<_> = script
        .publication_outcomes
        .iter()
        .map(|(id, _)| *id)
        .collect();
    assert_eq!(outcomes, [limited]);
    script.advance_to_next_dial();
    script.connect();
    let commands = script.commands();
    let keys: Vec<_> = commands.iter().filter_map(key_of).collect();
    assert_eq!(keys, [format!("k{}", unlimited.0)]);
    let id = commands.first().expect("a command").id;
    script.reply_to(id, Ok(ack(1, false)));
    let (id, outcome) = script.publication_outcomes.last().expect("an outcome");
    assert!(*id == unlimited && outcome.is_ok(), "{outcome:?}");
}
