//! The state of each client as the harness knows it: whether it is connected, what it published, and what is pending.
//!
//! Converts the output of drivers to events, and decides which publication may be sent. Publications of a client are
//! sent and resent in the order of their sequence numbers, so that the harness itself never changes an order that it
//! then checks. The requests of a client are in [`super::requests`].

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};
use steadfast_faults::ledger::event::{ClientEvent, LossCause, MessageId};
use steadfast_faults::scenario::model::{Load, Traffic};
use steadfast_faults::topology::{Client as ClientConfig, ClientId, ClientKind};
use steadfast_machine::{Instant, convert};
use steadfast_protocol::message::Position;

use super::requests::RequestQueue;
use crate::driver::DriverId;
use crate::driver::line::{CallError, DriverEventKind};

/// Codes below this number come from a client library itself, not from a server.
const SERVER_CODES_FROM: u64 = 100;
/// The libraries' own code for a missing ping.
const CODE_NO_PING: u64 = 2;
/// Temporary error codes (100 internal, 111 too many requests): the publication is resent.
const TEMPORARY_CODES: [u64; 2] = [100, 111];

#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: ClientId,
    pub(super) kind: ClientKind,
    pub(super) driver: DriverId,
    /// The name that its driver uses.
    pub(super) name: String,
    pub(super) channel: String,
    queue_len_max: usize,
    is_connected: bool,
    is_subscribed: bool,
    /// Sequence number of the last publication.
    sequence: u64,
    /// Publications without a final outcome, oldest first; those that are not in flight are queued.
    pending: VecDeque<PendingPublication>,
    /// Its requests, if that is what it sends.
    requests: Option<RequestQueue>,
}

#[derive(Clone, Copy, Debug)]
struct PendingPublication {
    sequence: u64,
    send_count: u32,
    /// True when the publication is sent, and not replied to yet.
    is_in_flight: bool,
}

/// A publication to send now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NextSend {
    pub(super) sequence: u64,
    pub(super) is_resend: bool,
}

impl Client {
    pub(super) fn new(
        config: &ClientConfig,
        channel: String,
        load: Option<&Load>,
        driver: DriverId,
    ) -> Self {
        let requests = load.filter(|load| load.traffic == Traffic::Requests);
        let requests = requests
            .map(|load| RequestQueue::new(load.guarantee.is_repeated(), load.send.queue_len_max));
        Self {
            id: config.id,
            kind: config.kind,
            driver,
            name: config.name.clone(),
            channel,
            queue_len_max: load.map_or(0, |load| convert::to_usize(load.send.queue_len_max)),
            requests,
            is_connected: false,
            is_subscribed: false,
            sequence: 0,
            pending: VecDeque::new(),
        }
    }

    /// Returns whether the client is connected, and subscribed if it subscribes.
    pub(super) fn is_up(&self) -> bool {
        self.is_connected && (self.is_subscribed || !self.kind.is_library())
    }

    /// Number of publications and requests without a final outcome.
    pub(super) fn pending_len(&self) -> usize {
        self.pending.len() + self.requests.as_ref().map_or(0, RequestQueue::len)
    }

    /// Its requests; `None` if it publishes, or only receives.
    pub(super) const fn requests_mut(&mut self) -> Option<&mut RequestQueue> {
        self.requests.as_mut()
    }

    /// Queues a publication or request that is due; returns an event if the queue is full.
    pub(super) fn enqueue(&mut self, intended: Instant) -> Option<ClientEvent> {
        if let Some(requests) = &mut self.requests {
            return requests.enqueue(intended);
        }
        if self.pending.len() >= self.queue_len_max {
            return Some(ClientEvent::Unsent);
        }
        self.sequence += 1;
        self.pending.push_back(PendingPublication {
            sequence: self.sequence,
            send_count: 0,
            is_in_flight: false,
        });
        None
    }

    /// Returns the next publication in order, if it may be sent now. Only one publication is in flight at a time: a
    /// library may execute concurrent calls in any order, and a publication must not be resent after a newer one.
    pub(super) fn next_to_send(&mut self) -> Option<NextSend> {
        if !self.is_up() || self.pending.iter().any(|pending| pending.is_in_flight) {
            return None;
        }
        let next = self.pending.front_mut()?;
        let is_resend = next.send_count > 0;
        next.send_count += 1;
        next.is_in_flight = true;
        Some(NextSend {
            sequence: next.sequence,
            is_resend,
        })
    }

