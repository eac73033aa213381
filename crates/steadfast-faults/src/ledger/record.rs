//! The facts of a run with their instants, as the host of a scenario learns them.
//!
//! Each source (a driver of clients, the supervisor of processes, the harness itself) writes its own facts in their
//! order; facts of different sources may be written in any order, since the instant decides. One monotonic clock
//! serves all of them. Nothing is judged here.

use std::time::Duration;

use steadfast_machine::Instant;
use steadfast_protocol::message::Position;

use crate::roster::{ClientId, FaultId, InstanceId};

/// A fact and when it happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// On the host's one monotonic clock.
    pub at: Instant,
    /// What happened.
    pub fact: Fact,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// A part of the time line began.
    Began(Phase),
    /// Something happened to a client, or it did something.
    Client {
        /// Which.
        client: ClientId,
        /// What.
        what: ClientFact,
    },
    /// A fault of the plan went a step further.
    Fault {
        /// Which.
        fault: FaultId,
        /// How far.
        what: FaultFact,
    },
    /// A process of a service changed its state.
    Process {
        /// Which.
        instance: InstanceId,
        /// How.
        what: ProcessFact,
    },
    /// The harness looked at itself.
    Harness(HarnessFact),
}

/// Parts of the time line, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Services are ready and clients connect; nothing is published.
    Connect,
    /// Load without faults.
    Baseline,
    /// Faults are injected; time 0 of the plan.
    Steps,
    /// Every fault is healed, the load goes on.
    Quiet,
    /// Senders stopped; what is owed may still arrive, and repeats of unanswered publications go on.
    Drain,
    /// The run is judged as of here: what happens later, such as closing the clients, is no part of it.
    End,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [
        Self::Connect,
        Self::Baseline,
        Self::Steps,
        Self::Quiet,
        Self::Drain,
        Self::End,
    ];

    /// The name for people.
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

/// What happens to a client, and what it does. It reads and writes the one room of its roster entry.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientFact {
    /// A try to connect failed; it will try again.
    AttemptFailed,
    /// Connected: the transport is open and the server has answered the connect command.
    Connected,
    /// It learnt that its connection ended without having asked for that, and will connect again.
    Lost(LossCause),
    /// It will not connect again by itself: a terminal code, its own limit, or its program ended.
    GaveUp {
        /// The code that it was given, if there was one.
        code: Option<u32>,
    },
    /// Its subscription stands, for the first time or again.
    Subscribed(Subscribed),
    /// It sent this publication for the first time. Sequences of a client count from 1 without holes.
    Published {
        /// Which of its publications.
        sequence: u64,
    },
    /// It sent this publication again with the same key, since its answer was lost or temporary.
    Repeated {
        /// Which of its publications.
        sequence: u64,
    },
    /// The server acknowledged this publication.
    Acknowledged {
        /// Which of its publications.
        sequence: u64,
        /// Where it stands; `None` when the answer does not tell, as with a publish without a key.
        position: Option<Position>,
        /// The server had seen the key before.
        duplicate: bool,
    },
    /// The server refused this publication for good: it surely is not done, and is not repeated.
    Refused {
        /// Which of its publications.
        sequence: u64,
        /// The error code.
        code: u32,
    },
    /// Its bounded queue was full, so a publication that was due was never sent and has no sequence.
    Unsent,
    /// It was handed a publication.
    Delivered {
        /// Whose publication it is by its payload; `None` when it is none of this run, or was altered.
        message: Option<MessageId>,
        /// Where the server says that it stands.
        offset: u64,
    },
}

/// A publication: the payload carries both numbers, so that it is known wherever it turns up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// Who published it.
    pub publisher: ClientId,
    /// Which of its publications, from 1.
    pub sequence: u64,
}

/// What a client was told when its subscription stood.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribed {
    /// The position of the reply.
    pub position: Position,
    /// It asked to go on from a position of its own.
    pub was_recovering: bool,
    /// The server vouches that nothing is missing.
    pub recovered: bool,
}

/// How a client learnt that its connection had ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LossCause {
    /// The peer closed the socket without a close frame.
    Fin,
    /// The peer reset the socket.
    Reset,
    /// Nothing was heard for too long.
    Timeout,
    /// A close frame or a disconnect push with this code.
    Code(u32),
    /// The client does not tell.
    Untold,
}

impl LossCause {
    /// Whether it came with a code: then the server, or a client that makes up codes of its own, chose to end it.
    pub const fn code(self) -> Option<u32> {
        match self {
            Self::Code(code) => Some(code),
            Self::Fin => None,
            Self::Reset => None,
            Self::Timeout => None,
            Self::Untold => None,
        }
    }
}

/// How far a fault of the plan is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultFact {
    /// It is about to take effect; the instant is that right before the act, so no client can notice earlier.
    Injected,
    /// There is proof that it took effect, for example a wait status that says SIGKILL.
    Confirmed,
    /// There is proof that it had no effect, or there is no proof in time; says why.
    Ineffective(String),
    /// What it did is undone: the process is ready again, or runs on.
    Healed,
}

/// How a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessFact {
    /// It was started.
    Started,
    /// Its readiness probe says yes.
    Ready,
    /// It exited.
    Exited(Exit),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// What the harness says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HarnessFact {
    /// A timer of the harness fired this much too late. Samples are taken all the time, for example each 10 ms.
    Lag {
        /// Behind the intended instant.
        late: Duration,
    },
    /// The harness itself failed, for example a driver of clients that ended; the run proves nothing.
    Failed(String),
    /// Something that the run made is still there at its end: a process, a stopped process, a rule.
    LeftBehind(String),
}
