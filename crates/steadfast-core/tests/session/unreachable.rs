//! Endpoints that can never be reached: what the session does with others, and what refutes it.

use steadfast_core::dialect::centrifuge::Input;
use steadfast_core::event::SessionState;
use steadfast_core::io::{Attempt, DialFailure};
use steadfast_core::policy::EndpointLogs;
use steadfast_protocol::codes::ErrorCode;

use crate::migration::{subscribed_at_first, two_endpoints};
use crate::script::{Script, dial_failure};

fn fail_for_good(script: &mut Script, attempt: Attempt) {
    let failure = DialFailure {
        is_final: true,
        ..dial_failure()
    };
    script.handle(Input::DialFailed { attempt, failure });
}

#[test]
fn a_failed_attempt_to_replace_the_connection_counts_as_well() {
    let mut script = subscribed_at_first(EndpointLogs::Shared);
    script.migrate(Some(1));
    let standby = script.standby();
    fail_for_good(&mut script, standby);
    script.keep_alive(60);
    script.lose_connection();
    script.advance_to_next_dial();

    let attempt = script.attempt();
    fail_for_good(&mut script, attempt);

    assert_eq!(script.state(), SessionState::Failed);
}

#[test]
fn a_restarted_session_tries_every_endpoint_again() {
    let mut script = Script::with(two_endpoints(EndpointLogs::Shared), 1);
    let attempt = script.attempt();
    fail_for_good(&mut script, attempt);
    script.advance_to_next_dial();
    let attempt = script.attempt();
    fail_for_good(&mut script, attempt);
    assert_eq!(script.state(), SessionState::Failed);

    script.handle(Input::RestartRequested);
    let attempt = script.attempt();
    fail_for_good(&mut script, attempt);

    assert_ne!(script.state(), SessionState::Failed);
}

#[test]
fn an_open_transport_proves_that_an_endpoint_can_be_reached() {
    let mut script = Script::with(two_endpoints(EndpointLogs::Shared), 1);
    let attempt = script.attempt();
    fail_for_good(&mut script, attempt);
    script.advance_to_next_dial();
    script.connect();
    assert_eq!(script.snapshot().endpoint, 1);
    script.keep_alive(24 * 3_600);
    script.migrate(Some(0));
    script.dial_standby();
    script.reply_to_standby(Err(ErrorCode::Internal.reply()));
    script.lose_connection();
    script.advance_to_next_dial();
    while script.dials.last().map(|it| it.1) != Some(1) {
        let (attempt, failure) = (script.attempt(), dial_failure());
        script.handle(Input::DialFailed { attempt, failure });
        script.advance_to_next_dial();
    }

    let attempt = script.attempt();
    fail_for_good(&mut script, attempt);

    assert_ne!(script.state(), SessionState::Failed);
}
