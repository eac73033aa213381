//! What a toxic must fulfil before it is added.

use super::{CONNECTIONS_MAX, Toxic, ToxicKind};

/// The longest name of a toxic in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// The largest mean size of a piece of the slicer: the most that one read returns.
const PIECE_BYTES_MAX: u64 = 1 << 20;

impl Toxic {
    /// Checks all attributes.
    ///
    /// # Errors
    ///
    /// The first problem, with the permitted values.
    pub fn validate(&self) -> Result<(), String> {
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX {
            return Err(format!("the name must have 1 to {NAME_BYTES_MAX} bytes"));
        }
        if !(0.0..=1.0).contains(&self.toxicity) {
            return Err(format!(
                "the toxicity is {}, and must be from 0.0 to 1.0",
                self.toxicity
            ));
        }
        if self.duration.is_some_and(|duration| duration.is_zero()) {
            return Err("the duration must be above zero; leave it out for no end".to_owned());
        }
        let select = &self.select;
        if select.every_nth == Some(0) || select.first_n == Some(0) {
            return Err("every_nth and first_n must be at least 1".to_owned());
        }
        if select.connections.len() > CONNECTIONS_MAX {
            return Err(format!(
                "select at most {CONNECTIONS_MAX} connections by number"
            ));
        }
        validate_kind(&self.kind)
    }
}

fn validate_kind(kind: &ToxicKind) -> Result<(), String> {
    if let ToxicKind::Slicer { average_size, .. } = kind
        && !(1..=PIECE_BYTES_MAX).contains(average_size)
    {
        return Err(format!(
            "average_size is {average_size}, and must be from 1 to {PIECE_BYTES_MAX} bytes"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::toxic::Select;

    #[test]
    fn what_is_out_of_range_is_reported_with_the_range() {
        let zero = Duration::ZERO;
        for (toxic, part) in [
            (Toxic::stall().named(""), "name"),
            (Toxic::stall().toxicity(7.0), "0.0 to 1.0"),
            (Toxic::stall().toxicity(f64::NAN), "0.0 to 1.0"),
            (Toxic::stall().lasting(zero), "duration"),
            (Toxic::slicer(0, 0, zero), "average_size is 0"),
            (
                Toxic::stall().select(Select {
                    every_nth: Some(0),
                    ..Select::default()
                }),
                "every_nth",
            ),
        ] {
            let problem = toxic.validate().unwrap_err();
            assert!(problem.contains(part), "{problem}");
        }
        assert_eq!(Toxic::slicer(5, 4, zero).toxicity(0.0).validate(), Ok(()));
    }
}
