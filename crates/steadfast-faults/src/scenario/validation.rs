//! Validation across the tables of a scenario: references, occurrences of steps, time to recover.
//!
//! Each rule checks the model and returns the key that violates the rule; its location is determined later.

mod links;
mod services;

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use steadfast_toml::{FileError, Source, suggestion};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::scenario::model::{Scenario, Step, StepSchedule};
use crate::scenario::plan;
use crate::scenario::role::Role;
use crate::scenario::select::InstanceSet;
use crate::topology::ClientKind;

/// A violated rule and the key that violates it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ValidationError {
    /// For example `step.1.on`; lists count from 1.
    key: String,
    message: String,
    help: Option<String>,
}

impl ValidationError {
    fn new(key: String, message: String) -> Self {
        Self {
            key,
            message,
            help: None,
        }
    }

    fn with_help(self, help: String) -> Self {
        Self {
            help: Some(help),
            ..self
        }
    }

    fn with_suggestion(self, name: &str, known: &[&str]) -> Self {
        Self {
            help: Some(suggestion::help(name, known)),
            ..self
        }
    }

    /// Adds the location of the key, or of the innermost enclosing table that the file contains.
    pub(super) fn locate(self, root: &DeTable<'_>, source: Source<'_>) -> FileError {
        let span = span_of(root, &self.key).unwrap_or(0..0);
        source.error_at(&self.key, self.message, self.help, span)
    }
}

/// The first violated rule, if any.
pub(super) fn validate(scenario: &Scenario) -> Option<ValidationError> {
    const RULES: [fn(&Scenario) -> Option<ValidationError>; 13] = [
        participants_and_checks_exist,
        names_are_valid,
        services::probes_use_existing_ports,
        services::placeholders_refer_to_existing_instances,
        ids_are_unique,
        loads_reference_a_service,
        links::links_connect_a_load_to_its_service,
        steps_have_targets_and_occur,
        links::faults_of_links_have_a_way,
        checks_reference_existing_names,
        services::checks_of_executions_have_an_effect_log,
        recovery_has_enough_time,
        stall_limit_exceeds_the_publication_period,
    ];
    RULES.iter().find_map(|rule| rule(scenario))
}

fn participants_and_checks_exist(scenario: &Scenario) -> Option<ValidationError> {
    let empty = [
        ("service", scenario.services().is_empty()),
        ("load", scenario.loads().is_empty()),
        ("check", scenario.checks().is_empty()),
    ];
    let (key, _) = empty.into_iter().find(|(_, empty)| *empty)?;
    let message = format!("at least one {key} is required");
    Some(ValidationError::new(key.to_owned(), message))
}

/// Names are used in channels, folders and selectors.
fn names_are_valid(scenario: &Scenario) -> Option<ValidationError> {
    let services = scenario.services().iter().map(|it| ("service", &it.name));
    let loads = scenario.loads().iter().map(|it| ("load", &it.name));
    let (group, name) = services
        .chain(loads)
        .find(|(_, name)| !is_valid_name(name))?;
    let message = format!("invalid name `{name}`: only letters, digits, - and _ are allowed");
    Some(ValidationError::new(format!("{group}.{name}"), message))
}

fn is_valid_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|it| it.is_ascii_alphanumeric() || "-_".contains(it))
}

fn ids_are_unique(scenario: &Scenario) -> Option<ValidationError> {
    let steps = scenario.steps().iter().map(|it| it.id.as_str());
    let checks = scenario.checks().iter().map(|it| it.id.as_str());
    let invalid = unprintable("step", steps.clone());
    let invalid = invalid.or_else(|| unprintable("check", checks.clone()));
    let invalid = invalid.or_else(|| repeated("step", steps));
    invalid.or_else(|| repeated("check", checks))
}

/// Ids are printed in reports, of which XML permits no control characters.
fn unprintable<'a>(group: &str, ids: impl Iterator<Item = &'a str>) -> Option<ValidationError> {
    let mut ids = ids.zip(1_usize..);
    let (_, number) = ids.find(|(id, _)| id.trim().is_empty() || id.contains(char::is_control))?;
    let message = format!("the id of a {group} must be text without control characters");
    let error = ValidationError::new(format!("{group}.{number}.id"), message);
    Some(error.with_help("for example id = \"kill\"".to_owned()))
}

fn repeated<'a>(group: &str, ids: impl Iterator<Item = &'a str>) -> Option<ValidationError> {
    let mut seen = BTreeSet::new();
    let (id, number) = ids.zip(1_usize..).find(|(id, _)| !seen.insert(*id))?;
    let message = format!("duplicate {group} id `{id}`");
    Some(ValidationError::new(
        format!("{group}.{number}.id"),
        message,
    ))
}

fn loads_reference_a_service(scenario: &Scenario) -> Option<ValidationError> {
    let known = service_names(scenario);
    let load = scenario
        .loads()
        .iter()
        .find(|load| !known.contains(&load.to.as_str()))?;
    let key = format!("load.{}.to", load.name);
    let message = format!("service `{}` not found", load.to);
    Some(ValidationError::new(key, message).with_suggestion(&load.to, &known))
}

