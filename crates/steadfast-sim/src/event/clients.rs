//! The events of the clients.

use steadfast_core::io::{Attempt, MessageId};

use crate::ids::ConnectionId;

/// An event of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ClientEvent {
    Simple {
        client: usize,
        event: SimpleClientEvent,
    },
    Session {
        session: usize,
        event: DriverEvent,
    },
}

/// An event of a simple client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SimpleClientEvent {
    Dial,
    /// The client has received no ping for too long.
    PingTimeout {
        connection: ConnectionId,
    },
    Publish,
    Resend,
    /// Everything is quiet: the client queries the presence of the channel with this index.
    QueryPresence {
        channel: usize,
    },
}

/// An event of a session, its driver or its application.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DriverEvent {
    /// A dial succeeds or fails.
    DialCompleted {
        attempt: Attempt,
    },
    Tick,
    /// The end of a loop iteration in which the client sent a frame.
    ReportSendBuffer {
        connection: ConnectionId,
    },
    Publish,
    Close,
    /// The deadline by which a session that was closed must have ended.
    CheckClose,
    Open,
    /// The application requests another connection instead of the present one.
    Migrate,
    /// The time to live of a publication has passed.
    CheckExpiry {
        publication: MessageId,
    },
    /// The shell delivers a late input of an earlier connection.
    StaleInput {
        number: u64,
    },
    /// The application reads its buffered events.
    ApplicationReads,
    /// Everything is quiet: the application queries the presence of the channel with this index.
    QueryPresence {
        channel: usize,
    },
    /// The deadline by which the session must have detected that this connection is dead.
    CheckSilence {
        connection: ConnectionId,
    },
}
