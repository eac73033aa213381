//! What happened in a run, in numbers: a run in which nothing failed proves nothing.

use std::fmt;
use std::ops::AddAssign;

/// Counts of one run, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Runs.
    pub seeds: u64,
    /// Links that were cut.
    pub link_losses: u64,
    /// Crashes of the gateway in which at least one unsynced sector was lost.
    pub crashes: u64,
    /// Those of them in which the log was not open yet.
    pub crashes_while_opening: u64,
    /// Unsynced sectors that a crash dropped.
    pub sectors_dropped: u64,
    /// Unsynced sectors that a crash tore.
    pub sectors_torn: u64,
    /// Unsynced sectors that survived a crash.
    pub sectors_kept: u64,
    /// Times that a core fell behind the log.
    pub lapses: u64,
    /// Publishes that clients wanted.
    pub published: u64,
    /// Acknowledged publishes that were sent once more.
    pub published_again: u64,
    /// Publishes that were acknowledged.
    pub acknowledged: u64,
    /// Acknowledgements of a repeat: the first answer had been lost.
    pub duplicates_answered: u64,
    /// Publications that clients were handed.
    pub delivered: u64,
    /// Subscriptions that were recovered.
    pub recovered: u64,
    /// Subscriptions that were told that their position was lost.
    pub unrecovered: u64,
    /// Subscriptions with a position that no channel has ever had.
    pub lies: u64,
    /// Subscriptions that the gateway ended with the advice to subscribe again.
    pub resubscribed: u64,
    /// Torn tails that were cut on opening.
    pub tails_cut: u64,
    /// Ends that the log marked as clean, each followed by a start.
    pub clean_restarts: u64,
    /// Orders of the log that found no room on the disk.
    pub orders_refused: u64,
    /// Starts that the log refused for want of room, each followed by another one.
    pub starts_refused: u64,
    /// Segments that retention removed.
    pub segments_removed: u64,
    /// Subscriptions that were told that their position fell out, while nothing was lost.
    pub positions_fallen_out: u64,
}

impl Totals {
    /// All counts with their names. None of them may be 0 over a whole exploration.
    pub const fn rows(&self) -> [(&'static str, u64); 23] {
        [
            ("seeds", self.seeds),
            ("link losses", self.link_losses),
            ("crashes that lost unsynced writes", self.crashes),
            ("crashes while the log opened", self.crashes_while_opening),
            ("sectors dropped", self.sectors_dropped),
            ("sectors torn", self.sectors_torn),
            ("sectors kept", self.sectors_kept),
            ("lapses of a core", self.lapses),
            ("torn tails cut", self.tails_cut),
            ("published", self.published),
            ("acknowledged ones published again", self.published_again),
            ("acknowledged", self.acknowledged),
            ("duplicates answered", self.duplicates_answered),
            ("delivered", self.delivered),
            ("subscriptions recovered", self.recovered),
            ("subscriptions told of a loss", self.unrecovered),
            ("subscriptions with a made-up position", self.lies),
            ("subscriptions told to subscribe again", self.resubscribed),
            ("clean restarts", self.clean_restarts),
            ("orders that found no room", self.orders_refused),
            ("starts refused for want of room", self.starts_refused),
            ("segments removed", self.segments_removed),
            ("positions that fell out", self.positions_fallen_out),
        ]
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, rhs: Self) {
        self.seeds += rhs.seeds;
        self.link_losses += rhs.link_losses;
        self.crashes += rhs.crashes;
        self.crashes_while_opening += rhs.crashes_while_opening;
        self.sectors_dropped += rhs.sectors_dropped;
        self.sectors_torn += rhs.sectors_torn;
        self.sectors_kept += rhs.sectors_kept;
        self.lapses += rhs.lapses;
        self.published += rhs.published;
        self.published_again += rhs.published_again;
        self.acknowledged += rhs.acknowledged;
        self.duplicates_answered += rhs.duplicates_answered;
        self.delivered += rhs.delivered;
        self.recovered += rhs.recovered;
        self.unrecovered += rhs.unrecovered;
        self.lies += rhs.lies;
        self.resubscribed += rhs.resubscribed;
        self.tails_cut += rhs.tails_cut;
        self.clean_restarts += rhs.clean_restarts;
        self.orders_refused += rhs.orders_refused;
        self.starts_refused += rhs.starts_refused;
        self.segments_removed += rhs.segments_removed;
        self.positions_fallen_out += rhs.positions_fallen_out;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.rows() {
            writeln!(f, "{count:>12}  {name}")?;
        }
        Ok(())
    }
}
