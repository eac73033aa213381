//! Endpoints with logs of their own: nothing is applied twice, and nothing is missed silently, when a session is connected
//! to another one. Endpoints that serve one log are interchangeable.

use steadfast_core::dialect::centrifuge::{SendError, SubscriptionEvent};
use steadfast_core::policy::EndpointLogs;
use steadfast_protocol::message::{Command, ReplyResult, Request, SubscribeResult};

use crate::script::{Script, ack, at, key_of, recovered, settings, subscribed};

/// Connected to the first of two endpoints, subscribed at offset 3, with a publication in flight.
fn in_flight(logs: EndpointLogs) -> Script {
    let mut settings = settings();
    settings.link.priorities = vec![0, 1];
    settings.endpoint_logs = logs;
    let mut script = Script::with(settings, 1);
    script.connect();
    script.subscribe("chat", 10);
    script.reply_to_subscribe(subscribed(at(3)));
    script.drain_subscription_events();
    script.publish();
    assert_eq!(keys(&script.commands()), ["k2"]);
    script
}

/// Loses the connection, and dials again the endpoint with this index; the attempts before it are refused.
fn dial_after_loss(script: &mut Script, endpoint: usize) {
    script.lose_connection();
    script.advance_to_next_dial();
    while script.snapshot().endpoint != endpoint {
        script.dial_fails();
        script.advance_to_next_dial();
    }
    script.dial();
}

fn keys(commands: &[Command]) -> Vec<String> {
    commands.iter().filter_map(key_of).collect()
}

/// Whether the subscribe command among these has a position.
fn has_position(commands: &[Command]) -> Option<bool> {
    commands.iter().find_map(|command| {
        let Request::Subscribe(subscribe) = &command.request else {
            return None;
        };
        Some(subscribe.recover)
    })
}

/// The server replies to the subscribe command among these.
fn accept_subscription(script: &mut Script, commands: &[Command], result: SubscribeResult) {
    let is_subscribe = |it: &&Command| matches!(it.request, Request::Subscribe(_));
    let command = commands.iter().find(is_subscribe).expect("a subscribe");
    script.reply_to(command.id, Ok(ReplyResult::Subscribe(result)));
}

#[test]
fn at_an_endpoint_with_another_log_a_publication_in_doubt_is_interrupted_and_an_unsent_one_is_sent()
{
    let mut script = in_flight(EndpointLogs::Independent);
    dial_after_loss(&mut script, 1);
    let unsent = script.publish();
    assert_eq!(script.publication_outcomes, [], "not decided before");

    script.accept_connect();

    assert_eq!(script.publication_outcomes.len(), 1);
    let outcome = script.publication_outcomes.first().map(|it| &it.1);
    assert_eq!(outcome, Some(&Err(SendError::Interrupted)));
    let commands = script.commands();
    assert_eq!(keys(&commands), [format!("k{}", unsent.0)]);
}

#[test]
fn at_an_endpoint_with_another_log_a_subscription_begins_without_its_position_and_reports_a_gap() {
    let mut script = in_flight(EndpointLogs::Independent);
    dial_after_loss(&mut script, 1);
    assert_eq!(has_position(&script.inbox), Some(false));
    script.accept_connect();
    let commands = script.commands();
    accept_subscription(&mut script, &commands, subscribed(at(9)));

    let (from, to) = (Some(at(3)), at(9));
    let gap = SubscriptionEvent::Gap { from, to };
    assert_eq!(script.drain_subscription_events(), [gap]);
}

#[test]
fn back_at_the_same_endpoint_publications_are_sent_again_and_subscriptions_resumed() {
    let mut script = in_flight(EndpointLogs::Independent);
    // The other endpoint opens a transport and does not accept the client, which decides nothing.
    dial_after_loss(&mut script, 1);
    dial_after_loss(&mut script, 0);
    assert_eq!(has_position(&script.inbox), Some(true));
    script.accept_connect();
    let commands = script.commands();
    accept_subscription(&mut script, &commands, recovered(at(3), &[4]));

    assert_eq!(keys(&commands), ["k2"]);
    assert_eq!(script.publication_outcomes, []);
    let events = script.drain_subscription_events();
    let resumed = SubscriptionEvent::Resumed { position: at(3) };
    assert_eq!(events.first(), Some(&resumed));
}

#[test]
fn an_endpoint_with_another_log_cannot_continue_a_position_even_if_it_says_so() {
    let mut script = in_flight(EndpointLogs::Independent);
    dial_after_loss(&mut script, 1);
    script.accept_connect();
    let commands = script.commands();

    accept_subscription(&mut script, &commands, recovered(at(5), &[]));

    let (from, to) = (Some(at(3)), at(5));
    let gap = SubscriptionEvent::Gap { from, to };
    assert_eq!(script.drain_subscription_events(), [gap]);
}

#[test]
fn a_position_is_kept_until_the_other_endpoint_has_replied_to_the_subscription() {
    let mut script = in_flight(EndpointLogs::Independent);
    dial_after_loss(&mut script, 1);
    script.accept_connect();
    script.commands();

    dial_after_loss(&mut script, 0);

    assert_eq!(has_position(&script.inbox), Some(true));
    script.accept_connect();
    let commands = script.commands();
    accept_subscription(&mut script, &commands, recovered(at(3), &[4]));
    let events = script.drain_subscription_events();
    let resumed = SubscriptionEvent::Resumed { position: at(3) };
    assert_eq!(events.first(), Some(&resumed), "nothing is missing");
}

#[test]
fn endpoints_of_one_log_are_interchangeable() {
    let mut script = in_flight(EndpointLogs::Shared);
    dial_after_loss(&mut script, 1);
    assert_eq!(has_position(&script.inbox), Some(true));
    script.accept_connect();
    let commands = script.commands();

    assert_eq!(keys(&commands), ["k2"]);
    let publish = commands.iter().find(|it| key_of(it).is_some());
    let id = publish.expect("a publish").id;
    script.reply_to(id, Ok(ack(4, true)));
    assert!(script.publication_outcomes.iter().all(|it| it.1.is_ok()));
    assert_eq!(script.publication_outcomes.len(), 1);
}

#[test]
fn a_second_move_interrupts_only_what_was_sent_since_the_first() {
    let mut script = in_flight(EndpointLogs::Independent);
    dial_after_loss(&mut script, 1);
    script.accept_connect();
    script.commands();
    let sent = script.publish();
    assert_eq!(keys(&script.commands()), [format!("k{}", sent.0)]);

    // Back at the same endpoint: sent again. At the other one: interrupted.
    dial_after_loss(&mut script, 1);
    script.accept_connect();
    assert_eq!(keys(&script.commands()), [format!("k{}", sent.0)]);
    assert_eq!(script.publication_outcomes.len(), 1);
    dial_after_loss(&mut script, 0);
    script.accept_connect();

    assert_eq!(keys(&script.commands()), Vec::<String>::new());
    assert_eq!(script.publication_outcomes.len(), 2);
}
