//! Credentials are fetched before an attempt that needs them, and renewed over an open connection.

use std::time::Duration;

use steadfast_core::dialect::centrifuge::{Input, SubscriptionEvent};
use steadfast_core::event::{DisconnectCause, SessionEvent, SessionPhase, SessionState};
use steadfast_core::io::{CredentialsError, CredentialsSource, RenewalReason};
use steadfast_core::secret::Secret;
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::{RefreshResult, ReplyResult, Request};

use crate::script::{Script, settings};

fn fetched(script: &mut Script, outcome: Result<&str, CredentialsError>) {
    let (_, id, _) = *script.fetches.last().expect("a fetch");
    let outcome = outcome.map(|text| Secret::new(text.to_owned()));
    script.handle(Input::CredentialsFetched { id, outcome });
}

/// The token of the connect command that waits to be read.
fn connect_token(script: &Script) -> String {
    let first = script.inbox.first().map(|command| &command.request);
    let Some(Request::Connect(connect)) = first else {
        panic!("{first:?}");
    };
    connect.token.clone()
}

/// A ready session whose credentials expire after this number of seconds.
fn expiring(ttl: u32) -> Script {
    let mut script = Script::with_credentials();
    fetched(&mut script, Ok("one"));
    script.dial();
    script.accept_connect_for(ttl);
    script
}

fn last_cause(script: &Script) -> DisconnectCause {
    script.snapshot().cause.clone().expect("a cause")
}

#[test]
fn the_first_attempt_fetches_the_credentials_before_it_dials() {
    let mut script = Script::with_credentials();

    assert_eq!(script.phase(), SessionPhase::FetchingCredentials);
    assert!(script.dials.is_empty());
    assert_eq!(script.fetches[0].2, RenewalReason::First);
    fetched(&mut script, Ok("one"));
    assert_eq!(script.dials.len(), 1);
    script.dial();
    assert_eq!(connect_token(&script), "one");
    script.accept_connect();
    script.lose_connection();
    script.advance_to_next_dial();
    script.dial();

    assert_eq!(connect_token(&script), "one");
    assert_eq!(script.fetches.len(), 1, "valid credentials are used again");
}

#[test]
fn credentials_that_have_expired_at_connect_are_fetched_again_at_once() {
    let mut script = Script::with_credentials();
    fetched(&mut script, Ok("old"));
    script.dial();
    script.accept_connect();
    let id = script.subscribe("chat", 10);
    script.publish();
    script.lose_connection();
    script.advance_to_next_dial();
    script.dial();
    let rejected_at = script.now;
    script.reject_connect(ErrorCode::TokenExpired.reply());
    script.advance(settings().link.backoff.floor);

    let (at, _, reason) = *script.fetches.last().expect("a fetch");
    assert_eq!(reason, RenewalReason::Rejected);
    assert!(at - rejected_at <= settings().link.backoff.floor);
    fetched(&mut script, Ok("new"));
    script.dial();
    assert_eq!(connect_token(&script), "new");
    script.accept_connect();
    let commands = script.commands();
    let subscribed = |it: &&steadfast_protocol::message::Command| matches!(&it.request, Request::Subscribe(it) if it.channel == "chat");
    assert_eq!(commands.iter().filter(subscribed).count(), 1, "{id:?}");
    assert!(script.publication_outcomes.is_empty(), "nothing is lost");
}

#[test]
fn new_credentials_that_are_rejected_too_are_fetched_again_with_backoff() {
    let mut script = Script::with_credentials();
    for _ in 0..10 {
        fetched(&mut script, Ok("rejected"));
        script.dial();
        script.reject_connect(ErrorCode::TokenExpired.reply());
        while script.phase() != SessionPhase::FetchingCredentials {
            script.advance(Duration::from_millis(50));
        }
    }

    assert!(script.now.saturating_since(script.fetches[0].0) > Duration::from_secs(10));
    assert!(matches!(
        last_cause(&script),
        DisconnectCause::ConnectRejected { code: 109, .. }
    ));
}

#[test]
fn fixed_credentials_that_are_rejected_end_the_session_until_others_are_set() {
    let mut script = Script::new();
    script.dial();
    script.reject_connect(ErrorCode::TokenExpired.reply());
    assert_eq!(script.state(), SessionState::Failed);

    script.handle(Input::CredentialsReplaced(Secret::new("new".to_owned())));
    script.handle(Input::RestartRequested);
    script.dial();

    assert_eq!(connect_token(&script), "new");
}

#[test]
fn credentials_can_be_rejected_by_closing_the_connection_during_the_handshake() {
    let mut fixed = Script::new();
    fixed.dial();
    fixed.lose_with(3005, "connection expired");
    assert_eq!(fixed.state(), SessionState::Failed);

    let mut fetching = Script::with_credentials();
    fetched(&mut fetching, Ok("old"));
    fetching.dial();
    fetching.lose_with(3005, "connection expired");
    while fetching.phase() != SessionPhase::FetchingCredentials {
        fetching.advance(Duration::from_millis(50));
    }
    assert_eq!(fetching.dials.len(), 1);
}

