//! A dialect without any order: each received frame is a list of events, whatever the state of the connection is.

use std::time::Duration;

use bytes::Bytes;
use steadfast_core::dialect::{
    Call, Delivery, Dialect, DialectEvent, EarlyRequests, InFlight, Message, Outcome, Request,
    Subscribed, Topic, Unsendable, Wire,
};
use steadfast_core::event::DisconnectCause;
use steadfast_core::io::{Computation, ConnectionLoss, Frame};
use steadfast_core::retry_advice::{Action, Pace, RetryAdvice};
use steadfast_core::secret::Secret;
use steadfast_machine::Position;

/// The number of kinds of events.
pub(crate) const KINDS: u8 = 15;
/// The kind of [`DialectEvent::Accepted`].
pub(crate) const ACCEPTED: u8 = 0;
/// The kind of [`DialectEvent::Authenticated`].
pub(crate) const AUTHENTICATED: u8 = 1;
/// The kind of [`DialectEvent::Rejected`].
pub(crate) const REJECTED: u8 = 2;
/// The kind of [`DialectEvent::Subscribed`].
pub(crate) const SUBSCRIBED: u8 = 5;
/// The kind of [`DialectEvent::Refused`].
pub(crate) const REFUSED: u8 = 6;
/// The kind of [`DialectEvent::Replied`].
pub(crate) const REPLIED: u8 = 7;
/// The kind of [`DialectEvent::Unsubscribed`].
pub(crate) const UNSUBSCRIBED: u8 = 9;

/// An event as the peer sends it: its kind, the request that it names, and a number that varies it.
pub(crate) type Sent = (u8, u32, u8);

/// A protocol whose peer says anything at any time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hostile {
    /// The protocol cannot authenticate an open connection.
    pub(crate) cannot_authenticate: bool,
}

/// A call; it says whether it is idempotent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostileCall(pub(crate) bool);

/// A message with its lane and what the peer does with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostileMessage(pub(crate) u8, pub(crate) Delivery);

/// A topic by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostileTopic(pub(crate) u8);

impl Call for HostileCall {
    fn is_idempotent(&self) -> bool {
        self.0
    }
}

impl Message for HostileMessage {
    type Lane = u8;

    fn lane(&self) -> &u8 {
        &self.0
    }

    fn bytes(&self) -> usize {
        usize::from(self.0)
    }

    fn delivery(&self) -> Delivery {
        self.1
    }
}

impl Topic for HostileTopic {
    type Key = u8;

    fn key(&self) -> &u8 {
        &self.0
    }
}

/// The frame of these events.
pub(crate) fn frame(events: &[Sent]) -> Frame {
    let encode = |(kind, id, number): &Sent| {
        let [a, b, c, d] = id.to_le_bytes();
        [*kind, a, b, c, d, *number]
    };
    Frame::Binary(events.iter().flat_map(encode).collect())
}

/// What a frame of the client says: `c` call, `m` message, `s` subscribe, `u` unsubscribe, `a` authenticate.
pub(crate) fn request_of(frame: &Frame) -> Option<(u8, u32)> {
    match frame.payload()[..] {
        [kind, a, b, c, d] => Some((kind, u32::from_le_bytes([a, b, c, d]))),
        _ => None,
    }
}

fn advice(number: u8) -> RetryAdvice {
    let action = match number % 7 {
        0 => Action::GiveUp,
        1 | 2 => Action::RenewCredentials,
        3 => Action::DiscardPositions,
        _ => Action::Retry,
    };
    let pace = match number % 3 {
        0 => Pace::Usual,
        1 => Pace::Overloaded,
        2 => Pace::Slowed,
        _ => Pace::GoingAway,
    };
    let seconds = Duration::from_secs(u64::from(number));
    let retry_after = number.is_multiple_of(5).then_some(seconds);
    RetryAdvice::RETRY.with(action).at(pace).after(retry_after)
}

