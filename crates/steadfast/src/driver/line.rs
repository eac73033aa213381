//! The one transport of a session: being dialled, open, or not there.
//!
//! Facts of it carry the attempt's number; an order for another attempt than the present one is ignored.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use steadfast_core::io::{Attempt, ConnectionLoss, DialFailure, Input};
use steadfast_protocol::websocket::MessageKind;

use crate::connector::{Connector, DialError};
use crate::dial_limit::{DialLimit, Permit};
use crate::endpoint::Endpoint;
use crate::transport::websocket::{Arrival, WebSocket};

/// Reads in one turn; then the rest of the driver has its turn.
const READS_PER_TURN: usize = 16;

/// The transport.
#[derive(Debug, Default)]
pub(super) struct Line {
    attempt: Attempt,
    state: State,
    arrivals: Vec<Arrival>,
    /// What the session was last told about bytes that wait.
    told_unsent: u64,
}

#[derive(Default)]
enum State {
    #[default]
    None,
    /// Too many are dialling; this is the wait and the dial behind it.
    Held {
        wait: Pin<Box<dyn Future<Output = Option<Permit>> + Send>>,
        connector: Connector,
        endpoint: Endpoint,
        is_told: bool,
    },
    Dialing(Dialing),
    Open(Box<WebSocket>),
}

type Dialing = Pin<Box<dyn Future<Output = Result<WebSocket, DialError>> + Send>>;

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Held { .. } => "Held",
            Self::Dialing(_) => "Dialing",
            Self::Open(_) => "Open",
        })
    }
}

impl Line {
    pub(super) fn dial(
        &mut self,
        attempt: Attempt,
        connector: &Connector,
        endpoint: &Endpoint,
        limit: &DialLimit,
    ) {
        let (connector, endpoint) = (connector.clone(), endpoint.clone());
        self.attempt = attempt;
        self.told_unsent = 0;
        self.state = match limit.try_take() {
            Some(permit) => State::Dialing(dialing(connector, endpoint, Some(permit))),
            None => State::Held {
                wait: Box::pin(limit.clone().take()),
                connector,
                endpoint,
                is_told: false,
            },
        };
    }

    /// The attempt under way, or the last one.
    pub(super) const fn attempt(&self) -> Attempt {
        self.attempt
    }

    pub(super) fn abandon(&mut self, attempt: Attempt) {
        if attempt == self.attempt {
            self.state = State::None;
        }
    }

    pub(super) fn transmit(&mut self, attempt: Attempt, message: &Bytes) {
        self.with_socket(attempt, |socket| socket.queue_text(message));
    }

    pub(super) fn probe(&mut self, attempt: Attempt) {
        self.with_socket(attempt, |socket| socket.queue_ping(b""));
    }

    pub(super) fn hang_up(&mut self, attempt: Attempt, code: u16, reason: &str) {
        self.with_socket(attempt, |socket| socket.queue_close(code, reason));
    }

    fn with_socket(
        &mut self,
        attempt: Attempt,
        act: impl FnOnce(&mut WebSocket) -> io::Result<()>,
    ) {
        if attempt == self.attempt
            && let State::Open(socket) = &mut self.state
            // Without randomness nothing can be masked; the silence that follows ends the connection.
            && let Err(error) = act(socket)
        {
            tracing::warn!(%error, "nothing can be sent");
        }
    }

