//! The order in which each shard receives the events of an engine: commits, and its own responses between them.
//!
//! Owns the commits that at least one shard has not received yet, a cursor per shard, and the pending responses of each
//! shard. Takes no lock and wakes no shard: the ring buffer of a shell does both, and the simulation needs neither.

use std::collections::VecDeque;

use steadfast_machine::convert;

use crate::event::{Committed, EngineEvent};
use crate::request::RequestId;
use crate::response::Response;

/// The memory of a commit in addition to its payload, in bytes; an estimate, so that tiny payloads count too.
const ENTRY_BYTES: usize = 128;

/// The capacity of an order; a shard that does not read in time lags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderLimits {
    /// The maximum number of commits. At least 1.
    pub entries: usize,
    /// The maximum number of bytes of the payloads of all commits, including an overhead for each. A single commit may be
    /// larger.
    pub bytes: usize,
}

/// What an engine delivers, for one or for all shards.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Delivery {
    /// For every shard.
    Committed(Committed),
    /// For the shard in the request id, after everything that was pushed before and before everything that is pushed
    /// later.
    Response {
        request_id: RequestId,
        response: Response,
    },
}

/// The outcome of taking events, in addition to the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenEvents {
    /// Whether another call would return events at once.
    pub has_more: bool,
}

/// The order of the events for each shard of a process.
///
/// ```
/// use steadfast_engine::order::{Delivery, OrderLimits, ShardOrder};
/// use steadfast_engine::{EngineEvent, Rejection, RequestId, Response};
///
/// let mut order = ShardOrder::new(2, OrderLimits { entries: 1024, bytes: 1 << 20 });
/// let (request_id, response) = (RequestId { shard: 1, number: 7 }, Response::Rejected(Rejection::Limit));
/// order.push(Delivery::Response { request_id, response: response.clone() });
///
/// let mut events = Vec::new();
/// order.take(1, &mut events, 10);
///
/// assert_eq!(events, [EngineEvent::Response { number: 7, response }]);
/// assert!(!order.has_events(0), "the other shard made no request");
/// ```
#[derive(Debug)]
pub struct ShardOrder {
    limits: OrderLimits,
    shared: SharedEntries,
    cursors: Vec<ShardCursor>,
}

/// The commits that at least one shard has not received yet.
#[derive(Debug, Default)]
struct SharedEntries {
    entries: VecDeque<Committed>,
    /// The sequence number of the first entry; no cursor is below it.
    first: u64,
    bytes: usize,
}

#[derive(Debug, Default)]
struct ShardCursor {
    /// The sequence number of the next shared entry to deliver.
    next: u64,
    /// Whether entries before the cursor were overwritten, and the shard has not been notified yet.
    has_lagged: bool,
    /// The responses to this shard.
    own: VecDeque<OwnResponse>,
}

/// A response to one shard.
#[derive(Debug)]
struct OwnResponse {
    /// The sequence number of the shared entry before which it is delivered.
    before: u64,
    /// The number of the request.
    number: u64,
    response: Response,
}

impl ShardOrder {
    /// An order without events.
    pub fn new(shards: u16, limits: OrderLimits) -> Self {
        Self {
            limits,
            shared: SharedEntries::default(),
            cursors: (0..shards).map(|_| ShardCursor::default()).collect(),
        }
    }

