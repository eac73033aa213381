//! The limits of a bridge.

use std::time::Duration;

/// The limits of a [`Bridge`](crate::Bridge). Each has a documented default, see [`Policy::DEFAULT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The most calls that are in flight at the server, of all programs; 10 by default. The server executes 10 at a time,
    /// lets 10 more wait and rejects further ones. 0 is treated as 1.
    pub in_flight_max: usize,
    /// How many of these calls remain for other programs; 2 by default. One program never has all of them in flight, if
    /// there are more than this.
    pub reserved_for_others: usize,
    /// The most calls of one program that wait to be sent; 100 by default. Further ones are rejected.
    pub queue_len_max: usize,
    /// The most bytes of these calls; 1 MiB by default.
    pub queue_bytes_max: usize,
    /// The most bytes of messages that a program has not read; 8 MiB by default, which one message may exceed. With more
    /// events and other messages, the program is disconnected. The responses to its calls are not counted as these: while it
    /// has not read as many bytes of all, no further call of it is sent.
    pub send_bytes_max: usize,
    /// The most messages that a program has not read; 4,096 by default, in the same way.
    pub send_messages_max: usize,
    /// The most bytes that all programs together have not read; 1 GiB by default. With more, the program with the most of
    /// them is disconnected.
    pub send_bytes_total_max: usize,
    /// The most programs that are connected; 64 by default. Further ones are disconnected.
    pub programs_max: usize,
    /// The most subscriptions of one program; 64 by default. Further ones are rejected.
    pub subscriptions_max: usize,
    /// The most subscriptions at the server; 64 by default. Further ones are rejected.
    pub topics_max: usize,
    /// The longest time from the receipt of a call to its reply; 60 s by default. A program can request a shorter one.
    pub call_timeout: Duration,
    /// How long calls that are in flight may take when the bridge ends; 5 s by default.
    pub drain: Duration,
}

/// The longest message of a program in bytes, without a line break at its end: what the server accepts after the login.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;

impl Policy {
    /// The default of each limit.
    pub const DEFAULT: Self = Self {
        in_flight_max: 10,
        reserved_for_others: 2,
        queue_len_max: 100,
        queue_bytes_max: 1 << 20,
        send_bytes_max: 8 << 20,
        send_messages_max: 4_096,
        send_bytes_total_max: 1 << 30,
        programs_max: 64,
        subscriptions_max: 64,
        topics_max: 64,
        call_timeout: Duration::from_mins(1),
        drain: Duration::from_secs(5),
    };

    /// The most messages for one program that the shell has not written: events and others, responses that the program has
    /// not read, and those that its calls in flight may still have.
    pub(crate) const fn unsent_messages_max(&self) -> usize {
        let of_each_kind = self.send_messages_max.saturating_add(1);
        of_each_kind
            .saturating_mul(2)
            .saturating_add(self.share_max())
    }

    /// The most calls of one program in flight: at least 1.
    pub(crate) const fn share_max(&self) -> usize {
        let share = self.in_flight_max.saturating_sub(self.reserved_for_others);
        if share == 0 { 1 } else { share }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}