    /// Moves what can be moved and tells what happened. True when something did.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, tell: &mut impl FnMut(Input)) -> bool {
        let attempt = self.attempt;
        match &mut self.state {
            State::None => false,
            State::Held {
                wait,
                connector,
                endpoint,
                is_told,
            } => {
                if !std::mem::replace(is_told, true) {
                    tell(Input::DialQueued { attempt });
                }
                let Poll::Ready(permit) = wait.as_mut().poll(context) else {
                    return false;
                };
                let (connector, endpoint) = (connector.clone(), endpoint.clone());
                self.state = State::Dialing(dialing(connector, endpoint, permit));
                tell(Input::DialStarted { attempt });
                true
            }
            State::Dialing(dial) => match dial.as_mut().poll(context) {
                Poll::Pending => false,
                Poll::Ready(Ok(socket)) => {
                    self.state = State::Open(Box::new(socket));
                    tell(Input::Dialled { attempt });
                    true
                }
                Poll::Ready(Err(error)) => {
                    self.state = State::None;
                    let failure = failure(&error);
                    tell(Input::DialFailed { attempt, failure });
                    true
                }
            },
            State::Open(socket) => {
                let received = receive(socket, context, &mut self.arrivals, attempt, tell);
                let sent = send(socket, context, attempt, &mut self.told_unsent, tell);
                match received.and_then(|received| Ok(received | sent?)) {
                    Ok(is_busy) => is_busy,
                    Err(loss) => {
                        if let State::Open(socket) = std::mem::take(&mut self.state) {
                            say_goodbye(*socket);
                        }
                        tell(Input::Lost { attempt, loss });
                        true
                    }
                }
            }
        }
    }
}

/// The permit ends with the dial, however that ends.
fn dialing(connector: Connector, endpoint: Endpoint, permit: Option<Permit>) -> Dialing {
    Box::pin(async move {
        let outcome = connector.dial(&endpoint).await;
        drop(permit);
        outcome
    })
}

fn receive(
    socket: &mut WebSocket,
    context: &mut Context<'_>,
    arrivals: &mut Vec<Arrival>,
    attempt: Attempt,
    tell: &mut impl FnMut(Input),
) -> Result<bool, ConnectionLoss> {
    let mut is_busy = false;
    for _ in 0..READS_PER_TURN {
        let Poll::Ready(outcome) = socket.poll_receive(context, arrivals) else {
            return Ok(is_busy);
        };
        is_busy = true;
        tell(Input::BytesReceived { attempt });
        for arrival in arrivals.drain(..) {
            match arrival {
                Arrival::Message {
                    kind: MessageKind::Text,
                    payload: message,
                } => tell(Input::Received { attempt, message }),
                Arrival::Message {
                    kind: MessageKind::Binary,
                    ..
                } => {
                    return Err(ConnectionLoss::Failed(
                        "the server sent a binary message".to_owned(),
                    ));
                }
                Arrival::Pong(_) => {}
                Arrival::Closed { code, reason } => {
                    return Err(ConnectionLoss::CloseFrame { code, reason });
                }
            }
        }
        if let Err(error) = outcome {
            return Err(ConnectionLoss::Failed(error.to_string()));
        }
    }
    Ok(is_busy)
}

fn send(
    socket: &mut WebSocket,
    context: &mut Context<'_>,
    attempt: Attempt,
    told_unsent: &mut u64,
    tell: &mut impl FnMut(Input),
) -> Result<bool, ConnectionLoss> {
    if !socket.has_unsent() && *told_unsent == 0 {
        return Ok(false);
    }
    let sent = match socket.poll_send(context) {
        Poll::Ready(Ok(_)) => true,
        Poll::Ready(Err(error)) => return Err(ConnectionLoss::Failed(error.to_string())),
        Poll::Pending => false,
    };
    let unsent = socket.queued_total() - socket.written_total();
    if unsent != *told_unsent {
        *told_unsent = unsent;
        tell(Input::SendBuffer {
            attempt,
            bytes: unsent,
        });
    }
    Ok(sent)
}

/// Gives the close frame that answers the peer's, or says what was wrong, a chance to go out.
fn say_goodbye(mut socket: WebSocket) {
    let context = &mut Context::from_waker(std::task::Waker::noop());
    // What the system does not take at once is not worth a wait: the peer is gone or knows already.
    if socket.has_unsent() {
        let _ = socket.poll_send(context);
    }
    let _ = socket.poll_shutdown(context);
}

fn failure(error: &DialError) -> DialFailure {
    DialFailure {
        text: format!("{error}: {}", error.failure()),
        is_local: error.is_local(),
        is_final: error.is_final(),
        retry_after: error.retry_after(),
    }
}