#[test]
fn a_denial_fails_the_session_and_other_failures_are_repeated() {
    let mut script = Script::with_credentials();
    let failed_at = script.now;
    for text in ["backend down", "still down"] {
        fetched(&mut script, Err(CredentialsError::temporary(text)));
        assert_eq!(
            last_cause(&script),
            DisconnectCause::Credentials(text.to_owned())
        );
        while script.phase() != SessionPhase::FetchingCredentials {
            script.advance(Duration::from_millis(50));
        }
    }
    assert!(script.now.saturating_since(failed_at) >= 2 * settings().link.backoff.floor);
    fetched(&mut script, Ok(""));
    assert!(last_cause(&script).to_string().contains("empty"));
    while script.phase() != SessionPhase::FetchingCredentials {
        script.advance(Duration::from_millis(50));
    }

    fetched(&mut script, Err(CredentialsError::denied("account closed")));

    assert_eq!(script.state(), SessionState::Failed);
    assert!(last_cause(&script).to_string().contains("account closed"));
    assert!(script.dials.is_empty());
}

#[test]
fn a_fetch_that_hangs_ends_with_the_attempt() {
    let mut script = Script::with_credentials();
    let (_, late, _) = script.fetches[0];
    script.advance(settings().link.connect_timeout);

    assert_eq!(
        last_cause(&script),
        DisconnectCause::Credentials("timed out waiting for the credentials".to_owned())
    );
    while script.fetches.len() < 2 {
        script.advance(Duration::from_millis(50));
    }
    // The result of the obsolete fetch changes nothing.
    let outcome = Ok(Secret::new("late".to_owned()));
    script.handle(Input::CredentialsFetched { id: late, outcome });
    assert!(script.dials.is_empty());
    fetched(&mut script, Ok("two"));
    script.dial();
    assert_eq!(connect_token(&script), "two");
}

#[test]
fn a_late_result_before_the_next_attempt_is_used_by_it() {
    let mut script = Script::with_credentials();
    script.advance(settings().link.connect_timeout);
    if script.phase() != SessionPhase::FetchingCredentials {
        fetched(&mut script, Ok("late"));
        script.advance_to_next_dial();
        script.dial();
        assert_eq!(connect_token(&script), "late");
    }
}

#[test]
fn credentials_are_renewed_over_the_open_connection_before_they_expire() {
    let mut script = expiring(100);
    script.keep_alive(89);
    assert_eq!(script.fetches.len(), 1);
    script.keep_alive(2);

    assert_eq!(script.fetches[1].2, RenewalReason::Expiring);
    fetched(&mut script, Ok("two"));
    let commands = script.commands();
    let [refresh] = &commands[..] else {
        panic!("{commands:?}");
    };
    assert!(matches!(&refresh.request, Request::Refresh(it) if it.token == "two"));
    let result = RefreshResult {
        expires: true,
        ttl: 100,
        ..RefreshResult::default()
    };
    script.reply_to(refresh.id, Ok(ReplyResult::Refresh(result)));
    script.keep_alive(91);

    assert_eq!(script.fetches.len(), 3, "and before the next expiry");
    assert_eq!(script.dials.len(), 1, "over the same connection");
}

#[test]
fn a_renewal_that_fails_for_ten_minutes_keeps_the_connection_and_the_subscriptions() {
    let mut script = expiring(100);
    let id = script.subscribe("chat", 10);
    script.commands();
    script.keep_alive(91);
    let mut failures = 0;
    for second in 0..600 {
        if script.fetches.len() > 1 + failures {
            failures += 1;
            // Some fail, some hang.
            if failures % 2 == 0 {
                fetched(&mut script, Err(CredentialsError::temporary("down")));
            }
        }
        script.keep_alive(1);
        assert_eq!(script.state(), SessionState::Connected, "after {second} s");
    }

    assert!((20..=80).contains(&failures), "{failures} fetches");
    let reported = script.events.iter();
    let reported = reported.filter(|(_, it)| matches!(it, SessionEvent::RenewalFailed { .. }));
    assert!(reported.count() >= failures - 1);
    // The server's patience ends; the next attempt fetches first.
    script.lose_with(3005, "connection expired");
    while script.phase() != SessionPhase::FetchingCredentials {
        script.advance(Duration::from_millis(50));
    }
    fetched(&mut script, Ok("two"));
    script.dial();
    assert_eq!(connect_token(&script), "two");
    let ended = |(it, event): &(_, SubscriptionEvent)| {
        *it == id && matches!(event, SubscriptionEvent::Unsubscribed(_))
    };
    assert!(!script.subscription_events.iter().any(ended));
}

