//! The kinds of toxics with their attributes.

use std::time::Duration;

/// How a connection is ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CloseMode {
    /// In order: both sides read everything that was passed on, then the end of the stream.
    #[default]
    Fin,
    /// At once, with a reset; both sides lose what they have not read.
    Rst,
    /// Without notice: the sockets stay open, and everything that arrives is discarded.
    Silent,
}

/// What a black hole does with bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BlackHoleMode {
    /// Reads and discards them, so that the sender never blocks.
    #[default]
    Drop,
    /// Reads and keeps a bounded number, then stops reading; they are passed on when the black hole is removed.
    Hold,
}

/// What a toxic does to the bytes of a direction.
///
/// The first eight kinds have the names, attributes and defaults of Toxiproxy. Zero is the default of every attribute
/// unless its description says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToxicKind {
    /// Passes all bytes at once; only its list of victims is of use.
    Noop,
    /// Passes each chunk `latency` ± a random part of `jitter` after it was read, in order. Does not delay the FIN more
    /// than the bytes before it, and does not limit the throughput.
    Latency {
        /// The mean delay.
        latency: Duration,
        /// The greatest deviation from the mean, uniformly distributed. A delay below zero counts as zero.
        jitter: Duration,
    },
    /// Passes at most this rate per connection and direction. Zero passes nothing until the toxic is removed or updated.
    Bandwidth {
        /// In kilobytes of 1,000 bytes per second.
        rate: u64,
    },
    /// Passes the FIN this much later.
    SlowClose {
        /// The delay of the FIN.
        delay: Duration,
    },
    /// Discards everything, and closes the connection when no chunk has arrived for `timeout`. Zero never closes.
    /// Removing the toxic closes the connections that it affected.
    Timeout {
        /// The idle time; each chunk restarts it.
        timeout: Duration,
    },
    /// Waits for the first chunk or the FIN of its direction, discards it, and resets the connection after `timeout`.
    ResetPeer {
        /// The time between the first chunk and the reset.
        timeout: Duration,
    },
    /// Cuts chunks into pieces, and pauses after each.
    Slicer {
        /// The mean size of a piece in bytes, from 1 to 1 MiB.
        average_size: u64,
        /// The greatest deviation from the mean in bytes; a piece has at least 1 byte.
        size_variation: u64,
        /// The pause after each piece. Its attribute is in microseconds.
        delay: Duration,
    },
    /// Passes exactly this many bytes, then ends the connection.
    LimitData {
        /// The number of bytes of a connection's direction, counted from the creation of the toxic.
        bytes: u64,
        /// How the connection ends.
        close: CloseMode,
    },
    /// Resets the connection, whether it is idle or not.
    Reset {
        /// The time from the creation of the toxic, or from the start of a later connection, to the reset.
        after: Duration,
    },
    /// Passes a FIN in its direction, and discards what the sender still sends. The other direction stays open.
    HalfClose {
        /// The time from the creation of the toxic, or from the start of a later connection, to the FIN.
        after: Duration,
    },
    /// Closes the sender's side of its direction without notice to the receiver, whose socket stays open and whose
    /// bytes are discarded.
    HalfOpen {
        /// The time from the creation of the toxic, or from the start of a later connection.
        after: Duration,
    },
    /// Swallows all bytes and the FIN of its direction.
    BlackHole {
        /// What happens with the bytes.
        mode: BlackHoleMode,
        /// Resets the connection this long after the creation of the toxic, or after the start of a later connection;
        /// zero never does.
        close_after: Duration,
    },
    /// Delays the start of a connection. Connections that are established already are not affected.
    SlowConnect {
        /// The time between accepting the client and dialling the upstream.
        dial_delay: Duration,
        /// The time between the established connection and its first byte.
        first_byte_delay: Duration,
    },
    /// Passes nothing for a time, then everything that it held, in order.
    Stall {
        /// The number of bytes that are passed before.
        after_bytes: u64,
        /// How long nothing is passed; zero until the toxic is removed.
        time: Duration,
    },
    /// Reads from the sender at most at this rate, so that its send buffer fills and its peer announces a zero window.
    SlowRead {
        /// In kilobytes of 1,000 bytes per second; zero reads nothing.
        rate: u64,
    },
    /// Inverts one random bit of one byte.
    Corrupt {
        /// The offset of the first such byte, counted from the creation of the toxic.
        at_byte: u64,
        /// The distance to the next such byte; zero corrupts one byte only.
        every: u64,
    },
}
