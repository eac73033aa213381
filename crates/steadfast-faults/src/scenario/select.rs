//! Whom a step hits: `gateway`, `gateway:2`, `gateway:not-1`, `gateway:random`, `gateway:random(2)`, `gateway:last`.
//!
//! A pick is drawn from the seed, the step's id and the occurrence alone, so that another step more or less changes
//! nothing about it.

use std::fmt;

use steadfast_machine::Seed;

/// Instances of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The service.
    pub service: String,
    /// Which of its instances.
    pub which: Which,
}

/// Which instances of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// The one with this number, from 1.
    Number(u32),
    /// All but the one with this number.
    Not(u32),
    /// So many, drawn.
    Random(u32),
    /// The same as the pick before, of any step on this service.
    Last,
}

impl Selector {
    /// Reads a selector; `None` when it is none that is known.
    pub fn parse(text: &str) -> Option<Self> {
        let (service, which) = match text.split_once(':') {
            None => (text, Which::All),
            Some((service, which)) => (service, Which::parse(which)?),
        };
        let named = !service.is_empty()
            && service
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter));
        named.then(|| Self {
            service: service.to_owned(),
            which,
        })
    }
}

impl Which {
    fn parse(text: &str) -> Option<Self> {
        if let Some(number) = text.strip_prefix("not-") {
            return number_from_one(number).map(Self::Not);
        }
        if let Some(count) = text.strip_prefix("random(") {
            return number_from_one(count.strip_suffix(')')?).map(Self::Random);
        }
        match text {
            "random" => Some(Self::Random(1)),
            "last" => Some(Self::Last),
            number => number_from_one(number).map(Self::Number),
        }
    }

    /// The numbers of the instances of this occurrence, rising; `last` is the pick before, if there was one.
    pub fn pick(self, replicas: u32, draw: Seed, last: Option<&[u32]>) -> Vec<u32> {
        match self {
            Self::All => (1..=replicas).collect(),
            Self::Number(number) => (1..=replicas).filter(|it| *it == number).collect(),
            Self::Not(number) => (1..=replicas).filter(|it| *it != number).collect(),
            Self::Random(count) => random(replicas, count, draw),
            Self::Last => last.unwrap_or_default().to_vec(),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.service)?;
        match self.which {
            Which::All => Ok(()),
            Which::Number(number) => write!(f, ":{number}"),
            Which::Not(number) => write!(f, ":not-{number}"),
            Which::Random(1) => f.write_str(":random"),
            Which::Random(count) => write!(f, ":random({count})"),
            Which::Last => f.write_str(":last"),
        }
    }
}

/// The seed from which everything of one occurrence of a step is drawn.
pub(super) fn occurrence_seed(seed: u64, step: &str, occurrence: u32) -> Seed {
    // FNV-1a over the id, so that equal ids draw equally whatever else the scenario holds.
    let hash = step.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut generator = Seed::new(seed ^ hash).generator();
    (0..occurrence).fold(generator.split(), |_, _| generator.split())
}

fn random(replicas: u32, count: u32, draw: Seed) -> Vec<u32> {
    let mut generator = draw.generator();
    let mut left: Vec<u32> = (1..=replicas).collect();
    let mut picked = Vec::new();
    for _ in 0..count.min(replicas) {
        let bound = u64::try_from(left.len()).unwrap_or(u64::MAX);
        let place = usize::try_from(generator.below(bound)).unwrap_or(0);
        if place < left.len() {
            picked.push(left.remove(place));
        }
    }
    picked.sort_unstable();
    picked
}

fn number_from_one(text: &str) -> Option<u32> {
    let plain = text.chars().all(|letter| letter.is_ascii_digit());
    text.parse().ok().filter(|number| plain && *number >= 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_printed_again() {
        for text in [
            "gateway",
            "gateway:2",
            "gateway:not-1",
            "gateway:random",
            "gateway:random(2)",
            "gateway:last",
        ] {
            assert_eq!(Selector::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            ":1",
            "gateway:",
            "gateway:0",
            "gateway:+1",
            "gateway:leader",
            "a b",
        ] {
            assert_eq!(Selector::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_pick_is_drawn_from_the_seed_the_step_and_the_occurrence() {
        let pick = |seed, step, occurrence| {
            Which::Random(1).pick(2, occurrence_seed(seed, step, occurrence), None)
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
    fn drawn_instances_are_different_ones() {
        let picked = Which::Random(3).pick(3, Seed::new(1), None);

        assert_eq!(picked, [1, 2, 3]);
    }
}