#[test]
fn a_connection_that_has_expired_is_followed_by_new_credentials() {
    let mut script = expiring(0);
    script.lose_with(3005, "connection expired");
    while script.phase() != SessionPhase::FetchingCredentials {
        script.advance(Duration::from_millis(50));
    }

    assert_eq!(script.dials.len(), 1, "the old ones are not tried again");
}

#[test]
fn a_renewal_that_the_server_rejects_once_is_repeated() {
    let mut script = expiring(100);
    script.keep_alive(91);
    fetched(&mut script, Ok("two"));
    let refresh = script.commands().remove(0);
    script.reply_to(refresh.id, Err(ErrorCode::TokenExpired.reply()));
    assert_eq!(script.state(), SessionState::Connected);
    script.keep_alive(3);

    assert_eq!(script.fetches.len(), 3);
    fetched(&mut script, Ok("three"));
    let refresh = script.commands().remove(0);
    assert!(matches!(&refresh.request, Request::Refresh(it) if it.token == "three"));
}

#[test]
fn a_renewal_to_which_the_server_does_not_reply_is_repeated() {
    let mut script = expiring(100);
    script.keep_alive(91);
    fetched(&mut script, Ok("two"));
    let sent_at = script.now;
    let first = script.commands().remove(0);
    while script.fetches.len() == 2 && script.now < sent_at + Duration::from_mins(1) {
        script.keep_alive(1);
    }

    let waited = script.now.saturating_since(sent_at);
    let timeout = settings().link.connect_timeout;
    assert!(waited >= timeout && waited <= timeout + Duration::from_secs(3));
    let failed = |(_, event): &(_, SessionEvent)| matches!(event, SessionEvent::RenewalFailed { text, retry_at: Some(_) } if text.contains("timed out"));
    assert_eq!(script.events.iter().filter(|it| failed(it)).count(), 1);
    // A late reply changes nothing: the next credentials are sent.
    script.reply_to(first.id, Ok(ReplyResult::Refresh(RefreshResult::default())));
    fetched(&mut script, Ok("three"));
    let refresh = script.commands().remove(0);
    assert!(matches!(&refresh.request, Request::Refresh(it) if it.token == "three"));
    assert_eq!(script.state(), SessionState::Connected);
}

#[test]
fn replaced_credentials_authenticate_the_open_connection() {
    let mut script = Script::ready();
    script.handle(Input::CredentialsReplaced(Secret::new("new".to_owned())));

    let refresh = script.commands().remove(0);
    assert!(matches!(&refresh.request, Request::Refresh(it) if it.token == "new"));
}

#[test]
fn a_session_that_waits_for_credentials_can_be_closed() {
    let mut script = Script::with_credentials();
    script.handle(Input::CloseRequested {
        drain: Duration::ZERO,
    });
    assert_eq!(script.state(), SessionState::Disconnected);

    fetched(&mut script, Ok("late"));

    assert!(script.dials.is_empty());
}

#[test]
fn no_debug_output_shows_credentials() {
    let secret = || Secret::new("hidden-token".to_owned());
    let id = expiring(1).fetches[0].1;
    let outcome = Ok(secret());
    let shown = format!(
        "{:?} {:?} {:?}",
        Input::CredentialsFetched { id, outcome },
        Input::CredentialsReplaced(secret()),
        CredentialsSource::Fixed(secret())
    );

    assert!(!shown.contains("hidden-token"), "{shown}");
}

#[test]
fn a_rejection_for_good_of_new_credentials_is_not_followed_by_another_renewal() {
    let mut script = expiring(100);
    script.keep_alive(91);
    fetched(&mut script, Ok("two"));
    let refresh = script.commands().remove(0);

    script.reply_to(refresh.id, Err(ErrorCode::PermissionDenied.reply()));

    let last = script.events.last().map(|(_, event)| event);
    assert!(
        matches!(
            last,
            Some(SessionEvent::RenewalFailed { retry_at: None, .. })
        ),
        "{last:?}"
    );
    script.keep_alive(300);
    assert_eq!(script.fetches.len(), 2);
    assert_eq!(script.state(), SessionState::Connected);
}

#[test]
fn the_result_of_a_fetch_that_took_too_long_is_ignored_and_its_number_is_not_used_again() {
    let mut script = expiring(100);
    script.keep_alive(91);
    let (_, late, _) = *script.fetches.last().expect("a renewal");
    script.keep_alive(10);
    assert!(matches!(
        script.events.last(),
        Some((_, SessionEvent::RenewalFailed { .. }))
    ));

    let outcome = Ok(Secret::new("late".to_owned()));
    script.handle(Input::CredentialsFetched { id: late, outcome });
    assert_eq!(script.commands(), []);

    script.keep_alive(10);
    let (_, again, _) = *script.fetches.last().expect("a renewal");
    assert!(again > late, "{again:?} after {late:?}");
}
