//! Toxics in one line.

use std::time::Duration;

use super::{BlackHoleMode, CloseMode, Directions, Select, Toxic, ToxicKind};

impl Toxic {
    /// A toxic of this kind for all connections, to the client, without end, with its default name.
    pub fn new(kind: ToxicKind) -> Self {
        let directions = Directions::default();
        Self {
            name: default_name(&kind, directions),
            directions,
            toxicity: 1.0,
            kind,
            duration: None,
            select: Select::default(),
        }
    }

    /// Changes nothing, but is listed with its victims.
    pub fn noop() -> Self {
        Self::new(ToxicKind::Noop)
    }

    /// Delays each chunk.
    pub fn latency(latency: Duration) -> Self {
        let jitter = Duration::ZERO;
        Self::new(ToxicKind::Latency { latency, jitter })
    }

    /// Delays each chunk by `latency` ± up to `jitter`.
    pub fn latency_with_jitter(latency: Duration, jitter: Duration) -> Self {
        Self::new(ToxicKind::Latency { latency, jitter })
    }

    /// Limits the rate, in kilobytes of 1,000 bytes per second.
    pub fn bandwidth(rate: u64) -> Self {
        Self::new(ToxicKind::Bandwidth { rate })
    }

    /// Delays the FIN.
    pub fn slow_close(delay: Duration) -> Self {
        Self::new(ToxicKind::SlowClose { delay })
    }

    /// Discards everything, and closes the connection after an idle time; zero never closes.
    pub fn timeout(timeout: Duration) -> Self {
        Self::new(ToxicKind::Timeout { timeout })
    }

    /// Resets the connection `timeout` after its first chunk.
    pub fn reset_peer(timeout: Duration) -> Self {
        Self::new(ToxicKind::ResetPeer { timeout })
    }

    /// Cuts chunks into pieces of `average_size` ± up to `size_variation` bytes, with a pause after each.
    pub fn slicer(average_size: u64, size_variation: u64, delay: Duration) -> Self {
        Self::new(ToxicKind::Slicer {
            average_size,
            size_variation,
            delay,
        })
    }

    /// Passes exactly this many bytes, then closes the connection with a FIN.
    pub fn limit_data(bytes: u64) -> Self {
        let close = CloseMode::Fin;
        Self::new(ToxicKind::LimitData { bytes, close })
    }

    /// Passes exactly this many bytes, then ends the connection in this way.
    pub fn close_after(bytes: u64, close: CloseMode) -> Self {
        Self::new(ToxicKind::LimitData { bytes, close })
    }

    /// Resets connections at once.
    pub fn reset() -> Self {
        Self::reset_after(Duration::ZERO)
    }

    /// Resets connections after this time.
    pub fn reset_after(after: Duration) -> Self {
        Self::new(ToxicKind::Reset { after })
    }

    /// Passes a FIN and discards what follows, while the other direction stays open.
    pub fn half_close() -> Self {
        let after = Duration::ZERO;
        Self::new(ToxicKind::HalfClose { after })
    }

    /// Closes the sender's side without notice to the receiver.
    pub fn half_open() -> Self {
        let after = Duration::ZERO;
        Self::new(ToxicKind::HalfOpen { after })
    }

    /// Swallows all bytes of both directions.
    pub fn black_hole() -> Self {
        Self::new(ToxicKind::BlackHole {
            mode: BlackHoleMode::Drop,
            close_after: Duration::ZERO,
        })
        .both()
    }

    /// Delays the dial of the upstream.
    pub fn slow_connect(dial_delay: Duration) -> Self {
        let first_byte_delay = Duration::ZERO;
        Self::new(ToxicKind::SlowConnect {
            dial_delay,
            first_byte_delay,
        })
    }

    /// Passes nothing until it is removed.
    pub fn stall() -> Self {
        Self::stall_for(Duration::ZERO)
    }

    /// Passes nothing for this time, then everything.
    pub fn stall_for(time: Duration) -> Self {
        let after_bytes = 0;
        Self::new(ToxicKind::Stall { after_bytes, time })
    }

    /// Reads at most at this rate in kilobytes per second; zero reads nothing.
    pub fn slow_read(rate: u64) -> Self {
        Self::new(ToxicKind::SlowRead { rate })
    }

    /// Inverts one bit of the byte at this offset.
    pub fn corrupt(at_byte: u64) -> Self {
        Self::new(ToxicKind::Corrupt { at_byte, every: 0 })
    }

    /// Affects the direction to the server.
    #[must_use]
    pub fn upstream(self) -> Self {
        self.directions(Directions::ToServer)
    }

    /// Affects the direction to the client.
    #[must_use]
    pub fn downstream(self) -> Self {
        self.directions(Directions::ToClient)
    }

    /// Affects both directions.
    #[must_use]
    pub fn both(self) -> Self {
        self.directions(Directions::Both)
    }

    /// Sets the directions, and the default name if it has no other.
    #[must_use]
    pub fn directions(mut self, directions: Directions) -> Self {
        if self.name == default_name(&self.kind, self.directions) {
            self.name = default_name(&self.kind, directions);
        }
        self.directions = directions;
        self
    }

    /// Sets the name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Affects this share of the connections, from 0.0 to 1.0.
    #[must_use]
    pub const fn toxicity(mut self, toxicity: f64) -> Self {
        self.toxicity = toxicity;
        self
    }

    /// Removes itself after this time.
    #[must_use]
    pub const fn lasting(mut self, duration: Duration) -> Self {
        self.duration = Some(duration);
        self
    }

    /// Affects only connections that fulfil these conditions.
    #[must_use]
    pub fn select(mut self, select: Select) -> Self {
        self.select = select;
        self
    }
}

/// The name of a toxic for which none is given.
pub fn default_name(kind: &ToxicKind, directions: Directions) -> String {
    format!("{}_{}", kind.name(), directions.name())
}
