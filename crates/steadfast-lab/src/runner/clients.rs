//! The clients as the harness sees them: connected or not, what they have published, what is to be repeated.
//!
//! Turns what drivers say into facts, and says which publications may be sent. Publications of a client are sent and
//! repeated in the order of their sequences, so that the harness itself never changes an order that it then checks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};
use steadfast_faults::ledger::record::{ClientFact, LossCause, MessageId};
use steadfast_faults::roster::{Client as Seat, ClientId, ClientKind};
use steadfast_protocol::message::Position;

use crate::driver::line::{CallError, What};

/// Codes below this come from a client library itself, not from a server.
const SERVER_CODES_FROM: u64 = 100;
/// The libraries' own code for a ping that did not come.
const CODE_NO_PING: u64 = 2;
/// Error codes that mean "not now" (100 internal, 111 too many requests): the publication is repeated.
const TEMPORARY_CODES: [u64; 2] = [100, 111];

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: ClientId,
    pub(super) kind: ClientKind,
    /// As its driver knows it.
    pub(super) name: String,
    pub(super) channel: String,
    queue_len_max: usize,
    is_connected: bool,
    is_subscribed: bool,
    /// Publications so far.
    sequence: u64,
    /// Not acknowledged and not refused, oldest first; those without an outstanding call wait to be sent.
    open: VecDeque<Open>,
}

/// A publication whose outcome is not known.
#[derive(Clone, Copy, Debug)]
struct Open {
    sequence: u64,
    /// How often it was sent.
    sent: u32,
    /// An answer is outstanding.
    is_under_way: bool,
}

/// A publication to be sent now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sending {
    pub(super) sequence: u64,
    pub(super) is_repeat: bool,
}

impl Client {
    pub(super) fn new(seat: &Seat, channel: String, queue_len_max: u32) -> Self {
        Self {
            id: seat.id,
            kind: seat.kind,
            name: seat.name.clone(),
            channel,
            queue_len_max: usize::try_from(queue_len_max).unwrap_or(usize::MAX),
            is_connected: false,
            is_subscribed: false,
            sequence: 0,
            open: VecDeque::new(),
        }
    }

    /// Connected and subscribed.
    pub(super) const fn is_up(&self) -> bool {
        self.is_connected && self.is_subscribed
    }

    /// Publications whose outcome is not known.
    pub(super) fn unanswered(&self) -> usize {
        self.open.len()
    }

    /// A publication is due; the fact when it finds no room.
    pub(super) fn intend(&mut self) -> Option<ClientFact> {
        if self.open.len() >= self.queue_len_max {
            return Some(ClientFact::Unsent);
        }
        self.sequence += 1;
        self.open.push_back(Open {
            sequence: self.sequence,
            sent: 0,
            is_under_way: false,
        });
        None
    }

    /// What may be sent now, in order. One at a time: a library may carry calls that were made together out in any
    /// order, and a repeat must not come behind what is newer.
    pub(super) fn next_sending(&mut self) -> Option<Sending> {
        if !self.is_up() || self.open.iter().any(|open| open.is_under_way) {
            return None;
        }
        let next = self.open.front_mut()?;
        let is_repeat = next.sent > 0;
        next.sent += 1;
        next.is_under_way = true;
        Some(Sending {
            sequence: next.sequence,
            is_repeat,
        })
    }

    /// What came of a publication.
    pub(super) fn answered(
        &mut self,
        sequence: u64,
        outcome: &Result<Value, CallError>,
    ) -> Option<ClientFact> {
        match outcome {
            Ok(result) => {
                self.open.retain(|open| open.sequence != sequence);
                let (position, duplicate) = read_ack(result)?;
                Some(ClientFact::Acknowledged {
                    sequence,
                    position: Some(position),
                    duplicate,
                })
            }
            Err(CallError::Server { code, .. }) if !TEMPORARY_CODES.contains(code) => {
                self.open.retain(|open| open.sequence != sequence);
                let code = u32::try_from(*code).unwrap_or(u32::MAX);
                Some(ClientFact::Refused { sequence, code })
            }
            Err(CallError::Server { .. } | CallError::Lost(_) | CallError::Refused(_)) => {
                let open = self.open.iter_mut().find(|open| open.sequence == sequence);
                if let Some(open) = open {
                    open.is_under_way = false;
                }
                None
            }
        }
    }

    /// What an event means.
    pub(super) fn on_event(&mut self, what: &What) -> Option<ClientFact> {
        match what {
            What::Connecting { code, .. } => {
                let was_connected = std::mem::take(&mut self.is_connected);
                self.is_subscribed = false;
                was_connected.then(|| ClientFact::Lost(loss(*code)))
            }
            What::Connected(_) => {
                self.is_connected = true;
                Some(ClientFact::Connected)
            }
            What::Disconnected { code, .. } | What::Unsubscribed { code, .. } => {
                self.is_connected = false;
                self.is_subscribed = false;
                let code = Some(u32::try_from(*code).unwrap_or(u32::MAX));
                Some(ClientFact::GaveUp { code })
            }
            What::Subscribing => {
                self.is_subscribed = false;
                None
            }
            What::Subscribed(subscribed) => {
                self.is_subscribed = true;
                Some(ClientFact::Subscribed(subscribed.clone()))
            }
            What::Publication { offset, data, .. } => Some(ClientFact::Delivered {
                message: read_payload(data),
                offset: *offset,
            }),
            What::Trouble(_) => (!self.is_connected).then_some(ClientFact::AttemptFailed),
            What::Join(_) => None,
            What::Leave(_) => None,
        }
    }
}

