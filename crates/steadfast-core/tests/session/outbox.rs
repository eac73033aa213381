//! Publications and calls: one outcome each, no loss, no reordering; unknown outcomes are reported.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use steadfast_core::dialect::Unsendable;
use steadfast_core::dialect::centrifuge::{
    Acknowledgement, Call, CallError, Input, Outgoing, Publish, SendError,
};
use steadfast_core::event::{SessionPhase, SessionState};
use steadfast_core::io::MessageId;
use steadfast_machine::convert;
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::ReplyResult;

use crate::script::{Script, ack, key_of, settings};

/// A queue of numbers for a peer.
trait Queue {
    fn enqueue(&mut self);
    /// A connection was established. Returns the numbers that are sent on it.
    fn connected(&mut self) -> Vec<u64>;
    fn acked(&mut self, item: u64);
    fn lost(&mut self);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// A number that was written to the socket counts as delivered.
    SentIsDelivered,
    /// A resend clears the queue before any acknowledgement.
    ClearedBeforeAck,
}

struct Faulty {
    fault: Fault,
    next: u64,
    items: VecDeque<u64>,
}

impl Queue for Faulty {
    fn enqueue(&mut self) {
        self.next += 1;
        self.items.push_back(self.next);
    }

    fn connected(&mut self) -> Vec<u64> {
        let sent: Vec<u64> = match self.fault {
            Fault::SentIsDelivered => self.items.pop_front().into_iter().collect(),
            Fault::ClearedBeforeAck => self.items.iter().copied().collect(),
        };
        if self.fault == Fault::ClearedBeforeAck {
            self.items.clear();
        }
        sent
    }

    fn acked(&mut self, item: u64) {
        self.items.retain(|it| *it != item);
    }

    fn lost(&mut self) {}
}

struct Ours {
    script: Script,
    enqueued: u32,
    commands: Vec<(u64, u32)>,
}

impl Queue for Ours {
    fn enqueue(&mut self) {
        // One channel each, since a channel is throttled after a lost connection.
        self.script.publish_in(&self.enqueued.to_string(), None);
        self.enqueued += 1;
    }

    fn connected(&mut self) -> Vec<u64> {
        if !self.script.invariants.is_dialing() {
            self.script.redial();
        }
        self.script.connect();
        let commands = self.script.commands();
        let number = |key: String| key.trim_start_matches('k').parse().expect("a number");
        self.commands = commands
            .iter()
            .filter_map(|it| Some((number(key_of(it)?), it.id)))
            .collect();
        self.commands.iter().map(|(item, _)| *item).collect()
    }

    fn acked(&mut self, item: u64) {
        let (_, command) = self
            .commands
            .iter()
            .find(|(it, _)| *it == item)
            .expect("sent");
        self.script.reply_to(*command, Ok(ack(item, false)));
    }

    fn lost(&mut self) {
        self.script.lose_connection();
    }
}

/// Sends three numbers; loses the first connection before a reply, the second after one. Returns what is resent.
fn sent_on_third_connection(queue: &mut impl Queue) -> Vec<u64> {
    for _ in 0..3 {
        queue.enqueue();
    }
    queue.connected();
    queue.lost();
    if let Some(first) = queue.connected().first() {
        queue.acked(*first);
    }
    queue.lost();
    queue.connected()
}

fn ours() -> Ours {
    Ours {
        script: Script::new(),
        enqueued: 0,
        commands: Vec::new(),
    }
}

const fn faulty(fault: Fault) -> Faulty {
    Faulty {
        fault,
        next: 0,
        items: VecDeque::new(),
    }
}

#[test]
fn what_was_written_to_a_socket_is_not_delivered_yet() {
    assert_ne!(
        sent_on_third_connection(&mut faulty(Fault::SentIsDelivered)),
        [2, 3]
    );
    assert_eq!(sent_on_third_connection(&mut ours()), [2, 3]);
}

#[test]
fn an_interrupted_resend_loses_nothing() {
    assert!(sent_on_third_connection(&mut faulty(Fault::ClearedBeforeAck)).is_empty());
    assert_eq!(sent_on_third_connection(&mut ours()), [2, 3]);
}

#[test]
fn a_lost_connection_resets_the_in_flight_count() {
    let mut script = Script::ready();
    for _ in 0..20 {
        script.publish();
    }
    assert_eq!(script.commands().len(), 8, "the limit");
    assert_eq!(script.snapshot().in_flight, 8);
    script.lose_connection();
    script.handle(Input::ReconnectRequested);
    script.connect();

    let mut keys = Vec::new();
    while let Some(command) = {
        let commands = script.commands();
        for command in &commands {
            keys.push(key_of(command).expect("a key"));
        }
        for command in commands.iter().skip(1) {
            script.reply_to(command.id, Ok(ack(1, false)));
        }
        commands.into_iter().next()
    } {
        script.reply_to(command.id, Ok(ack(1, false)));
    }

    let expected: Vec<String> = (1..=20).map(|it| format!("k{it}")).collect();
    assert_eq!(keys, expected, "all, once on this connection, in order");
    assert_eq!(script.invariants.pending(), 0);
}

