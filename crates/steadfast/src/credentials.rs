//! The application's function that fetches credentials, and the call of it that is in progress.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use steadfast_core::dialect::Dialect;
use steadfast_core::io::{CredentialsError, FetchId, Input, RenewalReason};
use steadfast_core::secret::Secret;

type Fetch = Pin<Box<dyn Future<Output = Result<String, CredentialsError>> + Send>>;

/// A function of the application that fetches credentials.
#[derive(Clone)]
pub(crate) struct FetchCredentials(Arc<dyn Fn(RenewalReason) -> Fetch + Send + Sync>);

impl FetchCredentials {
    pub(crate) fn new<F, R>(fetch: F) -> Self
    where
        F: Fn(RenewalReason) -> R + Send + Sync + 'static,
        R: Future<Output = Result<String, CredentialsError>> + Send + 'static,
    {
        Self(Arc::new(move |reason| Box::pin(fetch(reason))))
    }
}

impl fmt::Debug for FetchCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FetchCredentials")
    }
}

/// The fetch of credentials that is in progress, if any. A later one replaces it.
pub(crate) struct CredentialsSlot {
    fetch: Option<FetchCredentials>,
    current: Option<(FetchId, Fetch)>,
}

impl fmt::Debug for CredentialsSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.current.as_ref().map(|(id, _)| id);
        f.debug_tuple("CredentialsSlot").field(&current).finish()
    }
}

impl CredentialsSlot {
    pub(crate) const fn new(fetch: Option<FetchCredentials>) -> Self {
        Self {
            fetch,
            current: None,
        }
    }

    /// Calls the function of the application; the result follows from [`Self::poll`].
    pub(crate) fn begin(&mut self, id: FetchId, reason: RenewalReason) {
        self.current = self.fetch.clone().map(|fetch| {
            // Lazy, so that a panic of the function itself is caught as well.
            let result: Fetch = Box::pin(async move { fetch.0(reason).await });
            (id, result)
        });
    }

    /// Returns the input for the session when the fetch is complete. A panic of the application counts as a failure: the
    /// driver serves other callers too.
    pub(crate) fn poll<D: Dialect>(&mut self, context: &mut Context<'_>) -> Option<Input<D>> {
        let (id, fetch) = self.current.as_mut()?;
        let polled = catch_unwind(AssertUnwindSafe(|| fetch.as_mut().poll(context)));
        let outcome = match polled {
            Ok(Poll::Pending) => return None,
            Ok(Poll::Ready(outcome)) => outcome.map(Secret::new),
            Err(_panic) => Err(CredentialsError::temporary("the function panicked")),
        };
        let id = *id;
        self.current = None;
        Some(Input::CredentialsFetched { id, outcome })
    }
}
