//! The outbox finds the same messages by its indexes as by searching all of them.

use proptest::prelude::*;
use steadfast_machine::convert;

use super::*;
use crate::dialect::Delivery;

const SETTINGS: OutboxSettings = OutboxSettings {
    messages_max: 20,
    bytes_max: 200,
    in_flight_max: 6,
    channel_in_flight_max: 3,
    ack_timeout: Duration::from_secs(4),
    resend_window: Duration::from_secs(20),
    retry_after: Duration::from_millis(500),
};

/// The kinds of messages in a run.
const KINDS: &[&[Delivery]] = &[
    &[Delivery::AtLeastOnce],
    &[Delivery::Unacknowledged],
    &[
        Delivery::AtLeastOnce,
        Delivery::AtMostOnce,
        Delivery::Unacknowledged,
    ],
];

/// A message of a size and kind.
#[derive(Clone, Debug, PartialEq)]
struct Sized {
    lane: usize,
    bytes: usize,
    delivery: Delivery,
}

impl Message for Sized {
    type Lane = usize;

    fn lane(&self) -> &usize {
        &self.lane
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn delivery(&self) -> Delivery {
        self.delivery
    }
}

/// One step of a run; a number selects its command or lane.
#[derive(Clone, Copy, Debug)]
enum Step {
    Enqueue { ttl_seconds: Option<u8> },
    Send { is_write_blocked: bool },
    Acknowledge,
    RetryLater,
    Reject,
    LoseConnection,
    Expire { is_write_blocked: bool },
    Wait,
}

/// An outbox, and the commands of its connection, which may have a reply.
struct Run {
    outbox: Outbox<Sized>,
    now: Instant,
    next_id: u64,
    next_command: u32,
    commands: Vec<u32>,
    /// The kinds of all messages.
    deliveries: &'static [Delivery],
}

impl Run {
    fn new(deliveries: &'static [Delivery]) -> Self {
        Self {
            deliveries,
            outbox: Outbox::new(SETTINGS),
            now: Instant::START,
            next_id: 0,
            // The ids of commands start again during the run.
            next_command: u32::MAX - 20,
            commands: Vec::new(),
        }
    }

    fn apply(&mut self, step: Step, pick: usize) {
        let now = self.now;
        let outbox = &mut self.outbox;
        match step {
            Step::Enqueue { ttl_seconds } => {
                let message = Sized {
                    lane: pick % 3,
                    bytes: pick % 20,
                    delivery: self.deliveries[pick % self.deliveries.len()],
                };
                let outgoing = Outgoing {
                    id: MessageId(self.next_id),
                    message,
                    ttl: ttl_seconds.map(|it| Duration::from_secs(it.into())),
                    drops_oldest: pick.is_multiple_of(2),
                };
                self.next_id += 1;
                self.outbox.enqueue(now, outgoing);
            }
            Step::Send { is_write_blocked } => self.send(is_write_blocked),
            Step::Acknowledge => {
                let known = self
                    .pick_command(pick)
                    .map(|it| self.outbox.acknowledge(it));
                assert_ne!(known, Some(None));
            }
            Step::RetryLater => {
                if let Some(command) = self.pick_command(pick) {
                    let may_be_stored = pick.is_multiple_of(3);
                    self.outbox
                        .retry_later(now, command, None, may_be_stored, |pause| pause);
                }
            }
            Step::Reject => {
                if let Some(command) = self.pick_command(pick) {
                    self.outbox.reject(command, SendError::<()>::Closed);
                }
            }
            Step::LoseConnection => {
                outbox.on_connection_lost();
                self.commands.clear();
            }
            Step::Expire { is_write_blocked } => {
                outbox.expire::<()>(now, is_write_blocked);
                assert!(outbox.deadline().is_none_or(|at| at > now), "still due");
            }
            Step::Wait => self.now = now + Duration::from_millis(convert::to_u64(pick % 3_000)),
        }
    }

    /// Sends the message that is found by searching all of them.
    fn send(&mut self, is_write_blocked: bool) {
        let (now, command) = (self.now, self.next_command);
        let outbox = &mut self.outbox;
        outbox.flows.end_pauses(now);
        let expected = outbox.entries.iter().find(|it| {
            outbox.in_flight < SETTINGS.in_flight_max
                && !it.is_in_flight()
                && outbox.flows.can_send(it.flow)
                && !it.is_expired(now, SETTINGS.resend_window)
                && !(is_write_blocked && it.is_unacknowledged())
        });
        let expected = expected.map(|it| it.outgoing.id);

        let is_sent = outbox.send_next(now, command, is_write_blocked).is_some();

        let index = outbox.index_of(command);
        let sent = index.and_then(|index| outbox.entries.get(index));
        assert_eq!(sent.map(|it| it.outgoing.id), expected);
        assert_eq!(is_sent, expected.is_some());
        if is_sent {
            self.commands.push(command);
            self.next_command = command.checked_add(1).unwrap_or(1);
        }
    }

