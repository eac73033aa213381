//! What must fit together across the tables of a scenario: names that exist, steps that happen, time to recover.
//!
//! Each rule looks at the model and names the key that breaks it; the place of that key is looked up afterwards.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::roster::ClientKind;
use crate::scenario::model::{Scenario, Step, When};
use crate::scenario::plan;
use crate::scenario::problem::{ScenarioError, Source, instead};
use crate::scenario::select::Which;

/// A rule that is broken, and by which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// For example `step.1.on`; lists count from 1.
    key: String,
    message: String,
    help: Option<String>,
}

impl Misfit {
    fn new(key: String, message: String) -> Self {
        Self {
            key,
            message,
            help: None,
        }
    }

    fn or_known(self, name: &str, known: &[&str]) -> Self {
        Self {
            help: Some(instead(name, known)),
            ..self
        }
    }

    /// Finds the place of the key, or of the nearest table around it that stands in the file.
    pub(super) fn locate(self, root: &DeTable<'_>, source: Source<'_>) -> ScenarioError {
        let span = span_of(root, &self.key).unwrap_or(0..0);
        source.refuse(&self.key, self.message, self.help, span)
    }
}

/// The first rule that is broken.
pub(super) fn misfit(scenario: &Scenario) -> Option<Misfit> {
    const RULES: [fn(&Scenario) -> Option<Misfit>; 8] = [
        someone_takes_part,
        names_are_plain,
        ids_are_unique,
        loads_have_a_service,
        steps_hit_someone,
        checks_name_what_exists,
        there_is_time_to_recover,
        a_stall_is_no_pause_between_publications,
    ];
    RULES.iter().find_map(|rule| rule(scenario))
}

fn someone_takes_part(scenario: &Scenario) -> Option<Misfit> {
    let empty = [
        ("service", scenario.services().is_empty()),
        ("load", scenario.loads().is_empty()),
        ("check", scenario.checks().is_empty()),
    ];
    let (key, _) = empty.into_iter().find(|(_, empty)| *empty)?;
    let message = format!("a scenario needs at least one {key}");
    Some(Misfit::new(key.to_owned(), message))
}

/// Names become parts of channels, folders and selectors.
fn names_are_plain(scenario: &Scenario) -> Option<Misfit> {
    let services = scenario.services().iter().map(|it| ("service", &it.name));
    let loads = scenario.loads().iter().map(|it| ("load", &it.name));
    let (group, name) = services.chain(loads).find(|(_, name)| !is_plain(name))?;
    let message = format!("the name `{name}` may have letters, digits, - and _ only");
    Some(Misfit::new(format!("{group}.{name}"), message))
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|it| it.is_ascii_alphanumeric() || "-_".contains(it))
}

fn ids_are_unique(scenario: &Scenario) -> Option<Misfit> {
    let steps = scenario.steps().iter().map(|it| it.id.as_str());
    let checks = scenario.checks().iter().map(|it| it.id.as_str());
    repeated("step", steps).or_else(|| repeated("check", checks))
}

fn repeated<'a>(group: &str, ids: impl Iterator<Item = &'a str>) -> Option<Misfit> {
    let mut seen = BTreeSet::new();
    let (id, number) = ids.zip(1_usize..).find(|(id, _)| !seen.insert(*id))?;
    let message = format!("there is another {group} with the id `{id}`");
    Some(Misfit::new(format!("{group}.{number}.id"), message))
}

fn loads_have_a_service(scenario: &Scenario) -> Option<Misfit> {
    let known = service_names(scenario);
    let load = scenario
        .loads()
        .iter()
        .find(|load| !known.contains(&load.to.as_str()))?;
    let key = format!("load.{}.to", load.name);
    let message = format!("there is no service `{}`", load.to);
    Some(Misfit::new(key, message).or_known(&load.to, &known))
}

fn steps_hit_someone(scenario: &Scenario) -> Option<Misfit> {
    let mut steps = scenario.steps().iter().zip(1_usize..);
    steps.find_map(|(step, number)| {
        let key = format!("step.{number}");
        nobody(scenario, step, &key).or_else(|| never(scenario, step, &key))
    })
}

fn nobody(scenario: &Scenario, step: &Step, key: &str) -> Option<Misfit> {
    let service = scenario
        .services()
        .iter()
        .find(|it| it.name == step.on.service);
    let key = format!("{key}.on");
    let Some(service) = service else {
        let name = &step.on.service;
        let message = format!("there is no service `{name}`");
        return Some(Misfit::new(key, message).or_known(name, &service_names(scenario)));
    };
    let wanted = match step.on.which {
        Which::All | Which::Last => 1,
        Which::Number(number) | Which::Not(number) => number,
        Which::Random(count) => count,
    };
    (wanted > service.replicas).then(|| {
        let message = format!(
            "`{}` asks for more than the {} instances of `{}`",
            step.on, service.replicas, service.name
        );
        Misfit::new(key, message)
    })
}

