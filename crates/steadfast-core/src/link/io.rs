//! What a link requires of the layer above.

use crate::event::{DisconnectCause, SessionEvent};
use crate::io::{Attempt, RenewalReason};

/// What the layer above must do. `Dial`, `Abort`, `Probe` and `Close` are for the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum LinkOutput {
    /// Open a transport, and report that it is open or that it failed.
    Dial {
        attempt: Attempt,
        /// Index of the endpoint.
        endpoint: usize,
    },
    /// Fetch credentials, and report them or the failure: the attempt waits for them.
    FetchCredentials { reason: RenewalReason },
    /// Give up a transport immediately: its later inputs are ignored.
    Abort { attempt: Attempt },
    /// Send a ping of the transport ahead of everything that is queued.
    Probe { attempt: Attempt },
    /// Send what was collected for this attempt and then the end of the connection, and wait for the peer's.
    Close { attempt: Attempt },
    /// The transport is open: start the handshake. That of a standby is separate from the present connection.
    StartHandshake { attempt: Attempt },
    /// The attempt to replace the present connection has ended: forget its handshake.
    StandbyDown { attempt: Attempt },
    /// The connection of this attempt, whose handshake is complete, is now the present one. The `Down` of the former one
    /// precedes it.
    Switched { attempt: Attempt },
    /// The transport is gone: nothing that was collected for it can be sent, and no reply to it can arrive.
    Down {
        attempt: Attempt,
        /// Whether the peer had accepted the client, so that requests may have been executed.
        was_connected: bool,
    },
    /// The positions of the layer above are invalid.
    DiscardPositions,
    /// The link has ended: closed as requested, or failed with a cause. What still waits must be completed.
    Ended { failure: Option<DisconnectCause> },
    /// Report an event to the application.
    Notify(SessionEvent),
}
