//! Which connections a toxic affects: a draw that depends on names and numbers alone.

use std::net::IpAddr;
use std::sync::Arc;

use steadfast_machine::{Generator, Seed, convert};

use super::Toxic;
use crate::link::Direction;

/// What identifies a connection for its draws.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The seed of the proxy.
    pub seed: Seed,
    /// The name of the proxy.
    pub proxy: Arc<str>,
    /// The number of the connection in the proxy; the first is 1.
    pub connection: u64,
    /// The address of the client, where there is one.
    pub source: Option<IpAddr>,
}

/// What a connection drew for a toxic: a uniformly distributed number from 0.0 up to, not including, 1.0.
///
/// It stays the same when the toxic is updated, when other toxics are added or removed, and when a toxic of the same
/// name is added again.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Draw(f64);

impl Draw {
    /// Returns the number.
    pub const fn as_f64(self) -> f64 {
        self.0
    }
}

impl Identity {
    /// Returns what this connection draws for the toxic of this name.
    pub fn draw(&self, toxic: &str) -> Draw {
        // A double has 53 bits of precision.
        let [high, low] = halves(self.hash(toxic, "draw") >> 11);
        Draw((f64::from(high) * 4_294_967_296.0 + f64::from(low)) / 9_007_199_254_740_992.0)
    }

    /// Whether the toxic affects this connection.
    pub fn is_victim(&self, toxic: &Toxic) -> bool {
        toxic.select.includes(self.connection, self.source)
            && self.draw(&toxic.name).0 < toxic.toxicity
    }

    /// Starts the random sequence of a toxic in one direction of this connection.
    pub(super) fn generator(&self, toxic: &str, direction: Direction) -> Generator {
        let purpose = match direction {
            Direction::ToServer => "to server",
            Direction::ToClient => "to client",
        };
        Seed::new(self.hash(toxic, purpose)).generator()
    }

    fn hash(&self, toxic: &str, purpose: &str) -> u64 {
        let mut state = mix(self.seed.as_u64(), self.connection);
        for text in [&*self.proxy, toxic, purpose] {
            // The length separates texts, so that `a`, `bc` differs from `ab`, `c`.
            state = mix(state, convert::to_u64(text.len()));
            for block in text.as_bytes().chunks(8) {
                let number = block
                    .iter()
                    .fold(0, |number, byte| number << 8 | u64::from(*byte));
                state = mix(state, number);
            }
        }
        state
    }
}

/// One step of a hash: the `SplitMix64` output of both numbers. Not for secrets.
const fn mix(state: u64, number: u64) -> u64 {
    let first = Seed::new(state ^ number).generator().next_u64();
    Seed::new(first ^ number.rotate_left(32))
        .generator()
        .next_u64()
}

/// The upper and the lower 32 bits.
fn halves(number: u64) -> [u32; 2] {
    [number >> 32, number & u64::from(u32::MAX)].map(convert::saturating)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toxic::Select;

    fn identity(seed: u64, proxy: &str, connection: u64) -> Identity {
        Identity {
            seed: Seed::new(seed),
            proxy: proxy.into(),
            connection,
            source: None,
        }
    }

    #[test]
    fn the_draw_depends_on_each_name_and_number_and_on_nothing_else() {
        let draw = |seed, proxy, connection, toxic| identity(seed, proxy, connection).draw(toxic);

        let first = draw(7, "db", 1, "lag");

        assert_eq!(first, draw(7, "db", 1, "lag"));
        for other in [
            draw(8, "db", 1, "lag"),
            draw(7, "dc", 1, "lag"),
            draw(7, "db", 2, "lag"),
            draw(7, "db", 1, "lah"),
            draw(7, "d", 1, "blag"),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn the_sequence_of_victims_never_changes_between_versions() {
        let toxic = Toxic::reset().toxicity(0.5);

        let victims: Vec<u64> = (1..=20)
            .filter(|id| identity(7, "db", *id).is_victim(&toxic))
            .collect();

        assert_eq!(victims, [1, 5, 12, 14, 15, 16, 17, 20]);
    }

    #[test]
    fn the_share_of_victims_is_the_toxicity() {
        for (toxicity, low, high) in [
            (0.0, 0, 0),
            (0.1, 900, 1100),
            (0.5, 4800, 5200),
            (1.0, 10_000, 10_000),
        ] {
            let toxic = Toxic::reset().toxicity(toxicity);
            let count = (1..=10_000)
                .filter(|id| identity(1, "db", *id).is_victim(&toxic))
                .count();
            assert!((low..=high).contains(&count), "{toxicity}: {count}");
        }
    }

    #[test]
    fn a_greater_toxicity_keeps_the_victims_of_a_smaller_one() {
        for id in 1..=1000 {
            let identity = identity(3, "db", id);
            if identity.is_victim(&Toxic::reset().toxicity(0.2)) {
                assert!(identity.is_victim(&Toxic::reset().toxicity(0.3)), "{id}");
            }
        }
    }

    #[test]
    fn a_connection_that_is_not_selected_is_no_victim() {
        let toxic = Toxic::reset().select(Select {
            first_n: Some(2),
            ..Select::default()
        });

        let victims: Vec<bool> = (1..=3)
            .map(|id| identity(1, "db", id).is_victim(&toxic))
            .collect();

        assert_eq!(victims, [true, true, false]);
    }
}
