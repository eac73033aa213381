//! Appends that wait for a batch: the clients take turns, so that one client's large publications do not delay another
//! client's small one by more than a turn.
//!
//! Deficit round robin (RFC 8290, section 3.3, describes it for packets): each turn adds a quantum of bytes to what a
//! client may append, and what it does not use stays for its next turn. The appends of one client keep their order.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use steadfast_engine::Append;

/// Bytes of one turn. A hundred small publications fit, and an eighth of a batch serves 16 clients.
const QUANTUM_BYTES: usize = 32 << 10;

/// The appends of one client.
#[derive(Debug, Default)]
struct ClientQueue {
    client: Bytes,
    /// With their costs in bytes.
    appends: VecDeque<(usize, Append)>,
    /// Bytes that the client may still append in this turn.
    credit: usize,
    /// Whether the credit of this turn was added.
    has_begun: bool,
}

/// The appends of all clients. Publications that do not come from a client share a queue.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// Clients with appends by id; for lookups only, never iterated.
    by_client: HashMap<Bytes, usize>,
    queues: Vec<ClientQueue>,
    /// Unused entries of `queues`.
    free: Vec<usize>,
    /// The queues in order of their turns.
    order: VecDeque<usize>,
    bytes: usize,
}

impl Turns {
    /// The cost of all appends in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds an append with its cost in bytes.
    pub(crate) fn push(&mut self, cost: usize, append: Append) {
        self.bytes += cost;
        let index = match self.by_client.get(&append.publisher.client) {
            Some(index) => *index,
            None => self.add_queue(append.publisher.client.clone()),
        };
        if let Some(queue) = self.queues.get_mut(index) {
            queue.appends.push_back((cost, append));
        }
    }

    /// Takes the next append, with its cost.
    pub(crate) fn pop(&mut self) -> Option<(usize, Append)> {
        loop {
            let index = *self.order.front()?;
            let queue = self.queues.get_mut(index)?;
            let Some((cost, _)) = queue.appends.front() else {
                self.remove_first();
                continue;
            };
            if *cost <= queue.credit {
                queue.credit -= *cost;
                let next = queue.appends.pop_front();
                self.bytes -= next.as_ref().map_or(0, |(cost, _)| *cost);
                return next;
            }
            if queue.has_begun {
                queue.has_begun = false;
                self.order.rotate_left(1);
            } else {
                queue.has_begun = true;
                queue.credit += QUANTUM_BYTES;
            }
        }
    }

    /// Puts the append that was taken last back in its place.
    pub(crate) fn put_back(&mut self, cost: usize, append: Append) {
        // The queue remains the first until the next append is taken, even when it is empty.
        let first = self.order.front().copied();
        if let Some(queue) = first.and_then(|index| self.queues.get_mut(index)) {
            self.bytes += cost;
            queue.credit += cost;
            queue.appends.push_front((cost, append));
        }
    }

    fn add_queue(&mut self, client: Bytes) -> usize {
        let index = self.free.pop().unwrap_or_else(|| {
            self.queues.push(ClientQueue::default());
            self.queues.len() - 1
        });
        if let Some(queue) = self.queues.get_mut(index) {
            queue.client = client.clone();
        }
        self.by_client.insert(client, index);
        self.order.push_back(index);
        index
    }

    /// Removes the first queue, which is empty; its credit is lost.
    fn remove_first(&mut self) {
        if let Some(index) = self.order.pop_front()
            && let Some(queue) = self.queues.get_mut(index)
        {
            let queue = std::mem::take(queue);
            self.by_client.remove(&queue.client);
            self.free.push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use steadfast_engine::{Publisher, RequestId, RetentionClass};
    use steadfast_protocol::message::PayloadKind;

    use super::*;

    #[test]
    fn a_small_append_waits_for_one_turn_of_each_other_client_however_much_they_have_queued() {
        let mut turns = Turns::default();
        for number in 0..400 {
            let client = ["a", "b", "c", "d", "e", "f", "g", "h"][number % 8];
            turns.push(60_000, append(client, number));
        }
        turns.push(300, append("bystander", 400));

        let before: Vec<_> = std::iter::from_fn(|| turns.pop())
            .take_while(|(_, append)| append.request_id.number != 400)
            .collect();

        assert!(before.len() <= 8, "{}", before.len());
    }

    #[test]
    fn clients_append_equally_many_bytes_whatever_the_size_of_their_publications() {
        let mut turns = Turns::default();
        for number in 0..10_000 {
            turns.push(1_000, append("small", number));
            if number < 200 {
                turns.push(50_000, append("large", number));
            }
        }

        let mut bytes = HashMap::new();
        for (cost, append) in std::iter::from_fn(|| turns.pop()).take(5_000) {
            *bytes.entry(append.publisher.client).or_insert(0) += cost;
        }

        let (small, large) = (bytes[&b"small"[..]], bytes[&b"large"[..]]);
        assert!(small.abs_diff(large) <= 100_000, "{small} {large}");
    }

    #[test]
    fn the_appends_of_a_client_keep_their_order_when_one_is_put_back() {
        let mut turns = Turns::default();
        for number in 0..200 {
            turns.push(900 * (number % 7), append(["a", "b"][number % 2], number));
        }
        let total = turns.bytes();

        let mut taken: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for step in 0.. {
            let Some((cost, append)) = turns.pop() else {
                break;
            };
            if step % 3 == 0 {
                turns.put_back(cost, append);
            } else {
                let client = append.publisher.client.clone();
                let numbers = taken.entry(client).or_default();
                numbers.push(append.request_id.number);
            }
        }

        assert!(total > 0 && turns.bytes() == 0);
        assert!(taken.values().all(|numbers| numbers.is_sorted()));
        assert_eq!(taken.values().map(Vec::len).sum::<usize>(), 200);
        assert_eq!(
            turns.by_client.len() + turns.order.len(),
            0,
            "no client is left"
        );
    }

    #[test]
    fn a_client_whose_append_is_put_back_keeps_its_turn() {
        let mut turns = Turns::default();
        turns.push(QUANTUM_BYTES, append("a", 0));
        turns.push(QUANTUM_BYTES, append("b", 1));

        let (cost, taken) = turns.pop().unwrap();
        turns.put_back(cost, taken);
        let again = turns.pop().unwrap().1;

        assert_eq!(again.request_id.number, 0);
    }

    fn append(client: &str, number: usize) -> Append {
        Append {
            request_id: RequestId {
                shard: 0,
                number: u64::try_from(number).unwrap(),
            },
            channel: "news".into(),
            data: Bytes::new(),
            kind: PayloadKind::Json,
            retention: RetentionClass::Kept,
            publisher: Publisher {
                user: Bytes::new(),
                client: Bytes::copy_from_slice(client.as_bytes()),
            },
            idempotency_key: None,
            may_create_channel: true,
        }
    }
}
