//! A login that another connection renews: requests that must not be repeated are not interrupted while there is time.

use std::time::Duration;

use steadfast_core::dialect::Renewal;
use steadfast_core::dialect::jsonrpc::Class;
use steadfast_core::event::{MigrationError, MigrationReason, SessionEvent};
use steadfast_core::io::Attempt;
use steadfast_machine::Instant;

use crate::login_steps::TwoSteps;
use crate::script::{Script, settings};

/// When a renewal of a login for an hour begins if no write is in flight: a tenth before its end.
const BEGIN: Duration = Duration::from_mins(54);
/// When it begins whatever is in flight.
const LATEST: Duration = Duration::from_secs(3_570);

const SECOND: Duration = Duration::from_secs(1);

/// A session that is logged in for an hour; its next request has the id 2.
fn logged_in() -> Script {
    let login = TwoSteps::new(Renewal::OtherConnection);
    let mut script = Script::new(settings().login(login));
    script.dial();
    script.receive(r#"{"id":1,"result":"hour"}"#);
    script
}

/// Advances the time since the begin of the session, with a server that replies to pings.
fn advance_to(script: &mut Script, time: Duration) {
    let now = script.now.saturating_since(Instant::START);
    script.advance_with_pongs(time.saturating_sub(now));
}

fn renewals(script: &Script) -> usize {
    let is_renewal = |event: &&SessionEvent| {
        let reason = MigrationReason::Renewal;
        **event
            == SessionEvent::Migrating {
                endpoint: 0,
                reason,
            }
    };
    script.events.iter().filter(is_renewal).count()
}

/// The server of the other connection accepts the client. Returns the attempt of the present connection, which the test
/// plays from then on.
fn accept_other(script: &mut Script, present: Attempt) {
    script.dial();
    script.receive(r#"{"id":1,"result":"hour"}"#);
    script.play(present);
}

#[test]
fn a_renewal_waits_until_no_write_is_in_flight() {
    let mut script = logged_in();
    advance_to(&mut script, BEGIN.saturating_sub(20 * SECOND));
    script.call("read", "", Class::Read);
    script.call("write", "", Class::Write);

    advance_to(&mut script, BEGIN + 20 * SECOND);
    assert_eq!(renewals(&script), 0, "the write is in flight");
    script.receive(r#"{"id":3,"result":true}"#);

    assert_eq!(renewals(&script), 1, "a read can be sent again");
    assert_eq!(script.take_results(), ["2: true"]);
}

#[test]
fn after_the_latest_time_a_renewal_begins_whatever_is_in_flight() {
    let mut script = logged_in();
    advance_to(&mut script, BEGIN.saturating_sub(SECOND));
    while script.now + 40 * SECOND < Instant::START + LATEST {
        script.call("write", "", Class::Write);
        script.advance_with_pongs(40 * SECOND);
        assert_eq!(renewals(&script), 0);
    }
    script.call("write", "", Class::Write);
    let last = script.next_number() - 1;
    advance_to(&mut script, LATEST.saturating_sub(SECOND));
    assert_eq!(renewals(&script), 0);
    let present = script.attempt();
    script.take_results();

    advance_to(&mut script, LATEST);
    assert_eq!(renewals(&script), 1);
    accept_other(&mut script, present);
    script.advance(5 * SECOND);

    assert_eq!(script.snapshot().epoch.0, 2);
    let interrupted = format!("{last}: Interrupted {{ maybe_executed: true }}");
    assert!(script.take_results().contains(&interrupted));
}

#[test]
fn a_write_that_begins_during_the_renewal_is_not_interrupted_and_the_renewal_is_repeated() {
    let mut script = logged_in();
    let present = script.attempt();
    advance_to(&mut script, BEGIN);
    assert_eq!(renewals(&script), 1);
    script.call("write", "", Class::Write);
    accept_other(&mut script, present);
    script.advance_with_pongs(6 * SECOND);

    let error = MigrationError::RequestInFlight;
    let endpoint = Some(0);
    let failed = SessionEvent::MigrationFailed { endpoint, error };
    assert!(script.events.contains(&failed), "{:?}", script.events);
    assert_eq!(script.snapshot().epoch.0, 1, "the connection stays");
    script.receive(r#"{"id":2,"result":true}"#);
    assert_eq!(script.take_results(), ["1: true"]);

    script.advance_with_pongs(Duration::from_mins(1));
    assert_eq!(renewals(&script), 2);
    accept_other(&mut script, present);
    assert_eq!(script.snapshot().epoch.0, 2);
}

#[test]
fn replaced_credentials_wait_for_a_write_for_a_minute_at_most() {
    let mut script = logged_in();
    script.advance_with_pongs(30 * SECOND);
    script.call("write", "", Class::Write);
    script.replace_credentials("other");
    assert_eq!(renewals(&script), 0);
    script.advance_with_pongs(50 * SECOND);
    script.call("write", "", Class::Write);
    script.advance_with_pongs(9 * SECOND);
    assert_eq!(renewals(&script), 0);

    script.advance_with_pongs(SECOND);

    assert_eq!(renewals(&script), 1);
}

/// The login that has begun shows the credentials from before.
#[test]
fn credentials_that_are_replaced_during_the_first_login_wait_for_writes_for_a_minute_at_most() {
    let mut script = Script::new(settings().login(TwoSteps::new(Renewal::OtherConnection)));
    script.dial();
    let present = script.attempt();
    script.replace_credentials("other");
    script.receive(r#"{"id":1,"result":"hour"}"#);
    script.advance_with_pongs(SECOND);
    assert_eq!(renewals(&script), 1);
    script.call("write", "", Class::Write);
    accept_other(&mut script, present);
    script.advance_with_pongs(50 * SECOND);
    assert_eq!(renewals(&script), 1, "the write is not interrupted");
    script.call("write", "", Class::Write);

    script.advance_with_pongs(10 * SECOND);

    assert_eq!(renewals(&script), 2);
}
