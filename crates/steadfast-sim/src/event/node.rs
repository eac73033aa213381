//! The events of a node, and those of one process.

use bytes::Bytes;
use steadfast_log::io::SegmentNumber;
use steadfast_machine::Instant;

use crate::ids::ConnectionId;

/// An event of a node.
#[derive(Debug)]
pub(crate) enum NodeEvent {
    /// An event of the process with this number; ignored after the process has ended.
    Process { number: u64, event: ProcessEvent },
    /// The end of a loop iteration in which a socket did not accept all bytes.
    ReportSendBuffer { connection: ConnectionId },
    /// The deadline by which a socket must have accepted unsent bytes.
    CheckSendBuffer {
        connection: ConnectionId,
        /// The number of bytes that it had accepted before.
        accepted: u64,
    },
    /// The deadline by which the gateway must have detected that this connection is dead.
    CheckSilence { connection: ConnectionId },
    /// The process receives a shutdown request.
    RequestShutdown,
    /// The disk is full.
    FillDisk,
    /// The disk has space again.
    FreeDisk,
    /// The disk completes no operation for some time.
    StallDisk,
    /// The disk completes operations again.
    ContinueDisk,
    /// The next process starts.
    Restart,
}

/// An event of one process.
#[derive(Debug)]
pub(crate) enum ProcessEvent {
    /// The engine's thread handles its requests.
    EngineIteration,
    /// The disk has completed an operation.
    DiskCompleted {
        operation: DiskOperation,
        started_at: Instant,
    },
    /// A shard takes its events from the engine.
    ShardIteration { shard: u16 },
    /// A shard takes messages from its inbox.
    DeliverMessages { shard: usize },
    /// A hub reads again from a peer of which a part of a read was kept.
    ResumeReading { connection: ConnectionId },
    /// A deadline of a hub or of the engine passes.
    Tick,
    /// The process exits after its engine has closed.
    Exit,
}

/// An operation of the log on the disk.
#[derive(Clone, Debug)]
pub(crate) enum DiskOperation {
    Reserve {
        segment: SegmentNumber,
        bytes: u64,
        first: Bytes,
        last: Bytes,
    },
    Write {
        segment: SegmentNumber,
        at: u64,
        bytes: Bytes,
        sync: bool,
    },
    Sync {
        segment: SegmentNumber,
    },
    Read {
        read: u64,
        segment: SegmentNumber,
        at: u64,
        len: usize,
    },
}
