//! What happened in a run, in numbers: a run in which nothing failed proves nothing.

use std::fmt;
use std::ops::AddAssign;

/// Writes the counts once: the fields, their names for people, and their sum.
macro_rules! counts {
    ($( #[doc = $about:literal] $field:ident = $name:literal; )+) => {
        /// Counts of one run, or of many.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Totals {
            $( #[doc = $about] pub $field: u64, )+
        }

        impl Totals {
            /// All counts with their names. None of them may be 0 over a whole exploration.
            pub fn rows(&self) -> Vec<(&'static str, u64)> {
                vec![$( ($name, self.$field), )+]
            }
        }

        impl AddAssign for Totals {
            fn add_assign(&mut self, rhs: Self) {
                $( self.$field += rhs.$field; )+
            }
        }
    };
}

counts! {
    /// Runs.
    seeds = "seeds";
    /// Sessions of the client library that took part.
    sessions = "sessions of the client library";
    /// Simple clients that took part.
    simple_clients = "simple clients";
    /// Links that ended in order in the middle of everything.
    links_closed = "links closed";
    /// Links that were reset, and lost what was under way.
    links_reset = "links reset";
    /// Links that swallowed everything from then on, in both directions.
    blackholes = "links that swallow both ways";
    /// Links that swallowed what went to the gateway.
    blackholes_to_gateway = "links that swallow towards the gateway";
    /// Links that swallowed what went to the client.
    blackholes_to_client = "links that swallow towards the client";
    /// Links that stood still for a while and then delivered everything.
    links_frozen = "links frozen";
    /// Links on which nothing went to the gateway for a while, so that writes waited.
    uplinks_stalled = "uplinks stalled";
    /// Clients that read slowly for a while.
    slow_readers = "slow readers";
    /// Dials of sessions that nobody answered.
    dials_unanswered = "dials that nobody answers";
    /// Crashes of the gateway in which at least one unsynced sector was lost.
    crashes = "crashes that lost unsynced writes";
    /// Those of them in which the log was not open yet.
    crashes_while_opening = "crashes while the log opened";
    /// Ends of the gateway's process alone, which left unsynced writes behind.
    kills = "kills that left unsynced writes";
    /// Unsynced sectors that a crash dropped.
    sectors_dropped = "sectors dropped";
    /// Unsynced sectors that a crash tore.
    sectors_torn = "sectors torn";
    /// Unsynced sectors that survived a crash.
    sectors_kept = "sectors kept";
    /// Times that a core fell behind the log.
    lapses = "lapses of a core";
    /// Torn tails that were cut on opening.
    tails_cut = "torn tails cut";
    /// Publishes that clients wanted.
    published = "published";
    /// Acknowledged publishes that were sent once more.
    published_again = "acknowledged ones published again";
    /// Publishes that were acknowledged.
    acknowledged = "acknowledged";
    /// Acknowledgements of a repeat: the first answer had been lost.
    duplicates_answered = "duplicates answered";
    /// Publications of sessions whose time ran out before they were sent.
    expired = "publications that expired";
    /// Publications that a full outbox did not take.
    outbox_full = "publications that found the outbox full";
    /// Publications whose time ran out after they were sent, so that nobody knows.
    interrupted = "publications with an unknown end";
    /// Publications that were still queued when their session was closed.
    dropped_by_close = "publications dropped by a close";
    /// Sessions that their application closed, and opened again.
    closes = "sessions closed and opened again";
    /// Calls of sessions with a result.
    calls_answered = "calls answered";
    /// Calls of sessions that ran out of time, or were in the way of a close.
    calls_failed = "calls that failed";
    /// Publications that clients were handed.
    delivered = "delivered";
    /// Subscriptions that were recovered.
    recovered = "subscriptions recovered";
    /// Subscriptions that were told that their position was lost.
    unrecovered = "subscriptions told of a loss";
    /// Subscriptions with a position that no channel has ever had.
    lies = "subscriptions with a made-up position";
    /// Subscriptions of simple clients that the gateway ended with the advice to subscribe again.
    resubscribed = "subscriptions told to subscribe again";
    /// Subscriptions of sessions that went on behind their last item.
    resumed = "subscriptions of sessions resumed";
    /// Gaps that sessions told their application.
    gaps = "gaps told by sessions";
    /// Connections of sessions behind their first.
    reconnects = "reconnects of sessions";
    /// Connections that a session gave up because it heard nothing.
    silences_noticed = "silent gateways noticed by sessions";
    /// Connections that a session gave up because nothing was taken from it.
    stalls_noticed = "stalled writes noticed by sessions";
    /// Connections that the gateway closed because it heard nothing.
    peers_noticed_dead = "silent clients noticed by the gateway";
    /// Connections that the gateway closed because the client took too little.
    peers_too_slow = "slow clients closed by the gateway";
    /// Times that the gateway read nothing more of a client with too many unanswered commands.
    readings_paused = "clients paused by the gateway";
    /// Ends that the log marked as clean, each followed by a start.
    clean_restarts = "clean restarts";
    /// Orders of the log that found no room on the disk.
    orders_refused = "orders that found no room";
    /// Starts that the log refused for want of room, each followed by another one.
    starts_refused = "starts refused for want of room";
    /// Segments that retention removed.
    segments_removed = "segments removed";
    /// Subscriptions that were told that their position fell out, while nothing was lost.
    positions_fallen_out = "positions that fell out";
}

impl Totals {
    /// Links that were lost, in whatever way the two ends could notice at once.
    pub const fn link_losses(&self) -> u64 {
        self.links_closed + self.links_reset
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
