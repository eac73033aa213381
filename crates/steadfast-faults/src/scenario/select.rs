//! Selectors of target instances: `gateway`, `gateway:2`, `gateway:not-1`, `gateway:random`, `gateway:random(2)`,
//! `gateway:last`, `gateway:next`, `gateway:leader`, `gateway:follower`, `gateway:not-leader`.
//!
//! A random selection depends on the seed, the step's id and the occurrence alone, so that adding or removing another
//! step does not change it.

use std::fmt;

use steadfast_machine::Seed;

use crate::scenario::role::Role;

/// Selects instances of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceSelector {
    /// The name of the service.
    pub service: String,
    /// The selected instances of the service.
    pub instances: InstanceSet,
}

/// What `on` selects: instances, or the links to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The load at the other end of the links; `None` for all loads, or when the instances themselves are meant.
    pub(super) load: Option<String>,
    pub(super) instances: InstanceSelector,
}

impl Target {
    /// Parses `gateway:2` or `link:chat->gateway:2`; `None` when it is invalid.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Some(link) = text.strip_prefix("link:") else {
            let instances = InstanceSelector::parse(text)?;
            let load = None;
            return Some(Self { load, instances });
        };
        let (load, instances) = link.split_once("->")?;
        Some(Self {
            load: Some(load.to_owned()).filter(|load| is_name(load)),
            instances: InstanceSelector::parse(instances)?,
        })
        .filter(|target| target.load.is_some())
    }
}

fn is_name(text: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    !text.is_empty() && text.chars().all(is_letter)
}

/// A set of instances of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceSet {
    /// All instances of the service.
    All,
    /// The instance with this number, from 1.
    Number(u32),
    /// All instances but the one with this number.
    Not(u32),
    /// This many instances, drawn at random.
    Random(u32),
    /// The previous selection, of any step on this service. Selections by role do not count: they are not known before
    /// the run.
    Last,
    /// The instance after the previous selection, of any step on this service; after the last one comes the first.
    Next,
    /// The instances that have a role when the fault is injected.
    Role(Role),
}

impl InstanceSelector {
    /// Parses a selector; `None` when it is invalid.
    pub fn parse(text: &str) -> Option<Self> {
        let (service, instances) = match text.split_once(':') {
            None => (text, InstanceSet::All),
            Some((service, set)) => (service, InstanceSet::parse(set)?),
        };
        is_name(service).then(|| Self {
            service: service.to_owned(),
            instances,
        })
    }
}

impl InstanceSet {
    fn parse(text: &str) -> Option<Self> {
        if text == "not-leader" {
            return Some(Self::Role(Role::NotLeader));
        }
        if let Some(number) = text.strip_prefix("not-") {
            return number_from_one(number).map(Self::Not);
        }
        if let Some(count) = text.strip_prefix("random(") {
            return number_from_one(count.strip_suffix(')')?).map(Self::Random);
        }
        match text {
            "random" => Some(Self::Random(1)),
            "last" => Some(Self::Last),
            "next" => Some(Self::Next),
            "leader" => Some(Self::Role(Role::Leader)),
            "follower" => Some(Self::Role(Role::Follower)),
            number => number_from_one(number).map(Self::Number),
        }
    }

    /// The numbers of the instances for one occurrence, ascending; `last` is the previous selection, if there was one.
    /// For a role, all instances that may have it.
    pub fn pick(self, replicas: u32, draw: Seed, last: Option<&[u32]>) -> Vec<u32> {
        match self {
            Self::All => (1..=replicas).collect(),
            Self::Number(number) => (1..=replicas).filter(|it| *it == number).collect(),
            Self::Not(number) => (1..=replicas).filter(|it| *it != number).collect(),
            Self::Random(count) => random(replicas, count, draw),
            Self::Last => last.unwrap_or_default().to_vec(),
            Self::Next => {
                let last = last.and_then(<[u32]>::last).copied().unwrap_or_default();
                vec![if last < replicas { last + 1 } else { 1 }]
            }
            Self::Role(_) => (1..=replicas).collect(),
        }
    }
}

