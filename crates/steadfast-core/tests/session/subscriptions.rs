//! Subscriptions outlive connections: resumed where the application stands, and a hole is never skipped in silence.

use std::time::Duration;

use steadfast_core::event::Phase;
use steadfast_core::io::{Input, SubscriptionId};
use steadfast_protocol::message::{Push, PushEvent, Reply, Request};

use crate::script::Script;

/// R16: a subscription that never saw a message can be recovered.
#[test]
fn r16_a_subscription_recovers_before_its_first_message() {
    let mut script = Script::connected();
    script.subscribe(100);
    script.grant("e", 0, false, &[]);

    reconnect(&mut script);
    let asked = script.grant("e", 0, true, &[1, 2]).unwrap();

    assert_eq!((asked.epoch.as_str(), asked.offset), ("e", 0));
    assert_eq!(script.handed(), ["started 0", "resumed 0", "1", "2"]);
}

/// R17: the position is the client's own, so it does not matter how soon it is back.
#[test]
fn r17_items_go_on_behind_the_last_one_and_none_comes_twice() {
    let mut script = Script::connected();
    script.subscribe(100);
    script.grant("e", 5, false, &[]);
    script.push(6);
    script.push(7);

    reconnect(&mut script);
    let asked = script.grant("e", 7, true, &[7, 8]).unwrap();
    script.push(8);
    script.push(9);

    assert_eq!(asked.offset, 7);
    assert_eq!(
        script.handed(),
        ["started 5", "6", "7", "resumed 7", "8", "9"]
    );
}

#[test]
fn another_epoch_is_told_as_a_gap() {
    let mut script = Script::connected();
    script.subscribe(100);
    script.grant("e", 5, false, &[]);

    reconnect(&mut script);
    script.grant("f", 2, false, &[]);
    script.push(3);

    assert_eq!(script.handed(), ["started 5", "gap 2", "3"]);
}

#[test]
fn the_subscriptions_join_the_connect_command_in_its_message() {
    let mut script = Script::connected();
    script.subscribe(100);
    script.grant("e", 0, false, &[]);
    script.break_link();
    script.until_dial();

    let attempt = script.attempt;
    script.tell(Input::Dialled { attempt });

    let kinds: Vec<bool> = script
        .commands
        .iter()
        .map(|command| matches!(command.request, Request::Subscribe(_)))
        .collect();
    assert_eq!(kinds, [false, true]);
}

#[test]
fn a_reader_that_is_behind_pauses_at_the_server_and_misses_nothing() {
    let mut script = Script::connected();
    script.subscribe(2);
    script.grant("e", 0, false, &[]);
    script.push(1);
    script.push(2);
    script.take_command(|it| matches!(it, Request::Unsubscribe(_)));
    script.push(3);

    let id = SubscriptionId(1);
    script.tell(Input::Taken { id, items: 3 });
    let asked = script.grant("e", 2, true, &[3]).unwrap();

    assert_eq!(asked.offset, 2);
    assert_eq!(script.handed(), ["started 0", "1", "2", "resumed 2", "3"]);
}

#[test]
fn an_end_by_the_server_is_final_or_not_as_its_code_says() {
    for (code, again) in [(2000, false), (2500, true)] {
        let mut script = Script::connected();
        script.subscribe(100);
        script.grant("e", 0, false, &[]);

        script.receive(&Reply::Push(Push {
            channel: "news".to_owned(),
            event: PushEvent::Unsubscribe {
                code,
                reason: "so it is".to_owned(),
            },
        }));

        let asks = script
            .commands
            .iter()
            .any(|it| matches!(it.request, Request::Subscribe(_)));
        assert_eq!(asks, again, "{code}");
        assert_eq!(script.handed().len(), if again { 1 } else { 2 });
    }
}

#[test]
fn a_session_is_ready_once_everything_stands_again() {
    let mut script = Script::connected();
    script.subscribe(100);
    script.grant("e", 0, false, &[]);
    reconnect(&mut script);
    assert_eq!(script.snapshot().phase, Phase::Resuming);

    script.grant("e", 0, true, &[]);

    assert_eq!(script.snapshot().phase, Phase::Ready);
    assert_eq!(script.snapshot().reconnects, 1);
}

fn reconnect(script: &mut Script) {
    script.pass(Duration::from_secs(1));
    script.break_link();
    script.until_dial();
    script.accept();
}
