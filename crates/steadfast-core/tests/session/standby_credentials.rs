//! The credentials of a standby: those that the session has when its transport opens.

use steadfast_core::dialect::centrifuge::Input;
use steadfast_core::event::SessionState;
use steadfast_core::io::RenewalReason;
use steadfast_core::policy::EndpointLogs;
use steadfast_core::secret::Secret;
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::{Command, RefreshResult, ReplyResult, Request};

use crate::migration::two_endpoints;
use crate::script::{Script, connected};

/// A ready session that fetched its credentials.
fn ready() -> Script {
    let mut script = Script::with_credentials();
    fetched(&mut script, "one");
    script.connect();
    script
}

fn fetched(script: &mut Script, token: &str) {
    let (_, id, _) = *script.fetches.last().expect("a fetch");
    let outcome = Ok(Secret::new(token.to_owned()));
    script.handle(Input::CredentialsFetched { id, outcome });
}

/// The tokens with which the session authenticates an open connection.
fn refreshed(commands: &[Command]) -> Vec<&str> {
    let mut tokens = Vec::new();
    for command in commands {
        if let Request::Refresh(it) = &command.request {
            tokens.push(it.token.as_str());
        }
    }
    tokens
}

#[test]
fn if_they_are_rejected_the_session_fetches_others_for_the_connection_that_it_has() {
    let mut script = ready();
    let fetches = script.fetches.len();
    script.migrate(None);
    script.dial_standby();

    script.reply_to_standby(Err(ErrorCode::TokenExpired.reply()));

    assert_eq!(script.state(), SessionState::Connected);
    assert_eq!(script.fetches.len(), fetches + 1);
    assert_eq!(
        script.fetches.last().map(|it| it.2),
        Some(RenewalReason::Rejected)
    );
    fetched(&mut script, "two");
    let commands = script.commands();
    assert_eq!(refreshed(&commands), ["two"]);
    let id = commands.first().expect("a refresh").id;
    script.reply_to(id, Ok(ReplyResult::Refresh(RefreshResult::default())));
    script.lose_connection();
    script.advance_to_next_dial();
    assert_eq!(
        script.fetches.len(),
        fetches + 1,
        "the next attempt has valid ones"
    );
}

#[test]
fn if_they_are_replaced_before_the_switch_the_new_connection_is_authenticated_after_it() {
    let mut script = ready();
    script.migrate(None);
    script.dial_standby();
    script.handle(Input::CredentialsReplaced(Secret::new("two".to_owned())));
    assert_eq!(refreshed(&script.commands()), ["two"], "the old connection");

    script.accept_standby();

    assert_eq!(refreshed(&script.commands()), ["two"], "the new one");
}

#[test]
fn if_old_ones_are_rejected_no_others_are_fetched() {
    let mut script = ready();
    let fetches = script.fetches.len();
    script.migrate(None);
    script.dial_standby();
    script.handle(Input::CredentialsReplaced(Secret::new("two".to_owned())));

    script.reply_to_standby(Err(ErrorCode::TokenExpired.reply()));

    assert_eq!(script.fetches.len(), fetches);
}

#[test]
fn after_the_switch_those_of_the_new_connection_are_renewed_in_time() {
    let mut script = ready();
    let fetches = script.fetches.len();
    script.migrate(None);
    script.dial_standby();
    script.reply_to_standby(Ok(connected(100)));

    script.keep_alive(89);
    assert_eq!(script.fetches.len(), fetches);
    script.keep_alive(2);

    assert_eq!(script.fetches.len(), fetches + 1);
    assert_eq!(
        script.fetches.last().map(|it| it.2),
        Some(RenewalReason::Expiring)
    );
}

#[test]
fn rejected_credentials_say_nothing_about_the_server() {
    let mut script = Script::fetching_credentials(two_endpoints(EndpointLogs::Shared));
    fetched(&mut script, "t");
    script.connect();
    script.migrate(Some(1));
    script.connect_standby();
    script.keep_alive(60);
    script.migrate(Some(0));
    script.dial_standby();
    script.reply_to_standby(Err(ErrorCode::TokenExpired.reply()));
    fetched(&mut script, "t2");
    script.keep_alive(1);

    script.lose_connection();
    script.advance_to_next_dial();

    let endpoint = script.dials.last().map(|it| it.1);
    assert_eq!(endpoint, Some(0), "the preferred server is not held down");
}