    /// Handles the outcome of a publication; `None` if the publication remains pending or the reply is invalid.
    pub(super) fn on_outcome(
        &mut self,
        sequence: u64,
        outcome: &Result<Value, CallError>,
    ) -> Option<ClientEvent> {
        match outcome {
            Ok(result) => {
                self.pending.retain(|pending| pending.sequence != sequence);
                let (position, duplicate) = read_ack(result)?;
                Some(ClientEvent::Acknowledged {
                    sequence,
                    position: Some(position),
                    is_duplicate: duplicate,
                })
            }
            Err(CallError::Server { code, .. }) if !TEMPORARY_CODES.contains(code) => {
                self.pending.retain(|pending| pending.sequence != sequence);
                let code = convert::saturating(*code);
                Some(ClientEvent::Rejected { sequence, code })
            }
            Err(
                CallError::Server { .. }
                | CallError::Lost(_)
                | CallError::TimedOut(_)
                | CallError::Rejected(_),
            ) => {
                let pending = self
                    .pending
                    .iter_mut()
                    .find(|pending| pending.sequence == sequence);
                if let Some(pending) = pending {
                    pending.is_in_flight = false;
                }
                None
            }
        }
    }

    /// Updates the state and converts the event for the history.
    pub(super) fn on_event(&mut self, event: &DriverEventKind) -> Option<ClientEvent> {
        match event {
            DriverEventKind::Connecting { code, .. } => self.on_loss(loss(*code)),
            DriverEventKind::Lost(cause) => self.on_loss(*cause),
            DriverEventKind::Attempting => (!self.is_connected).then_some(ClientEvent::Attempting),
            DriverEventKind::Opened => (!self.is_connected).then_some(ClientEvent::TransportOpened),
            DriverEventKind::Connected(_) => {
                self.is_connected = true;
                Some(ClientEvent::Connected)
            }
            DriverEventKind::Disconnected { code, .. }
            | DriverEventKind::Unsubscribed { code, .. } => {
                self.is_connected = false;
                self.is_subscribed = false;
                let code = Some(convert::saturating(*code));
                Some(ClientEvent::GaveUp { code })
            }
            DriverEventKind::Subscribing => {
                self.is_subscribed = false;
                None
            }
            DriverEventKind::Subscribed(subscribed) => {
                self.is_subscribed = true;
                Some(ClientEvent::Subscribed(subscribed.clone()))
            }
            DriverEventKind::Publication { offset, data, .. } => Some(ClientEvent::Delivered {
                message: read_payload(data),
                offset: *offset,
            }),
            DriverEventKind::AttemptFailed(_) | DriverEventKind::Warning(_) => {
                (!self.is_connected).then_some(ClientEvent::AttemptFailed)
            }
            // The run numbers the streams.
            DriverEventKind::Message { .. } => None,
            DriverEventKind::Join(_) => None,
            DriverEventKind::Leave(_) => None,
        }
    }

    fn on_loss(&mut self, cause: LossCause) -> Option<ClientEvent> {
        let was_connected = std::mem::take(&mut self.is_connected);
        self.is_subscribed = false;
        was_connected.then_some(ClientEvent::ConnectionLost(cause))
    }
}

/// All clients of a run, by id and by name.
#[derive(Debug, Default)]
pub(super) struct Clients {
    all: Vec<Client>,
    by_name: BTreeMap<String, usize>,
}

impl Clients {
    pub(super) fn add(&mut self, client: Client) {
        self.by_name.insert(client.name.clone(), self.all.len());
        self.all.push(client);
    }

    pub(super) fn all(&self) -> &[Client] {
        &self.all
    }

    pub(super) fn get_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        self.all.get_mut(convert::to_usize(id.0))
    }

    pub(super) fn named_mut(&mut self, name: &str) -> Option<&mut Client> {
        self.all.get_mut(*self.by_name.get(name)?)
    }
}

fn loss(code: u64) -> LossCause {
    match code {
        CODE_NO_PING => LossCause::Timeout,
        0..SERVER_CODES_FROM => LossCause::Unknown,
        _ => LossCause::Code(convert::saturating(code)),
    }
}

fn read_ack(result: &Value) -> Option<(Position, bool)> {
    let reply = result.get("data")?;
    let position = Position {
        epoch: reply.get("epoch")?.as_str()?.to_owned(),
        offset: reply.get("offset")?.as_u64()?,
    };
    Some((position, reply.get("duplicate")?.as_bool()?))
}