/// All clients of a run, by their ids and by the names that drivers know.
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
        self.all.get_mut(usize::try_from(id.0).ok()?)
    }

    pub(super) fn named_mut(&mut self, name: &str) -> Option<&mut Client> {
        self.all.get_mut(*self.by_name.get(name)?)
    }

    /// The kinds that take part.
    pub(super) fn kinds(&self) -> BTreeSet<ClientKind> {
        self.all.iter().map(|client| client.kind).collect()
    }

    /// The names of those that are not connected and subscribed.
    pub(super) fn missing(&self) -> Vec<&str> {
        let missing = self.all.iter().filter(|client| !client.is_up());
        missing.map(|client| client.name.as_str()).collect()
    }
}

const fn loss(code: u64) -> LossCause {
    match code {
        CODE_NO_PING => LossCause::Timeout,
        0..SERVER_CODES_FROM => LossCause::Untold,
        _ => LossCause::Code(saturate(code)),
    }
}

const fn saturate(code: u64) -> u32 {
    match code.checked_shr(32) {
        Some(0) => {
            let [_, _, _, _, a, b, c, d] = code.to_be_bytes();
            u32::from_be_bytes([a, b, c, d])
        }
        Some(_) | None => u32::MAX,
    }
}

fn read_ack(result: &Value) -> Option<(Position, bool)> {
    let answer = result.get("data")?;
    let position = Position {
        epoch: answer.get("epoch")?.as_str()?.to_owned(),
        offset: answer.get("offset")?.as_u64()?,
    };
    Some((position, answer.get("duplicate")?.as_bool()?))
}

/// The key of a publication, the same for each repeat and no other one in any run.
pub(super) fn key(run: &str, message: MessageId) -> String {
    format!("{run}-{}-{}", message.publisher.0, message.sequence)
}

/// A payload that says whose publication it is, vouches for itself, and is as long as every other.
pub(super) fn payload(message: MessageId, bytes: u32) -> Value {
    let (publisher, sequence) = (message.publisher.0, message.sequence);
    let sum = checksum(message);
    let bare = json!({"by": publisher, "no": sequence, "sum": sum, "pad": ""});
    let wanted = usize::try_from(bytes).unwrap_or(0);
    let pad = "x".repeat(wanted.saturating_sub(bare.to_string().len()));
    json!({"by": publisher, "no": sequence, "sum": sum, "pad": pad})
}

/// Whose publication a payload is; `None` when it is none of a run, or was altered.
fn read_payload(data: &Value) -> Option<MessageId> {
    let publisher = u32::try_from(data.get("by")?.as_u64()?).ok()?;
    let message = MessageId {
        publisher: ClientId(publisher),
        sequence: data.get("no")?.as_u64()?,
    };
    let is_whole = data.get("sum")?.as_u64()? == u64::from(checksum(message));
    is_whole.then_some(message)
}

fn checksum(message: MessageId) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&message.publisher.0.to_be_bytes());
    hasher.update(&message.sequence.to_be_bytes());
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use steadfast_faults::ledger::record::Subscribed;
    use steadfast_faults::roster::{InstanceId, RoomId};

    use super::*;

    #[test]
    fn every_payload_has_the_stated_length_and_vouches_for_itself() {
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
    fn a_lost_answer_is_repeated_before_anything_newer_is_sent() {
        let mut client = connected(8);
        assert!(client.intend().is_none());
        assert!(client.intend().is_none());
        assert_eq!(client.next_sending(), Some(sending(1, false)));
        assert_eq!(client.next_sending(), None, "1 is under way");

        client.answered(1, &Err(CallError::Lost(String::new())));

        assert_eq!(client.next_sending(), Some(sending(1, true)));
        let answer = json!({"data": {"epoch": "e", "offset": 1, "duplicate": true}});
        client.answered(1, &Ok(answer));
        assert_eq!(client.next_sending(), Some(sending(2, false)));
    }

    #[test]
    fn a_full_queue_counts_what_was_never_sent() {
        let mut client = connected(2);

        let facts: Vec<_> = (0..3).map(|_| client.intend()).collect();

        assert_eq!(facts, [None, None, Some(ClientFact::Unsent)]);
        assert_eq!(client.unanswered(), 2);
    }

    #[test]
    fn the_way_to_the_first_connection_is_no_loss() {
        let mut client = connected(1);
        let connecting = What::Connecting {
            code: 2,
            reason: "no ping".to_owned(),
        };

        assert_eq!(
            client.on_event(&connecting),
            Some(ClientFact::Lost(LossCause::Timeout))
        );
        assert_eq!(client.on_event(&connecting), None);
        assert_eq!(
            client.on_event(&What::Trouble("refused".to_owned())),
            Some(ClientFact::AttemptFailed)
        );
    }

    fn connected(queue_len_max: u32) -> Client {
        let seat = Seat {
            id: ClientId(0),
            name: "chat-1".to_owned(),
            load: "chat".to_owned(),
            kind: ClientKind::Centrifuge,
            instance: InstanceId(0),
            room: RoomId(0),
        };
        let mut client = Client::new(&seat, "room".to_owned(), queue_len_max);
        client.on_event(&What::Connected("x".to_owned()));
        client.on_event(&What::Subscribed(Subscribed {
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

    fn sending(sequence: u64, is_repeat: bool) -> Sending {
        Sending {
            sequence,
            is_repeat,
        }
    }
}
