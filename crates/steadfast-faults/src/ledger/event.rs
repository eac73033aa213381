//! The events of a run with their instants, as the shell that runs a scenario observes them.
//!
//! Each source (a driver of clients, the supervisor of processes, the harness itself) writes its own event records in
//! their order. Records of different sources may be written in any order, since their instants decide. All sources
//! use one monotonic clock. Nothing is evaluated here.

use std::time::Duration;

use steadfast_machine::Instant;
use steadfast_protocol::message::Position;

use crate::topology::{ClientId, FaultId, InstanceId};

/// An event and its instant.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRecord {
    /// The instant on the monotonic clock of the run.
    pub at: Instant,
    /// What happened at that instant.
    pub event: RunEvent,
}

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum RunEvent {
    /// A phase of the run began.
    PhaseBegan(RunPhase),
    /// An event of a client.
    Client {
        client: ClientId,
        event: ClientEvent,
    },
    /// A planned fault made progress.
    Fault { fault: FaultId, event: FaultEvent },
    /// A process of a service changed its state.
    Process {
        instance: InstanceId,
        event: ProcessEvent,
    },
    /// The effects of requests, which services log; the instant is that of reading them after the end of the run.
    Effects(EffectEvent),
    /// The harness reported about itself.
    Harness(HarnessEvent),
}

/// The phases of a run, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunPhase {
    /// Services are ready and clients connect; nothing is published.
    Connect,
    /// Load without faults.
    Baseline,
    /// Faults are injected; the phase begins at time 0 of the plan.
    Steps,
    /// Every fault is healed, and the load continues.
    Quiet,
    /// Senders have stopped. Expected deliveries may still arrive, and publications without acknowledgement are resent.
    Drain,
    /// The run is evaluated up to here: later events, such as closing the clients, do not count.
    End,
}

impl RunPhase {
    /// All phases, in order.
    pub const ALL: [Self; 6] = [
        Self::Connect,
        Self::Baseline,
        Self::Steps,
        Self::Quiet,
        Self::Drain,
        Self::End,
    ];

    /// The name in reports and on the terminal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Baseline => "baseline",
            Self::Steps => "steps",
            Self::Quiet => "quiet",
            Self::Drain => "drain",
            Self::End => "end",
        }
    }
}

/// What happens to a client, and what the client does. A client uses only its channel in the topology.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientEvent {
    /// The client was requested to connect; its first attempt begins.
    Opened,
    /// A further attempt begins. Drivers need not report it.
    Attempting,
    /// The transport of an attempt is open, and the client logs in. Drivers need not report it.
    TransportOpened,
    /// A connection attempt failed; the client will try again.
    AttemptFailed,
    /// The client is connected: the transport is open and the server has replied to the connect command.
    Connected,
    /// The client noticed the end of a connection that it had not closed, and will connect again.
    ConnectionLost(LossCause),
    /// The client will not reconnect automatically: it received a terminal code, reached its own limit, or its program
    /// ended.
    GaveUp {
        /// The code that the client received, if there was one.
        code: Option<u32>,
    },
    /// The subscription of the client is active, for the first time or again.
    Subscribed(Subscribed),
    /// The client sent this publication for the first time. Sequences of a client count from 1 without gaps.
    Published {
        /// The number of the publication at its client.
        sequence: u64,
    },
    /// The client resent this publication with the same idempotency key: the reply was lost, or was a temporary error.
    Resent {
        /// The number of the publication at its client.
        sequence: u64,
    },
    /// The server acknowledged this publication.
    Acknowledged {
        /// The number of the publication at its client.
        sequence: u64,
        /// The publication's position; `None` when the reply has no position, as after a publish without an idempotency
        /// key.
        position: Option<Position>,
        /// The server had seen the idempotency key before.
        is_duplicate: bool,
    },
    /// The server rejected this publication permanently: it is not stored, and is not resent.
    Rejected {
        /// The number of the publication at its client.
        sequence: u64,
        /// The error code.
        code: u32,
    },
    /// The client's bounded queue was full, so a publication that was due was never sent and has no sequence.
    Unsent,
    /// The client received a publication.
    Delivered {
        /// The publication that the payload names; `None` when the payload is not of this run, or was altered.
        message: Option<MessageId>,
        /// The offset that the server gave the publication.
        offset: u64,
    },
    /// The client received a message of a stream, whose sequences count up in steps of 1.
    Received {
        /// The number of the stream in this run. Streams of the same name in two loads, from two instances or with two
        /// epochs have different numbers.
        stream: u32,
        /// The number of the message in its stream.
        sequence: u64,
    },
    /// The client passed this request to its driver for the first time. Sequences of a client count from 1 without gaps.
    Requested {
        /// The number of the request at its client, shared with no publication.
        sequence: u64,
        /// When the schedule required it: from here its latency counts, so that a late send hides nothing.
        intended: Instant,
    },
    /// The client sent this request again with the same key: its outcome was unknown, or it had not been sent.
    RequestedAgain {
        /// The number of the request at its client.
        sequence: u64,
    },
    /// The final outcome of a request. A request without one by the end of the run may have been executed.
    Settled {
        /// The number of the request at its client.
        sequence: u64,
        /// What its client knows of it.
        outcome: RequestOutcome,
    },
}

