//! The bugs that can be planted.

use anyhow::{Context as _, Result};

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    /// The delay before an attempt is not random: all clients reconnect in the same instants.
    NoJitter,
    /// The delay is reset when TCP connects, and not when the server replies.
    GrowthUndoneOnConnect,
    /// Every second client stops after the first attempt that fails, and reports nothing.
    AbandonsReconnect,
    /// Each send restarts the timer of the next ping.
    ProbeStarvedBySends,
    /// A write that succeeds counts as proof that the server is alive.
    LivenessBySends,
    /// The late close event of a former connection ends its successor.
    OldSocketEndsSession,
    /// No ping is ever sent, so that silence is not noticed.
    NeverPings,
    /// A client stops after five attempts that fail, and reports that.
    GivesUpAfterFive,
    /// Requests without a reply are sent again over the next connection.
    ResendsLostRequests,
    /// Requests that were sent and have no reply are reported as not sent.
    LostReportedAsNotSent,
}

impl Bug {
    const ALL: [(&str, Self); 10] = [
        ("no-jitter", Self::NoJitter),
        ("growth-undone-on-connect", Self::GrowthUndoneOnConnect),
        ("abandons-reconnect", Self::AbandonsReconnect),
        ("probe-starved-by-sends", Self::ProbeStarvedBySends),
        ("liveness-by-sends", Self::LivenessBySends),
        ("old-socket-ends-session", Self::OldSocketEndsSession),
        ("never-pings", Self::NeverPings),
        ("gives-up-after-five", Self::GivesUpAfterFive),
        ("resends-lost-requests", Self::ResendsLostRequests),
        ("lost-reported-as-not-sent", Self::LostReportedAsNotSent),
    ];

    /// The bug with this name.
    pub(super) fn from_name(name: &str) -> Result<Self> {
        let mut all = Self::ALL.iter();
        let found = all.find(|(known, _)| *known == name);
        found.map(|(_, bug)| *bug).with_context(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
            format!("unknown bug `{name}`; the bugs are {}", names.join(", "))
        })
    }
}