    /// Adds one event after all others. A shard whose next commit no longer fits lags.
    pub fn push(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Committed(committed) => {
                self.shared.add(committed);
                self.enforce_limits();
            }
            Delivery::Response {
                request_id: RequestId { shard, number },
                response,
            } => {
                let before = self.shared.end();
                if let Some(cursor) = self.cursors.get_mut(usize::from(shard)) {
                    cursor.own.push_back(OwnResponse {
                        before,
                        number,
                        response,
                    });
                }
            }
        }
    }

    /// Appends the events that the shard has not received yet, at most `max`.
    ///
    /// A gap is reported after the shard's responses inside the gap, and before the first commit after it: a response
    /// inside the gap does not cover the commits that are missing after it.
    pub fn take(&mut self, shard: u16, events: &mut Vec<EngineEvent>, max: usize) -> TakenEvents {
        let others = self.slowest_other(shard);
        let Some(cursor) = self.cursors.get_mut(usize::from(shard)) else {
            return TakenEvents { has_more: false };
        };
        for _ in 0..max {
            if let Some(response) = cursor.own_before_gap() {
                events.push(response);
            } else if std::mem::take(&mut cursor.has_lagged) {
                events.push(EngineEvent::Lagged);
            } else if let Some(response) = cursor.own_before_entry() {
                events.push(response);
            } else if let Some(committed) = self.shared.deliver(cursor.next, others) {
                events.push(EngineEvent::Committed(committed));
                cursor.next += 1;
            } else {
                break;
            }
        }
        let has_more = self.has_events(shard);
        TakenEvents { has_more }
    }

    /// Whether the shard has events to take.
    pub fn has_events(&self, shard: u16) -> bool {
        self.cursors.get(usize::from(shard)).is_some_and(|cursor| {
            cursor.has_lagged || !cursor.own.is_empty() || cursor.next < self.shared.end()
        })
    }

    /// Returns how many shared entries the slowest shard has not received.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.shared.entries.len()
    }

    fn slowest_other(&self, shard: u16) -> u64 {
        let others = self
            .cursors
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != usize::from(shard));
        others
            .map(|(_, cursor)| cursor.next)
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Overwrites the oldest entries until the limits hold again; the shards that have not received them lag.
    ///
    /// Such a shard re-reads its channels anyway, so it continues at the newest entry: the oldest would soon be
    /// overwritten again.
    fn enforce_limits(&mut self) {
        while self.shared.exceeds(self.limits) {
            let newest = self.shared.end() - 1;
            for cursor in self
                .cursors
                .iter_mut()
                .filter(|cursor| cursor.next == self.shared.first)
            {
                cursor.next = newest;
                cursor.has_lagged = true;
            }
            let slowest = self
                .cursors
                .iter()
                .map(|cursor| cursor.next)
                .min()
                .unwrap_or(newest);
            while self.shared.first < slowest {
                self.shared.remove_first();
            }
        }
    }
}

impl SharedEntries {
    fn add(&mut self, committed: Committed) {
        self.bytes += memory_bytes(&committed);
        self.entries.push_back(committed);
    }

    /// Returns the sequence number of the next entry.
    fn end(&self) -> u64 {
        self.first + convert::to_u64(self.entries.len())
    }

    /// Whether the limits are exceeded. A single entry never exceeds them, so that each can be delivered.
    fn exceeds(&self, limits: OrderLimits) -> bool {
        self.entries.len() > 1 && (self.entries.len() > limits.entries || self.bytes > limits.bytes)
    }

    /// Returns the entry at the cursor: moved out if no other shard needs it, otherwise cloned.
    fn deliver(&mut self, next: u64, others: u64) -> Option<Committed> {
        if next == self.first && others > next {
            return self.remove_first();
        }
        let index = usize::try_from(next.checked_sub(self.first)?).ok()?;
        self.entries.get(index).cloned()
    }

    fn remove_first(&mut self) -> Option<Committed> {
        let committed = self.entries.pop_front()?;
        self.first += 1;
        self.bytes -= memory_bytes(&committed);
        Some(committed)
    }
}

impl ShardCursor {
    /// Returns the next response, if it is inside a gap that was not reported yet.
    fn own_before_gap(&mut self) -> Option<EngineEvent> {
        if self.has_lagged {
            self.own_if(|before, next| before < next)
        } else {
            None
        }
    }

    /// Returns the next response, if it precedes the next shared entry.
    fn own_before_entry(&mut self) -> Option<EngineEvent> {
        self.own_if(|before, next| before <= next)
    }

    fn own_if(&mut self, due: impl FnOnce(u64, u64) -> bool) -> Option<EngineEvent> {
        if !due(self.own.front()?.before, self.next) {
            return None;
        }
        let OwnResponse {
            number, response, ..
        } = self.own.pop_front()?;
        Some(EngineEvent::Response { number, response })
    }
}

