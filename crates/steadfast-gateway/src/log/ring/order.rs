//! The order in which one core is shown what the log said: shared entries, and its own answers in their places.
//!
//! Owns the entries that some core has still to see, a cursor for each core, and the answers that wait for it. Takes
//! no lock and wakes nobody: `ring` does both around it.

use std::collections::VecDeque;

use bytes::Bytes;
use steadfast_hub::io::{LogEvent, ShardMessage};
use steadfast_protocol::message::ClientInfo;

use super::{RingLimits, Taken};

/// What an entry costs in memory beside its payload, in bytes; an estimate that makes tiny entries count too.
const ENTRY_BYTES: usize = 128;

/// One thing to show.
#[derive(Debug)]
pub(in crate::log) enum Delivery {
    /// To every core.
    All(LogEvent),
    /// To one core, behind everything delivered before and ahead of everything delivered after.
    One {
        /// The core.
        core: u16,
        /// What it is shown.
        event: LogEvent,
    },
}

/// Shared entries that wait, and where each core stands.
#[derive(Debug)]
pub(super) struct Order {
    limits: RingLimits,
    waiting: Waiting,
    readers: Vec<Reader>,
}

/// The shared entries that some core has still to see.
#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<LogEvent>,
    /// The sequence of the first entry; no cursor is below it.
    first: u64,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Reader {
    /// The sequence of the next shared entry to show.
    cursor: u64,
    /// Entries before the cursor were lost, and the core does not know it yet.
    lapsed: bool,
    /// What only this core is shown, each with the sequence of the shared entry that it goes ahead of.
    own: VecDeque<(u64, LogEvent)>,
}

impl Order {
    pub(super) fn new(cores: u16, limits: RingLimits) -> Self {
        Self {
            limits,
            waiting: Waiting::default(),
            readers: (0..cores).map(|_| Reader::default()).collect(),
        }
    }

    /// Adds one thing behind all others. A core that the ring has no room to wait for lapses.
    pub(super) fn push(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::All(event) => {
                self.waiting.add(event);
                self.make_room();
            }
            Delivery::One { core, event } => {
                let at = self.waiting.end();
                if let Some(reader) = self.readers.get_mut(usize::from(core)) {
                    reader.own.push_back((at, event));
                }
            }
        }
    }

    /// Appends what the core has still to see, at most `max` events.
    ///
    /// A gap is told behind what only this core is shown inside it, and ahead of the first entry after it: an answer
    /// inside the gap knows nothing of what is missing behind its place.
    pub(super) fn take(&mut self, core: u16, events: &mut Vec<LogEvent>, max: usize) -> Taken {
        let core = usize::from(core);
        let others = self.slowest_other(core);
        let Some(reader) = self.readers.get_mut(core) else {
            return Taken { more: false };
        };
        for _ in 0..max {
            if let Some(event) = reader.own_before_gap() {
                events.push(event);
            } else if std::mem::take(&mut reader.lapsed) {
                events.push(LogEvent::Lagged);
            } else if let Some(event) = reader.own_before_entry() {
                events.push(event);
            } else if let Some(event) = self.waiting.show(reader.cursor, others) {
                events.push(event);
                reader.cursor += 1;
            } else {
                break;
            }
        }
        let more = self.has(core);
        Taken { more }
    }

    /// True when a take would bring the core anything.
    pub(super) fn has(&self, core: usize) -> bool {
        self.readers.get(core).is_some_and(|reader| {
            reader.lapsed || !reader.own.is_empty() || reader.cursor < self.waiting.end()
        })
    }

    /// How many shared entries wait for the slowest core.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.waiting.entries.len()
    }

    fn slowest_other(&self, core: usize) -> u64 {
        let others = self
            .readers
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != core);
        others
            .map(|(_, reader)| reader.cursor)
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Leaves behind the cores that stand at the oldest entry until the limits hold again.
    ///
    /// Such a core re-reads the log anyway, so it goes on at the newest entry: the oldest would be gone again at once.
    fn make_room(&mut self) {
        while self.waiting.exceeds(self.limits) {
            let newest = self.waiting.end() - 1;
            for reader in self
                .readers
                .iter_mut()
                .filter(|reader| reader.cursor == self.waiting.first)
            {
                reader.cursor = newest;
                reader.lapsed = true;
            }
            let slowest = self
                .readers
                .iter()
                .map(|reader| reader.cursor)
                .min()
                .unwrap_or(newest);
            while self.waiting.first < slowest {
                self.waiting.remove_first();
            }
        }
    }
}

impl Waiting {
    fn add(&mut self, event: LogEvent) {
        self.bytes += cost(&event);
        self.entries.push_back(event);
    }

    /// The sequence that the next entry gets.
    fn end(&self) -> u64 {
        self.first + u64::try_from(self.entries.len()).unwrap_or(u64::MAX)
    }

