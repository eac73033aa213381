//! Counts of what happened in a run: a run without faults proves nothing.

use std::fmt;
use std::ops::AddAssign;

use crate::engine_kind::EngineKind;

/// Counts of one kind, with their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountGroup {
    /// What they count, in the plural.
    pub name: &'static str,
    /// The label and the count of each.
    pub rows: Vec<(&'static str, u64)>,
}

/// Declares the counts in one list: the groups, the fields, their printed labels, the engine without which they stay 0,
/// and their sum.
macro_rules! counts {
    ($( $group:literal { $( #[doc = $about:literal] $field:ident = $name:literal $(of $engine:ident)?; )+ } )+) => {
        /// Counts of one run, or of many.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Totals {
            $( $( #[doc = $about] pub $field: u64, )+ )+
        }

        impl Totals {
            /// Returns the counts that runs with this engine can have. A set of seeds with a count of 0 does not pass.
            pub fn groups(&self, engine: EngineKind) -> Vec<CountGroup> {
                let groups = [$( ($group, vec![$( ($name, self.$field, &[$( EngineKind::$engine )?][..]), )+]), )+];
                let of_engine = |rows: Vec<(&'static str, u64, &[EngineKind])>| {
                    rows.into_iter()
                        .filter(|(_, _, only)| only.iter().all(|it| *it == engine))
                        .map(|(name, count, _)| (name, count))
                        .collect::<Vec<_>>()
                };
                groups
                    .into_iter()
                    .map(|(name, rows)| CountGroup { name, rows: of_engine(rows) })
                    .filter(|group| !group.rows.is_empty())
                    .collect()
            }

            /// Returns the counts of all groups.
            pub fn rows(&self, engine: EngineKind) -> Vec<(&'static str, u64)> {
                self.groups(engine)
                    .into_iter()
                    .flat_map(|group| group.rows)
                    .collect()
            }
        }

        impl AddAssign for Totals {
            fn add_assign(&mut self, rhs: Self) {
                $( $( self.$field += rhs.$field; )+ )+
            }
        }
    };
}

counts! {
    "runs" {
        /// Seeds that were run.
        seeds = "seeds";
        /// Sessions of the client library.
        sessions = "client library sessions";
        /// Clients that do not use the client library.
        simple_clients = "simple clients";
        /// Runs with two gateways.
        runs_with_two_nodes = "runs with two gateways";
        /// Connections of a session to another gateway than its previous connection.
        moves = "session moves between gateways";
        /// Connections of sessions that another connection replaced, which was accepted before they ended.
        migrations = "session connections replaced";
        /// Gaps that sessions reported because they had moved to another gateway.
        gaps_after_moves = "gaps reported after a move";
        /// Sessions that their application closed and reopened.
        closes = "sessions closed and reopened";
        /// Late inputs of an earlier connection that sessions received.
        stale_inputs = "late inputs of an earlier connection";
    }
    "connections" {
        /// Connections that the network closed without a reset at a random time.
        connections_closed = "connections closed by the network";
        /// Connections that the network reset, with the loss of bytes in flight.
        connections_reset = "connections reset by the network";
        /// Connections that dropped all bytes from a random time on, in both directions.
        blackholes = "connections blackholed in both directions";
        /// Connections that dropped all bytes to the gateway.
        blackholes_to_gateway = "connections blackholed towards the gateway";
        /// Connections that dropped all bytes to the client.
        blackholes_to_client = "connections blackholed towards the client";
        /// Connections that delivered nothing for some time and then everything.
        connections_frozen = "connections frozen";
        /// Connections that delivered nothing to the gateway for some time, so that the client's writes stalled.
        uplinks_stalled = "uplinks stalled";
        /// Clients that read slowly for some time.
        slow_readers = "slow readers";
        /// Connections that a toxic delayed, slowed down or cut into pieces for some time.
        connections_poisoned = "connections with a toxic";
        /// Connections with a toxic that closes or resets them.
        connections_ended_by_toxics = "connections with a toxic that ends them";
        /// Dials of sessions without a response.
        dials_ignored = "dials without a response";
        /// Connections that a client closed with commands in flight, to dial again at once.
        hang_ups = "connections replaced by their client";
        /// Connections whose peer has the slot of a former peer.
        slots_reused = "peer slots reused";
        /// Connections of sessions after the first connection of each.
        reconnects = "session reconnects";
        /// Connections that a session closed because it received nothing.
        silences_detected = "silent gateways detected by sessions";
        /// Connections that a session closed because its writes made no progress.
        write_stalls_detected = "stalled writes detected by sessions";
        /// Connections that the gateway closed because it received nothing.
        dead_peers_detected = "silent clients detected by the gateway";
        /// Connections that the gateway closed because the client read too slowly.
        slow_consumers_closed = "slow consumers closed by the gateway";
    }
    "processes and clocks" {
        /// Crashes of the gateway in which at least one unsynced sector was lost.
        crashes = "crashes that lost unsynced writes" of Log;
        /// Crashes of the gateway in which the log was not open yet.
        crashes_while_opening = "crashes while opening the log" of Log;
        /// Kills of the gateway process without a power failure, while there were unsynced writes.
        kills = "process kills with unsynced writes" of Log;
        /// Processes that ended while their engine kept publications in memory alone.
        histories_lost = "histories lost with their process" of Memory;
        /// Clean shutdowns, each followed by a start.
        clean_restarts = "restarts after a clean shutdown";
        /// Starts without space for the record of the start: publications are rejected until there is space.
        starts_without_space = "starts without space, for readers only" of Log;
        /// Starts of a gateway process after a start of its machine.
        reboots = "starts after a reboot";
        /// Times that the wall clock was set.
        wall_jumps = "wall clock jumps";
        /// Starts of a machine with a wrong wall clock.
        wrong_starts = "reboots with a wrong wall clock";
    }
    "disks" {
        /// Unsynced sectors that a crash dropped.
        sectors_dropped = "unsynced sectors dropped" of Log;
        /// Unsynced sectors that a crash tore.
        sectors_torn = "unsynced sectors torn" of Log;
        /// Unsynced sectors that survived a crash.
        sectors_kept = "unsynced sectors kept" of Log;
        /// Torn writes that were truncated on opening.
        torn_writes_truncated = "torn writes truncated" of Log;
        /// Disk operations of the log that failed for lack of space.
        operations_without_space = "disk operations failed for lack of space" of Log;
        /// Times that a disk completed nothing for seconds.
        disks_stalled = "disks stalled" of Log;
        /// Disk operations that a stalled disk delayed.
        operations_delayed = "disk operations delayed by a stalled disk" of Log;
        /// Reports of the log about operations that take long.
        slow_operations = "slow disk operations reported" of Log;
        /// Segments that retention removed.
        segments_removed = "segments removed" of Log;
    }
    "publications" {
        /// Publications that clients requested.
        published = "publications requested";
        /// Acknowledged publications that were published again.
        published_again = "acknowledged publications published again";
        /// Publications that were acknowledged.
        acknowledged = "publications acknowledged";
        /// Acknowledgements of a publication that was already stored.
        duplicates_acknowledged = "duplicates acknowledged";
        /// Publications with the key of another one and other data that the gateway rejected.
        other_data_rejected = "repeated keys rejected for other data";
        /// Publications of sessions that were not sent before their time to live passed.
        expired = "publications expired before sending";
        /// Publications that a full outbox rejected.
        outbox_full = "publications rejected by a full outbox";
        /// Publications that were in flight when their time to live passed or their session was closed.
        interrupted = "publications with an unknown outcome";
        /// Publications that were still queued when their session was closed.
        dropped_by_close = "publications dropped by a close";
        /// Publications that clients received.
        delivered = "publications delivered";
    }
    "subscriptions" {
        /// Subscriptions that were recovered.
        recovered = "subscriptions recovered";
        /// Subscriptions whose position could not be recovered.
        unrecovered = "subscriptions not recovered";
        /// Subscriptions with a position that no channel has ever had.
        invalid_positions = "subscriptions with an invalid position";
        /// Subscriptions whose position was beyond retention, while no publication was lost.
        positions_beyond_retention = "positions beyond retention";
        /// Subscriptions of simple clients that the gateway closed with the advice to resubscribe.
        resubscribed = "subscriptions closed with resubscribe advice";
        /// Subscriptions that a client ended and requested again at once.
        resubscribed_at_once = "subscriptions replaced by their client";
        /// Subscriptions of sessions that resumed after their last publication.
        resumed = "session subscriptions resumed";
        /// Gaps that sessions reported to their application.
        gaps = "gaps reported by sessions";
        /// Times that a shard lagged so far that it lost entries of the log.
        shard_lags = "shard lags";
    }
    "commands" {
        /// Calls of sessions with a successful result.
        calls_completed = "calls completed";
        /// Calls of sessions that timed out, were rejected locally, or were pending at a close.
        calls_failed = "calls failed";
        /// Replies to commands that had to take effect after an earlier one without a reply.
        commands_in_order = "commands sent before the reply to one that they follow";
        /// Times that the gateway stopped reading from a client with too many pending requests.
        reads_paused = "clients paused by the gateway";
        /// Messages in whose middle the gateway stopped, and with which it continued.
        messages_continued = "messages continued after a pause";
        /// Connections on which a client was subscribed to hundreds of channels that it requested in one message.
        subscribed_at_once = "connections with hundreds of subscribe commands in a message";
        /// Commands that a client began and did not end, for which the gateway closed the connection.
        endless_commands = "connections closed for a command without an end";
        /// Times that a connection had handled as many commands as one turn permits, with others left.
        turns_ended = "turns of connections ended with commands left";
    }
    "presence" {
        /// Messages that shards received from the inboxes of the bus.
        shard_messages_received = "shard messages received";
        /// Messages that were dropped because an inbox was full.
        shard_messages_dropped = "shard messages dropped";
        /// Joins that clients received.
        joins_received = "joins received";
        /// Leaves that clients received.
        leaves_received = "leaves received";
        /// Joins and leaves that sessions delivered to their application.
        membership_events = "joins and leaves delivered by sessions";
        /// Replies to presence queries.
        presence_replies = "presence replies";
        /// Replies to presence queries during which no client came or went.
        presence_exact = "presence replies that had to be exact";
        /// Connections that received every join and leave, checked when everything was quiet.
        memberships_complete = "subscribers checked for missed joins and leaves";
    }
}

impl Totals {
    /// Returns the number of connections that the network closed or reset.
    pub const fn connection_losses(&self) -> u64 {
        self.connections_closed + self.connections_reset
    }

    const fn connections_silenced(&self) -> u64 {
        self.blackholes
            + self.blackholes_to_gateway
            + self.blackholes_to_client
            + self.connections_frozen
            + self.uplinks_stalled
    }

    const fn sectors_lost(&self) -> u64 {
        self.sectors_dropped + self.sectors_torn
    }
}

impl fmt::Display for Totals {
    /// Writes a summary of three lines: who took part, which faults occurred, and what was delivered.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let crashes = self.crashes + self.kills + self.histories_lost;
        writeln!(
            f,
            "clients: client library {}, other {}",
            self.sessions, self.simple_clients
        )?;
        writeln!(
            f,
            "faults: connections lost {}, connections silenced {}, crashes {crashes}, unsynced sectors lost {}, disk \
             operations failed {}, wall clock jumps {}",
            self.connection_losses(),
            self.connections_silenced(),
            self.sectors_lost(),
            self.operations_without_space,
            self.wall_jumps
        )?;
        write!(
            f,
            "publications: requested {}, repeated {}, acknowledged {}, delivered {}, subscriptions recovered {}",
            self.published, self.published_again, self.acknowledged, self.delivered, self.recovered
        )
    }
}
