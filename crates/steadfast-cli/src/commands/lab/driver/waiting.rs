//! The requests of a client that wait for a reply.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// Requests of one client that wait for a reply; more than the largest queue of a load.
const WAITING_MAX: usize = 100_000;

/// The reply of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Ok,
    Error { code: u64, message: String },
}

/// Who waits for which reply; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    /// The number of the last request.
    last: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Reply>>,
}

impl Waiting {
    /// Adds a request and returns its number, from 1; `None` if too many wait. The receiver ends without a reply when the
    /// connection is lost.
    pub(super) fn add(&self) -> Option<(u64, oneshot::Receiver<Reply>)> {
        let mut table = self.table();
        if table.waiting.len() >= WAITING_MAX {
            return None;
        }
        table.last += 1;
        let number = table.last;
        let (sender, receiver) = oneshot::channel();
        table.waiting.insert(number, sender);
        Some((number, receiver))
    }

    /// Passes a reply to the request with this number; a reply that is not awaited is ignored.
    pub(super) fn reply(&self, number: u64, reply: Reply) {
        if let Some(sender) = self.table().waiting.remove(&number) {
            // The request has timed out.
            let _ = sender.send(reply);
        }
    }

    /// Nothing awaits the reply any longer.
    pub(super) fn remove(&self, number: u64) {
        self.table().waiting.remove(&number);
    }

    /// The connection is lost: no reply to an earlier request can arrive.
    pub(super) fn lose_all(&self) {
        self.table().waiting.clear();
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reply_reaches_its_request_and_a_loss_ends_all() {
        let waiting = Waiting::default();
        let (first, mut first_reply) = waiting.add().unwrap();
        let (second, mut second_reply) = waiting.add().unwrap();
        assert_eq!((first, second), (1, 2));

        waiting.reply(second, Reply::Ok);
        waiting.reply(7, Reply::Ok);
        waiting.lose_all();

        assert_eq!(second_reply.try_recv(), Ok(Reply::Ok));
        assert_eq!(
            first_reply.try_recv(),
            Err(oneshot::error::TryRecvError::Closed)
        );
    }
}
