//! One transport of a session: queued, dialling, open, or ended.
//!
//! Its inputs to the session have the number of its attempt.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use steadfast_core::dialect::{Dialect, Excerpt, Oversized};
use steadfast_core::io::{Attempt, ConnectionLoss, DialFailure, Frame, Input};
use steadfast_machine::convert;
use steadfast_protocol::websocket::MessageKind;

use crate::connector::{Connector, DialError, DialPlan};
use crate::dial_limit::{DialLimit, Permit};
use crate::endpoint::Endpoint;
#[cfg(feature = "truenas")]
use crate::login_limit::LoginCost;
use crate::transport::websocket::{self, Arrival, WebSocket};

/// Maximum number of reads in one loop iteration.
const READS_PER_ITERATION: usize = 16;

/// The transport of one attempt.
#[derive(Debug)]
pub(super) struct TransportSlot {
    attempt: Attempt,
    state: SlotState,
    arrivals: Vec<Arrival>,
    /// What the dialect reads of a message above the limit that is arriving.
    skipped: Option<Skipped>,
    /// The length of the send buffer that was last reported to the session, in bytes.
    reported_unsent: u64,
}

/// A message above the limit that is arriving.
#[derive(Debug)]
struct Skipped {
    excerpt: Box<dyn Excerpt>,
    bytes: u64,
}

impl Skipped {
    fn begin<D: Dialect>() -> Option<Self> {
        let excerpt = D::EXCERPT?();
        Some(Self { excerpt, bytes: 0 })
    }

    fn add(&mut self, part: &[u8]) {
        self.excerpt.add(part);
        self.bytes = self.bytes.saturating_add(convert::to_u64(part.len()));
    }

    fn finish(self) -> Oversized {
        Oversized {
            bytes: self.bytes,
            excerpt: self.excerpt.finish(),
        }
    }
}

#[derive(Default)]
enum SlotState {
    #[default]
    Ended,
    /// The dial limit or the login limit is reached: the attempt waits for its turn, and then dials.
    Queued {
        wait: Pin<Box<dyn Future<Output = Option<Permit>> + Send>>,
        target: Box<Target>,
        is_reported: bool,
    },
    Dialing(Dialing),
    Open(Box<WebSocket>),
}

/// What an attempt dials, and how.
#[derive(Clone, Debug)]
pub(super) struct Target {
    connector: Arc<Connector>,
    endpoint: Endpoint,
    plan: DialPlan,
    #[cfg(feature = "truenas")]
    login: Option<LoginCost>,
}

impl Target {
    pub(super) fn new(connector: &Arc<Connector>, endpoint: &Endpoint, plan: DialPlan) -> Self {
        Self {
            connector: Arc::clone(connector),
            endpoint: endpoint.clone(),
            plan,
            #[cfg(feature = "truenas")]
            login: None,
        }
    }

    /// Waits until the login that follows is permitted.
    #[cfg(feature = "truenas")]
    pub(super) fn with_login(mut self, login: Option<&LoginCost>) -> Self {
        self.login = login.cloned();
        self
    }

    /// Begins to dial, or to wait for its turn.
    fn begin(self, limit: &DialLimit) -> SlotState {
        #[cfg(feature = "truenas")]
        if let Some(login) = self.login.clone()
            && !login.try_take(self.endpoint.host())
        {
            let (limit, host) = (limit.clone(), self.endpoint.host().to_owned());
            return self.wait(Box::pin(async move {
                login.take(&host).await;
                limit.acquire().await
            }));
        }
        match limit.try_acquire() {
            Some(permit) => SlotState::Dialing(self.dial(Some(permit))),
            None => self.wait(Box::pin(limit.clone().acquire())),
        }
    }

    fn wait(self, wait: Pin<Box<dyn Future<Output = Option<Permit>> + Send>>) -> SlotState {
        SlotState::Queued {
            wait,
            target: Box::new(self),
            is_reported: false,
        }
    }

