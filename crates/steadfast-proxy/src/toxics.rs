//! The toxics of a proxy, and the changes that led to them.

use std::collections::VecDeque;
use std::sync::Arc;

use steadfast_faults::toxic::{ActiveToxic, Directions, Toxic, ToxicChange};
use steadfast_machine::{Instant, convert};

use crate::error::Error;
use crate::event::EventKind;

/// The number of toxics of a proxy.
const TOXICS_MAX: usize = 64;

/// The number of changes that are kept for connections that have not applied them yet. A connection that misses some
/// takes over the present toxics.
const CHANGES_KEPT_MAX: usize = 256;

/// What changed since a connection asked the last time.
#[derive(Debug)]
pub(crate) enum News {
    /// Each change, in order.
    Changes(Vec<ToxicChange>),
    /// Changes were missed; these are the present toxics.
    Missed(Vec<Arc<ActiveToxic>>),
}

/// The toxics in order of creation, and their newest changes.
#[derive(Debug, Default)]
pub(crate) struct ToxicTable {
    toxics: Vec<Arc<ActiveToxic>>,
    changes: VecDeque<ToxicChange>,
    /// The number of all changes so far.
    changes_count: u64,
}

/// What a batch of changes did.
#[derive(Debug)]
pub(crate) struct Applied {
    /// The toxics that were added, updated or removed.
    pub(crate) toxics: Vec<Arc<ActiveToxic>>,
    pub(crate) events: Vec<EventKind>,
}

/// Changes that can be applied: the toxics after them, and each change with its toxic.
#[derive(Debug)]
pub(crate) struct Prepared {
    toxics: Vec<Arc<ActiveToxic>>,
    changes: Vec<(ToxicChange, Arc<ActiveToxic>)>,
}

/// The index of the first change that cannot be applied, and why.
pub(crate) type BatchError = (usize, Error);

impl ToxicTable {
    /// The present toxics with the number of changes that led to them.
    pub(crate) fn present(&self) -> (Vec<Arc<ActiveToxic>>, u64) {
        (self.toxics.clone(), self.changes_count)
    }

    /// The toxics as operators see them.
    pub(crate) fn by_direction(&self) -> Vec<Toxic> {
        let toxics = self.toxics.iter().map(|active| active.toxic.clone());
        let (first, second): (Vec<_>, Vec<_>) =
            toxics.partition(|toxic| toxic.directions != Directions::ToClient);
        first.into_iter().chain(second).collect()
    }

    /// What changed since a connection had seen this number of changes, and their number now.
    pub(crate) fn changes_since(&self, seen: u64) -> (News, u64) {
        let unseen: usize = convert::saturating(self.changes_count.saturating_sub(seen));
        let news = match self.changes.len().checked_sub(unseen) {
            Some(skipped) => News::Changes(self.changes.iter().skip(skipped).cloned().collect()),
            None => News::Missed(self.toxics.clone()),
        };
        (news, self.changes_count)
    }

    /// Prepares all changes at one instant, without a change of the table.
    pub(crate) fn prepare(
        &self,
        at: Instant,
        requests: Vec<ToxicRequest>,
    ) -> Result<Prepared, BatchError> {
        let mut toxics = self.toxics.clone();
        let mut changes = Vec::new();
        for (index, request) in requests.into_iter().enumerate() {
            let result = request.apply(&mut toxics, at);
            changes.extend(result.map_err(|error| (index, error))?);
        }
        Ok(Prepared { toxics, changes })
    }

    /// Applies what was prepared since the last change of the table.
    pub(crate) fn commit(&mut self, prepared: Prepared) -> Applied {
        let (changes, toxics): (Vec<_>, Vec<_>) = prepared.changes.into_iter().unzip();
        let events = changes.iter().map(describe).collect();
        self.toxics = prepared.toxics;
        self.record(changes);
        Applied { toxics, events }
    }

