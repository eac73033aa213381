//! Each violation is found, and what is permitted after a lost acknowledgement is not reported.

use serde_json::json;

use super::*;

#[test]
fn a_run_in_which_all_arrives_once_and_in_order_passes() {
    let mut ledger = subscribed_ledger();
    publish(&mut ledger, "a", 1);
    publish(&mut ledger, "b", 2);
    deliver(&mut ledger, &[("a", 1), ("b", 2)]);
    hold(&mut ledger, &[("a", 1), ("b", 2)]);

    let verdict = ledger.evaluate(0);

    assert!(verdict.holds(), "{verdict}");
    assert_eq!(verdict.counts.acknowledged.idempotent, 2);
    assert_eq!(verdict.counts.delivered, 2);
}

#[test]
fn an_acknowledged_publication_that_no_subscriber_saw_is_lost() {
    let mut ledger = subscribed_ledger();
    publish(&mut ledger, "a", 1);
    publish(&mut ledger, "b", 2);
    deliver(&mut ledger, &[("b", 2)]);
    hold(&mut ledger, &[("a", 1), ("b", 2)]);

    check(ledger, &[("lost", 1)]);
}

#[test]
fn an_acknowledged_publication_missing_in_the_channel_is_lost() {
    let mut ledger = subscribed_ledger();
    publish(&mut ledger, "a", 1);
    deliver(&mut ledger, &[("a", 1)]);

    check(ledger, &[("lost", 1)]);
}

#[test]
fn a_stored_publication_whose_acknowledgement_was_lost_must_be_delivered() {
    let mut ledger = subscribed_ledger();
    ledger.published("plain", "load", payload("plain"), false);
    hold(&mut ledger, &[("plain", 1)]);

    check(ledger, &[("lost", 1)]);
}

#[test]
fn a_plain_publication_whose_acknowledgement_was_lost_may_be_missing() {
    let mut ledger = subscribed_ledger();
    ledger.published("plain", "load", payload("plain"), false);

    check(ledger, &[]);
}

#[test]
fn a_publication_may_be_delivered_before_its_acknowledgement() {
    let mut ledger = subscribed_ledger();
    ledger.published("a", "load", payload("a"), true);
    deliver(&mut ledger, &[("a", 1)]);
    ledger.repeated();
    ledger.acknowledged("a", &position(1), true);
    hold(&mut ledger, &[("a", 1)]);

    check(ledger, &[]);
}

#[test]
fn a_later_publication_before_an_earlier_one_is_reordered() {
    let mut ledger = subscribed_ledger();
    publish(&mut ledger, "a", 1);
    publish(&mut ledger, "b", 2);
    deliver(&mut ledger, &[("b", 2), ("a", 1)]);
    hold(&mut ledger, &[("a", 1), ("b", 2)]);

    check(ledger, &[("reordered", 1)]);
}

#[test]
fn the_same_offset_twice_is_delivered_twice() {
    let mut ledger = subscribed_ledger();
    publish(&mut ledger, "a", 1);
    deliver(&mut ledger, &[("a", 1), ("a", 1)]);
    hold(&mut ledger, &[("a", 1)]);

    check(ledger, &[("delivered twice", 1)]);
}

#[test]
fn one_key_at_two_offsets_is_applied_twice() {
    let mut ledger = subscribed_ledger();
    publish(&mut ledger, "a", 1);
    deliver(&mut ledger, &[("a", 1), ("a", 2)]);
    hold(&mut ledger, &[("a", 1), ("a", 2)]);

    check(ledger, &[("applied twice", 1), ("delivered twice", 1)]);
}

#[test]
fn two_keys_at_one_offset_are_a_reused_offset() {
    let mut ledger = subscribed_ledger();
    publish(&mut ledger, "a", 1);
    publish(&mut ledger, "b", 1);
    deliver(&mut ledger, &[("a", 1), ("b", 2)]);
    hold(&mut ledger, &[("a", 1), ("b", 2)]);

    check(ledger, &[("applied twice", 1), ("offsets reused", 1)]);
}

#[test]
fn a_subscription_that_resumes_without_recovery_is_not_recovered() {
    let mut ledger = subscribed_ledger();
    ledger.subscribed("reader", "load", &subscription(false));

    check(ledger, &[("not recovered", 1)]);
}

