//! The order of publications within a channel, while a server rejects temporarily, does not reply, or is lost.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use steadfast_core::dialect::centrifuge::{Input, SendResult};
use steadfast_core::io::MessageId;
use steadfast_machine::{Generator, Seed};
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::idempotent;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{Command, ReplyError, ReplyResult, Request};

use crate::script::{Script, ack, key_of, settings};

/// The longest first pause.
const PAUSE: Duration = Duration::from_millis(625);

fn keys(commands: &[Command]) -> Vec<String> {
    commands.iter().filter_map(key_of).collect()
}

/// A faulty queue that resends rejected publications, and continues with the others in the meantime.
fn order_of_faulty_queue(enqueued: &[u64], rejected: u64) -> Vec<u64> {
    let mut waiting: VecDeque<u64> = enqueued.iter().copied().collect();
    let mut applied = Vec::new();
    let mut again = VecDeque::new();
    while let Some(item) = waiting.pop_front() {
        if item == rejected {
            again.push_back(item);
        } else {
            applied.push(item);
        }
    }
    applied.extend(again);
    applied
}

/// The server accepts all but one, which it rejects twice. Returns the order in which it applies them.
fn order_of_session(channel_in_flight_max: usize, rejected: u64) -> Vec<u64> {
    let mut settings = settings();
    settings.outbox.channel_in_flight_max = channel_in_flight_max;
    let mut script = Script::with(settings, 1);
    script.connect();
    for _ in 1..=4 {
        script.publish();
    }
    let mut applied = Vec::new();
    let mut rejections = 0;
    for _ in 0..20 {
        for command in script.commands() {
            let key = key_of(&command).expect("a key");
            let item: u64 = key.trim_start_matches('k').parse().expect("a number");
            if item == rejected && rejections < 2 {
                rejections += 1;
                script.reply_to(command.id, Err(ErrorCode::TooManyRequests.reply()));
                // A publication that is requested now is not sent before the rejected one is accepted.
                script.publish();
            } else {
                applied.push(item);
                script.reply_to(command.id, Ok(ack(1, false)));
            }
        }
        script.advance(PAUSE / 5);
    }
    applied
}

