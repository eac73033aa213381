//! What must be true, kept apart from the machines: every acknowledgement and every delivery, and what contradicts.
//!
//! It knows nothing of offsets being assigned or records being stored; it only remembers what clients were told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use steadfast_protocol::message::Position;

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub promise: Promise,
    /// What was seen.
    pub seen: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.seen)
    }
}

/// What clients are promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// An acknowledged publication is there, at the place that was acknowledged.
    NothingAcknowledgedIsLost,
    /// A key is applied once.
    NothingIsAppliedTwice,
    /// Nobody is handed a publication twice.
    NothingIsDeliveredTwice,
    /// Publications of a channel come in the order of their offsets, without a hole.
    OrderIsKept,
    /// `recovered = true` means that nothing is missing.
    RecoveredMeansWhole,
    /// A place in a channel holds one publication for ever.
    APlaceHoldsOnePublication,
    /// When the faults are over, everybody comes back and everything is acknowledged.
    EverythingSettles,
    /// What the disk kept can be opened.
    TheLogOpens,
    /// As many publications are visible as retention leaves, no fewer and no more.
    RetentionKeepsWhatItSays,
    /// A start behind a clean end finds it, and nothing has changed.
    ACleanEndIsKept,
    /// A publication of a session has one outcome, and one that fits what happened.
    EveryPublicationEndsOnce,
    /// A call of a session has one answer, not later than its deadline.
    EveryCallEndsOnce,
    /// A session that its application closes ends within the time that it was given.
    ACloseEnds,
    /// What a session said that it never sent is nowhere.
    WhatWasNotSentIsNowhere,
    /// An application is told of a gap only where something is really lost or hidden.
    AGapMeansALoss,
    /// Whoever hears nothing any more notices within the time of its policy.
    ADeadPeerIsNoticed,
    /// Nobody is given up for silence whose link has not suffered.
    AHealthyPeerIsKept,
    /// Whoever comes back leaves pauses between the tries.
    NobodyHammers,
    /// No machine wants to be woken for ever at one instant.
    NobodySpins,
    /// Bytes for a client wait no longer, and grow no more, than the policy says.
    ASlowClientIsNotWaitedFor,
    /// When the faults are over a session is soon connected again, without anybody's help.
    SessionsComeBack,
    /// No queue of a session grows beyond its policy.
    QueuesKeepTheirBounds,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NothingAcknowledgedIsLost => "nothing acknowledged is lost",
            Self::NothingIsAppliedTwice => "nothing is applied twice",
            Self::NothingIsDeliveredTwice => "nothing is delivered twice",
            Self::OrderIsKept => "order is kept",
            Self::RecoveredMeansWhole => "recovered means whole",
            Self::APlaceHoldsOnePublication => "a place holds one publication",
            Self::EverythingSettles => "everything settles",
            Self::TheLogOpens => "the log opens",
            Self::RetentionKeepsWhatItSays => "retention keeps what it says",
            Self::ACleanEndIsKept => "a clean end is kept",
            Self::EveryPublicationEndsOnce => "every publication ends once",
            Self::EveryCallEndsOnce => "every call ends once",
            Self::ACloseEnds => "a close ends",
            Self::WhatWasNotSentIsNowhere => "what was not sent is nowhere",
            Self::AGapMeansALoss => "a gap means a loss",
            Self::ADeadPeerIsNoticed => "a dead peer is noticed",
            Self::AHealthyPeerIsKept => "a healthy peer is kept",
            Self::NobodyHammers => "nobody hammers",
            Self::NobodySpins => "nobody spins",
            Self::ASlowClientIsNotWaitedFor => "a slow client is not waited for",
            Self::SessionsComeBack => "sessions come back",
            Self::QueuesKeepTheirBounds => "queues keep their bounds",
        })
    }
}

/// A place in a channel, as clients see it.
type Place = (String, String, u64);