/// A payload that identifies its publication, has a checksum, and is padded to `bytes`.
pub(super) fn payload(message: MessageId, bytes: u32) -> Value {
    let (publisher, sequence) = (message.publisher.0, message.sequence);
    let sum = checksum(message);
    let unpadded = json!({"by": publisher, "no": sequence, "sum": sum, "pad": ""});
    let length = convert::to_usize(bytes);
    let pad = "x".repeat(length.saturating_sub(unpadded.to_string().len()));
    json!({"by": publisher, "no": sequence, "sum": sum, "pad": pad})
}

/// Identifies the publication of a payload; `None` if the payload is not from a run, or was altered.
fn read_payload(data: &Value) -> Option<MessageId> {
    let publisher = u32::try_from(data.get("by")?.as_u64()?).ok()?;
    let message = MessageId {
        publisher: ClientId(publisher),
        sequence: data.get("no")?.as_u64()?,
    };
    let is_intact = data.get("sum")?.as_u64()? == u64::from(checksum(message));
    is_intact.then_some(message)
}

fn checksum(message: MessageId) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&message.publisher.0.to_be_bytes());
    hasher.update(&message.sequence.to_be_bytes());
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use steadfast_faults::ledger::event::Subscribed;
    use steadfast_faults::topology::{ChannelId, ClientActivity, InstanceId};

    use super::*;

    #[test]
    fn every_payload_has_the_requested_length_and_a_checksum() {
        for sequence in [1, 12_345_678] {
            let message = message(sequence);
            let mut data = payload(message, 128);

            assert_eq!(data.to_string().len(), 128);
            assert_eq!(read_payload(&data), Some(message));
            data["no"] = json!(sequence + 1);
            assert_eq!(read_payload(&data), None);
        }
    }

    #[test]
    fn after_a_lost_reply_a_publication_is_resent_before_anything_newer() {
        let mut client = connected(8);
        assert!(client.enqueue(Instant::START).is_none());
        assert!(client.enqueue(Instant::START).is_none());
        assert_eq!(client.next_to_send(), Some(next_send(1, false)));
        assert_eq!(client.next_to_send(), None, "1 is in flight");

        client.on_outcome(1, &Err(CallError::Lost(String::new())));

        assert_eq!(client.next_to_send(), Some(next_send(1, true)));
        let reply = json!({"data": {"epoch": "e", "offset": 1, "duplicate": true}});
        client.on_outcome(1, &Ok(reply));
        assert_eq!(client.next_to_send(), Some(next_send(2, false)));
    }

    #[test]
    fn a_full_queue_reports_publications_that_were_never_sent() {
        let mut client = connected(2);

        let events: Vec<_> = (0..3).map(|_| client.enqueue(Instant::START)).collect();

        assert_eq!(events, [None, None, Some(ClientEvent::Unsent)]);
        assert_eq!(client.pending_len(), 2);
    }

    #[test]
    fn connecting_after_a_loss_is_not_another_loss() {
        let mut client = connected(1);
        let connecting = DriverEventKind::Connecting {
            code: 2,
            reason: "no ping".to_owned(),
        };

        assert_eq!(
            client.on_event(&connecting),
            Some(ClientEvent::ConnectionLost(LossCause::Timeout))
        );
        assert_eq!(client.on_event(&connecting), None);
        assert_eq!(
            client.on_event(&DriverEventKind::Warning("refused".to_owned())),
            Some(ClientEvent::AttemptFailed)
        );
    }

    fn connected(queue_len_max: usize) -> Client {
        let config = ClientConfig {
            id: ClientId(0),
            name: "chat-1".to_owned(),
            load: "chat".to_owned(),
            kind: ClientKind::Centrifuge,
            instance: InstanceId(0),
            channel: ChannelId(0),
            activity: ClientActivity::Full,
        };
        let mut client = Client::new(&config, "channel".to_owned(), None, DriverId(0));
        client.queue_len_max = queue_len_max;
        client.on_event(&DriverEventKind::Connected("x".to_owned()));
        client.on_event(&DriverEventKind::Subscribed(Subscribed {
            position: Position::default(),
            was_recovering: false,
            recovered: false,
        }));
        client
    }

    fn message(sequence: u64) -> MessageId {
        MessageId {
            publisher: ClientId(3),
            sequence,
        }
    }

    fn next_send(sequence: u64, is_resend: bool) -> NextSend {
        NextSend {
            sequence,
            is_resend,
        }
    }
}
