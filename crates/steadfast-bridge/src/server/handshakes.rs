//! Connections to the port that have not shown the token yet. They are no programs: each user of this machine can open them,
//! so they are bounded in number and time.

use std::collections::VecDeque;
use std::future::pending;

use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};

use super::access::Access;
use super::connection::{self, Admitted};

/// The most connections without a token at a time; the oldest of more are closed.
const HANDSHAKES_MAX: usize = 64;

/// The connections in progress.
#[derive(Debug)]
pub(super) struct Handshakes {
    access: Access,
    tasks: JoinSet<Option<Admitted>>,
    /// Those that may be in progress, the oldest first.
    running: VecDeque<AbortHandle>,
}

impl Handshakes {
    pub(super) fn new(access: Access) -> Self {
        Self {
            access,
            tasks: JoinSet::new(),
            running: VecDeque::new(),
        }
    }

    pub(super) fn begin(&mut self, stream: TcpStream) {
        self.running.retain(|task| !task.is_finished());
        if self.running.len() >= HANDSHAKES_MAX
            && let Some(oldest) = self.running.pop_front()
        {
            oldest.abort();
        }
        let task = connection::admit(stream, self.access.clone());
        self.running.push_back(self.tasks.spawn(task));
    }

    /// The next program with the token. Dropping the future loses none.
    pub(super) async fn next(&mut self) -> Admitted {
        while let Some(ended) = self.tasks.join_next().await {
            // Otherwise it was refused, aborted, or its connection has failed.
            if let Ok(Some(admitted)) = ended {
                return admitted;
            }
        }
        pending().await
    }
}
