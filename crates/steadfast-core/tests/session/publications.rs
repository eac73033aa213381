//! Each publication ends in exactly one outcome, in its order, whatever becomes of its connection.

use std::time::Duration;

use steadfast_core::io::{Delivery, DropReason, PublicationId};
use steadfast_protocol::message::{Position, ReplyError};

use crate::script::Script;

/// R11: nothing leaves the queue before its answer.
#[test]
fn r11_what_was_unanswered_is_sent_again_first_and_in_order() {
    let mut script = Script::connected();
    script.publish(1);
    script.publish(2);
    assert_eq!(keys(&script.take_published()), ["key-1", "key-2"]);

    script.break_link();
    script.publish(3);
    script.until_dial();
    script.accept();

    let again = script.take_published();
    assert_eq!(keys(&again), ["key-1", "key-2", "key-3"]);
    script.acknowledge(again[0].0, 7, true);
    let position = Position {
        epoch: "e".to_owned(),
        offset: 7,
    };
    let acknowledged = Delivery::Acknowledged {
        position,
        duplicate: true,
    };
    assert_eq!(script.outcomes, [(PublicationId(1), acknowledged)]);
}

#[test]
fn only_a_window_is_unanswered_at_a_time() {
    let mut script = Script::connected();
    for number in 1..=4 {
        script.publish(number);
    }
    let first = script.take_published();
    assert_eq!(keys(&first), ["key-1", "key-2", "key-3"]);

    script.acknowledge(first[1].0, 1, false);

    assert_eq!(keys(&script.take_published()), ["key-4"]);
}

#[test]
fn a_full_outbox_refuses_and_says_so() {
    let mut script = Script::connected();
    script.break_link();
    for number in 1..=5 {
        script.publish(number);
    }

    let full = Delivery::Dropped(DropReason::OutboxFull);
    assert_eq!(script.outcomes, [(PublicationId(5), full)]);
}

#[test]
fn what_nobody_wants_any_more_expires_while_there_is_no_connection() {
    let mut script = Script::connected();
    script.break_link();
    script.publish_for(1, Some(Duration::from_millis(10)));

    script.pass(Duration::from_millis(20));

    assert_eq!(script.outcomes, [(PublicationId(1), Delivery::Expired)]);
}

#[test]
fn what_the_server_may_have_forgotten_is_not_repeated() {
    let mut script = Script::connected();
    script.publish(1);
    script.break_link();
    for _ in 0..200 {
        script.until_dial();
        script.refuse_dial();
        if !script.outcomes.is_empty() {
            break;
        }
    }

    let interrupted = Delivery::Interrupted {
        maybe_delivered: true,
    };
    assert_eq!(script.outcomes, [(PublicationId(1), interrupted)]);
}

#[test]
fn a_refusal_for_now_is_repeated_after_a_pause_and_one_for_good_is_told() {
    let mut script = Script::connected();
    script.publish(1);
    script.publish(2);
    let sent = script.take_published();
    let refusal = |code, temporary| ReplyError {
        code,
        message: "no".to_owned(),
        temporary,
    };

    script.answer(sent[0].0, Err(refusal(100, true)));
    script.answer(sent[1].0, Err(refusal(103, false)));
    assert!(script.take_published().is_empty());
    script.pass(Duration::from_millis(500));

    assert_eq!(keys(&script.take_published()), ["key-1"]);
    let refused = Delivery::Dropped(DropReason::Refused(refusal(103, false)));
    assert_eq!(script.outcomes, [(PublicationId(2), refused)]);
}

fn keys(published: &[(u32, String)]) -> Vec<&str> {
    published.iter().map(|(_, key)| key.as_str()).collect()
}