impl Hostile {
    fn event((kind, id, number): Sent) -> DialectEvent<Self> {
        let expires_after =
            (!number.is_multiple_of(4)).then(|| Duration::from_millis(u64::from(number / 4)));
        let (refusal, topic) = ("no".to_owned(), number % 3);
        let offset = (!number.is_multiple_of(3)).then(|| u64::from(number / 8));
        let epoch = if number.is_multiple_of(2) { "e" } else { "" };
        let cause = DisconnectCause::Protocol("hostile".to_owned());
        let advice = advice(number);
        match kind {
            ACCEPTED => DialectEvent::Accepted { expires_after },
            AUTHENTICATED => DialectEvent::Authenticated { id, expires_after },
            REJECTED => DialectEvent::Rejected { cause, advice },
            3 => DialectEvent::Responded { id, response: () },
            4 => DialectEvent::Acknowledged {
                id,
                acknowledgement: (),
            },
            SUBSCRIBED => DialectEvent::Subscribed {
                id,
                subscribed: Subscribed::new(
                    Position {
                        offset: u64::from(number / 16),
                        epoch: epoch.into(),
                    },
                    number.is_multiple_of(3),
                    vec![(offset, number); usize::from(number % 4)],
                ),
            },
            REFUSED => DialectEvent::Refused {
                id,
                refusal,
                advice,
                maybe_executed: number.is_multiple_of(2),
            },
            REPLIED => DialectEvent::Replied { id },
            8 => DialectEvent::Item {
                topic,
                offset,
                item: number,
            },
            UNSUBSCRIBED => DialectEvent::Unsubscribed {
                topic,
                refusal,
                advice,
            },
            10 => DialectEvent::Disconnected { cause, advice },
            12 => DialectEvent::Unauthenticated { id, refusal },
            13 => DialectEvent::Redirected {
                urls: vec![refusal],
            },
            14 => DialectEvent::Compute {
                id,
                computation: Computation::Nonce,
            },
            // Another that the client did not ask for.
            _ => DialectEvent::Authenticated {
                id: 0,
                expires_after: Some(Duration::ZERO),
            },
        }
    }
}

impl Dialect for Hostile {
    type Call = HostileCall;
    type Response = ();
    type Message = HostileMessage;
    type Acknowledgement = ();
    type Topic = HostileTopic;
    type Item = u8;
    type Refusal = String;

    fn start_handshake(&mut self, credentials: &Secret, wire: &mut Wire) -> EarlyRequests {
        let text = credentials.expose().to_owned();
        wire.frame(Frame::Text(text.into()));
        EarlyRequests::Subscriptions(2)
    }

    fn read(
        &mut self,
        frame: &Frame,
        _in_flight: &impl InFlight<Self>,
        events: &mut Vec<DialectEvent<Self>>,
        wire: &mut Wire,
    ) -> Result<(), String> {
        for event in frame.payload().chunks(6) {
            let [kind, a, b, c, d, number] = *event else {
                return Err("incomplete event".to_owned());
            };
            let id = u32::from_le_bytes([a, b, c, d]);
            if number.is_multiple_of(6) {
                wire.frame(Frame::Text("unasked".into()));
            }
            events.push(Self::event((kind, id, number)));
        }
        Ok(())
    }

    fn write(
        &mut self,
        id: u32,
        request: Request<'_, Self>,
        wire: &mut Wire,
    ) -> Option<Outcome<Self>> {
        let (kind, outcome) = match request {
            Request::Call(_) => (b'c', None),
            // What the message says of its delivery and what happens are independent of each other.
            Request::Message(it) => {
                let is_done = (it.delivery() == Delivery::Unacknowledged) != (it.0 == 3);
                (b'm', is_done.then_some(Outcome::Acknowledged(())))
            }
            Request::Subscribe(..) => (b's', None),
            Request::Unsubscribe(_) => (b'u', None),
            Request::Authenticate(_) => (b'a', None),
        };
        let [a, b, c, d] = id.to_le_bytes();
        wire.frame(Frame::Binary(Bytes::copy_from_slice(&[kind, a, b, c, d])));
        outcome
    }

    fn check(&self, request: Request<'_, Self>) -> Result<(), Unsendable> {
        match request {
            Request::Authenticate(_) if self.cannot_authenticate => Err(Unsendable::Unsupported),
            Request::Authenticate(_)
            | Request::Call(_)
            | Request::Message(_)
            | Request::Subscribe(..)
            | Request::Unsubscribe(_) => Ok(()),
        }
    }

    fn advise(&self, loss: &ConnectionLoss) -> RetryAdvice {
        let ConnectionLoss::CloseFrame { code, .. } = loss else {
            return RetryAdvice::RETRY;
        };
        let [_, low] = code.unwrap_or(4).to_be_bytes();
        advice(low)
    }
}