#[test]
fn a_temporarily_rejected_publication_is_not_overtaken_by_later_ones() {
    assert_eq!(
        order_of_faulty_queue(&[1, 2, 3, 4, 5, 6], 2),
        [1, 3, 4, 5, 6, 2]
    );

    // Later ones in flight may be stored before it; with a limit of one there are none.
    assert_eq!(order_of_session(8, 2), [1, 3, 4, 2, 5, 6]);
    assert_eq!(order_of_session(1, 2), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_rejected_channel_continues_with_one_in_flight_until_an_acknowledgement() {
    let mut script = Script::ready();
    for _ in 0..6 {
        script.publish();
    }
    let commands = script.commands();
    for command in &commands {
        script.reply_to(command.id, Err(ErrorCode::TooManyRequests.reply()));
    }
    // Rejected together: one rejection.
    script.advance(PAUSE);
    let first = script.commands();
    assert_eq!(keys(&first), ["k1"]);
    script.reply_to(first[0].id, Err(ErrorCode::TooManyRequests.reply()));
    while script.snapshot().in_flight == 0 {
        script.keep_alive(1);
    }
    let again = script.commands();
    assert_eq!(keys(&again), ["k1"]);

    script.reply_to(again[0].id, Ok(ack(1, false)));

    assert_eq!(keys(&script.commands()), ["k2", "k3", "k4", "k5", "k6"]);
}

#[test]
fn after_a_loss_a_channel_sends_one_first_since_a_starting_server_may_reject() {
    let mut script = Script::ready();
    for _ in 0..4 {
        script.publish();
    }
    script.publish_in("other", None);
    script.lose_connection();
    script.handle(Input::ReconnectRequested);
    script.connect();
    let commands = script.commands();
    assert_eq!(keys(&commands), ["k1", "k5"]);
    // If the server had received the others too, it might have accepted one of them a moment later.
    script.reply_to(commands[0].id, Err(ErrorCode::TooManyRequests.reply()));
    script.advance(PAUSE);
    let again = script.commands();
    assert_eq!(keys(&again), ["k1"]);

    script.reply_to(again[0].id, Ok(ack(1, false)));

    assert_eq!(keys(&script.commands()), ["k2", "k3", "k4"]);
}

#[test]
fn a_rejected_channel_does_not_delay_the_others() {
    let mut script = Script::ready();
    script.publish_in("full", None);
    let rejected = script.commands();
    script.reply_to(rejected[0].id, Err(ErrorCode::TooManyRequests.reply()));
    script.publish_in("full", None);
    script.publish_in("other", None);

    assert_eq!(keys(&script.commands()), ["k3"]);
}

/// A server that applies what it receives in order.
struct Server {
    applied: BTreeMap<String, Vec<u64>>,
    /// Replies to be delivered, some of them late.
    replies: VecDeque<PendingReply>,
    rejections: u64,
    silences: u64,
}

struct PendingReply {
    command: u32,
    channel: String,
    number: u64,
    outcome: Result<ReplyResult, ReplyError>,
}

struct World {
    script: Script,
    server: Server,
    /// Commands that the server has not read.
    unread: VecDeque<Command>,
    /// The last sent number of each channel.
    sent: BTreeMap<String, u64>,
    /// A rejected publication, and the last one of its channel that was in flight when the rejection arrived: those
    /// between them may be stored before it.
    rejected: Vec<(u64, u64)>,
    generator: Generator,
    is_strict: bool,
    losses: u64,
}

impl World {
    fn new(seed: u64, is_strict: bool) -> Self {
        let mut settings = settings();
        settings.outbox.resend_window = Duration::from_hours(10);
        if is_strict {
            settings.outbox.channel_in_flight_max = 1;
        }
        let mut script = Script::with(settings, seed);
        script.connect();
        Self {
            script,
            server: Server {
                applied: BTreeMap::new(),
                replies: VecDeque::new(),
                rejections: 0,
                silences: 0,
            },
            unread: VecDeque::new(),
            sent: BTreeMap::new(),
            rejected: Vec::new(),
            generator: Seed::new(seed).generator(),
            is_strict,
            losses: 0,
        }
    }

    fn step(&mut self) {
        match self.generator.below(16) {
            0..=5 => {
                let channel = if self.generator.chance(1, 3) {
                    "a"
                } else {
                    "b"
                };
                self.script.publish_in(channel, None);
            }
            6..=9 => self.read(true),
            10..=13 => self.deliver_reply(),
            14 => {
                if self.generator.chance(1, 3) {
                    self.lose_connection();
                }
            }
            _ => {
                let seconds = self.generator.below(13);
                self.script.keep_alive(seconds);
            }
        }
    }

    fn lose_connection(&mut self) {
        self.losses += 1;
        self.read_commands();
        for reply in std::mem::take(&mut self.server.replies) {
            self.record_rejection(&reply);
        }
        self.unread.clear();
        self.script.lose_connection();
        self.script.redial();
        self.script.connect();
    }

    /// Reads the commands that the session has sent.
    fn read_commands(&mut self) {
        for command in self.script.commands() {
            let (channel, number) = publication(&command);
            let last = self.sent.entry(channel).or_default();
            *last = number.max(*last);
            self.unread.push_back(command);
        }
    }

    fn record_rejection(&mut self, reply: &PendingReply) {
        if reply.outcome.is_err() {
            let last = self.sent.get(&reply.channel).copied();
            self.rejected.push((reply.number, last.expect("sent")));
        }
    }

    /// The server handles the commands that it has received.
    fn read(&mut self, has_faults: bool) {
        self.read_commands();
        while let Some(command) = self.unread.pop_front() {
            let (channel, number) = publication(&command);
            let mut reply = PendingReply {
                command: command.id,
                channel: channel.clone(),
                number,
                outcome: Err(ErrorCode::TooManyRequests.reply()),
            };
            if has_faults && self.generator.chance(1, 8) {
                self.server.rejections += 1;
                self.server.replies.push_back(reply);
                continue;
            }
            // A command dropped after it was read breaks the order unless only one is in flight.
            let is_silent = has_faults && self.generator.chance(1, 12);
            let is_dropped = is_silent && self.is_strict && self.generator.chance(1, 2);
            let applied = self.server.applied.entry(channel).or_default();
            let duplicate = applied.contains(&number);
            if !duplicate && !is_dropped {
                applied.push(number);
            }
            self.server.silences += u64::from(is_silent);
            if !is_silent {
                reply.outcome = Ok(ack(1, duplicate));
                self.server.replies.push_back(reply);
            }
        }
    }

    /// Delivers one of the replies, usually the oldest.
    fn deliver_reply(&mut self) {
        let is_late = self.generator.chance(1, 4);
        let next = if is_late {
            self.server.replies.pop_back()
        } else {
            self.server.replies.pop_front()
        };
        if let Some(reply) = next {
            self.read_commands();
            self.record_rejection(&reply);
            self.script.reply_to(reply.command, reply.outcome);
        }
    }

    fn settle(&mut self) {
        for _ in 0..300 {
            self.read(false);
            while !self.server.replies.is_empty() {
                self.deliver_reply();
            }
            self.script.keep_alive(1);
        }
        assert_eq!(
            self.script.invariants.pending(),
            0,
            "each receipt has its outcome"
        );
    }

    /// Pairs of one channel in reverse order.
    fn overtaken(&self) -> Vec<(u64, u64)> {
        let mut pairs = Vec::new();
        for applied in self.server.applied.values() {
            for (index, later) in applied.iter().enumerate() {
                let later_ones = applied.iter().skip(index + 1);
                let earlier = later_ones.filter(|earlier| *earlier < later);
                pairs.extend(earlier.map(|earlier| (*later, *earlier)));
            }
        }
        pairs
    }
}

fn publication(command: &Command) -> (String, u64) {
    let Request::Rpc(rpc) = &command.request else {
        panic!("{command:?}");
    };
    let publish = idempotent::decode_publish(&rpc.data, &Limits::DEFAULT).expect("valid");
    let number = publish.idempotency_key.trim_start_matches('k').parse();
    (publish.channel, number.expect("a number"))
}

fn all_acknowledged_or_dropped(publication_outcomes: &[(MessageId, SendResult)]) -> usize {
    let acknowledged = |it: &&(MessageId, SendResult)| matches!(it.1, Ok(_) | Err(_));
    assert_eq!(
        publication_outcomes.iter().filter(acknowledged).count(),
        publication_outcomes.len()
    );
    publication_outcomes.len()
}

#[test]
fn the_order_of_a_channel_holds_over_rejections_silence_and_losses() {
    let (mut rejections, mut silences, mut losses, mut acknowledged) = (0, 0, 0, 0);
    let mut overtaken_by_those_in_flight = 0;
    for seed in 0..300 {
        for is_strict in [true, false] {
            let mut world = World::new(seed, is_strict);
            for _ in 0..150 {
                world.step();
            }
            world.settle();

            let overtaken = world.overtaken();
            if is_strict {
                assert_eq!(overtaken, [], "seed {seed}");
            }
            for (later, earlier) in &overtaken {
                let is_excused =
                    |(rejected, last): &(u64, u64)| rejected == earlier && later <= last;
                let is_excused = world.rejected.iter().any(is_excused);
                assert!(is_excused, "seed {seed}: {later} before {earlier}");
            }
            overtaken_by_those_in_flight += overtaken.len();
            acknowledged += all_acknowledged_or_dropped(&world.script.publication_outcomes);
            rejections += world.server.rejections;
            silences += world.server.silences;
            losses += world.losses;
        }
    }

    assert!(rejections > 1_000 && silences > 1_000 && losses > 1_000);
    assert!(acknowledged > 10_000 && overtaken_by_those_in_flight > 100);
}
