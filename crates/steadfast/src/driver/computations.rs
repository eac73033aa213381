//! What logins need and a state machine does not have: random bytes, and the derivation of a key on a thread of its own.
//!
//! The session says what and when; a result of an attempt that has ended is ignored by it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};

use steadfast_core::dialect::Dialect;
use steadfast_core::io::{Attempt, Computation, Computed, Input, KeyDerivation, NONCE_BYTES};
use tokio::task::{JoinHandle, spawn_blocking};

/// The computations in progress, at most one for each of the few attempts of a session.
#[derive(Debug, Default)]
pub(super) struct Computations {
    running: BTreeMap<Attempt, (u32, Running)>,
}

#[derive(Debug)]
enum Running {
    Done(Computed),
    /// On a thread of the runtime for blocking work. It is not interrupted, and ends after a bounded time.
    OnThread(JoinHandle<Computed>),
}

impl Computations {
    /// Begins a computation; the result follows from [`Self::poll`]. An earlier one of the attempt is obsolete.
    pub(super) fn begin(&mut self, attempt: Attempt, id: u32, computation: Computation) {
        let running = match computation {
            Computation::Nonce => Running::Done(nonce()),
            Computation::DeriveKey(derivation) => {
                Running::OnThread(spawn_blocking(move || derive(&derivation)))
            }
            _ => Running::Done(Computed::Failed("unknown computation".to_owned())),
        };
        self.running.insert(attempt, (id, running));
    }

    /// An attempt has ended.
    pub(super) fn forget(&mut self, attempt: Attempt) {
        self.running.remove(&attempt);
    }

    /// Returns the next result for the session, if there is one.
    pub(super) fn poll<D: Dialect>(&mut self, context: &mut Context<'_>) -> Option<Input<D>> {
        let mut running = self.running.iter_mut();
        let (attempt, id, computed) = running.find_map(|(attempt, (id, running))| {
            let computed = match running {
                Running::Done(computed) => computed.clone(),
                Running::OnThread(thread) => match Pin::new(thread).poll(context) {
                    Poll::Pending => return None,
                    Poll::Ready(Ok(computed)) => computed,
                    Poll::Ready(Err(error)) => Computed::Failed(error.to_string()),
                },
            };
            Some((*attempt, *id, computed))
        })?;
        self.forget(attempt);
        Some(Input::Computed {
            attempt,
            id,
            computed,
        })
    }
}

fn nonce() -> Computed {
    let mut nonce = [0; NONCE_BYTES];
    match getrandom::fill(&mut nonce) {
        Ok(()) => Computed::Nonce(nonce),
        Err(error) => Computed::Failed(format!("no random bytes: {error}")),
    }
}

#[cfg(feature = "truenas")]
fn derive(derivation: &KeyDerivation) -> Computed {
    Computed::Key(derivation.derive())
}

/// No protocol without that feature derives keys.
#[cfg(not(feature = "truenas"))]
fn derive(_derivation: &KeyDerivation) -> Computed {
    Computed::Failed("the feature `truenas` is not enabled".to_owned())
}