fn never(scenario: &Scenario, step: &Step, key: &str) -> Option<Misfit> {
    let end = scenario.run().duration;
    let (key, planned) = match step.when {
        When::At(at) => (format!("{key}.at"), at),
        When::Every { period, .. } => (format!("{key}.every"), period),
    };
    (planned >= end).then(|| {
        let message = format!("it would never happen: the steps are over after {end:?}");
        Misfit::new(key, message)
    })
}

fn checks_name_what_exists(scenario: &Scenario) -> Option<Misfit> {
    let loads: Vec<&str> = scenario.loads().iter().map(|it| it.name.as_str()).collect();
    let steps: Vec<&str> = scenario.steps().iter().map(|it| it.id.as_str()).collect();
    let kinds: Vec<&str> = scenario
        .loads()
        .iter()
        .flat_map(|it| it.kinds.iter().map(|kind| kind.name()))
        .collect();
    let mut checks = scenario.checks().iter().zip(1_usize..);
    checks.find_map(|(check, number)| {
        let strange = check.that.readings().into_iter().find_map(|reading| {
            let filter = &reading.filter;
            let kind = filter.kind.map(ClientKind::name);
            let named = [
                ("load", filter.load.as_deref(), &loads),
                ("kind of client", kind, &kinds),
                ("step", filter.step.as_deref(), &steps),
            ];
            named.into_iter().find_map(|(what, name, known)| {
                let name = name.filter(|name| !known.contains(name))?;
                Some((what, name.to_owned(), known))
            })
        });
        let (what, name, known) = strange?;
        let message = format!("there is no {what} `{name}` in this scenario");
        let misfit = Misfit::new(format!("check.{number}.that"), message);
        Some(misfit.or_known(&name, known))
    })
}

/// Whatever is allowed to take long must be given the time before the run is judged.
fn there_is_time_to_recover(scenario: &Scenario) -> Option<Misfit> {
    let recovery_max = scenario.recovery_max()?;
    let run = scenario.run();
    let healed = scenario
        .steps()
        .iter()
        .filter_map(|step| last_heal(step, run.duration))
        .max()?;
    let left = run.duration.saturating_sub(healed) + run.quiet + run.drain;
    (left < recovery_max).then(|| {
        let message = format!(
            "a recovery may take {recovery_max:?}, and from the last heal to the end there are {left:?}"
        );
        Misfit {
            help: Some("make `quiet` or `drain` longer".to_owned()),
            ..Misfit::new("run.drain".to_owned(), message)
        }
    })
}

/// Whoever publishes rarely hears nothing in between, and has not stalled.
fn a_stall_is_no_pause_between_publications(scenario: &Scenario) -> Option<Misfit> {
    let stall = scenario.run().stall;
    let rare = scenario
        .loads()
        .iter()
        .find(|load| load.send.every.saturating_mul(2) > stall)?;
    let (name, every) = (&rare.name, rare.send.every);
    let message = format!(
        "a stall of {stall:?} is less than two publications of `{name}`, which come every {every:?}"
    );
    Some(Misfit {
        help: Some("make `stall` longer".to_owned()),
        ..Misfit::new("run.stall".to_owned(), message)
    })
}

fn last_heal(step: &Step, end: Duration) -> Option<Duration> {
    let last = plan::occurrences(step, end).ok()?.into_iter().max()?;
    let healed = step
        .heal_after
        .map_or(end, |after| last + step.jitter + after);
    Some(healed.min(end))
}

fn service_names(scenario: &Scenario) -> Vec<&str> {
    scenario
        .services()
        .iter()
        .map(|it| it.name.as_str())
        .collect()
}

fn span_of(root: &DeTable<'_>, key: &str) -> Option<Range<usize>> {
    let (first, rest) = key.split_once('.').unwrap_or((key, ""));
    let mut value = root.get(first)?;
    for part in rest.split('.').filter(|part| !part.is_empty()) {
        match inner(value, part) {
            Some(found) => value = found,
            None => break,
        }
    }
    Some(value.span())
}

fn inner<'a, 'b>(value: &'a Spanned<DeValue<'b>>, part: &str) -> Option<&'a Spanned<DeValue<'b>>> {
    if let Some(items) = value.get_ref().as_array() {
        let number: usize = part.parse().ok()?;
        return items.get(number.checked_sub(1)?);
    }
    value.get_ref().as_table()?.get(part)
}