#[test]
fn a_resumed_subscription_is_counted() {
    let mut ledger = subscribed_ledger();
    ledger.subscribed("reader", "load", &subscription(true));

    let verdict = ledger.evaluate(0);

    assert!(verdict.holds(), "{verdict}");
    assert_eq!(verdict.counts.resumed, 1);
}

#[test]
fn another_epoch_is_a_fault() {
    let mut ledger = subscribed_ledger();
    ledger.history("load", "another", &[]);

    check(ledger, &[("epochs changed", 1)]);
}

#[test]
fn an_unknown_payload_is_reported() {
    let mut ledger = subscribed_ledger();
    publish(&mut ledger, "a", 1);
    ledger.delivered(
        "reader",
        "load",
        1,
        &json!({"idempotency_key": "a", "pad": "other"}),
    );
    ledger.delivered("reader", "load", 2, &json!({"idempotency_key": "z"}));
    hold(&mut ledger, &[("a", 1)]);

    check(ledger, &[("altered", 1), ("unknown", 1)]);
}

#[test]
fn an_idempotent_publication_without_an_acknowledgement_is_reported() {
    let mut ledger = subscribed_ledger();
    ledger.published("a", "load", payload("a"), true);

    check(ledger, &[("never acknowledged", 1)]);
}

#[test]
fn a_subscriber_below_the_high_watermark_is_lagging() {
    let mut ledger = subscribed_ledger();
    publish(&mut ledger, "a", 1);
    hold(&mut ledger, &[("a", 1)]);
    let before = ledger.lagging();
    deliver(&mut ledger, &[("a", 1)]);

    assert_eq!((before, ledger.lagging()), (1, 0));
}

#[test]
fn a_run_with_too_few_acknowledgements_proves_nothing() {
    let mut ledger = subscribed_ledger();
    publish(&mut ledger, "a", 1);
    deliver(&mut ledger, &[("a", 1)]);
    hold(&mut ledger, &[("a", 1)]);

    let verdict = ledger.evaluate(2);

    assert_eq!(verdict.count("below minimum"), 1, "{verdict}");
}

#[test]
fn a_subscription_that_is_not_resumed_after_a_kill_is_reported() {
    let mut ledger = subscribed_ledger();
    ledger.killed_in_flight(1, 0);
    ledger.subscribed("reader", "load", &subscription(true));
    ledger.killed_in_flight(1, 0);

    check(ledger, &[("below minimum", 1)]);
}

/// Evaluates and compares the number of faults of each kind; kinds that are not listed must be absent.
fn check(ledger: Ledger, expected: &[(&str, usize)]) {
    let verdict = ledger.evaluate(0);

    for (kind, count) in expected {
        assert_eq!(verdict.count(kind), *count, "{kind}\n{verdict}");
    }
    assert_eq!(verdict.holds(), expected.is_empty(), "{verdict}");
    let named: usize = expected.iter().map(|(_, count)| count).sum();
    assert_eq!(verdict.faults().len(), named, "{verdict}");
}

/// A ledger with one subscriber, `reader`, from the beginning of the channel `load`.
fn subscribed_ledger() -> Ledger {
    let mut ledger = Ledger::default();
    ledger.expect_subscriber("reader", "load");
    let first = Subscribed {
        was_recovering: false,
        ..subscription(false)
    };
    ledger.subscribed("reader", "load", &first);
    ledger
}

fn subscription(recovered: bool) -> Subscribed {
    Subscribed {
        position: position(0),
        was_recovering: true,
        recovered,
    }
}

fn publish(ledger: &mut Ledger, key: &str, offset: u64) {
    ledger.published(key, "load", payload(key), true);
    ledger.acknowledged(key, &position(offset), false);
}

fn deliver(ledger: &mut Ledger, publications: &[(&str, u64)]) {
    for (key, offset) in publications {
        ledger.delivered("reader", "load", *offset, &payload(key));
    }
}

fn hold(ledger: &mut Ledger, publications: &[(&str, u64)]) {
    let publications: Vec<_> = publications
        .iter()
        .map(|(key, offset)| (*offset, payload(key)))
        .collect();
    ledger.history("load", "epoch", &publications);
}

fn payload(key: &str) -> Value {
    json!({"idempotency_key": key})
}

fn position(offset: u64) -> Position {
    Position {
        epoch: "epoch".to_owned(),
        offset,
    }
}