impl fmt::Display for InstanceSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.service)?;
        match self.instances {
            InstanceSet::All => Ok(()),
            InstanceSet::Number(number) => write!(f, ":{number}"),
            InstanceSet::Not(number) => write!(f, ":not-{number}"),
            InstanceSet::Random(1) => f.write_str(":random"),
            InstanceSet::Random(count) => write!(f, ":random({count})"),
            InstanceSet::Last => f.write_str(":last"),
            InstanceSet::Next => f.write_str(":next"),
            InstanceSet::Role(role) => write!(f, ":{}", role.name()),
        }
    }
}

/// The seed for all random draws of one occurrence of a step.
pub(super) fn occurrence_seed(seed: u64, step: &str, occurrence: u32) -> Seed {
    // FNV-1a over the id, so that the draws of a step do not depend on other steps.
    let hash = step.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut generator = Seed::new(seed ^ hash).generator();
    (0..occurrence).fold(generator.split(), |_, _| generator.split())
}

fn random(replicas: u32, count: u32, draw: Seed) -> Vec<u32> {
    let mut generator = draw.generator();
    let mut remaining: Vec<u32> = (1..=replicas).collect();
    let mut picked = Vec::new();
    for _ in 0..count.min(replicas) {
        picked.push(remaining.remove(generator.below_len(remaining.len())));
    }
    picked.sort_unstable();
    picked
}

fn number_from_one(text: &str) -> Option<u32> {
    let is_plain = text.chars().all(|letter| letter.is_ascii_digit());
    text.parse().ok().filter(|number| is_plain && *number >= 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_parsed_and_printed() {
        for text in [
            "gateway",
            "gateway:2",
            "gateway:not-1",
            "gateway:random",
            "gateway:random(2)",
            "gateway:last",
            "gateway:next",
            "gateway:leader",
            "gateway:follower",
            "gateway:not-leader",
        ] {
            assert_eq!(InstanceSelector::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            ":1",
            "gateway:",
            "gateway:0",
            "gateway:+1",
            "gateway:leaders",
            "a b",
        ] {
            assert_eq!(InstanceSelector::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_random_selection_depends_on_the_seed_the_step_and_the_occurrence() {
        let pick = |seed, step, occurrence| {
            InstanceSet::Random(1).pick(2, occurrence_seed(seed, step, occurrence), None)
        };

        let kills: Vec<u32> = (0..32)
            .flat_map(|occurrence| pick(7, "kill", occurrence))
            .collect();

        assert_eq!(kills.len(), 32);
        assert!(kills.contains(&1) && kills.contains(&2), "{kills:?}");
        let again: Vec<u32> = (0..32)
            .flat_map(|occurrence| pick(7, "kill", occurrence))
            .collect();
        assert_eq!(kills, again);
        let other: Vec<u32> = (0..32)
            .flat_map(|occurrence| pick(8, "kill", occurrence))
            .collect();
        assert_ne!(kills, other, "another seed");
        let other: Vec<u32> = (0..32)
            .flat_map(|occurrence| pick(7, "term", occurrence))
            .collect();
        assert_ne!(kills, other, "another step");
    }

    #[test]
    fn the_next_instance_follows_the_previous_selection_and_wraps() {
        let next = |last: Option<&[u32]>| InstanceSet::Next.pick(3, Seed::new(1), last);

        assert_eq!(next(None), [1]);
        assert_eq!(next(Some(&[1])), [2]);
        assert_eq!(next(Some(&[1, 2])), [3]);
        assert_eq!(next(Some(&[3])), [1]);
    }

    #[test]
    fn random_instances_are_distinct() {
        let picked = InstanceSet::Random(3).pick(3, Seed::new(1), None);

        assert_eq!(picked, [1, 2, 3]);
    }
    #[test]
    fn a_target_is_instances_or_the_links_of_a_load_to_them() {
        let load = |text| Target::parse(text).map(|target| target.load);

        assert_eq!(load("gateway:2"), Some(None));
        let link = Target::parse("link:chat->gateway:random").unwrap();
        assert_eq!(link.load.as_deref(), Some("chat"));
        assert_eq!(link.instances.to_string(), "gateway:random");
        for text in [
            "link:gateway",
            "link:->gateway",
            "link:chat->",
            "link:a b->gateway",
        ] {
            assert_eq!(load(text), None, "{text}");
        }
    }
}