    /// The newest entry never counts as too much, so that each can be shown.
    fn exceeds(&self, limits: RingLimits) -> bool {
        self.entries.len() > 1 && (self.entries.len() > limits.entries || self.bytes > limits.bytes)
    }

    /// The entry at the cursor: moved out when no other core needs it, else copied.
    fn show(&mut self, cursor: u64, others: u64) -> Option<LogEvent> {
        if cursor == self.first && others > cursor {
            return self.remove_first();
        }
        let index = usize::try_from(cursor.checked_sub(self.first)?).ok()?;
        self.entries.get(index).cloned()
    }

    fn remove_first(&mut self) -> Option<LogEvent> {
        let event = self.entries.pop_front()?;
        self.first += 1;
        self.bytes -= cost(&event);
        Some(event)
    }
}

impl Reader {
    /// The next thing for this core alone, if its place is inside a gap that the core was not told yet.
    fn own_before_gap(&mut self) -> Option<LogEvent> {
        if self.lapsed {
            self.own_if(|at, cursor| at < cursor)
        } else {
            None
        }
    }

    /// The next thing for this core alone, if its place is ahead of the next shared entry.
    fn own_before_entry(&mut self) -> Option<LogEvent> {
        self.own_if(|at, cursor| at <= cursor)
    }

    fn own_if(&mut self, due: impl FnOnce(u64, u64) -> bool) -> Option<LogEvent> {
        let (at, _) = self.own.front()?;
        if due(*at, self.cursor) {
            self.own.pop_front().map(|(_, event)| event)
        } else {
            None
        }
    }
}

/// What a shared entry holds in memory, in bytes, roughly.
fn cost(event: &LogEvent) -> usize {
    ENTRY_BYTES
        + match event {
            LogEvent::Committed(committed) => {
                let record = &committed.record;
                record.data.len() + record.publisher.user.len() + record.publisher.client.len()
            }
            LogEvent::Message(
                ShardMessage::Join { info, .. } | ShardMessage::Leave { info, .. },
            ) => info_cost(info),
            // These go to one core only or carry nothing that could be large.
            LogEvent::Message(
                ShardMessage::PresenceQuery { .. } | ShardMessage::PresenceResponse { .. },
            )
            | LogEvent::Response { .. }
            | LogEvent::Lagged => 0,
        }
}

fn info_cost(info: &ClientInfo) -> usize {
    let data = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len);
    info.user.len() + info.client.len() + data(&info.conn_info) + data(&info.chan_info)
}

#[cfg(test)]
mod tests {
    use steadfast_hub::io::PresenceDetail;
    use steadfast_hub::log::io::{Rejection, Response};
    use steadfast_machine::{Generator, Seed};
    use steadfast_protocol::message::ChannelName;

    use super::*;

    /// What a core was shown, reduced to what the order is about.
    #[derive(Clone, Debug, PartialEq)]
    enum Seen {
        Shared(u64),
        Own(u64),
        Lapsed,
    }

    /// Everything that was ever delivered, in order; `None` is for all cores.
    type History = Vec<(Option<u16>, u64)>;

    #[test]
    fn a_core_sees_its_answer_between_the_entries_around_it() {
        let mut order = Order::new(1, limits(10));
        order.push(shared_entry(1));
        order.push(own_entry(0, 2));
        order.push(shared_entry(3));

        let seen = drain(&mut order, 0, 1);

        assert_eq!(seen, [Seen::Shared(1), Seen::Own(2), Seen::Shared(3)]);
    }

    #[test]
    fn a_core_that_fell_behind_is_told_once_and_before_what_follows() {
        let mut order = Order::new(2, limits(2));
        for number in 1..=5 {
            order.push(shared_entry(number));
            drain(&mut order, 1, 10);
        }

        let seen = drain(&mut order, 0, 10);

        assert_eq!(seen.first(), Some(&Seen::Lapsed));
        assert_eq!(seen.iter().filter(|seen| **seen == Seen::Lapsed).count(), 1);
        assert_eq!(seen.last(), Some(&Seen::Shared(5)));
        assert!(!order.has(0));
    }

    #[test]
    fn an_answer_inside_a_gap_comes_before_the_gap_is_told() {
        let mut order = Order::new(1, limits(2));
        order.push(own_entry(0, 100));
        for number in 1..=4 {
            order.push(shared_entry(number));
        }

        let seen = drain(&mut order, 0, 10);

        assert_eq!(seen[..2], [Seen::Own(100), Seen::Lapsed]);
    }

    #[test]
    fn the_bytes_bound_makes_a_core_lapse_too_but_the_newest_entry_stays() {
        let mut order = Order::new(
            1,
            RingLimits {
                entries: 100,
                bytes: 1,
            },
        );
        order.push(shared_entry(1));
        order.push(shared_entry(2));

        let seen = drain(&mut order, 0, 10);

        assert_eq!(seen, [Seen::Lapsed, Seen::Shared(2)]);
    }

