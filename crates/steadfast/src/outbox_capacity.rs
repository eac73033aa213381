//! The free space of the outbox, as the handles share it: a publication is handed to the driver only when the outbox
//! has space for it, so that none is accepted and then dropped.
//!
//! Space is granted in the order of the requests, so the order of publications is that in which they were requested.

use std::sync::Arc;

use steadfast_core::policy::OutboxSettings;
use steadfast_machine::convert;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::error::RequestError;

/// What happens to a message while the outbox is full; see [`Builder::overflow`](crate::Builder::overflow).
///
/// ```
/// use steadfast::Overflow;
/// use steadfast::centrifuge::Client;
///
/// # fn build() -> Result<(), steadfast::error::BuildError> {
/// // Positions of vehicles: while the server is not available, only the newest are kept.
/// let builder = Client::builder("wss://example.org")?.overflow(Overflow::DropOldest);
/// # builder.build()?;
/// # Ok(())
/// # }
/// # build().unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// A handle waits for space, so that the application sends as fast as the server acknowledges; the methods that do not wait
    /// fail with [`RequestError::OutboxFull`]. The default, because
    /// nothing is lost and the memory is bounded.
    #[default]
    Wait,
    /// All methods fail, and none waits: for an application that has other means to reduce its load.
    Reject,
    /// The oldest messages that were not sent yet are dropped, as many as necessary; their outcome is
    /// [`SendError::OutboxFull`](crate::SendError::OutboxFull). For data of which only the newest matters.
    DropOldest,
}

/// The free space of an outbox; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct OutboxCapacity {
    publications: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    bytes_max: usize,
}

/// The space of one publication, which is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _publication: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl OutboxCapacity {
    pub(crate) fn new(settings: &OutboxSettings) -> Self {
        let bytes_max = settings.bytes_max.min(Semaphore::MAX_PERMITS);
        let publications_max = settings.messages_max.min(Semaphore::MAX_PERMITS);
        Self {
            publications: Arc::new(Semaphore::new(publications_max)),
            bytes: Arc::new(Semaphore::new(bytes_max)),
            bytes_max,
        }
    }

    /// Waits for the space of a publication with this much data.
    pub(crate) async fn acquire(&self, bytes: usize) -> Result<Place, RequestError> {
        let closed = |_: AcquireError| RequestError::Closed;
        let publication = Arc::clone(&self.publications).acquire_owned().await;
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(self.permits(bytes));
        Ok(Place {
            _publication: publication.map_err(closed)?,
            _bytes: bytes.await.map_err(closed)?,
        })
    }

    /// Takes the space of a publication with this much data, unless there is none or others wait for it.
    pub(crate) fn try_acquire(&self, bytes: usize) -> Result<Place, RequestError> {
        let refused = |error| match error {
            TryAcquireError::Closed => RequestError::Closed,
            TryAcquireError::NoPermits => RequestError::OutboxFull,
        };
        let publication = Arc::clone(&self.publications).try_acquire_owned();
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(self.permits(bytes));
        Ok(Place {
            _publication: publication.map_err(refused)?,
            _bytes: bytes.map_err(refused)?,
        })
    }

    /// Ends all waits, because the session has ended.
    pub(crate) fn close(&self) {
        self.publications.close();
        self.bytes.close();
    }

    /// A publication that can never fit waits for an empty outbox, which then rejects it.
    fn permits(&self, bytes: usize) -> u32 {
        convert::saturating(bytes.min(self.bytes_max))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;
    use crate::defaults;

    fn capacity() -> OutboxCapacity {
        OutboxCapacity::new(&defaults::OUTBOX.messages_max(2).bytes_max(10))
    }

    #[test]
    fn space_is_limited_by_count_and_by_bytes_and_is_freed_by_dropping_its_place() {
        let capacity = capacity();

        let first = capacity.try_acquire(9).unwrap();
        let by_bytes = capacity.try_acquire(2).unwrap_err();
        let second = capacity.try_acquire(1).unwrap();
        let by_count = capacity.try_acquire(0).unwrap_err();

        assert!(matches!(by_bytes, RequestError::OutboxFull), "{by_bytes}");
        assert!(matches!(by_count, RequestError::OutboxFull), "{by_count}");
        drop((first, second));
        assert!(capacity.try_acquire(usize::MAX).is_ok());
    }

    #[tokio::test]
    async fn a_small_publication_does_not_overtake_a_large_one_that_waits() {
        let capacity = capacity();
        let first = capacity.try_acquire(5).unwrap();
        let mut large = pin!(capacity.acquire(10));
        let polled = poll_fn(|context| Poll::Ready(large.as_mut().poll(context))).await;
        assert!(polled.is_pending());

        assert!(capacity.try_acquire(1).is_err());
        drop(first);
        assert!(large.await.is_ok());
    }

    #[tokio::test]
    async fn a_wait_ends_when_the_session_ends() {
        let capacity = capacity();
        let _all = capacity.try_acquire(10).unwrap();
        let (outcome, ()) = tokio::join!(capacity.acquire(1), async { capacity.close() });

        assert!(matches!(outcome, Err(RequestError::Closed)));
    }
}
