//! How many transports a process opens at a time, so that thousands of sessions in it are no herd of their own.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::builder::defaults;

/// A limit on dials under way: from looking the name up to the end of the upgrade. Clones share it.
///
/// A client that was told nothing shares [`Self::of_process`] with all others of the process. Who has to wait is served
/// in order; the time of its attempt does not run meanwhile.
#[derive(Clone, Debug)]
pub struct DialLimit {
    permits: Arc<Semaphore>,
}

/// The right to dial; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _permit: OwnedSemaphorePermit,
}

impl DialLimit {
    /// At most so many at a time; 0 is taken as 1.
    pub fn new(dials_max: usize) -> Self {
        let permits = dials_max.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(permits)),
        }
    }

    /// The one limit of this process: [`defaults::DIALS_MAX`].
    pub fn of_process() -> Self {
        static OF_PROCESS: OnceLock<DialLimit> = OnceLock::new();
        let limit = OF_PROCESS.get_or_init(|| Self::new(defaults::DIALS_MAX));
        limit.clone()
    }

    /// A permit, if nobody has to wait.
    pub(crate) fn try_take(&self) -> Option<Permit> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(Permit { _permit: permit })
    }

    /// A permit after a wait, and a moment after it: those who waited do not all begin when the first ones end.
    /// `None` when there will never be one.
    pub(crate) async fn take(self) -> Option<Permit> {
        let permit = self.permits.acquire_owned().await.ok()?;
        sleep(jitter()).await;
        Some(Permit { _permit: permit })
    }
}

/// U(0, [`defaults::DIAL_JITTER`]).
fn jitter() -> Duration {
    let mut byte = [0];
    // Without randomness nothing can be dialled either, which is told there.
    let _ = getrandom::fill(&mut byte);
    defaults::DIAL_JITTER * u32::from(byte[0]) / 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_were_told_nothing_share_one_limit() {
        let limits = [DialLimit::of_process(), DialLimit::of_process()];

        let permits: Vec<Permit> = (0..)
            .map_while(|n: usize| limits[n % 2].try_take())
            .collect();

        assert_eq!(permits.len(), defaults::DIALS_MAX);
        drop(permits);
        assert!(limits[0].try_take().is_some());
    }

    #[test]
    fn a_limit_of_nothing_lets_one_dial_at_a_time() {
        let limit = DialLimit::new(0);

        let first = limit.try_take();

        assert!(first.is_some() && limit.try_take().is_none());
    }

    #[test]
    fn the_pause_after_a_wait_is_short_and_not_always_the_same() {
        let pauses: Vec<Duration> = (0..100).map(|_| jitter()).collect();

        assert!(pauses.iter().all(|pause| *pause < defaults::DIAL_JITTER));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}
