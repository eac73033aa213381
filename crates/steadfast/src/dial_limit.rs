//! Bounds the concurrent connection attempts of a process, so that its sessions do not cause a thundering herd.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::defaults;

/// A limit on concurrent attempts, each from the name resolution to the end of the upgrade. Clones share the limit.
///
/// By default, all clients of a process share [`Self::process_wide`]. Queued attempts are started in order; the time
/// limit of an attempt does not include the time in the queue.
///
/// ```
/// use steadfast::DialLimit;
/// use steadfast::centrifuge::Client;
///
/// # fn build() -> Result<(), steadfast::error::BuildError> {
/// let limit = DialLimit::new(4);
/// for user in 0..100 {
///     let builder = Client::builder("wss://example.org")?.dial_limit(limit.clone());
///     # builder.token(&user.to_string()).build()?;
/// }
/// # Ok(())
/// # }
/// # build().unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct DialLimit {
    permits: Arc<Semaphore>,
}

/// The permit for one attempt; dropping the permit releases it.
#[derive(Debug)]
pub(crate) struct Permit {
    _permit: OwnedSemaphorePermit,
}

impl DialLimit {
    /// Creates a limit of `dials_max` concurrent attempts; 0 is treated as 1.
    pub fn new(dials_max: usize) -> Self {
        let permits = dials_max.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(permits)),
        }
    }

    /// Returns the limit that all clients of this process share by default: [`defaults::DIALS_MAX`].
    pub fn process_wide() -> Self {
        static PROCESS_WIDE: OnceLock<DialLimit> = OnceLock::new();
        let limit = PROCESS_WIDE.get_or_init(|| Self::new(defaults::DIALS_MAX));
        limit.clone()
    }

    /// Acquires a permit, if one is available.
    pub(crate) fn try_acquire(&self) -> Option<Permit> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(Permit { _permit: permit })
    }

    /// Waits for a permit, and then for a random delay, so that queued attempts do not all start when earlier ones end.
    /// Returns `None` when no permit can become available.
    pub(crate) async fn acquire(self) -> Option<Permit> {
        let permit = self.permits.acquire_owned().await.ok()?;
        sleep(jitter()).await;
        Some(Permit { _permit: permit })
    }
}

/// Returns a random delay, uniform from 0 to [`defaults::DIAL_JITTER`].
fn jitter() -> Duration {
    let mut byte = [0];
    // If the system provides no random bytes, the dial also fails, and reports this error.
    let _ = getrandom::fill(&mut byte);
    defaults::DIAL_JITTER * u32::from(byte[0]) / 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_share_one_limit_by_default() {
        let limits = [DialLimit::process_wide(), DialLimit::process_wide()];

        let permits: Vec<Permit> = (0..)
            .map_while(|n: usize| limits[n % 2].try_acquire())
            .collect();

        assert_eq!(permits.len(), defaults::DIALS_MAX);
        drop(permits);
        assert!(limits[0].try_acquire().is_some());
    }

    #[test]
    fn a_limit_of_zero_allows_one_attempt_at_a_time() {
        let limit = DialLimit::new(0);

        let first = limit.try_acquire();

        assert!(first.is_some() && limit.try_acquire().is_none());
    }

    #[test]
    fn the_delay_after_the_queue_is_short_and_random() {
        let delays: Vec<Duration> = (0..100).map(|_| jitter()).collect();

        assert!(delays.iter().all(|delay| *delay < defaults::DIAL_JITTER));
        assert!(delays.iter().any(|delay| *delay != delays[0]));
    }
}