fn steps_have_targets_and_occur(scenario: &Scenario) -> Option<ValidationError> {
    let mut steps = scenario.steps().iter().zip(1_usize..);
    steps.find_map(|(step, number)| {
        let key = format!("step.{number}");
        without_target(scenario, step, &key).or_else(|| never_occurs(scenario, step, &key))
    })
}

fn without_target(scenario: &Scenario, step: &Step, key: &str) -> Option<ValidationError> {
    let service = scenario
        .services()
        .iter()
        .find(|it| it.name == step.on.service);
    let key = format!("{key}.on");
    let Some(service) = service else {
        let name = &step.on.service;
        let message = format!("service `{name}` not found");
        return Some(
            ValidationError::new(key, message).with_suggestion(name, &service_names(scenario)),
        );
    };
    let required = match step.on.instances {
        InstanceSet::All | InstanceSet::Last | InstanceSet::Next => 1,
        InstanceSet::Role(_) if service.leader.is_none() => {
            let message = format!(
                "`{}` requires a probe for the leader of `{}`",
                step.on, service.name
            );
            return Some(ValidationError {
                help: Some(format!(
                    "write leader = {{ http = \"/path\", body = \"text\" }} in [service.{}], or another probe that succeeds on the leader alone",
                    service.name
                )),
                ..ValidationError::new(key, message)
            });
        }
        InstanceSet::Role(Role::Leader) => 1,
        // Without a second instance there is no other than the leader.
        InstanceSet::Role(Role::Follower | Role::NotLeader) => 2,
        InstanceSet::Number(number) | InstanceSet::Not(number) => number,
        InstanceSet::Random(count) => count,
    };
    (required > service.replicas).then(|| {
        let message = format!(
            "`{}` requires more than the {} instances of `{}`",
            step.on, service.replicas, service.name
        );
        ValidationError::new(key, message)
    })
}

fn never_occurs(scenario: &Scenario, step: &Step, key: &str) -> Option<ValidationError> {
    let end = scenario.run().duration;
    let (key, planned) = match step.when {
        StepSchedule::At(at) => (format!("{key}.at"), at),
        StepSchedule::Every { period, .. } => (format!("{key}.every"), period),
    };
    (planned >= end).then(|| {
        let message = format!("the step never occurs: the steps phase ends after {end:?}");
        ValidationError::new(key, message)
    })
}

fn checks_reference_existing_names(scenario: &Scenario) -> Option<ValidationError> {
    let loads: Vec<&str> = scenario.loads().iter().map(|it| it.name.as_str()).collect();
    let steps: Vec<&str> = scenario.steps().iter().map(|it| it.id.as_str()).collect();
    let kinds: Vec<&str> = scenario
        .loads()
        .iter()
        .flat_map(|it| it.kinds.iter().map(|kind| kind.name()))
        .collect();
    let mut checks = scenario.checks().iter().zip(1_usize..);
    checks.find_map(|(check, number)| {
        if check.that.metric_queries().is_empty() {
            let message = "the condition contains no metric, so no run can violate it".to_owned();
            let error = ValidationError::new(format!("check.{number}.that"), message);
            return Some(error.with_help("for example delivery.lost == 0".to_owned()));
        }
        let unknown = check.that.metric_queries().into_iter().find_map(|query| {
            let filter = &query.filter;
            let kind = filter.kind.map(ClientKind::name);
            let named = [
                ("load", filter.load.as_deref(), &loads),
                ("client kind", kind, &kinds),
                ("step", filter.step.as_deref(), &steps),
            ];
            named.into_iter().find_map(|(what, name, known)| {
                let name = name.filter(|name| !known.contains(name))?;
                Some((what, name.to_owned(), known))
            })
        });
        let (what, name, known) = unknown?;
        let message = format!("{what} `{name}` not found in this scenario");
        let error = ValidationError::new(format!("check.{number}.that"), message);
        Some(error.with_suggestion(&name, known))
    })
}

/// The longest allowed recovery must fit between the last heal and the end of the run.
fn recovery_has_enough_time(scenario: &Scenario) -> Option<ValidationError> {
    let recovery_max = scenario.recovery_max()?;
    let run = scenario.run();
    let healed = scenario
        .steps()
        .iter()
        .filter_map(|step| last_heal(step, run.duration))
        .max()?;
    let remaining = run.duration.saturating_sub(healed) + run.quiet + run.drain;
    (remaining < recovery_max).then(|| {
        let message = format!(
            "a check allows {recovery_max:?} for a recovery, but only {remaining:?} remain after the last heal"
        );
        ValidationError {
            help: Some("increase `quiet` or `drain`".to_owned()),
            ..ValidationError::new("run.drain".to_owned(), message)
        }
    })
}

/// A client with rare publications receives nothing between two of them, which is not a stall.
fn stall_limit_exceeds_the_publication_period(scenario: &Scenario) -> Option<ValidationError> {
    let stall = scenario.run().stall;
    let rare = scenario
        .loads()
        .iter()
        .find(|load| load.publishers > 0 && load.send.every.saturating_mul(2) > stall)?;
    let (name, every) = (&rare.name, rare.send.every);
    let message =
        format!("{stall:?} is less than two publication periods of `{name}` ({every:?} each)");
    Some(ValidationError {
        help: Some("increase `stall`".to_owned()),
        ..ValidationError::new("run.stall".to_owned(), message)
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
