//! Messages that take the place of older ones: what was sent is never dropped, and nothing is dropped in vain.

use steadfast_core::dialect::centrifuge::{Input, Outgoing, Publish, SendError};
use steadfast_core::io::MessageId;
use steadfast_core::policy::SessionSettings;

use crate::script::{Script, settings};

/// A publication of this size that drops the oldest unsent ones.
fn publish(script: &mut Script, number: u64, bytes: usize) {
    script.handle(Input::SendRequested(Outgoing {
        id: MessageId(number),
        message: Publish::new(
            "chat".into(),
            vec![b'1'; bytes].into(),
            format!("k{number}"),
        ),
        ttl: None,
        drops_oldest: true,
    }));
}

/// An outbox of eight messages or 1,000 bytes, of which two are in flight at a time.
fn small() -> SessionSettings {
    let mut settings = settings();
    settings.outbox.messages_max = 8;
    settings.outbox.bytes_max = 1_000;
    settings.outbox.in_flight_max = 2;
    settings
}

fn ready(settings: SessionSettings) -> Script {
    let mut script = Script::with(settings, 1);
    script.connect();
    script
}

fn dropped(script: &Script) -> Vec<u64> {
    let outcomes = script.publication_outcomes.iter();
    let dropped = outcomes.map(|(id, outcome)| {
        assert_eq!(*outcome, Err(SendError::OutboxFull));
        id.0
    });
    dropped.collect()
}

#[test]
fn a_message_that_does_not_fit_next_to_those_that_were_sent_drops_no_other() {
    let mut script = ready(small());
    for (number, bytes) in [(1, 400), (2, 400), (3, 50)] {
        publish(&mut script, number, bytes);
    }

    publish(&mut script, 4, 201);
    assert_eq!(dropped(&script), [4]);
    publish(&mut script, 5, 200);
    assert_eq!(dropped(&script), [4, 3]);
}

#[test]
fn the_number_of_messages_is_limited_although_all_were_sent() {
    let mut settings = small();
    settings.outbox.messages_max = 2;
    let mut script = ready(settings);
    publish(&mut script, 1, 1);
    publish(&mut script, 2, 1);

    publish(&mut script, 3, 1);

    assert_eq!(dropped(&script), [3]);
}