    /// Dials with a permit, which is released when the dial completes or is dropped.
    fn dial(self, permit: Option<Permit>) -> Dialing {
        Box::pin(async move {
            #[cfg(feature = "truenas")]
            let login = self.login.map(|it| it.reserved(self.endpoint.host()));
            let outcome = self.connector.dial(&self.endpoint, self.plan).await;
            drop(permit);
            #[cfg(feature = "truenas")]
            if let (Some(login), Ok(_)) = (login, &outcome) {
                login.made();
            }
            outcome
        })
    }
}

type Dialing = Pin<Box<dyn Future<Output = Result<WebSocket, DialError>> + Send>>;

impl fmt::Debug for SlotState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ended => "Ended",
            Self::Queued { .. } => "Queued",
            Self::Dialing(_) => "Dialing",
            Self::Open(_) => "Open",
        })
    }
}

impl TransportSlot {
    pub(super) fn dial(attempt: Attempt, target: Target, limit: &DialLimit) -> Self {
        Self {
            attempt,
            state: target.begin(limit),
            arrivals: Vec::new(),
            skipped: None,
            reported_unsent: 0,
        }
    }

    pub(super) const fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// Whether the dial failed, or the transport ended.
    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.state, SlotState::Ended)
    }

    pub(super) fn transmit(&mut self, frame: &Frame) {
        if contains_heartbeat(frame.payload()) {
            tracing::trace!(attempt = self.attempt.0, "pong sent");
        }
        self.with_socket(|socket| match frame {
            Frame::Text(message) => socket.queue_text(message),
            Frame::Binary(message) => socket.queue_binary(message),
        });
    }

    pub(super) fn probe(&mut self) {
        tracing::trace!(attempt = self.attempt.0, "WebSocket ping sent");
        self.with_socket(|socket| socket.queue_ping(b""));
    }

    pub(super) fn close(&mut self, code: u16, reason: &str) {
        self.with_socket(|socket| socket.queue_close(code, reason));
    }

    fn with_socket(&mut self, queue: impl FnOnce(&mut WebSocket) -> io::Result<()>) {
        if let SlotState::Open(socket) = &mut self.state
            // Without random bytes no frame can be masked; liveness detection then ends the connection.
            && let Err(error) = queue(socket)
        {
            tracing::warn!(%error, "failed to generate a WebSocket mask; frame not sent");
        }
    }

    /// Advances the transport and emits inputs for the session. Returns `true` when there was progress.
    pub(super) fn poll<D: Dialect>(
        &mut self,
        context: &mut Context<'_>,
        emit: &mut impl FnMut(Input<D>),
    ) -> bool {
        let attempt = self.attempt;
        match &mut self.state {
            SlotState::Ended => false,
            SlotState::Queued {
                wait,
                target,
                is_reported,
            } => {
                if !std::mem::replace(is_reported, true) {
                    emit(Input::DialQueued { attempt });
                }
                let Poll::Ready(permit) = wait.as_mut().poll(context) else {
                    return false;
                };
                let target = (**target).clone();
                self.state = SlotState::Dialing(target.dial(permit));
                emit(Input::DialStarted { attempt });
                true
            }
            SlotState::Dialing(dial) => match dial.as_mut().poll(context) {
                Poll::Pending => false,
                Poll::Ready(Ok(socket)) => {
                    self.state = SlotState::Open(Box::new(socket));
                    emit(Input::Dialled { attempt });
                    true
                }
                Poll::Ready(Err(error)) => {
                    self.state = SlotState::Ended;
                    let failure = dial_failure(&error);
                    emit(Input::DialFailed { attempt, failure });
                    true
                }
            },
            SlotState::Open(socket) => {
                let buffers = (&mut self.arrivals, &mut self.skipped);
                let received = receive(socket, context, buffers, attempt, emit);
                let sent = send(socket, context, attempt, &mut self.reported_unsent, emit);
                match received.and_then(|received| Ok(received | sent?)) {
                    Ok(is_busy) => is_busy,
                    Err(loss) => {
                        if let SlotState::Open(socket) = std::mem::take(&mut self.state) {
                            flush_and_shut_down(*socket);
                        }
                        emit(Input::Lost { attempt, loss });
                        true
                    }
                }
            }
        }
    }
}

