//! The login of one connection: which response or result it waits for.

use super::login::{Login, LoginRejection, LoginRequest, LoginStep};
use super::{ErrorObject, JsonRpc};
use crate::dialect::DialectEvent;
use crate::event::{DisconnectCause, LoginErrorKind};
use crate::io::{Computation, Computed};
use crate::retry_advice::{Action, Pace, RetryAdvice};
use crate::secret::Secret;

/// The login machine of a connection, and the login in progress.
#[derive(Clone, Debug, Default)]
pub(super) struct LoginProgress {
    /// `None` if there is no login.
    machine: Option<Box<dyn Login>>,
    current: Option<Current>,
    /// The number of computations so far.
    computations: u32,
}

/// A login in progress.
#[derive(Clone, Copy, Debug)]
struct Current {
    /// The request of the session; `None` in the handshake.
    request: Option<u32>,
    awaits: Awaits,
}

/// What the next step depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaits {
    /// The response to the call with this id.
    Response(u32),
    /// The result of this computation.
    Computation(u32),
}

/// What a step requires of the connection.
#[derive(Debug)]
pub(super) enum Next {
    /// Write this call, and report its id with [`LoginProgress::called`].
    Call(LoginRequest),
    /// Report this event.
    Report(DialectEvent<JsonRpc>),
}

impl LoginProgress {
    pub(super) const fn new(machine: Option<Box<dyn Login>>) -> Self {
        Self {
            machine,
            current: None,
            computations: 0,
        }
    }

    /// The machine, if there is a login.
    pub(super) fn machine(&self) -> Option<&dyn Login> {
        self.machine.as_deref()
    }

    /// Adopts what the login has learnt on another connection.
    pub(super) fn learn(&mut self, other: &Self) {
        self.machine.clone_from(&other.machine);
    }

    /// Begins a login for a request of the session, or for the handshake; its first call has this id. Returns the call;
    /// `None` if there is no login.
    pub(super) fn begin(
        &mut self,
        request: Option<u32>,
        id: u32,
        credentials: &Secret,
    ) -> Option<LoginRequest> {
        let call = self.machine.as_mut()?.begin(credentials);
        self.current = Some(Current {
            request,
            awaits: Awaits::Response(id),
        });
        Some(call)
    }

    /// Whether a response with this id is for the login.
    pub(super) fn awaits_response(&self, id: u32) -> bool {
        let awaits = self.current.map(|current| current.awaits);
        awaits == Some(Awaits::Response(id))
    }

    /// The next call of the login was written with this id.
    pub(super) const fn called(&mut self, id: u32) {
        if let Some(current) = &mut self.current {
            current.awaits = Awaits::Response(id);
        }
    }

    /// The response to the newest call.
    pub(super) fn on_response(
        &mut self,
        outcome: &Result<bytes::Bytes, ErrorObject>,
    ) -> Option<Next> {
        let step = self.machine.as_mut()?.on_response(outcome);
        self.follow(step)
    }

    /// The result of a computation; `None` if the login does not wait for it.
    pub(super) fn on_computed(&mut self, id: u32, computed: Computed) -> Option<Next> {
        if self.current?.awaits != Awaits::Computation(id) {
            return None;
        }
        let step = self.machine.as_mut()?.on_computed(computed);
        self.follow(step)
    }

    /// The next call exceeds the limit of the server before a login: it is not sent, and the login fails.
    pub(super) fn too_large(
        &mut self,
        bytes: usize,
        bytes_max: usize,
    ) -> Option<DialectEvent<JsonRpc>> {
        let request = self.current.take()?.request;
        Some(rejected(
            request,
            LoginRejection {
                kind: LoginErrorKind::Credentials,
                reason: format!(
                    "a call of the login has up to {bytes} bytes, above the limit of {bytes_max} bytes: \
                     check the length of the credentials"
                ),
                advice: RetryAdvice::RETRY.with(Action::RenewCredentials),
            },
        ))
    }

    /// The response with this id has so many bytes, more than are accepted: the login fails if it waits for it.
    pub(super) fn response_too_large(
        &mut self,
        id: u32,
        bytes: u64,
    ) -> Option<DialectEvent<JsonRpc>> {
        if !self.awaits_response(id) {
            return None;
        }
        let request = self.current.take()?.request;
        Some(rejected(
            request,
            LoginRejection {
                kind: LoginErrorKind::Server,
                reason: format!("the response to the login has {bytes} bytes, above the limit"),
                advice: RetryAdvice::RETRY.at(Pace::Slowed),
            },
        ))
    }

    fn follow(&mut self, step: LoginStep) -> Option<Next> {
        let request = self.current?.request;
        let event = match step {
            LoginStep::Call(call) => return Some(Next::Call(call)),
            LoginStep::Compute(computation) => return Some(self.compute(computation)),
            LoginStep::Accepted { expires_after } => match request {
                Some(id) => DialectEvent::Authenticated { id, expires_after },
                None => DialectEvent::Accepted { expires_after },
            },
            LoginStep::Rejected(rejection) => rejected(request, rejection),
            LoginStep::Redirected { urls } => DialectEvent::Redirected { urls },
        };
        self.current = None;
        Some(Next::Report(event))
    }

    fn compute(&mut self, computation: Computation) -> Next {
        self.computations = self.computations.wrapping_add(1);
        let id = self.computations;
        if let Some(current) = &mut self.current {
            current.awaits = Awaits::Computation(id);
        }
        Next::Report(DialectEvent::Compute { id, computation })
    }
}

fn rejected(request: Option<u32>, rejection: LoginRejection) -> DialectEvent<JsonRpc> {
    let LoginRejection {
        kind,
        reason,
        advice,
    } = rejection;
    match request {
        Some(id) => DialectEvent::Refused {
            id,
            refusal: ErrorObject::new(0, reason),
            advice,
            maybe_executed: false,
        },
        None => DialectEvent::Rejected {
            cause: DisconnectCause::LoginFailed { kind, text: reason },
            advice,
        },
    }
}