/// Returns the approximate memory of a commit in bytes.
fn memory_bytes(committed: &Committed) -> usize {
    let record = &committed.record;
    ENTRY_BYTES + record.data.len() + record.publisher.user.len() + record.publisher.client.len()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use steadfast_machine::{Generator, Seed, Timestamp};
    use steadfast_protocol::message::{ChannelName, PayloadKind};

    use super::*;
    use crate::epoch::ChannelEpoch;
    use crate::request::Publisher;
    use crate::response::{Record, Rejection};
    use crate::retention::RetentionClass;

    /// An event that a shard received, reduced to what determines the order.
    #[derive(Clone, Debug, PartialEq)]
    enum Seen {
        Shared(u64),
        Own(u64),
        Lagged,
    }

    /// Everything that was pushed, in order; `None` is for all shards.
    type History = Vec<(Option<u16>, u64)>;

    #[test]
    fn a_shard_receives_its_response_between_the_entries_around_it() {
        let mut order = ShardOrder::new(1, limits(10));
        order.push(shared_entry(1));
        order.push(own_entry(0, 2));
        order.push(shared_entry(3));

        let seen = drain(&mut order, 0, 1);

        assert_eq!(seen, [Seen::Shared(1), Seen::Own(2), Seen::Shared(3)]);
    }

    #[test]
    fn a_lagging_shard_is_notified_once_and_before_the_next_entry() {
        let mut order = ShardOrder::new(2, limits(2));
        for number in 1..=5 {
            order.push(shared_entry(number));
            drain(&mut order, 1, 10);
        }

        let seen = drain(&mut order, 0, 10);

        assert_eq!(seen.first(), Some(&Seen::Lagged));
        assert_eq!(seen.iter().filter(|seen| **seen == Seen::Lagged).count(), 1);
        assert_eq!(seen.last(), Some(&Seen::Shared(5)));
        assert!(!order.has_events(0));
    }

    #[test]
    fn a_response_inside_a_gap_is_delivered_before_the_gap_is_reported() {
        let mut order = ShardOrder::new(1, limits(2));
        order.push(own_entry(0, 100));
        for number in 1..=4 {
            order.push(shared_entry(number));
        }

        let seen = drain(&mut order, 0, 10);

        assert_eq!(seen[..2], [Seen::Own(100), Seen::Lagged]);
    }

    #[test]
    fn the_bound_on_bytes_makes_a_shard_lag_too_but_the_newest_entry_stays() {
        let mut order = ShardOrder::new(
            1,
            OrderLimits {
                entries: 100,
                bytes: 1,
            },
        );
        order.push(shared_entry(1));
        order.push(shared_entry(2));

        let seen = drain(&mut order, 0, 10);

        assert_eq!(seen, [Seen::Lagged, Seen::Shared(2)]);
    }

    #[test]
    fn a_shard_lags_only_if_its_unread_entries_exceed_the_bound_on_bytes() {
        let Delivery::Committed(entry) = shared_entry(1) else {
            unreachable!("it is shared")
        };
        let both = 2 * memory_bytes(&entry);
        for (bytes, is_lagging) in [(both, false), (both - 1, true)] {
            let mut order = ShardOrder::new(
                1,
                OrderLimits {
                    entries: 100,
                    bytes,
                },
            );
            order.push(shared_entry(1));
            order.push(shared_entry(2));

            let seen = drain(&mut order, 0, 10);

            assert_eq!(seen.contains(&Seen::Lagged), is_lagging, "{bytes}");
        }
    }

    #[test]
    fn entries_that_every_shard_has_received_are_removed() {
        let mut order = ShardOrder::new(2, limits(10));
        order.push(shared_entry(1));
        drain(&mut order, 0, 10);
        assert_eq!(order.len(), 1);

        drain(&mut order, 1, 10);

        assert_eq!((order.len(), order.shared.bytes), (0, 0));
    }

    #[test]
    fn any_mix_of_pushes_and_takes_delivers_one_order_to_each_shard_and_reports_all_gaps() {
        for seed in 0..400 {
            let mut generator = Seed::new(seed).generator();
            let shards = u16::try_from(1 + generator.below(4)).unwrap();
            let capacity = usize::try_from(1 + generator.below(12)).unwrap();

            let (history, seen) = random_run(&mut generator, shards, capacity);

            for shard in 0..shards {
                check(&history, shard, &seen[usize::from(shard)])
                    .unwrap_or_else(|reason| panic!("seed {seed}: {reason}"));
            }
        }
    }

    fn random_run(
        generator: &mut Generator,
        shards: u16,
        capacity: usize,
    ) -> (History, Vec<Vec<Seen>>) {
        let mut order = ShardOrder::new(shards, limits(capacity));
        let mut history = History::new();
        let mut seen = vec![Vec::new(); usize::from(shards)];
        for number in 0..300 {
            let shard = u16::try_from(generator.below(u64::from(shards))).unwrap();
            match generator.below(4) {
                0 | 1 => {
                    order.push(shared_entry(number));
                    history.push((None, number));
                }
                2 => {
                    order.push(own_entry(shard, number));
                    history.push((Some(shard), number));
                }
                _ => {
                    let max = usize::try_from(generator.below(7)).unwrap();
                    seen[usize::from(shard)].extend(take(&mut order, shard, max).0);
                }
            }
            assert!(order.len() <= capacity);
        }
        for shard in 0..shards {
            seen[usize::from(shard)].extend(drain(&mut order, shard, 3));
        }
        (history, seen)
    }

    /// Compares the complete history with what was received: only shared entries may be absent, and each gap must be
    /// reported after the responses inside it and before the next shared entry.
    fn check(history: &History, shard: u16, mut seen: &[Seen]) -> Result<(), String> {
        let mut has_gap = false;
        for (to, number) in history
            .iter()
            .filter(|(to, _)| to.is_none_or(|to| to == shard))
        {
            let gaps = seen
                .iter()
                .take_while(|seen| **seen == Seen::Lagged)
                .count();
            let next = match to {
                Some(_) => Seen::Own(*number),
                None => Seen::Shared(*number),
            };
            if seen.get(gaps) == Some(&next) {
                if gaps > 0 && !has_gap {
                    return Err(format!(
                        "shard {shard} was notified of a gap before {next:?}, but there is none"
                    ));
                }
                has_gap &= gaps == 0;
                if has_gap && to.is_none() {
                    return Err(format!(
                        "shard {shard} was not notified of the gap before {next:?}"
                    ));
                }
                seen = &seen[gaps + 1..];
            } else if to.is_none() {
                has_gap = true;
            } else {
                return Err(format!(
                    "shard {shard} missed {next:?}, and received {:?}",
                    seen.first()
                ));
            }
        }
        match seen {
            [] if !has_gap => Ok(()),
            rest => Err(format!(
                "shard {shard} ends with has_gap {has_gap} and {rest:?}"
            )),
        }
    }

    fn limits(entries: usize) -> OrderLimits {
        OrderLimits {
            entries,
            bytes: usize::MAX,
        }
    }

    fn shared_entry(number: u64) -> Delivery {
        Delivery::Committed(Committed {
            channel: ChannelName::from("a"),
            epoch: ChannelEpoch::new(1, 0),
            previous: number.saturating_sub(1),
            record: Record {
                offset: number,
                data: Bytes::new(),
                kind: PayloadKind::Json,
                retention: RetentionClass::Kept,
                publisher: Publisher::default(),
                at: Timestamp::default(),
            },
        })
    }

    fn own_entry(shard: u16, number: u64) -> Delivery {
        Delivery::Response {
            request_id: RequestId { shard, number },
            response: Response::Rejected(Rejection::Closing),
        }
    }

    fn drain(order: &mut ShardOrder, shard: u16, max: usize) -> Vec<Seen> {
        let mut all = Vec::new();
        loop {
            let (seen, has_more) = take(order, shard, max);
            all.extend(seen);
            if !has_more {
                return all;
            }
        }
    }

    fn take(order: &mut ShardOrder, shard: u16, max: usize) -> (Vec<Seen>, bool) {
        let mut events = Vec::new();
        let taken = order.take(shard, &mut events, max);
        assert!(events.len() <= max);
        let seen = events.into_iter().map(|event| match event {
            EngineEvent::Committed(committed) => Seen::Shared(committed.record.offset),
            EngineEvent::Response { number, .. } => Seen::Own(number),
            EngineEvent::Lagged => Seen::Lagged,
        });
        (seen.collect(), taken.has_more)
    }
}