    /// Removes and returns the toxics whose duration has passed.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Arc<ActiveToxic>> {
        let (expired, kept): (Vec<_>, Vec<_>) = self
            .toxics
            .drain(..)
            .partition(|active| active.expires_at.is_some_and(|at| at <= now));
        self.toxics = kept;
        let names = expired.iter().map(|active| Arc::from(&*active.toxic.name));
        let changes = names.map(ToxicChange::Removed).collect();
        self.record(changes);
        expired
    }

    /// When the next toxic ends.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let ends = self.toxics.iter().filter_map(|active| active.expires_at);
        ends.min()
    }

    fn record(&mut self, changes: Vec<ToxicChange>) {
        self.changes_count += convert::to_u64(changes.len());
        self.changes.extend(changes);
        let surplus = self.changes.len().saturating_sub(CHANGES_KEPT_MAX);
        self.changes.drain(..surplus);
    }
}

/// A change of toxics that a call requests.
#[derive(Clone, Debug)]
pub(crate) enum ToxicRequest {
    Add(Toxic),
    Update(Toxic),
    Remove(String),
    RemoveAll,
}

impl ToxicRequest {
    fn apply(
        self,
        toxics: &mut Vec<Arc<ActiveToxic>>,
        now: Instant,
    ) -> Result<Vec<(ToxicChange, Arc<ActiveToxic>)>, Error> {
        match self {
            Self::Add(toxic) => {
                validate(&toxic)?;
                if toxics.iter().any(|active| active.toxic.name == toxic.name) {
                    return Err(Error::ToxicExists(toxic.name));
                }
                if toxics.len() >= TOXICS_MAX {
                    return Err(Error::Full {
                        what: "toxics",
                        max: TOXICS_MAX,
                    });
                }
                let active = Arc::new(ActiveToxic::new(toxic, now));
                toxics.push(Arc::clone(&active));
                Ok(vec![(ToxicChange::Added(Arc::clone(&active)), active)])
            }
            Self::Update(toxic) => {
                let slot = find(toxics, &toxic.name)?;
                let updated = updated(slot, toxic, now)?;
                *slot = Arc::clone(&updated);
                Ok(vec![(ToxicChange::Updated(Arc::clone(&updated)), updated)])
            }
            Self::Remove(name) => {
                let active = Arc::clone(find(toxics, &name)?);
                toxics.retain(|active| active.toxic.name != name);
                Ok(vec![(ToxicChange::Removed(name.into()), active)])
            }
            Self::RemoveAll => Ok(toxics
                .drain(..)
                .map(|active| (ToxicChange::Removed(Arc::from(&*active.toxic.name)), active))
                .collect()),
        }
    }
}

fn find<'a>(
    toxics: &'a mut [Arc<ActiveToxic>],
    name: &str,
) -> Result<&'a mut Arc<ActiveToxic>, Error> {
    let found = toxics.iter_mut().find(|active| active.toxic.name == name);
    found.ok_or_else(|| Error::ToxicNotFound(name.to_owned()))
}

/// The toxic with new attributes; its kind, its directions and its place stay.
fn updated(active: &ActiveToxic, toxic: Toxic, now: Instant) -> Result<Arc<ActiveToxic>, Error> {
    let is_same_kind =
        std::mem::discriminant(&active.toxic.kind) == std::mem::discriminant(&toxic.kind);
    if !is_same_kind || active.toxic.directions != toxic.directions {
        return Err(Error::Toxic {
            name: toxic.name,
            problem:
                "an update keeps the type and the stream; remove the toxic and add another one"
                    .to_owned(),
        });
    }
    validate(&toxic)?;
    Ok(Arc::new(ActiveToxic {
        expires_at: toxic.duration.map(|duration| now + duration),
        added_at: active.added_at,
        toxic,
    }))
}

fn validate(toxic: &Toxic) -> Result<(), Error> {
    toxic.validate().map_err(|problem| Error::Toxic {
        name: toxic.name.clone(),
        problem,
    })
}

fn describe(change: &ToxicChange) -> EventKind {
    match change {
        ToxicChange::Added(active) => EventKind::ToxicAdded(active.toxic.name.clone()),
        ToxicChange::Updated(active) => EventKind::ToxicUpdated(active.toxic.name.clone()),
        ToxicChange::Removed(name) => EventKind::ToxicRemoved(String::from(&**name)),
    }
}