    /// A command without a reply, of a message without an outcome.
    fn pick_command(&mut self, pick: usize) -> Option<u32> {
        self.commands.retain(|it| self.outbox.get(*it).is_some());
        let index = pick.checked_rem(self.commands.len())?;
        Some(self.commands.remove(index))
    }

    /// Compares the indexes with the entries.
    fn check(&self) {
        let Outbox { entries, .. } = &self.outbox;
        let numbers = entries.iter().map(|it| it.number);
        assert!(numbers.is_sorted_by(|one, next| one < next));
        for (index, entry) in entries.iter().enumerate() {
            assert!(!entry.is_lost(), "the peer would apply it again");
            assert_eq!(self.outbox.position(entry.number), Some(index));
            for command in entry.commands() {
                assert_eq!(self.outbox.index_of(command), Some(index), "{command}");
            }
        }
        let commands = entries.iter().flat_map(OutboxEntry::commands).count();
        assert_eq!(self.outbox.commands.len(), commands);
        let unacknowledged = entries.iter().filter(|it| it.is_unacknowledged()).count();
        assert_eq!(self.outbox.unacknowledged, unacknowledged);
        let deadlines = entries.iter().filter_map(|it| {
            let deadline = it.deadline(SETTINGS.resend_window)?;
            Some((deadline, it.number))
        });
        let mut deadlines: Vec<_> = deadlines.collect();
        deadlines.sort_unstable();
        assert_eq!(self.outbox.deadlines.all(), deadlines);
        let entries = entries.iter();
        let entries = entries.map(|it| (it.flow, it.number, it.is_in_flight()));
        self.outbox.flows.check(&entries.collect::<Vec<_>>());
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => proptest::option::of(0_u8..8).prop_map(|ttl_seconds| Step::Enqueue { ttl_seconds }),
        8 => any::<bool>().prop_map(|is_write_blocked| Step::Send { is_write_blocked }),
        4 => Just(Step::Acknowledge),
        1 => Just(Step::RetryLater),
        1 => Just(Step::Reject),
        1 => Just(Step::LoseConnection),
        2 => any::<bool>().prop_map(|is_write_blocked| Step::Expire { is_write_blocked }),
        3 => Just(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_indexes_find_what_a_search_of_all_messages_finds(
        deliveries in proptest::sample::select(KINDS),
        steps in proptest::collection::vec((step(), any::<u16>()), 1..200),
    ) {
        let mut run = Run::new(deliveries);
        for (step, pick) in steps {
            run.apply(step, usize::from(pick));
            run.check();
        }

        run.outbox.close(&SendError::<()>::Closed);
        run.check();
        prop_assert!(run.outbox.is_empty());
    }
}

/// An outbox with one message of which the peer would apply a copy, sent with the command 1.
fn at_most_once() -> Outbox<Sized> {
    let mut outbox = Outbox::new(SETTINGS);
    let outgoing = Outgoing {
        id: MessageId(7),
        message: Sized {
            lane: 0,
            bytes: 1,
            delivery: Delivery::AtMostOnce,
        },
        ttl: None,
        drops_oldest: false,
    };
    outbox.enqueue(Instant::START, outgoing);
    outbox.send_next(Instant::START, 1, false).expect("sent");
    outbox
}

#[test]
fn a_message_that_the_peer_would_apply_twice_is_sent_once_and_ends_as_soon_as_it_is_in_doubt() {
    let now = Instant::START;
    let mut lost = at_most_once();
    assert_eq!(lost.on_connection_lost(), [MessageId(7)]);

    let mut overdue = at_most_once();
    let expired = overdue.expire(now + SETTINGS.ack_timeout, false);
    assert_eq!(expired, [(MessageId(7), SendError::<()>::Interrupted)]);

    let mut stored = at_most_once();
    let ended = stored.retry_later(now, 1, None, true, |pause| pause);
    assert_eq!(ended, Some(MessageId(7)));

    for outbox in [lost, overdue, stored] {
        assert!(outbox.is_empty());
    }
}

#[test]
fn a_message_that_was_certainly_not_applied_is_sent_again_even_if_a_copy_would_be_applied() {
    let mut outbox = at_most_once();

    let ended = outbox.retry_later(Instant::START, 1, None, false, |pause| pause);

    assert_eq!(ended, None);
    let resumed_at = Instant::START + SETTINGS.retry_after;
    assert!(outbox.send_next(resumed_at, 2, false).is_some());
}