/// What clients were told.
#[derive(Debug, Default)]
pub struct Reference {
    /// By channel and key: the place that was acknowledged first.
    acknowledged: BTreeMap<(String, String), (String, u64)>,
    /// By channel: keys that were never sent, as their session said.
    unsent: BTreeSet<(String, String)>,
    /// By channel: keys of which their session does not know what became of them.
    uncertain: BTreeSet<(String, String)>,
    /// By place: the key of the publication that stands there.
    places: BTreeMap<Place, String>,
    violations: Vec<Violation>,
}

impl Reference {
    /// A client was told that its publication is durable.
    pub fn acknowledge(&mut self, channel: &str, key: &str, epoch: &str, offset: u64) {
        let entry = (channel.to_owned(), key.to_owned());
        match self.acknowledged.get(&entry) {
            // Under another epoch the first one may have been lost, and that was told.
            Some((first_epoch, first)) if first_epoch == epoch && *first != offset => {
                let seen =
                    format!("{channel}: {key} acknowledged at {first} and at {offset} of {epoch}");
                self.break_promise(Promise::NothingIsAppliedTwice, seen);
            }
            Some(_) | None => {
                self.acknowledged.insert(entry, (epoch.to_owned(), offset));
            }
        }
        self.stand_at(channel, epoch, offset, key);
    }

    /// A session said that it never sent a publication.
    pub fn refuse(&mut self, channel: &str, key: &str) {
        self.unsent.insert((channel.to_owned(), key.to_owned()));
    }

    /// A session does not know what became of a publication: one that was sent may still arrive, behind what it
    /// published later.
    pub fn lose_track(&mut self, channel: &str, key: &str) {
        self.uncertain.insert((channel.to_owned(), key.to_owned()));
    }

    /// A client was handed a publication.
    pub fn deliver(&mut self, channel: &str, epoch: &str, offset: u64, key: &str) {
        self.stand_at(channel, epoch, offset, key);
    }

    fn stand_at(&mut self, channel: &str, epoch: &str, offset: u64, key: &str) {
        let place = (channel.to_owned(), epoch.to_owned(), offset);
        match self.places.get(&place) {
            Some(first) if first != key => {
                let seen = format!("{channel}: offset {offset} of {epoch} is {first} and {key}");
                self.break_promise(Promise::APlaceHoldsOnePublication, seen);
            }
            Some(_) => {}
            None => {
                self.places.insert(place, key.to_owned());
            }
        }
    }

    /// Notes a violation that somebody else found.
    pub fn break_promise(&mut self, promise: Promise, seen: String) {
        self.violations.push(Violation { promise, seen });
    }

    /// Compares everything that was acknowledged with what the log holds at the end, oldest first: keys by channel,
    /// in the epoch named. `is_whole` tells that the policy promises that nothing acknowledged is ever lost; what
    /// stood before the oldest was removed, and whether that was right is not judged here.
    pub fn settle(
        &mut self,
        channel: &str,
        top: &Position,
        keys: &[(u64, String)],
        is_whole: bool,
    ) {
        let mut first_of: BTreeMap<&str, u64> = BTreeMap::new();
        for (offset, key) in keys {
            if let Some(first) = first_of.insert(key, *offset) {
                let seen = format!(
                    "{channel}: {key} stands at {first} and at {offset} of {}",
                    top.epoch
                );
                self.break_promise(Promise::NothingIsAppliedTwice, seen);
            }
            self.stand_at(channel, &top.epoch, *offset, key);
            if self.unsent.contains(&(channel.to_owned(), key.clone())) {
                let seen = format!("{channel}: {key} stands at {offset}");
                self.break_promise(Promise::WhatWasNotSentIsNowhere, seen);
            }
        }
        let start = keys
            .first()
            .map_or_else(|| top.offset.saturating_add(1), |(offset, _)| *offset);
        let mut missing = Vec::new();
        for ((of, key), (epoch, offset)) in &self.acknowledged {
            let is_removed = *epoch == top.epoch && *offset < start;
            let must_be_there = of == channel && (is_whole || *epoch == top.epoch) && !is_removed;
            if must_be_there && first_of.get(key.as_str()) != Some(offset) {
                missing.push(format!(
                    "{channel}: {key} was acknowledged at {offset} of {epoch}"
                ));
            }
        }
        for seen in missing {
            self.break_promise(Promise::NothingAcknowledgedIsLost, seen);
        }
    }

