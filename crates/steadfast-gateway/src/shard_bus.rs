//! The bus between shards: one bounded inbox per shard.
//!
//! Owns the inboxes and their capacity. A message that does not fit is dropped, because no shard waits for another; the
//! hub that sent it counts and reports it. A shard receives the messages of one sender in order. Messages have no order
//! with the events of the log, which do not pass through here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use steadfast_hub::io::{Destination, ShardMessage};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// The capacity of an inbox: as many messages as the ring buffer of the log has entries, so that a shard loses messages
/// only if it stalls while that many clients join or leave, and 32 MiB, which is 512 bytes for each of them; the
/// presence of a large channel takes as much as thousands of joins. Memory is used for queued messages only.
pub(crate) const INBOX_LIMITS: InboxLimits = InboxLimits {
    messages: 65_536,
    bytes: 32 << 20,
};

/// The capacity of an inbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InboxLimits {
    pub(crate) messages: usize,
    /// An empty inbox accepts a message of any size.
    pub(crate) bytes: usize,
}

/// The sending end of every inbox. Each shard has one.
#[derive(Clone, Debug)]
pub(crate) struct ShardBus {
    /// In order of shards.
    inboxes: Vec<InboxSender>,
}

/// The sending end of one shard's inbox.
#[derive(Clone, Debug)]
struct InboxSender {
    messages: mpsc::Sender<ShardMessage>,
    /// The bytes of the messages in the inbox.
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// The receiving end of one shard's inbox.
#[derive(Debug)]
pub(crate) struct Inbox {
    messages: mpsc::Receiver<ShardMessage>,
    bytes: Arc<AtomicUsize>,
}

/// Creates the bus and the inbox of each shard, in order of shards.
pub(crate) fn open(shards: u16, limits: InboxLimits) -> (ShardBus, Vec<Inbox>) {
    let (inboxes, receivers) = (0..shards)
        .map(|_| {
            let (sender, messages) = mpsc::channel(limits.messages);
            let bytes = Arc::new(AtomicUsize::new(0));
            let sender = InboxSender {
                messages: sender,
                bytes: Arc::clone(&bytes),
                bytes_max: limits.bytes,
            };
            (sender, Inbox { messages, bytes })
        })
        .unzip();
    (ShardBus { inboxes }, receivers)
}

impl ShardBus {
    /// Sends a message to the inboxes of its destination. Returns the shards whose inbox has no capacity. Never blocks.
    pub(crate) fn send(&self, message: ShardMessage) -> Vec<u16> {
        match message.destination() {
            Destination::AllShards => (0..)
                .zip(&self.inboxes)
                .filter(|(_, inbox)| inbox.try_put(message.clone()) == Err(InboxFull))
                .map(|(shard, _)| shard)
                .collect(),
            Destination::Shard(shard) => {
                let inbox = self.inboxes.get(usize::from(shard));
                match inbox.map(|inbox| inbox.try_put(message)) {
                    Some(Err(InboxFull)) => vec![shard],
                    Some(Ok(())) | None => Vec::new(),
                }
            }
        }
    }
}

/// The inbox has no capacity; the message is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct InboxFull;

impl InboxSender {
    /// Puts a message into the inbox. A shard that has ended has no client that would miss the message.
    fn try_put(&self, message: ShardMessage) -> Result<(), InboxFull> {
        let bytes = message.bytes();
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let sent = if before > 0 && before.saturating_add(bytes) > self.bytes_max {
            Err(TrySendError::Full(message))
        } else {
            self.messages.try_send(message)
        };
        match sent {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => {
                self.bytes.fetch_sub(bytes, Ordering::Relaxed);
                Ok(())
            }
            Err(TrySendError::Full(_)) => {
                self.bytes.fetch_sub(bytes, Ordering::Relaxed);
                Err(InboxFull)
            }
        }
    }
}

impl Inbox {
    /// Waits for messages and appends at most `max`, in order. Returns 0 when every sender is dropped. Cancel-safe.
    pub(crate) async fn receive(&mut self, messages: &mut Vec<ShardMessage>, max: usize) -> usize {
        let before = messages.len();
        let received = self.messages.recv_many(messages, max).await;
        let taken = messages.get(before..).unwrap_or_default();
        let bytes = taken.iter().map(ShardMessage::bytes).sum();
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        received
    }
}

#[cfg(test)]
mod tests {
    use steadfast_hub::io::{PresenceDetail, ShardPresence};
    use steadfast_protocol::message::{ChannelName, ClientInfo};

    use super::*;

