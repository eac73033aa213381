//! Rules on links: a link connects a load to its service, and every fault of a link can be injected.

use super::ValidationError;
use crate::scenario::model::{Scenario, Step, Via};
use crate::scenario::routes;

/// A link names a load and the service to which the load connects.
pub(super) fn links_connect_a_load_to_its_service(scenario: &Scenario) -> Option<ValidationError> {
    let loads: Vec<&str> = scenario.loads().iter().map(|it| it.name.as_str()).collect();
    scenario.links().iter().find_map(|link| {
        let key = format!("link.{}", link.name());
        let load = scenario.loads().iter().find(|it| it.name == link.load);
        let Some(load) = load else {
            let message = format!("load `{}` not found", link.load);
            return Some(ValidationError::new(key, message).with_suggestion(&link.load, &loads));
        };
        (load.to != link.service).then(|| {
            let message = format!("load `{}` connects to `{}`", load.name, load.to);
            let help = format!("write [link.\"{}->{}\"]", load.name, load.to);
            ValidationError::new(key, message).with_help(help)
        })
    })
}

/// Every fault of links has loads whose links it hits, and each of these links has a way that can inject it.
pub(super) fn faults_of_links_have_a_way(scenario: &Scenario) -> Option<ValidationError> {
    let mut steps = scenario.steps().iter().zip(1_usize..);
    steps.find_map(|(step, number)| {
        step.action.link_fault()?;
        without_load(scenario, step, number).or_else(|| without_way(scenario, step, number))
    })
}

fn without_load(scenario: &Scenario, step: &Step, number: usize) -> Option<ValidationError> {
    let to = |service: &str| {
        let loads = scenario.loads().iter().filter(move |it| it.to == service);
        loads.map(|it| it.name.as_str()).collect::<Vec<_>>()
    };
    let loads = to(&step.on.service);
    let key = format!("step.{number}.on");
    match &step.load {
        Some(load) if !loads.contains(&load.as_str()) => {
            let message = format!("no load `{load}` connects to `{}`", step.on.service);
            Some(ValidationError::new(key, message).with_suggestion(load, &loads))
        }
        None if loads.is_empty() => {
            let message = format!("no load connects to `{}`", step.on.service);
            Some(ValidationError::new(key, message))
        }
        Some(_) | None => None,
    }
}

fn without_way(scenario: &Scenario, step: &Step, number: usize) -> Option<ValidationError> {
    let fault = step.action.link_fault()?;
    let loads = scenario.loads().iter().filter(|load| {
        let is_meant = step.load.as_ref().is_none_or(|name| *name == load.name);
        load.to == step.on.service && is_meant
    });
    for load in loads {
        let link = scenario.link(&load.name, &load.to);
        let ways = link.map_or(&[Via::Direct][..], |link| link.via.as_slice());
        if ways
            .iter()
            .any(|via| routes::unsupported(scenario, &load.name, *via).is_none())
        {
            continue;
        }
        let able: Vec<&str> = Via::ALL
            .into_iter()
            .filter(|via| fault.unsupported_by(*via).is_none())
            .map(Via::name)
            .collect();
        let name = format!("{}->{}", load.name, load.to);
        let message = format!(
            "`{}` cannot be injected into the link {name}: {}",
            fault.name(),
            reason(scenario, &load.name, ways)
        );
        let help = match able.first() {
            Some(via) => format!("write [link.\"{name}\"] with via = \"{via}\""),
            None => "use `state = \"all\"` without `ports`".to_owned(),
        };
        let error = ValidationError::new(format!("step.{number}.do"), message);
        return Some(error.with_help(help));
    }
    None
}

/// Why none of these ways is possible.
fn reason(scenario: &Scenario, load: &str, ways: &[Via]) -> String {
    let reasons = ways
        .iter()
        .filter_map(|via| routes::unsupported(scenario, load, *via));
    reasons.collect::<Vec<_>>().join("; ")
}