#[test]
fn what_may_have_arrived_is_not_resent_after_the_resend_window() {
    let mut script = Script::ready();
    let sent = script.publish();
    script.commands();
    script.lose_connection();
    script.advance_to_next_dial();
    let queued = script.publish();

    // The first was sent at 0 s; the resend window is 100 s.
    while script.now < steadfast_machine::Instant::START + Duration::from_secs(101) {
        if script.invariants.is_dialing() {
            script.dial_fails();
        }
        script.advance_to_next_dial();
    }
    script.connect();

    let interrupted = Err(SendError::Interrupted);
    assert_eq!(script.publication_outcomes, [(sent, interrupted)]);
    let keys: Vec<_> = script.commands().iter().filter_map(key_of).collect();
    assert_eq!(keys, [format!("k{}", queued.0)]);
}

#[test]
fn a_publication_expires_while_queued_and_not_while_in_flight() {
    let ttl = Some(Duration::from_secs(5));
    let mut waiting = Script::new();
    waiting.publish_for(ttl);
    waiting.advance(Duration::from_secs(5));
    let mut in_flight = Script::ready();
    in_flight.publish_for(ttl);
    in_flight.advance(Duration::from_secs(6));
    let command = in_flight.commands().remove(0);
    in_flight.reply_to(command.id, Ok(ack(3, true)));

    assert_eq!(waiting.publication_outcomes[0].1, Err(SendError::Expired));
    assert!(matches!(
        in_flight.publication_outcomes[0].1,
        Ok(Acknowledgement {
            duplicate: true,
            ..
        })
    ));
}

#[test]
fn the_outbox_is_bounded_and_reports_it() {
    let mut script = Script::new();
    for _ in 0..70 {
        script.publish();
    }
    let full = Err(SendError::OutboxFull);
    assert_eq!(script.publication_outcomes.len(), 6);
    assert!(
        script
            .publication_outcomes
            .iter()
            .all(|(_, it)| *it == full)
    );

    let mut by_bytes = Script::new();
    let large = |n: u64, bytes| {
        Input::SendRequested(Outgoing {
            id: MessageId(n),
            message: Publish::new("chat".into(), vec![b'1'; bytes].into(), n.to_string()),
            ttl: None,
            drops_oldest: false,
        })
    };
    by_bytes.handle(large(1, 40_000));
    by_bytes.handle(large(2, 40_000));
    by_bytes.handle(large(3, 70_000));
    assert_eq!(by_bytes.publication_outcomes[0].1, full);
    assert!(matches!(
        by_bytes.publication_outcomes[1].1,
        Err(SendError::Unsendable(Unsendable::TooLarge { .. }))
    ));
}

#[test]
fn expired_publications_free_capacity() {
    let large = |script: &mut Script, n| {
        script.handle(Input::SendRequested(Outgoing {
            id: MessageId(n),
            message: Publish::new(
                n.to_string().as_str().into(),
                format!("\"{}\"", "1".repeat(40_000)).into(),
                n.to_string(),
            ),
            ttl: Some(Duration::from_secs(1)),
            drops_oldest: false,
        }));
    };
    let mut script = Script::new();
    large(&mut script, 1);
    script.advance(Duration::from_secs(1));
    large(&mut script, 2);
    script.connect();
    let command = script.commands().remove(0);
    script.reply_to(command.id, Ok(ack(1, false)));
    large(&mut script, 3);

    let outcomes: Vec<_> = script
        .publication_outcomes
        .iter()
        .map(|(id, _)| id.0)
        .collect();
    assert_eq!(outcomes, [1, 2], "{:?}", script.publication_outcomes);
    assert_eq!(script.commands().len(), 1);
}

#[test]
fn no_state_is_kept_for_a_channel_without_publications() {
    let mut script = Script::ready();
    let mut publish = |n: u32| {
        script.publish_in(&format!("chat {n}"), None);
        let command = script.commands().remove(0);
        script.reply_to(command.id, Ok(ack(1, false)));
        script.size()
    };
    let early = publish(1_000);
    for n in 1_001..1_999 {
        publish(n);
    }
    let late = publish(1_999);

    assert!(late < early + 100, "{early} bytes became {late}");
}

