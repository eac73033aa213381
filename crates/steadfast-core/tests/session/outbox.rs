//! Publications and calls: each ends once, nothing is lost or overtaken, and doubt is told. R10, R11.

use std::collections::VecDeque;
use std::time::Duration;

use steadfast_core::event::State;
use steadfast_core::io::{Call, CallError, Delivery, DropReason, Input, PublicationId, Publish};
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::ReplyResult;

use crate::script::{Script, ack, key_of, settings};

/// A queue of numbers towards a peer.
trait Queue {
    fn offer(&mut self);
    /// A connection is there: what is sent on it?
    fn connected(&mut self) -> Vec<u64>;
    fn acked(&mut self, item: u64);
    fn lost(&mut self);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// What was handed to the socket counts as delivered.
    SentIsDelivered,
    /// The replay empties the queue before anything is acknowledged.
    ClearedBeforeAck,
}

struct Faulty {
    fault: Fault,
    next: u64,
    items: VecDeque<u64>,
}

impl Queue for Faulty {
    fn offer(&mut self) {
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
    offered: u32,
    commands: Vec<(u64, u32)>,
}

impl Queue for Ours {
    fn offer(&mut self) {
        // Each in a channel of its own, since a channel goes on with one at a time after a loss.
        self.script.publish_in(&self.offered.to_string(), None);
        self.offered += 1;
    }