    #[test]
    fn a_message_reaches_all_shards_and_a_presence_response_only_the_shard_that_queried() {
        let (bus, mut inboxes) = open(3, limits(10));

        assert_eq!(bus.send(query(1)), [0_u16; 0]);
        assert_eq!(bus.send(response(1, 9)), [0_u16; 0]);
        assert_eq!(bus.send(query(2)), [0_u16; 0]);

        assert_eq!(received(&mut inboxes[0], 10), ["query 1", "query 2"]);
        assert_eq!(
            received(&mut inboxes[1], 10),
            ["query 1", "response 9", "query 2"]
        );
        assert_eq!(received(&mut inboxes[2], 10), ["query 1", "query 2"]);
    }

    #[test]
    fn a_message_that_does_not_fit_is_dropped_for_the_shard_that_lags_only() {
        let (bus, mut inboxes) = open(2, limits(2));
        bus.send(query(1));
        bus.send(query(2));
        received(&mut inboxes[0], 10);

        assert_eq!(bus.send(query(3)), [1]);
        assert_eq!(bus.send(response(1, 4)), [1]);

        assert_eq!(received(&mut inboxes[0], 10), ["query 3"]);
        assert_eq!(received(&mut inboxes[1], 10), ["query 1", "query 2"]);
        assert_eq!(bus.send(query(5)), [0_u16; 0], "there is capacity again");
    }

    #[test]
    fn an_inbox_returns_at_most_as_many_messages_as_requested() {
        let (bus, mut inboxes) = open(1, limits(10));
        for number in 1..=3 {
            bus.send(query(number));
        }

        assert_eq!(received(&mut inboxes[0], 2), ["query 1", "query 2"]);
        assert_eq!(received(&mut inboxes[0], 2), ["query 3"]);
    }

    #[test]
    fn a_message_to_a_shard_that_has_ended_is_not_reported_as_dropped() {
        let (bus, mut inboxes) = open(2, limits(1));
        inboxes.truncate(1);

        assert_eq!(bus.send(query(1)), [0_u16; 0]);
        assert_eq!(bus.send(response(1, 2)), [0_u16; 0]);

        assert_eq!(received(&mut inboxes[0], 10), ["query 1"]);
    }

    #[test]
    fn messages_that_take_too_many_bytes_are_dropped_until_the_inbox_has_space() {
        let bytes = query(1).bytes();
        let limits = InboxLimits {
            messages: 10,
            bytes: 2 * bytes,
        };
        let (bus, mut inboxes) = open(1, limits);

        assert_eq!(bus.send(query(1)), [0_u16; 0]);
        assert_eq!(bus.send(query(2)), [0_u16; 0]);
        assert_eq!(bus.send(query(3)), [0]);
        assert_eq!(received(&mut inboxes[0], 1), ["query 1"]);
        assert_eq!(bus.send(query(4)), [0_u16; 0], "there is capacity again");

        assert_eq!(received(&mut inboxes[0], 10), ["query 2", "query 4"]);
        let large = ShardMessage::PresenceResponse {
            shard: 0,
            number: 5,
            presence: ShardPresence::Clients(vec![ClientInfo::default(); 100]),
        };
        assert!(large.bytes() > limits.bytes);
        assert_eq!(bus.send(large), [0_u16; 0], "the inbox is empty");
        assert_eq!(bus.send(query(6)), [0]);
    }

    fn limits(messages: usize) -> InboxLimits {
        InboxLimits {
            messages,
            bytes: 1 << 20,
        }
    }

    fn query(number: u64) -> ShardMessage {
        ShardMessage::PresenceQuery {
            shard: 0,
            number,
            channel: ChannelName::from("news"),
            detail: PresenceDetail::Clients,
        }
    }

    fn response(shard: u16, number: u64) -> ShardMessage {
        ShardMessage::PresenceResponse {
            shard,
            number,
            presence: ShardPresence::Clients(Vec::new()),
        }
    }

    /// Receives once; at least one message must be in the inbox.
    fn received(inbox: &mut Inbox, max: usize) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let mut messages = Vec::new();
        runtime.unwrap().block_on(inbox.receive(&mut messages, max));
        let name = |message| match message {
            ShardMessage::PresenceQuery { number, .. } => format!("query {number}"),
            ShardMessage::PresenceResponse { number, .. } => format!("response {number}"),
            other @ (ShardMessage::Join { .. } | ShardMessage::Leave { .. }) => {
                panic!("never sent: {other:?}")
            }
        };
        messages.into_iter().map(name).collect()
    }
}
