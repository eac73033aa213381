//! A fault with several parts counts as a whole: it is confirmed when each part is, and healed when each part is.
//!
//! A fault of processes has a part for each target, a fault of links one for each way in which its links lead. This is a
//! state machine: the run passes what the parts report, and records what it returns.

use std::collections::BTreeMap;

use steadfast_faults::ledger::event::FaultEvent;
use steadfast_faults::topology::{InstanceId, Topology};

/// What reports about its part of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FaultPart {
    /// The process of a target.
    Instance(InstanceId),
    /// All links that lead through network namespaces.
    Network,
    /// All links that lead through proxies.
    Proxies,
}

impl FaultPart {
    /// Its name in messages.
    pub(super) fn name(self, topology: &Topology) -> String {
        match self {
            Self::Instance(id) => {
                let instance = topology.instance(id);
                instance.map(ToString::to_string).unwrap_or_default()
            }
            Self::Network => "the links through namespaces".to_owned(),
            Self::Proxies => "the links through proxies".to_owned(),
        }
    }
}

/// The course of one part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Course {
    /// In messages, for example `gateway:3`.
    name: String,
    /// What confirms it.
    evidence: Option<String>,
    is_ineffective: bool,
    is_healed: bool,
}

/// The parts of a fault that is injected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FaultParts {
    parts: BTreeMap<FaultPart, Course>,
    is_injected: bool,
    is_healed: bool,
}

impl FaultParts {
    /// The parts from which reports are expected, with their names.
    pub(super) fn new(parts: impl IntoIterator<Item = (FaultPart, String)>) -> Self {
        let parts = parts.into_iter().map(|(part, name)| {
            let course = Course {
                name,
                ..Course::default()
            };
            (part, course)
        });
        Self {
            parts: parts.collect(),
            ..Self::default()
        }
    }

    /// Returns what a report of a part means for the fault.
    pub(super) fn on_event(&mut self, part: FaultPart, event: FaultEvent) -> Vec<FaultEvent> {
        let is_alone = self.parts.len() == 1;
        let Some(course) = self.parts.get_mut(&part) else {
            return Vec::new();
        };
        match event {
            FaultEvent::Injected if self.is_injected => Vec::new(),
            FaultEvent::Injected => {
                self.is_injected = true;
                vec![FaultEvent::Injected]
            }
            FaultEvent::Targeted(_) => vec![event],
            FaultEvent::Confirmed(evidence) => {
                course.evidence = Some(evidence);
                self.evidence()
                    .map(FaultEvent::Confirmed)
                    .into_iter()
                    .collect()
            }
            FaultEvent::Ineffective(reason) => {
                course.is_ineffective = true;
                let reason = if is_alone {
                    reason
                } else {
                    format!("{}: {reason}", course.name)
                };
                vec![FaultEvent::Ineffective(reason)]
            }
            FaultEvent::Healed => {
                course.is_healed = true;
                self.healed()
            }
        }
    }

    /// What confirms all parts, each different text once; `None` while one is missing.
    fn evidence(&self) -> Option<String> {
        let mut texts: Vec<&str> = Vec::new();
        for course in self.parts.values() {
            let evidence = course.evidence.as_deref()?;
            if !texts.contains(&evidence) {
                texts.push(evidence);
            }
        }
        Some(texts.join("; "))
    }

    /// After its heal a part reports nothing more, so what is not confirmed now was not in effect.
    fn healed(&mut self) -> Vec<FaultEvent> {
        if self.is_healed || !self.parts.values().all(|course| course.is_healed) {
            return Vec::new();
        }
        self.is_healed = true;
        let missing = self.parts.values().filter(|it| it.evidence.is_none());
        let missing = missing.filter(|it| !it.is_ineffective);
        let names: Vec<&str> = missing.map(|it| it.name.as_str()).collect();
        if names.is_empty() {
            return vec![FaultEvent::Healed];
        }
        let reason = format!("its effect on {} was not confirmed", names.join(", "));
        vec![FaultEvent::Ineffective(reason), FaultEvent::Healed]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> FaultParts {
        FaultParts::new((0..3).map(|id| (part(id), format!("gateway:{}", id + 1))))
    }

    const fn part(id: u32) -> FaultPart {
        FaultPart::Instance(InstanceId(id))
    }

    fn confirmed(text: &str) -> FaultEvent {
        FaultEvent::Confirmed(text.to_owned())
    }

    #[test]
    fn a_fault_is_confirmed_and_healed_with_the_last_of_its_targets() {
        let mut parts = three();
        let mut events = Vec::new();

        for event in [
            FaultEvent::Injected,
            confirmed("it is stopped"),
            FaultEvent::Healed,
        ] {
            let of_all = (0..3).map(|id| parts.on_event(part(id), event.clone()));
            events.extend(of_all.collect::<Vec<_>>());
        }

        let expected: Vec<Vec<FaultEvent>> = vec![
            vec![FaultEvent::Injected],
            vec![],
            vec![],
            vec![],
            vec![],
            vec![confirmed("it is stopped")],
            vec![],
            vec![],
            vec![FaultEvent::Healed],
        ];
        assert_eq!(events, expected);
    }

    #[test]
    fn a_target_without_a_proof_makes_the_fault_ineffective_by_name() {
        let mut parts = three();
        for id in 0..3 {
            parts.on_event(part(id), FaultEvent::Injected);
        }
        for id in [0, 2] {
            assert_eq!(parts.on_event(part(id), confirmed("it is stopped")), []);
        }

        let healed: Vec<FaultEvent> = (0..3)
            .flat_map(|id| parts.on_event(part(id), FaultEvent::Healed))
            .collect();

        let reason = "its effect on gateway:2 was not confirmed".to_owned();
        assert_eq!(
            healed,
            [FaultEvent::Ineffective(reason), FaultEvent::Healed]
        );
    }

    #[test]
    fn a_reason_names_its_target_if_there_are_several() {
        let reason = || FaultEvent::Ineffective("it was not running".to_owned());
        let mut several = three();
        let mut one = FaultParts::new([(FaultPart::Network, "network".to_owned())]);

        let of_several = several.on_event(part(1), reason());
        let of_one = one.on_event(FaultPart::Network, reason());

        let named = "gateway:2: it was not running".to_owned();
        assert_eq!(of_several, [FaultEvent::Ineffective(named)]);
        assert_eq!(of_one, [reason()]);
    }

    #[test]
    fn a_later_proof_replaces_an_earlier_one_and_both_ways_of_links_count() {
        let ways = [FaultPart::Network, FaultPart::Proxies];
        let mut parts = FaultParts::new(ways.map(|it| (it, format!("{it:?}"))));

        assert_eq!(
            parts.on_event(FaultPart::Network, confirmed("dropped 1 packet")),
            []
        );
        let both = parts.on_event(FaultPart::Proxies, confirmed("held 5 bytes"));
        let last = parts.on_event(FaultPart::Network, confirmed("dropped 9 packets"));

        assert_eq!(both, [confirmed("dropped 1 packet; held 5 bytes")]);
        assert_eq!(last, [confirmed("dropped 9 packets; held 5 bytes")]);
    }

    #[test]
    fn what_is_no_part_of_the_fault_reports_nothing_about_it() {
        let mut parts = three();

        assert_eq!(parts.on_event(FaultPart::Proxies, FaultEvent::Healed), []);
    }
}
