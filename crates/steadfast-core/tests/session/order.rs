//! The order of publications within a channel, while a server refuses for the moment, does not answer, or goes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use steadfast_core::io::{Delivery, Input, PublicationId};
use steadfast_machine::{Generator, Seed};
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::idempotent;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{Command, ReplyError, ReplyResult, Request};

use crate::script::{Script, ack, key_of, settings};

/// The first pause with its jitter.
const PAUSE: Duration = Duration::from_millis(625);

fn keys(commands: &[Command]) -> Vec<String> {
    commands.iter().filter_map(key_of).collect()
}

/// A queue that sends again what was refused, and goes on with the rest meanwhile.
fn faulty(offered: &[u64], refused: u64) -> Vec<u64> {
    let mut waiting: VecDeque<u64> = offered.iter().copied().collect();
    let mut applied = Vec::new();
    let mut again = VecDeque::new();
    while let Some(item) = waiting.pop_front() {
        if item == refused {
            again.push_back(item);
        } else {
            applied.push(item);
        }
    }
    applied.extend(again);
    applied
}

/// The server takes all but one, which it refuses twice. In which order does it apply them?
fn ours(channel_window: usize, refused: u64) -> Vec<u64> {
    let mut settings = settings();
    settings.outbox.channel_window = channel_window;
    let mut script = Script::with(settings, 1);
    script.connect();
    for _ in 1..=4 {
        script.publish();
    }
    let mut applied = Vec::new();
    let mut refusals = 0;
    for _ in 0..20 {
        for command in script.commands() {
            let key = key_of(&command).expect("keyed");
            let item: u64 = key.trim_start_matches('k').parse().expect("a number");
            if item == refused && refusals < 2 {
                refusals += 1;
                script.answer(command.id, Err(ErrorCode::TooManyRequests.reply()));
                // What is handed in now is not sent before the refused one is taken.
                script.publish();
            } else {
                applied.push(item);
                script.answer(command.id, Ok(ack(1, false)));
            }
        }
        script.pass(PAUSE / 5);
    }
    applied
}