    /// What a session published stands in the order in which it did: keys by channel, oldest first, each with a name
    /// and a number.
    pub fn settle_order(&mut self, channel: &str, keys: &[(u64, String)], session: &str) {
        let mut last = (0, 0);
        for (offset, key) in keys {
            let Some(number) = key
                .strip_prefix(session)
                .and_then(|rest| rest.strip_prefix('-')?.parse::<u64>().ok())
            else {
                continue;
            };
            if self.uncertain.contains(&(channel.to_owned(), key.clone())) {
                continue;
            }
            if number < last.0 {
                let seen = format!("{channel}: {key} stands at {offset}, behind number {last:?}");
                self.break_promise(Promise::OrderIsKept, seen);
            }
            last = (number, *offset);
        }
    }

    /// How many different publications were acknowledged.
    pub fn acknowledged_count(&self) -> usize {
        self.acknowledged.len()
    }

    /// What was broken so far.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_that_is_missing_in_the_end_is_a_loss() {
        let mut reference = Reference::default();
        reference.acknowledge("room", "a", "e", 1);
        reference.acknowledge("room", "b", "e", 2);

        reference.settle("room", &top(1), &[(1, "a".to_owned())], true);

        assert_eq!(promises(&reference), [Promise::NothingAcknowledgedIsLost]);
    }

    #[test]
    fn what_stood_before_the_oldest_that_is_kept_is_no_loss() {
        let mut reference = Reference::default();
        reference.acknowledge("room", "a", "e", 1);
        reference.acknowledge("room", "b", "e", 2);

        reference.settle("room", &top(2), &[(2, "b".to_owned())], true);

        assert!(reference.violations().is_empty());
    }

    #[test]
    fn a_key_at_two_places_was_applied_twice() {
        let mut reference = Reference::default();
        reference.acknowledge("room", "a", "e", 1);

        reference.settle(
            "room",
            &top(2),
            &[(1, "a".to_owned()), (2, "a".to_owned())],
            true,
        );

        assert!(promises(&reference).contains(&Promise::NothingIsAppliedTwice));
    }

    #[test]
    fn two_publications_at_one_place_contradict() {
        let mut reference = Reference::default();
        reference.deliver("room", "e", 1, "a");
        reference.deliver("room", "e", 1, "b");

        assert_eq!(promises(&reference), [Promise::APlaceHoldsOnePublication]);
    }

    #[test]
    fn what_was_lost_under_an_epoch_that_is_gone_was_told() {
        let mut reference = Reference::default();
        reference.acknowledge("room", "a", "old", 1);

        reference.settle("room", &top(0), &[], false);

        assert!(reference.violations().is_empty());
    }

    #[test]
    fn what_was_never_sent_must_not_be_there() {
        let mut reference = Reference::default();
        reference.refuse("room", "s0-1");

        reference.settle("room", &top(1), &[(1, "s0-1".to_owned())], true);

        assert_eq!(promises(&reference), [Promise::WhatWasNotSentIsNowhere]);
    }

    #[test]
    fn a_session_that_is_overtaken_by_itself_broke_the_order() {
        let mut reference = Reference::default();
        let keys = [(1, "s0-2"), (2, "s1-1"), (3, "s0-1")].map(|(at, key)| (at, key.to_owned()));

        reference.settle_order("room", &keys, "s0");
        reference.settle_order("room", &keys, "s1");

        assert_eq!(promises(&reference), [Promise::OrderIsKept]);
    }

    fn top(offset: u64) -> Position {
        Position {
            epoch: "e".to_owned(),
            offset,
        }
    }

    fn promises(reference: &Reference) -> Vec<Promise> {
        reference
            .violations()
            .iter()
            .map(|violation| violation.promise)
            .collect()
    }
}