    fn connected(&mut self) -> Vec<u64> {
        if !self.script.account.is_dialing() {
            self.script.handle(Input::Kicked);
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
        self.script.answer(*command, Ok(ack(item, false)));
    }

    fn lost(&mut self) {
        self.script.lose();
    }
}

/// Three publications; the connection dies before any answer, then after one. What arrives on the third?
fn arrive_at_last(queue: &mut impl Queue) -> Vec<u64> {
    for _ in 0..3 {
        queue.offer();
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
        offered: 0,
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
fn r10_what_was_handed_to_a_socket_is_not_delivered_yet() {
    assert_ne!(arrive_at_last(&mut faulty(Fault::SentIsDelivered)), [2, 3]);
    assert_eq!(arrive_at_last(&mut ours()), [2, 3]);
}

#[test]
fn r11_a_replay_that_breaks_off_loses_nothing() {
    assert!(arrive_at_last(&mut faulty(Fault::ClearedBeforeAck)).is_empty());
    assert_eq!(arrive_at_last(&mut ours()), [2, 3]);
}

#[test]
fn a_window_full_of_unanswered_publications_is_open_again_after_a_loss() {
    let mut script = Script::ready();
    for _ in 0..20 {
        script.publish();
    }
    assert_eq!(script.commands().len(), 8, "the window");
    assert_eq!(script.snapshot().unanswered, 8);
    script.lose();
    script.handle(Input::Kicked);
    script.connect();

    let mut keys = Vec::new();
    while let Some(command) = {
        let commands = script.commands();
        for command in &commands {
            keys.push(key_of(command).expect("keyed"));
        }
        for command in commands.iter().skip(1) {
            script.answer(command.id, Ok(ack(1, false)));
        }
        commands.into_iter().next()
    } {
        script.answer(command.id, Ok(ack(1, false)));
    }

    let expected: Vec<String> = (1..=20).map(|it| format!("k{it}")).collect();
    assert_eq!(keys, expected, "all, once on this connection, in order");
    assert_eq!(script.account.owed(), 0);
}

#[test]
fn what_may_have_arrived_is_not_repeated_once_the_key_may_be_forgotten() {
    let mut script = Script::ready();
    let sent = script.publish();
    script.commands();
    script.lose();
    script.pass_until_dial();
    let queued = script.publish();

    // The first was sent at 0 s; the server remembers its key for 100 s.
    while script.now < steadfast_machine::Instant::START + Duration::from_secs(101) {
        if script.account.is_dialing() {
            script.dial_fails();
        }
        script.pass_until_dial();
    }
    script.connect();

    let maybe_delivered = true;
    let interrupted = Delivery::Interrupted { maybe_delivered };
    assert_eq!(script.resolved, [(sent, interrupted)]);
    let keys: Vec<_> = script.commands().iter().filter_map(key_of).collect();
    assert_eq!(keys, [format!("k{}", queued.0)]);
}

#[test]
fn a_publication_expires_while_it_waits_and_not_while_it_is_under_way() {
    let ttl = Some(Duration::from_secs(5));
    let mut waiting = Script::new();
    waiting.publish_for(ttl);
    waiting.pass(Duration::from_secs(5));
    let mut under_way = Script::ready();
    under_way.publish_for(ttl);
    under_way.pass(Duration::from_secs(6));
    let command = under_way.commands().remove(0);
    under_way.answer(command.id, Ok(ack(3, true)));

    assert_eq!(waiting.resolved[0].1, Delivery::Expired);
    assert!(matches!(
        under_way.resolved[0].1,
        Delivery::Acknowledged {
            duplicate: true,
            ..
        }
    ));
}

#[test]
fn the_outbox_is_bounded_and_says_so() {
    let mut script = Script::new();
    for _ in 0..70 {
        script.publish();
    }
    let full = Delivery::Dropped(DropReason::OutboxFull);
    assert_eq!(script.resolved.len(), 6);
    assert!(script.resolved.iter().all(|(_, it)| *it == full));

    let mut by_bytes = Script::new();
    let large = |n: u64, bytes| {
        Input::PublishRequested(Publish {
            id: PublicationId(n),
            channel: "room".to_owned(),
            data: vec![b'1'; bytes].into(),
            key: n.to_string(),
            ttl: None,
        })
    };
    by_bytes.handle(large(1, 40_000));
    by_bytes.handle(large(2, 40_000));
    by_bytes.handle(large(3, 70_000));
    assert_eq!(by_bytes.resolved[0].1, full);
    assert_eq!(
        by_bytes.resolved[1].1,
        Delivery::Dropped(DropReason::TooLarge)
    );
}

#[test]
fn what_is_over_makes_room() {
    let large = |script: &mut Script, n| {
        script.handle(Input::PublishRequested(Publish {
            id: PublicationId(n),
            channel: n.to_string(),
            data: vec![b'1'; 40_000].into(),
            key: n.to_string(),
            ttl: Some(Duration::from_secs(1)),
        }));
    };
    let mut script = Script::new();
    large(&mut script, 1);
    script.pass(Duration::from_secs(1));
    large(&mut script, 2);
    script.connect();
    let command = script.commands().remove(0);
    script.answer(command.id, Ok(ack(1, false)));
    large(&mut script, 3);

    let told: Vec<_> = script.resolved.iter().map(|(id, _)| id.0).collect();
    assert_eq!(told, [1, 2], "{:?}", script.resolved);
    assert_eq!(script.commands().len(), 1);
}

#[test]
fn nothing_is_kept_of_a_channel_once_its_publications_have_ended() {
    let mut script = Script::ready();
    let mut publish = |n: u32| {
        script.publish_in(&format!("room {n}"), None);
        let command = script.commands().remove(0);
        script.answer(command.id, Ok(ack(1, false)));
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
fn a_call_that_fits_into_no_message_does_not_cost_the_session() {
    let mut script = Script::ready();
    let data = vec![b'1'; 70_000].into();
    let method = "m".to_owned();
    script.call(Call::Rpc { method, data }, Duration::from_secs(5));

    assert_eq!(script.answered[0].1, Err(CallError::TooLarge));
    assert!(script.commands().is_empty());
}

#[test]
fn a_refusal_that_passes_is_tried_again_and_one_that_does_not_is_told() {
    let mut script = Script::ready();
    script.publish();
    let first = script.commands().remove(0);
    script.answer(first.id, Err(ErrorCode::TooManyRequests.reply()));
    assert_eq!(script.account.owed(), 1);
    // Half a second, and up to a quarter of it more.
    script.pass(Duration::from_millis(625));
    let again = script.commands().remove(0);
    assert_eq!(key_of(&again), key_of(&first));
    let refusal = ErrorCode::PermissionDenied.reply();
    script.answer(again.id, Err(refusal.clone()));

    let dropped = Delivery::Dropped(DropReason::Refused(refusal));
    assert_eq!(script.resolved[0].1, dropped);
}

#[test]
fn a_loss_tells_each_call_what_may_have_happened_to_it() {
    let rpc = || Call::Rpc {
        method: "pay".to_owned(),
        data: "1".into(),
    };
    let history = Call::History {
        channel: "room".to_owned(),
        limit: 1,
        since: None,
        reverse: false,
    };
    let long = Duration::from_mins(1);
    let mut script = Script::ready();
    let write = script.call(rpc(), long);
    let read = script.call(history, long);
    script.commands();
    script.lose();
    let later = script.call(rpc(), long);

    let maybe_executed = true;
    let interrupted = CallError::Interrupted { maybe_executed };
    assert_eq!(script.answered, [(write, Err(interrupted))]);
    script.handle(Input::Kicked);
    script.connect();
    let commands = script.commands();
    assert_eq!(commands.len(), 2, "the read again, and what was not sent");
    script.answer(commands[1].id, Ok(ReplyResult::Rpc("2".into())));
    assert_eq!(script.answered[1].0, later);
    script.pass(long);
    assert!(matches!(script.answered[2], (id, Err(CallError::TimedOut { .. })) if id == read));
    assert_eq!(script.state(), State::Reconnecting, "silent for a minute");
}

#[test]
fn too_many_calls_are_refused_at_once() {
    let mut script = Script::new();
    for _ in 0..=settings().calls_max {
        let channel = "room".to_owned();
        script.call(Call::Presence { channel }, Duration::from_secs(5));
    }

    assert_eq!(script.answered.len(), 1);
    assert_eq!(script.answered[0].1, Err(CallError::Busy));
}