#[test]
fn what_is_refused_for_the_moment_is_not_overtaken_by_what_is_sent_later() {
    assert_eq!(faulty(&[1, 2, 3, 4, 5, 6], 2), [1, 3, 4, 5, 6, 2]);

    // Those under way behind it may stand before it; with one at a time there are none.
    assert_eq!(ours(8, 2), [1, 3, 4, 2, 5, 6]);
    assert_eq!(ours(1, 2), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_channel_that_was_refused_goes_on_with_one_at_a_time_until_one_is_taken() {
    let mut script = Script::ready();
    for _ in 0..6 {
        script.publish();
    }
    let commands = script.commands();
    for command in &commands {
        script.answer(command.id, Err(ErrorCode::TooManyRequests.reply()));
    }
    // Refused together, so they count once.
    script.pass(PAUSE);
    let first = script.commands();
    assert_eq!(keys(&first), ["k1"]);
    script.answer(first[0].id, Err(ErrorCode::TooManyRequests.reply()));
    while script.snapshot().unanswered == 0 {
        script.pass_alive(1);
    }
    let again = script.commands();
    assert_eq!(keys(&again), ["k1"]);

    script.answer(again[0].id, Ok(ack(1, false)));

    assert_eq!(keys(&script.commands()), ["k2", "k3", "k4", "k5", "k6"]);
}

#[test]
fn a_channel_begins_with_one_after_a_loss_since_a_server_that_starts_may_refuse() {
    let mut script = Script::ready();
    for _ in 0..4 {
        script.publish();
    }
    script.publish_in("other", None);
    script.lose();
    script.handle(Input::Kicked);
    script.connect();
    let commands = script.commands();
    assert_eq!(keys(&commands), ["k1", "k5"]);
    // Had it got the others too, it might have taken one of them a moment later.
    script.answer(commands[0].id, Err(ErrorCode::TooManyRequests.reply()));
    script.pass(PAUSE);
    let again = script.commands();
    assert_eq!(keys(&again), ["k1"]);

    script.answer(again[0].id, Ok(ack(1, false)));

    assert_eq!(keys(&script.commands()), ["k2", "k3", "k4"]);
}

#[test]
fn a_channel_that_is_refused_does_not_hold_up_the_others() {
    let mut script = Script::ready();
    script.publish_in("full", None);
    let refused = script.commands();
    script.answer(refused[0].id, Err(ErrorCode::TooManyRequests.reply()));
    script.publish_in("full", None);
    script.publish_in("other", None);

    assert_eq!(keys(&script.commands()), ["k3"]);
}

/// A server that does what servers do, in the order of what reaches it.
struct Server {
    /// Numbers by channel, in the order in which they were applied.
    applied: BTreeMap<String, Vec<u64>>,
    /// What will be answered, some of it late.
    answers: VecDeque<Answer>,
    refusals: u64,
    silences: u64,
}

struct Answer {
    command: u32,
    channel: String,
    number: u64,
    outcome: Result<ReplyResult, ReplyError>,
}

struct World {
    script: Script,
    server: Server,
    /// What the server has not read.
    unread: VecDeque<Command>,
    /// The last number of each channel that was sent.
    sent: BTreeMap<String, u64>,
    /// One that was refused, and the last of its channel that was under way when that arrived: what stands between
    /// them may stand before it.
    refused: Vec<(u64, u64)>,
    generator: Generator,
    is_strict: bool,
    losses: u64,
}

impl World {
    fn new(seed: u64, is_strict: bool) -> Self {
        let mut settings = settings();
        settings.outbox.key_window = Duration::from_hours(10);
        if is_strict {
            settings.outbox.channel_window = 1;
        }
        let mut script = Script::with(settings, seed);
        script.connect();
        Self {
            script,
            server: Server {
                applied: BTreeMap::new(),
                answers: VecDeque::new(),
                refusals: 0,
                silences: 0,
            },
            unread: VecDeque::new(),
            sent: BTreeMap::new(),
            refused: Vec::new(),
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
            10..=13 => self.answer(),
            14 => {
                if self.generator.chance(1, 3) {
                    self.lose();
                }
            }
            _ => {
                let seconds = self.generator.below(13);
                self.script.pass_alive(seconds);
            }
        }
    }

    fn lose(&mut self) {
        self.losses += 1;
        self.look();
        for answer in std::mem::take(&mut self.server.answers) {
            self.note_refusal(&answer);
        }
        self.unread.clear();
        self.script.lose();
        self.script.handle(Input::Kicked);
        self.script.connect();
    }

    /// What the session has sent up to now.
    fn look(&mut self) {
        for command in self.script.commands() {
            let (channel, number) = publication(&command);
            let last = self.sent.entry(channel).or_default();
            *last = number.max(*last);
            self.unread.push_back(command);
        }
    }

    fn note_refusal(&mut self, answer: &Answer) {
        if answer.outcome.is_err() {
            let last = self.sent.get(&answer.channel).copied();
            self.refused.push((answer.number, last.expect("sent")));
        }
    }

    /// The server goes through what has reached it.
    fn read(&mut self, has_moods: bool) {
        self.look();
        while let Some(command) = self.unread.pop_front() {
            let (channel, number) = publication(&command);
            let mut answer = Answer {
                command: command.id,
                channel: channel.clone(),
                number,
                outcome: Err(ErrorCode::TooManyRequests.reply()),
            };
            if has_moods && self.generator.chance(1, 8) {
                self.server.refusals += 1;
                self.server.answers.push_back(answer);
                continue;
            }
            // A server that drops what it has read breaks every order but that of one at a time.
            let is_silent = has_moods && self.generator.chance(1, 12);
            let is_dropped = is_silent && self.is_strict && self.generator.chance(1, 2);
            let applied = self.server.applied.entry(channel).or_default();
            let duplicate = applied.contains(&number);
            if !duplicate && !is_dropped {
                applied.push(number);
            }
            self.server.silences += u64::from(is_silent);
            if !is_silent {
                answer.outcome = Ok(ack(1, duplicate));
                self.server.answers.push_back(answer);
            }
        }
    }

    /// One of the answers arrives, mostly the oldest.
    fn answer(&mut self) {
        let is_late = self.generator.chance(1, 4);
        let next = if is_late {
            self.server.answers.pop_back()
        } else {
            self.server.answers.pop_front()
        };
        if let Some(answer) = next {
            self.look();
            self.note_refusal(&answer);
            self.script.answer(answer.command, answer.outcome);
        }
    }

    fn settle(&mut self) {
        for _ in 0..300 {
            self.read(false);
            while !self.server.answers.is_empty() {
                self.answer();
            }
            self.script.pass_alive(1);
        }
        assert_eq!(self.script.account.owed(), 0, "every receipt has its end");
    }

    /// Pairs of one channel that stand the wrong way round.
    fn overtaken(&self) -> Vec<(u64, u64)> {
        let mut pairs = Vec::new();
        for applied in self.server.applied.values() {
            for (place, later) in applied.iter().enumerate() {
                let behind = applied.iter().skip(place + 1);
                let earlier = behind.filter(|earlier| *earlier < later);
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

fn all_acknowledged(resolved: &[(PublicationId, Delivery)]) -> usize {
    let acknowledged = |it: &&(PublicationId, Delivery)| {
        matches!(it.1, Delivery::Acknowledged { .. } | Delivery::Dropped(_))
    };
    assert_eq!(resolved.iter().filter(acknowledged).count(), resolved.len());
    resolved.len()
}

#[test]
fn the_order_of_a_channel_holds_over_refusals_silence_and_losses() {
    let (mut refusals, mut silences, mut losses, mut acknowledged) = (0, 0, 0, 0);
    let mut overtaken_by_those_under_way = 0;
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
                let is_excused = |(refused, last): &(u64, u64)| refused == earlier && later <= last;
                let is_excused = world.refused.iter().any(is_excused);
                assert!(is_excused, "seed {seed}: {later} before {earlier}");
            }
            overtaken_by_those_under_way += overtaken.len();
            acknowledged += all_acknowledged(&world.script.resolved);
            refusals += world.server.refusals;
            silences += world.server.silences;
            losses += world.losses;
        }
    }

    assert!(refusals > 1_000 && silences > 1_000 && losses > 1_000);
    assert!(acknowledged > 10_000 && overtaken_by_those_under_way > 100);
}