fn receive<D: Dialect>(
    socket: &mut WebSocket,
    context: &mut Context<'_>,
    (arrivals, skipped): (&mut Vec<Arrival>, &mut Option<Skipped>),
    attempt: Attempt,
    emit: &mut impl FnMut(Input<D>),
) -> Result<bool, ConnectionLoss> {
    let mut is_busy = false;
    for _ in 0..READS_PER_ITERATION {
        let Poll::Ready(outcome) = socket.poll_receive(context, arrivals) else {
            return Ok(is_busy);
        };
        is_busy = true;
        let bytes = outcome.as_ref().map_or(0, |bytes| convert::to_u64(*bytes));
        emit(Input::BytesReceived { attempt, bytes });
        for arrival in arrivals.drain(..) {
            match arrival {
                Arrival::Message { kind, payload } => {
                    if contains_heartbeat(&payload) {
                        tracing::trace!(attempt = attempt.0, "ping received");
                    }
                    let frame = match kind {
                        MessageKind::Text => Frame::Text(payload),
                        MessageKind::Binary => Frame::Binary(payload),
                    };
                    emit(Input::Received { attempt, frame });
                }
                Arrival::Skipped { part, is_last } => {
                    if skipped.is_none() {
                        *skipped = Skipped::begin::<D>();
                    }
                    if let Some(skipped) = skipped {
                        skipped.add(&part);
                    }
                    if is_last && let Some(skipped) = skipped.take() {
                        let oversized = skipped.finish();
                        emit(Input::ReceivedOversized { attempt, oversized });
                    }
                }
                Arrival::Pong => {
                    tracing::trace!(attempt = attempt.0, "WebSocket pong received");
                    emit(Input::PongReceived { attempt });
                }
                Arrival::CloseFrame { code, reason } => {
                    return Err(ConnectionLoss::CloseFrame { code, reason });
                }
            }
        }
        if let Err(error) = outcome {
            let text = error.to_string();
            return Err(if error.is_message_too_large() {
                ConnectionLoss::MessageTooLarge(text)
            } else {
                let kind = error.kind();
                ConnectionLoss::Failed { kind, text }
            });
        }
    }
    Ok(is_busy)
}

/// Whether a line of a message is a ping of the server or the pong to it, which are empty objects. Checked only if it is
/// logged.
fn contains_heartbeat(message: &[u8]) -> bool {
    tracing::enabled!(tracing::Level::TRACE)
        && message
            .split(|byte| *byte == b'\n')
            .any(|line| line == b"{}")
}

fn send<D: Dialect>(
    socket: &mut WebSocket,
    context: &mut Context<'_>,
    attempt: Attempt,
    reported_unsent: &mut u64,
    emit: &mut impl FnMut(Input<D>),
) -> Result<bool, ConnectionLoss> {
    if !socket.has_unsent() && *reported_unsent == 0 {
        return Ok(false);
    }
    let sent = match socket.poll_send(context) {
        Poll::Ready(Ok(_)) => true,
        Poll::Ready(Err(error)) => {
            let (kind, text) = (websocket::kind_of(&error), error.to_string());
            return Err(ConnectionLoss::Failed { kind, text });
        }
        Poll::Pending => false,
    };
    let unsent = socket.queued_total() - socket.written_total();
    if unsent != *reported_unsent {
        *reported_unsent = unsent;
        emit(Input::SendBuffer {
            attempt,
            bytes: unsent,
        });
    }
    Ok(sent)
}

/// Tries to send the queued close frame, then shuts the transport down.
fn flush_and_shut_down(mut socket: WebSocket) {
    let context = &mut Context::from_waker(std::task::Waker::noop());
    // The send does not wait for the socket: the peer has closed the connection already, or will detect the loss.
    if socket.has_unsent() {
        let _ = socket.poll_send(context);
    }
    let _ = socket.poll_shutdown(context);
}

fn dial_failure(error: &DialError) -> DialFailure {
    DialFailure {
        stage: error.stage(),
        kind: error.kind(),
        text: format!("{error}: {}", error.reason()),
        is_local: error.is_local(),
        is_final: error.is_permanent(),
        retry_after: error.retry_after(),
    }
}
