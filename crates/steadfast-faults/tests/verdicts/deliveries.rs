//! Deliveries that violate a guarantee fail the check of that guarantee.

use steadfast_faults::ledger::event::{ClientEvent, RunEvent, RunPhase};
use steadfast_faults::verdict::Verdict;

use crate::run::healthy;
use crate::{check, index, subscribed};

#[test]
fn one_message_lost_for_one_subscriber_fails() {
    let mut run = healthy();
    let reader = run.lose_early_message();

    check(&run, Verdict::Fail, &["no-acknowledged-message-lost"]);
    let stats = &run.ledger().clients[index(reader)];
    assert_eq!(stats.delivery.lost, 1);
}

#[test]
fn one_message_delivered_twice_to_one_subscriber_fails() {
    let mut run = healthy();
    let (reader, twice) = run.early_message();
    let at = run.begin(RunPhase::Quiet);
    let event = ClientEvent::Delivered {
        message: Some(twice),
        offset: 1,
    };
    run.push(
        at,
        RunEvent::Client {
            client: reader,
            event,
        },
    );

    check(&run, Verdict::Fail, &["no-duplicates"]);
}

#[test]
fn two_messages_reordered_for_one_subscriber_fail() {
    let mut run = healthy();
    let (reader, _) = run.early_message();
    let mut earlier = None;
    let mut swapped = false;
    run.retain_events(reader, |_, event| {
        if let ClientEvent::Delivered { message, offset } = event
            && !swapped
        {
            match earlier.take() {
                // The second delivery becomes the first; the first becomes the second below.
                Some((first, first_offset)) => {
                    earlier = Some((*message, *offset));
                    (*message, *offset) = (first, first_offset);
                    swapped = true;
                }
                None => earlier = Some((*message, *offset)),
            }
        }
        true
    });
    let (second, second_offset) = earlier.unwrap();
    let mut first = true;
    run.retain_events(reader, |_, event| {
        if let ClientEvent::Delivered { message, offset } = event
            && first
        {
            (*message, *offset) = (second, second_offset);
            first = false;
        }
        true
    });

    check(&run, Verdict::Fail, &["no-reordering"]);
}

#[test]
fn a_reported_gap_and_a_new_channel_epoch_fail() {
    let mut run = healthy();
    let (victim, _) = run.victim();
    run.retain_events(victim, |_, event| {
        if let ClientEvent::Subscribed(it) = event
            && it.was_recovering
        {
            *event = subscribed("another", false);
        }
        true
    });

    check(&run, Verdict::Fail, &["no-gap-and-no-epoch-change"]);
}

#[test]
fn a_message_that_no_client_published_fails() {
    let mut run = healthy();
    let (reader, _) = run.early_message();
    let at = run.begin(RunPhase::Quiet);
    let event = ClientEvent::Delivered {
        message: None,
        offset: 100_000,
    };
    run.push(
        at,
        RunEvent::Client {
            client: reader,
            event,
        },
    );

    check(&run, Verdict::Fail, &["no-unexpected-deliveries"]);
}