#[test]
fn a_publication_that_drops_the_oldest_ones_does_not_drop_what_was_sent() {
    let mut script = Script::ready();
    let sent = convert::to_u64(settings().outbox.in_flight_max);
    let all = convert::to_u64(settings().outbox.messages_max);
    let mut publish = |number: u64, drops_oldest, bytes: usize| {
        script.handle(Input::SendRequested(Outgoing {
            id: MessageId(number),
            message: Publish::new(
                "chat".into(),
                vec![b'1'; bytes].into(),
                format!("k{number}"),
            ),
            ttl: None,
            drops_oldest,
        }));
    };
    for number in 1..=all {
        publish(number, false, 1);
    }
    publish(1_000, true, 1);
    publish(1_001, false, 1);
    publish(1_002, true, 60_000);
    publish(1_003, true, 60_000);

    let dropped: Vec<u64> = script
        .publication_outcomes
        .iter()
        .map(|it| it.0.0)
        .collect();
    let unsent = sent + 2..=all;
    let expected = [sent + 1, 1_001]
        .into_iter()
        .chain(unsent)
        .chain([1_000, 1_002]);
    assert_eq!(dropped, expected.collect::<Vec<_>>());
}

#[test]
fn a_call_above_the_message_size_limit_does_not_end_the_session() {
    let mut script = Script::ready();
    let data = vec![b'1'; 70_000].into();
    let method = "m".to_owned();
    script.call(Call::Rpc { method, data }, Duration::from_secs(5));

    assert!(matches!(
        script.call_outcomes[0].1,
        Err(CallError::Unsendable(Unsendable::TooLarge { .. }))
    ));
    assert!(script.commands().is_empty());
}

#[test]
fn a_temporary_rejection_is_retried_and_a_permanent_one_is_reported() {
    let mut script = Script::ready();
    script.publish();
    let first = script.commands().remove(0);
    script.reply_to(first.id, Err(ErrorCode::TooManyRequests.reply()));
    assert_eq!(script.invariants.pending(), 1);
    // 500 ms plus at most 25 % of jitter.
    script.advance(Duration::from_millis(625));
    let again = script.commands().remove(0);
    assert_eq!(key_of(&again), key_of(&first));
    let rejection = ErrorCode::PermissionDenied.reply();
    script.reply_to(again.id, Err(rejection.clone()));

    let dropped = Err(SendError::Rejected(rejection));
    assert_eq!(script.publication_outcomes[0].1, dropped);
}

#[test]
fn after_a_loss_each_call_reports_whether_it_may_have_been_executed() {
    let rpc = || Call::Rpc {
        method: "pay".to_owned(),
        data: "1".into(),
    };
    let history = Call::History {
        channel: "chat".to_owned(),
        limit: 1,
        since: None,
        reverse: false,
    };
    let long = Duration::from_mins(1);
    let mut script = Script::ready();
    let write = script.call(rpc(), long);
    let read = script.call(history, long);
    script.commands();
    script.lose_connection();
    let later = script.call(rpc(), long);

    let maybe_executed = true;
    let interrupted = CallError::Interrupted { maybe_executed };
    assert_eq!(script.call_outcomes, [(write, Err(interrupted))]);
    script.handle(Input::ReconnectRequested);
    script.connect();
    let commands = script.commands();
    assert_eq!(commands.len(), 2, "the repeated read, and the unsent call");
    script.reply_to(commands[1].id, Ok(ReplyResult::Rpc("2".into())));
    assert_eq!(script.call_outcomes[1].0, later);
    script.advance(long);
    assert!(matches!(script.call_outcomes[2], (id, Err(CallError::TimedOut { .. })) if id == read));
    assert_eq!(
        script.state(),
        SessionState::Reconnecting,
        "silent for a minute"
    );
}

#[test]
fn a_withdrawn_call_is_not_sent_and_the_reply_of_a_sent_one_is_ignored() {
    let presence = || Call::Presence {
        channel: "chat".to_owned(),
    };
    let long = Duration::from_mins(1);
    let mut script = Script::ready();
    let sent = script.call(presence(), long);
    let command = script.commands().remove(0);
    script.withdraw(sent);
    script.reply_to(command.id, Ok(ReplyResult::Presence(BTreeMap::new())));
    script.reply_to(command.id, Err(ErrorCode::Internal.reply()));
    let repeated = script.call(presence(), long);
    script.lose_connection();
    let unsent = script.call(presence(), long);
    script.withdraw(repeated);
    script.withdraw(unsent);
    script.handle(Input::ReconnectRequested);
    script.connect();

    assert_eq!(script.commands(), []);
    assert_eq!(script.call_outcomes, []);
    assert_eq!(script.phase(), SessionPhase::Ready);
}

#[test]
fn a_withdrawn_call_frees_its_place() {
    let mut script = Script::new();
    for _ in 0..=settings().calls_max {
        let channel = "chat".to_owned();
        let id = script.call(Call::Presence { channel }, Duration::from_secs(5));
        script.withdraw(id);
    }

    assert_eq!(script.call_outcomes, []);
}

#[test]
fn calls_above_the_limit_are_rejected_immediately() {
    let mut script = Script::new();
    for _ in 0..=settings().calls_max {
        let channel = "chat".to_owned();
        script.call(Call::Presence { channel }, Duration::from_secs(5));
    }

    assert_eq!(script.call_outcomes.len(), 1);
    assert_eq!(script.call_outcomes[0].1, Err(CallError::Busy));
}