impl ClientEvent {
    /// Whether it shows that the client and its server understand each other: a client has recovered with it.
    pub const fn is_success(&self) -> bool {
        match self {
            Self::Acknowledged { .. } | Self::Delivered { .. } | Self::Received { .. } => true,
            Self::Settled { outcome, .. } => outcome.is_reply(),
            Self::Opened
            | Self::Attempting
            | Self::TransportOpened
            | Self::AttemptFailed
            | Self::Connected
            | Self::ConnectionLost(_)
            | Self::GaveUp { .. }
            | Self::Subscribed(_)
            | Self::Published { .. }
            | Self::Resent { .. }
            | Self::Rejected { .. }
            | Self::Unsent
            | Self::Requested { .. }
            | Self::RequestedAgain { .. } => false,
        }
    }
}

/// What became of a request, as far as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestOutcome {
    /// The server replied that it was executed.
    Ok,
    /// The server replied with an error of the application.
    Error {
        /// The error code; 0 if there is none.
        code: u32,
    },
    /// The client did not send it, so it was certainly not executed.
    NotSent,
    /// It was sent, and the connection ended before the reply: it may have been executed.
    Lost,
    /// It was sent, and its time limit passed before the reply: it may have been executed, and may still be.
    TimedOut,
}

impl RequestOutcome {
    /// Whether the server replied.
    pub const fn is_reply(self) -> bool {
        match self {
            Self::Ok | Self::Error { .. } => true,
            Self::NotSent | Self::Lost | Self::TimedOut => false,
        }
    }
}

/// What the effect logs of services contain: a line for each execution of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum EffectEvent {
    /// The effect log of this instance was read.
    Read {
        instance: InstanceId,
        /// The number of lines that have an end.
        lines: u64,
        /// Lines whose key is not of this run.
        foreign: u64,
        /// Whether the last line was incomplete, as after a crash in the middle of a write; it does not count.
        is_torn: bool,
    },
    /// A request of this run was executed this often, over all instances.
    Executed { request: MessageId, count: u32 },
}

/// Identifies a publication or a request: the payload of a publication contains both numbers, so that each of its
/// deliveries is recognised, and the key of a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// The client that published or requested it.
    pub publisher: ClientId,
    /// The number of the publication or request at its client, from 1.
    pub sequence: u64,
}

/// The server's reply to a subscribe command. The booleans are named as in the protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribed {
    /// The position of the reply.
    pub position: Position,
    /// The client requested recovery from a position of its own.
    pub was_recovering: bool,
    /// The server guarantees that no publication is missing.
    pub recovered: bool,
}

/// How a client noticed that its connection had ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LossCause {
    /// The peer closed the socket without a close frame.
    Fin,
    /// The peer reset the socket.
    Reset,
    /// No data was received for too long.
    Timeout,
    /// A close frame or a disconnect push with this code.
    Code(u32),
    /// The client library reports no cause.
    Unknown,
}

impl LossCause {
    /// The cause in reports, without its code.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fin => "FIN",
            Self::Reset => "RST",
            Self::Timeout => "timeout",
            Self::Code(_) => "a close code",
            Self::Unknown => "an unknown cause",
        }
    }

    /// The code, if there was one. A code means that the server, or a client with codes of its own, chose to close the
    /// connection.
    pub const fn code(self) -> Option<u32> {
        match self {
            Self::Code(code) => Some(code),
            Self::Fin => None,
            Self::Reset => None,
            Self::Timeout => None,
            Self::Unknown => None,
        }
    }
}

/// The progress of a planned fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultEvent {
    /// The fault is about to take effect. The instant is immediately before the injection, so no client notices it
    /// earlier.
    Injected,
    /// A selection by role is resolved: these are the targets. It precedes the injection.
    Targeted(Vec<InstanceId>),
    /// The effect of the fault is confirmed; contains what confirms it, for example `dropped 14 packets`.
    Confirmed(String),
    /// The fault is confirmed to have no effect, or was not confirmed in time; contains the reason.
    Ineffective(String),
    /// The effect of the fault is undone: the process is ready again, or has resumed.
    Healed,
}

/// A change of a process's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    /// The process was started.
    Started,
    /// The readiness probe of the process succeeded.
    Ready,
    /// The process exited with this status.
    Exited(ProcessExit),
    /// The number of connections that clients have to the process, when the senders stopped.
    Connections(u32),
}

/// How a process exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessExit {
    /// The process ended with this exit code.
    Code(i32),
    /// This signal terminated the process.
    Signal(i32),
}

/// What the harness reports about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HarnessEvent {
    /// A timer of the harness fired this much too late. Samples are taken throughout the run, for example every 10 ms.
    Lag {
        /// The time after the intended instant.
        late: Duration,
    },
    /// The harness itself failed, for example a driver of clients that exited; the run proves nothing.
    Failed(String),
}