    #[test]
    fn what_every_core_has_seen_is_kept_no_longer() {
        let mut order = Order::new(2, limits(10));
        order.push(shared_entry(1));
        drain(&mut order, 0, 10);
        assert_eq!(order.len(), 1);

        drain(&mut order, 1, 10);

        assert_eq!((order.len(), order.waiting.bytes), (0, 0));
    }

    #[test]
    fn any_mix_of_pushes_and_takes_shows_each_core_the_one_order_with_all_holes_told() {
        for seed in 0..400 {
            let mut generator = Seed::new(seed).generator();
            let cores = u16::try_from(1 + generator.below(4)).unwrap();
            let capacity = usize::try_from(1 + generator.below(12)).unwrap();

            let (history, seen) = random_run(&mut generator, cores, capacity);

            for core in 0..cores {
                check(&history, core, &seen[usize::from(core)])
                    .unwrap_or_else(|why| panic!("seed {seed}: {why}"));
            }
        }
    }

    fn random_run(
        generator: &mut Generator,
        cores: u16,
        capacity: usize,
    ) -> (History, Vec<Vec<Seen>>) {
        let mut order = Order::new(cores, limits(capacity));
        let mut history = History::new();
        let mut seen = vec![Vec::new(); usize::from(cores)];
        for number in 0..300 {
            let core = u16::try_from(generator.below(u64::from(cores))).unwrap();
            match generator.below(4) {
                0 | 1 => {
                    order.push(shared_entry(number));
                    history.push((None, number));
                }
                2 => {
                    order.push(own_entry(core, number));
                    history.push((Some(core), number));
                }
                _ => {
                    let max = usize::try_from(generator.below(7)).unwrap();
                    seen[usize::from(core)].extend(take(&mut order, core, max).0);
                }
            }
            assert!(order.len() <= capacity);
        }
        for core in 0..cores {
            seen[usize::from(core)].extend(drain(&mut order, core, 3));
        }
        (history, seen)
    }

    /// Walks the whole history beside what was seen: only shared entries may be absent, and each hole must be told
    /// after the answers inside it and before the next shared entry.
    fn check(history: &History, core: u16, mut seen: &[Seen]) -> Result<(), String> {
        let mut hole = false;
        for (to, number) in history
            .iter()
            .filter(|(to, _)| to.is_none_or(|to| to == core))
        {
            let told = seen
                .iter()
                .take_while(|seen| **seen == Seen::Lapsed)
                .count();
            let next = match to {
                Some(_) => Seen::Own(*number),
                None => Seen::Shared(*number),
            };
            if seen.get(told) == Some(&next) {
                if told > 0 && !hole {
                    return Err(format!(
                        "core {core} was told of a hole before {next:?} that is none"
                    ));
                }
                hole &= told == 0;
                if hole && to.is_none() {
                    return Err(format!(
                        "core {core} was not told of the hole before {next:?}"
                    ));
                }
                seen = &seen[told + 1..];
            } else if to.is_none() {
                hole = true;
            } else {
                return Err(format!(
                    "core {core} missed {next:?}, and has {:?}",
                    seen.first()
                ));
            }
        }
        match seen {
            [] if !hole => Ok(()),
            rest => Err(format!("core {core} ends with hole {hole} and {rest:?}")),
        }
    }

    fn limits(entries: usize) -> RingLimits {
        RingLimits {
            entries,
            bytes: usize::MAX,
        }
    }

    fn shared_entry(number: u64) -> Delivery {
        let channel = ChannelName::from("a");
        Delivery::All(LogEvent::Message(ShardMessage::PresenceQuery {
            shard: 0,
            number,
            channel,
            detail: PresenceDetail::Counts,
        }))
    }

    fn own_entry(core: u16, number: u64) -> Delivery {
        Delivery::One {
            core,
            event: LogEvent::Response {
                number,
                response: Response::Rejected(Rejection::Closing),
            },
        }
    }

    fn drain(order: &mut Order, core: u16, max: usize) -> Vec<Seen> {
        let mut all = Vec::new();
        loop {
            let (seen, more) = take(order, core, max);
            all.extend(seen);
            if !more {
                return all;
            }
        }
    }

    fn take(order: &mut Order, core: u16, max: usize) -> (Vec<Seen>, bool) {
        let mut events = Vec::new();
        let taken = order.take(core, &mut events, max);
        assert!(events.len() <= max);
        let seen = events.into_iter().map(|event| match event {
            LogEvent::Message(ShardMessage::PresenceQuery { number, .. }) => Seen::Shared(number),
            LogEvent::Response { number, .. } => Seen::Own(number),
            LogEvent::Lagged => Seen::Lapsed,
            other @ (LogEvent::Committed(_) | LogEvent::Message(_)) => {
                panic!("never pushed: {other:?}")
            }
        });
        (seen.collect(), taken.more)
    }
}
