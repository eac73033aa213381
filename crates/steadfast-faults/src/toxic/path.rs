//! Both directions of a connection with the toxics that affect it.

use std::sync::Arc;
use std::time::Duration;

use steadfast_machine::Instant;

use super::machines::{Start, stage};
use super::{Identity, Pipeline, Toxic, ToxicKind};
use crate::link::Direction;

/// A toxic that was added to a proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveToxic {
    /// What was added, or what it was updated to.
    pub toxic: Toxic,
    /// When it was added.
    pub added_at: Instant,
    /// When its duration ends.
    pub expires_at: Option<Instant>,
}

impl ActiveToxic {
    /// A toxic that is added now.
    pub fn new(toxic: Toxic, now: Instant) -> Self {
        Self {
            expires_at: toxic.duration.map(|duration| now + duration),
            added_at: now,
            toxic,
        }
    }
}

/// A change of the toxics of a proxy.
#[derive(Clone, Debug, PartialEq)]
pub enum ToxicChange {
    /// One was added after the others.
    Added(Arc<ActiveToxic>),
    /// One has other attributes, or another toxicity or duration.
    Updated(Arc<ActiveToxic>),
    /// The one of this name was removed.
    Removed(Arc<str>),
}

/// Both directions of an established connection, and the machines of the toxics that affect it.
#[derive(Debug)]
pub struct Path {
    identity: Identity,
    accepted: Instant,
    established: Instant,
    to_server: Pipeline,
    to_client: Pipeline,
}

impl Path {
    /// A connection that was accepted and established at these times, with the toxics of its proxy at present.
    pub fn new<'a>(
        identity: Identity,
        accepted: Instant,
        established: Instant,
        toxics: impl IntoIterator<Item = &'a Arc<ActiveToxic>>,
    ) -> Self {
        let mut path = Self {
            identity,
            accepted,
            established,
            to_server: Pipeline::default(),
            to_client: Pipeline::default(),
        };
        for toxic in toxics {
            path.add(toxic);
        }
        path
    }

    /// Whether no machine affects it, and nothing is held.
    pub fn is_empty(&self) -> bool {
        self.to_server.is_empty() && self.to_client.is_empty()
    }

    /// Returns the machines of a direction.
    pub const fn pipeline(&self, direction: Direction) -> &Pipeline {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }

    /// Returns the machines of a direction.
    pub const fn pipeline_mut(&mut self, direction: Direction) -> &mut Pipeline {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    /// Applies a change, in the order of the changes. Returns whether the connection is affected by a toxic that did
    /// not affect it before.
    pub fn apply(&mut self, now: Instant, change: &ToxicChange) -> bool {
        match change {
            ToxicChange::Added(toxic) => self.add(toxic),
            ToxicChange::Updated(toxic) => self.update(now, toxic),
            ToxicChange::Removed(name) => {
                self.to_server.remove(now, name);
                self.to_client.remove(now, name);
                false
            }
        }
    }

    /// Takes over the present toxics, if the changes since the last ones are not known.
    pub fn replace(&mut self, now: Instant, toxics: &[Arc<ActiveToxic>]) {
        for pipeline in [&mut self.to_server, &mut self.to_client] {
            for name in pipeline.names() {
                if toxics.iter().all(|active| *active.toxic.name != *name) {
                    pipeline.remove(now, &name);
                }
            }
        }
        for active in toxics {
            self.update(now, active);
        }
    }

    /// Splits it into the machines to the server and those to the client.
    pub fn into_pipelines(self) -> (Pipeline, Pipeline) {
        (self.to_server, self.to_client)
    }

    fn add(&mut self, active: &ActiveToxic) -> bool {
        let toxic = &active.toxic;
        if !self.identity.is_victim(toxic) {
            return false;
        }
        let start = Start {
            established: self.established,
            affected: active.added_at.max(self.established),
            is_new_connection: active.added_at <= self.accepted,
        };
        let name: Arc<str> = Arc::from(&*toxic.name);
        for direction in [Direction::ToServer, Direction::ToClient] {
            if !toxic.directions.includes(direction) {
                continue;
            }
            let generator = self.identity.generator(&toxic.name, direction);
            if let Some(stage) = stage(toxic, start, generator) {
                self.pipeline_mut(direction)
                    .add(Arc::clone(&name), stage, active.expires_at);
            }
        }
        true
    }

    fn update(&mut self, now: Instant, active: &ActiveToxic) -> bool {
        let toxic = &active.toxic;
        let was_victim =
            self.to_server.contains(&toxic.name) || self.to_client.contains(&toxic.name);
        match (was_victim, self.identity.is_victim(toxic)) {
            (true, true) => {
                for pipeline in [&mut self.to_server, &mut self.to_client] {
                    pipeline.update(now, &toxic.name, &toxic.kind, active.expires_at);
                }
                false
            }
            (true, false) => {
                self.to_server.remove(now, &toxic.name);
                self.to_client.remove(now, &toxic.name);
                false
            }
            (false, _) => self.add(active),
        }
    }
}

/// How long the dial of a connection is delayed: the sum of all toxics that affect it.
pub fn dial_delay<'a>(
    identity: &Identity,
    toxics: impl IntoIterator<Item = &'a Arc<ActiveToxic>>,
) -> Duration {
    let mut sum = Duration::ZERO;
    for active in toxics {
        if let ToxicKind::SlowConnect { dial_delay, .. } = active.toxic.kind
            && identity.is_victim(&active.toxic)
        {
            sum = sum.saturating_add(dial_delay);
        }
    }
    sum
}
