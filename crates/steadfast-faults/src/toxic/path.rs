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
            pipeline.retain(now, toxics);
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
        for direction in [Direction::ToServer, Direction::ToClient] {
            if !toxic.directions.includes(direction) {
                continue;
            }
            let generator = self.identity.generator(&toxic.name, direction);
            if let Some(stage) = stage(toxic, start, generator) {
                self.pipeline_mut(direction).add(active, stage);
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use steadfast_machine::Seed;

    use super::*;
    use crate::toxic::{CloseMode, Ending, Select, Step};

    /// A connection in virtual time, driven as a proxy does, with receivers that accept everything.
    struct Bench {
        path: Path,
        now: Instant,
        /// What reached the server, with its time.
        steps: Vec<(u64, Step)>,
    }

    impl Bench {
        fn new(toxics: impl IntoIterator<Item = Toxic>) -> Self {
            let identity = Identity {
                seed: Seed::new(7),
                proxy: "proxy".into(),
                connection: 1,
                source: None,
            };
            let toxics: Vec<_> = toxics.into_iter().map(|it| active(it, 0)).collect();
            Self {
                path: Path::new(identity, at(0), at(0), &toxics),
                now: at(0),
                steps: Vec::new(),
            }
        }

        /// Sends a chunk to the server at this time.
        fn send(&mut self, millis: u64, len: usize) {
            self.run_until(millis);
            let pipeline = self.path.pipeline_mut(Direction::ToServer);
            assert!(pipeline.read_max(self.now) >= len, "at {millis} ms");
            pipeline.receive(self.now, Bytes::from(vec![b'x'; len]));
            self.take_steps();
        }

        fn apply(&mut self, millis: u64, change: &ToxicChange) -> bool {
            self.run_until(millis);
            let is_new = self.path.apply(self.now, change);
            self.take_steps();
            is_new
        }

        /// Follows the deadlines of the machines up to this time.
        fn run_until(&mut self, millis: u64) {
            self.take_steps();
            while let Some(next) = self.next_at().filter(|next| *next <= at(millis)) {
                self.now = next;
                self.take_steps();
            }
            self.now = at(millis);
            self.take_steps();
        }

        fn next_at(&self) -> Option<Instant> {
            let pipeline = self.path.pipeline(Direction::ToServer);
            pipeline.next_at(self.now, false)
        }

        fn take_steps(&mut self) {
            let pipeline = self.path.pipeline_mut(Direction::ToServer);
            let is_end =
                |steps: &[(u64, Step)]| matches!(steps.last(), Some((_, Step::End { .. })));
            // Nothing follows the end of a connection.
            while !is_end(&self.steps)
                && let Some(step) = pipeline.next(self.now)
            {
                let nanos = (self.now - Instant::START).as_nanos();
                let millis = u64::try_from(nanos / 1_000_000).unwrap();
                self.steps.push((millis, step));
            }
        }

        fn bytes(&self) -> usize {
            let lens = self.steps.iter().map(|(_, step)| match step {
                Step::Write(bytes) => bytes.len(),
                Step::Fin | Step::End { .. } => 0,
            });
            lens.sum()
        }
    }

    fn at(millis: u64) -> Instant {
        Instant::START + Duration::from_millis(millis)
    }

    fn active(toxic: Toxic, millis: u64) -> Arc<ActiveToxic> {
        Arc::new(ActiveToxic::new(toxic.upstream(), at(millis)))
    }

    fn end(toxic: &str, mode: CloseMode) -> Step {
        Step::End {
            toxic: toxic.into(),
            ending: Ending::Close(mode),
        }
    }

    #[test]
    fn a_latency_of_100_ms_delays_fifty_messages_and_not_their_rate() {
        let mut bench = Bench::new([Toxic::latency(Duration::from_millis(100))]);

        for millis in 0..50 {
            bench.send(millis, 1);
        }
        bench.run_until(1000);

        let times: Vec<u64> = bench.steps.iter().map(|(millis, _)| *millis).collect();
        assert_eq!(times, (100..150).collect::<Vec<u64>>());
    }

    #[test]
    fn a_bandwidth_of_100_is_100_000_bytes_per_second() {
        let mut bench = Bench::new([Toxic::bandwidth(100)]);

        for second in 1..=10 {
            let start = (second - 1) * 1000;
            for millis in [0, 500] {
                bench.send(start + millis, 32 << 10);
                bench.send(start + millis, 17_232);
            }
            bench.run_until(second * 1000);
            assert_eq!(bench.bytes(), usize::try_from(second).unwrap() * 100_000);
        }
    }

    #[test]
    fn a_timeout_of_300_ms_never_ends_a_connection_with_a_byte_each_100_ms() {
        let mut bench = Bench::new([Toxic::timeout(Duration::from_millis(300))]);

        for millis in (0..=10_000).step_by(100) {
            bench.send(millis, 1);
        }
        assert_eq!(bench.steps, [], "and everything is discarded");

        bench.run_until(10_299);
        assert_eq!(bench.steps, []);
        bench.run_until(10_300);
        let expected = end("timeout_upstream", CloseMode::Fin);
        assert_eq!(bench.steps, [(10_300, expected)]);
    }

    #[test]
    fn two_latencies_add_up_and_a_duration_ends_at_its_time() {
        let latency = |millis| Toxic::latency(Duration::from_millis(millis));
        let second = Duration::from_secs(1);
        let mut bench = Bench::new([latency(100), latency(50).named("second").lasting(second)]);

        bench.send(0, 1);
        bench.send(900, 1);
        bench.send(1000, 1);
        bench.run_until(5000);

        let times: Vec<u64> = bench.steps.iter().map(|(millis, _)| *millis).collect();
        assert_eq!(times, [150, 1000, 1100]);
    }

    #[test]
    fn a_connection_that_missed_changes_gets_the_later_toxic_of_the_same_name() {
        let mut bench = Bench::new([
            Toxic::latency(Duration::from_secs(9)).named("a"),
            Toxic::stall().named("b"),
        ]);
        bench.send(0, 1);
        let toxics = [active(Toxic::limit_data(2).named("a"), 10)];

        bench.path.replace(at(10), &toxics);
        bench.run_until(10);
        bench.send(20, 2);

        assert_eq!(bench.bytes(), 3, "what was held passed, then two bytes");
        let expected = (20, end("a", CloseMode::Fin));
        assert_eq!(bench.steps.last(), Some(&expected));
    }

    #[test]
    fn a_connection_that_missed_changes_keeps_what_its_toxic_counted() {
        let mut bench = Bench::new([Toxic::limit_data(3)]);
        bench.send(0, 2);

        bench
            .path
            .replace(at(10), &[active(Toxic::limit_data(3), 0)]);
        bench.send(20, 2);

        assert_eq!(bench.bytes(), 3);
    }

    #[test]
    fn only_the_first_change_affects_a_connection() {
        let mut bench = Bench::new([]);
        let stall = active(Toxic::stall(), 5);

        assert!(bench.apply(5, &ToxicChange::Added(Arc::clone(&stall))));
        assert!(!bench.apply(6, &ToxicChange::Updated(stall)));
    }

    #[test]
    fn what_a_half_close_does_after_the_first_bytes_is_over_with_them() {
        let first_bytes = Select {
            first_bytes: Some(2),
            ..Select::default()
        };
        let after = Duration::from_millis(100);
        let toxic = Toxic::new(ToxicKind::HalfClose { after }).select(first_bytes);
        let mut idle = Bench::new([toxic.clone()]);
        let mut busy = Bench::new([toxic]);

        idle.run_until(1000);
        busy.send(0, 3);
        busy.run_until(1000);

        assert_eq!(idle.steps, [(100, Step::Fin)]);
        assert_eq!(busy.bytes(), 3);
        assert!(busy.steps.iter().all(|(_, step)| *step != Step::Fin));
    }
}
