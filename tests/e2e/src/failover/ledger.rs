//! Compares what was acknowledged and delivered with what the two logs contain.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use steadfast::centrifuge::{Position, SendError};

use super::traffic::{Delivered, Outcome};

/// What a gateway stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Log {
    pub(super) epoch: String,
    /// The number of each publication by its offset.
    pub(super) publications: BTreeMap<u64, u64>,
}

/// Each acknowledged publication is stored once, where its acknowledgement says; each interrupted one at most once; no
/// other outcome occurs, and nothing else is stored.
pub(super) fn check_outcomes(outcomes: &[Outcome], logs: &[Log]) -> Result<()> {
    let mut stored: BTreeMap<u64, Vec<Position>> = BTreeMap::new();
    for log in logs {
        for (offset, number) in &log.publications {
            stored.entry(*number).or_default().push(Position {
                epoch: log.epoch.clone(),
                offset: *offset,
            });
        }
    }
    for (number, outcome) in outcomes {
        let places = stored.remove(number).unwrap_or_default();
        match outcome {
            Ok(position) => ensure!(
                places == [position.clone()],
                "publication {number} was acknowledged at {position:?} and is stored at {places:?}"
            ),
            Err(SendError::Interrupted) => ensure!(
                places.len() <= 1,
                "publication {number} was interrupted and is stored at {places:?}"
            ),
            Err(error) => bail!("publication {number} failed: {error}"),
        }
    }
    ensure!(stored.is_empty(), "stored but never published: {stored:?}");
    Ok(())
}

/// What was delivered continues what precedes it, except at a reported gap: one for each change of the log.
pub(super) fn check_delivered(delivered: &[Delivered], log_changes: usize) -> Result<()> {
    let mut position: Option<Position> = None;
    let mut gaps = 0;
    for event in delivered {
        match event {
            Delivered::Gap(to) => {
                gaps += 1;
                position = Some(to.clone());
            }
            Delivered::Active(at) => {
                let at_before = position.replace(at.clone());
                ensure!(
                    at_before.as_ref().is_none_or(|it| it == at),
                    "active at {at:?} after {at_before:?}"
                );
            }
            Delivered::Publication(offset, number) => {
                let Some(position) = &mut position else {
                    bail!("publication {number} before the subscription was active");
                };
                position.offset += 1;
                ensure!(
                    *offset == position.offset,
                    "publication {number} has offset {offset} instead of {}",
                    position.offset
                );
            }
            Delivered::Unexpected(text) => bail!("unexpected: {text}"),
        }
    }
    ensure!(
        gaps == log_changes,
        "{gaps} gaps were reported, and the log changed {log_changes} times"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: &str, offset: u64) -> Position {
        Position {
            epoch: epoch.to_owned(),
            offset,
        }
    }

    fn logs() -> [Log; 2] {
        let log = |epoch: &str, publications: &[(u64, u64)]| Log {
            epoch: epoch.to_owned(),
            publications: publications.iter().copied().collect(),
        };
        [log("a", &[(1, 10), (2, 11)]), log("b", &[(1, 12)])]
    }

    #[test]
    fn what_is_stored_where_it_was_acknowledged_holds() {
        let interrupted = || Err(SendError::Interrupted);
        let outcomes = [
            (10, Ok(at("a", 1))),
            (11, interrupted()),
            (12, Ok(at("b", 1))),
            (13, interrupted()),
        ];
        check_outcomes(&outcomes, &logs()).unwrap();
    }

    #[test]
    fn a_lost_or_repeated_publication_is_found() {
        let others = [(11, Ok(at("a", 2))), (12, Ok(at("b", 1)))];
        let check = |first: Outcome, logs: &[Log]| {
            let outcomes = [vec![first], others.to_vec()].concat();
            check_outcomes(&outcomes, logs)
        };
        check((10, Ok(at("a", 1))), &logs()).unwrap();
        check((10, Ok(at("b", 1))), &logs()).unwrap_err();
        check((10, Err(SendError::Expired)), &logs()).unwrap_err();
        check((14, Ok(at("a", 1))), &logs()).unwrap_err();

        let mut repeated = logs();
        repeated[1].publications.insert(2, 10);
        check((10, Ok(at("a", 1))), &repeated).unwrap_err();
        check((10, Err(SendError::Interrupted)), &repeated).unwrap_err();

        let mut lost = logs();
        lost[0].publications.remove(&1);
        check((10, Ok(at("a", 1))), &lost).unwrap_err();
        check((10, Err(SendError::Interrupted)), &lost).unwrap();
    }

    #[test]
    fn a_gap_that_is_not_reported_is_found() {
        let active = || Delivered::Active(at("a", 1));
        let publication = |offset| Delivered::Publication(offset, offset);
        check_delivered(&[active(), publication(2), publication(3)], 0).unwrap();
        check_delivered(&[active(), publication(3)], 0).unwrap_err();
        check_delivered(&[active(), publication(2), publication(2)], 0).unwrap_err();
        check_delivered(&[publication(2)], 0).unwrap_err();
        let unexpected = Delivered::Unexpected(String::new());
        check_delivered(&[active(), unexpected], 0).unwrap_err();

        let (gap, other) = (Delivered::Gap(at("b", 4)), Delivered::Active(at("b", 4)));
        let reported = [active(), gap, other.clone(), publication(5)];
        check_delivered(&reported, 1).unwrap();
        check_delivered(&reported, 2).unwrap_err();
        check_delivered(&[active(), other], 1).unwrap_err();
    }
}
