//! What people are told of commands that were refused.
//!
//! One peer can have thousands refused in a second, and a line for each would bury everything else. So each kind is
//! told at once, and from then on at most once in [`QUIET`], with how many there were.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_machine::Instant;

use crate::event::Event;
use crate::hub::Hub;
use crate::io::Output;
use crate::log::io::Rejection;

/// How long a kind of refusal is only counted after it was told.
const QUIET: Duration = Duration::from_secs(1);

/// Why a command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// A limit of the hub, by the name of its setting.
    Limit(&'static str),
    /// The log's answer.
    Log(Rejection),
}

impl Cause {
    const fn told(self, times: u64) -> Event {
        match self {
            Self::Limit(setting) => Event::LimitReached { setting, times },
            Self::Log(refusal) => Event::LogRefused { refusal, times },
        }
    }
}

/// One kind since it was told last.
#[derive(Clone, Copy, Debug)]
struct Count {
    told_at: Instant,
    untold: u64,
}

/// The refusals of a hub; at most one entry for each of the few causes.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    counts: BTreeMap<Cause, Count>,
}

impl Refusals {
    /// Counts one; an event when it is time to tell.
    fn count(&mut self, now: Instant, cause: Cause) -> Option<Event> {
        let Some(count) = self.counts.get_mut(&cause) else {
            let told = Count {
                told_at: now,
                untold: 0,
            };
            self.counts.insert(cause, told);
            return Some(cause.told(1));
        };
        count.untold += 1;
        None
    }

    /// What is to be told now. A cause without news for so long is forgotten, so that its next refusal is told at once.
    fn take_due(&mut self, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        self.counts.retain(|cause, count| {
            if now < count.told_at + QUIET {
                return true;
            }
            if count.untold == 0 {
                return false;
            }
            events.push(cause.told(std::mem::take(&mut count.untold)));
            count.told_at = now;
            true
        });
        events
    }

    /// When something is to be told or forgotten.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let told = self.counts.values().map(|count| count.told_at);
        told.min().map(|told_at| told_at + QUIET)
    }
}

impl Hub {
    /// Sees to it that people hear of a refused command.
    pub(crate) fn note_refusal(&mut self, cause: Cause) {
        let now = self.now;
        self.tell_refusals();
        if let Some(event) = self.refusals.count(now, cause) {
            self.order(Output::Notify(event));
        }
    }

    /// Tells what was only counted, once its time has come.
    pub(crate) fn tell_refusals(&mut self) {
        for event in self.refusals.take_due(self.now) {
            self.order(Output::Notify(event));
        }
    }
}
