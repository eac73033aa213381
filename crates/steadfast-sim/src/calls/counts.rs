//! Counts of what happened in a run: a run without faults proves nothing.

use std::collections::BTreeMap;

/// Declares what is counted, with the labels.
macro_rules! counts {
    ($( #[doc = $about:literal] $name:ident = $label:literal; )+) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Count {
            $( #[doc = $about] $name, )+
        }

        impl Count {
            /// All counts, in the order of their declaration.
            pub const ALL: &[Self] = &[$( Self::$name, )+];

            /// Returns the label of the count.
            pub const fn label(self) -> &'static str {
                match self {
                    $( Self::$name => $label, )+
                }
            }
        }
    };
}

counts! {
    /// Seeds that were run.
    Seeds = "seeds";
    /// Sessions of all runs.
    Sessions = "sessions";
    /// Calls that applications made.
    Calls = "calls";
    /// Calls that applications gave up.
    CallsWithdrawn = "calls withdrawn by the application";
    /// Calls with a result.
    CallsDone = "calls with a result";
    /// Calls to which the server replied with an error.
    CallsRejected = "calls rejected by the server";
    /// Calls that were reported as not executed.
    CallsNotExecuted = "calls reported as not executed";
    /// Calls that may have been executed, as reported.
    CallsUnknown = "calls that may have been executed";
    /// Of these, those that were executed.
    CallsUnknownExecuted = "of these, executed";
    /// Executions of all calls.
    Executions = "executions";
    /// Executions of calls whose connection had ended, for its client.
    ExecutionsLate = "executions after the end of the connection";
    /// Calls of the classes read and idempotent that were executed more than once.
    CallsRepeated = "calls executed again after a lost reply";
    /// Calls that the server rejected because the connection had too many.
    TooManyCalls = "calls above the limit of the server";
    /// Calls that the server rejected because it had forgotten the session.
    Unauthenticated = "calls of a forgotten session";
    /// Messages above the limit of the server.
    TooLongForServer = "messages above the limit of the server";
    /// Results above the limit of the client.
    TooLongForClient = "results above the limit of the client";
    /// Logins that the server accepted.
    Logins = "logins";
    /// Dials that waited for a permitted login.
    DialsQueued = "dials that waited for a login";
    /// Dials without a response.
    DialsIgnored = "dials without a response";
    /// Connections that were lost.
    ConnectionsLost = "connections lost";
    /// Connections that another one replaced while they were open.
    Migrations = "connections replaced";
    /// Connections that the network closed.
    Closed = "connections closed by the network";
    /// Connections that the network reset.
    Reset = "connections reset";
    /// Connections of which both directions dropped everything.
    Blackholes = "connections blackholed in both directions";
    /// Connections of which the direction to the server dropped everything.
    BlackholesToServer = "connections blackholed towards the server";
    /// Connections of which the direction to the client dropped everything.
    BlackholesToClient = "connections blackholed towards the client";
    /// Connections that delivered nothing for some time.
    Frozen = "connections frozen";
    /// Connections of which the direction to the server was stalled.
    Stalled = "uplinks stalled";
    /// Connections whose client read slowly.
    SlowReaders = "slow readers";
    /// Connections whose bytes passed a toxic.
    Toxics = "connections with a toxic";
    /// Kills of the server.
    Kills = "kills of the server";
    /// Calls that a kill of the server lost before they were executed.
    LostUnexecuted = "calls lost before their execution";
    /// Calls that a kill of the server lost after they were executed.
    LostExecuted = "calls lost after their execution";
    /// Times for which the server was suspended.
    Suspensions = "suspensions of the server";
    /// Sessions that the server forgot while their connections stayed open.
    Expirations = "sessions forgotten by the server";
    /// Connections that the server closed.
    Terminations = "sessions ended by an administrator";
}

/// How often each thing has happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<Count, u64>);

impl Counts {
    /// Returns how often it has happened.
    pub fn of(&self, count: Count) -> u64 {
        self.0.get(&count).copied().unwrap_or_default()
    }

    /// Returns all counts with their labels.
    pub fn rows(&self) -> Vec<(&'static str, u64)> {
        let rows = Count::ALL.iter().map(|it| (it.label(), self.of(*it)));
        rows.collect()
    }

    pub(super) fn add(&mut self, count: Count) {
        self.add_many(count, 1);
    }

    pub(super) fn add_many(&mut self, count: Count, times: u64) {
        *self.0.entry(count).or_default() += times;
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        for (count, times) in &other.0 {
            self.add_many(*count, *times);
        }
    }
}
