//! Rules for services: their probes and placeholders refer to what exists.

use steadfast_toml::suggestion;

use super::ValidationError;
use crate::scenario::model::{CheckLevel, NoData, Probe, ProbeKind, Scenario, Service};
use crate::scenario::template::{Owner, Placeholder, SELF};

pub(super) fn probes_use_existing_ports(scenario: &Scenario) -> Option<ValidationError> {
    scenario.services().iter().find_map(|service| {
        let ready = [("ready", &service.ready)];
        let leader = service.leader.iter().map(|it| ("leader", it));
        let mut probes = ready.into_iter().chain(leader);
        probes.find_map(|(key, probe)| invalid_probe(service, key, probe))
    })
}

fn invalid_probe(service: &Service, key: &str, probe: &Probe) -> Option<ValidationError> {
    let at = format!("service.{}.{key}", service.name);
    if key == "leader" && matches!(probe.kind, ProbeKind::Log { .. }) {
        let message = "`log` cannot find the leader: a line remains when the role changes";
        return Some(ValidationError::new(at, message.to_owned()));
    }
    let port = probe.port().filter(|port| !service.has_port(port))?;
    let message = format!("port `{port}` not found in `{}`", service.name);
    Some(ValidationError::new(at, message).with_suggestion(port, &service.port_names()))
}

pub(super) fn placeholders_refer_to_existing_instances(
    scenario: &Scenario,
) -> Option<ValidationError> {
    if scenario.services().iter().any(|it| it.name == SELF) {
        let message = format!("`{SELF}` is reserved: a placeholder names its own instance with it");
        return Some(ValidationError::new(format!("service.{SELF}"), message));
    }
    scenario.services().iter().find_map(|service| {
        service.templates().find_map(|(key, template)| {
            let mut places = template.places();
            let (message, help) = places.find_map(|it| invalid_place(scenario, service, it))?;
            Some(ValidationError {
                key: format!("service.{}.{key}", service.name),
                message,
                help: Some(help),
            })
        })
    })
}

/// What is wrong with a placeholder, and what to write.
fn invalid_place(
    scenario: &Scenario,
    this: &Service,
    place: &Placeholder,
) -> Option<(String, String)> {
    let owner = match &place.owner {
        Owner::This => this,
        Owner::Instance { service, number } => {
            // The service exists: otherwise this would be a parameter.
            let owner = scenario.services().iter().find(|it| it.name == *service)?;
            if *number > owner.replicas {
                let message = format!("`{place}` is not an instance of `{service}`");
                let help = format!("its instances are 1 to {}", owner.replicas);
                return Some((message, help));
            }
            owner
        }
    };
    let port = place.field.port().filter(|port| !owner.has_port(port))?;
    let message = format!("`{place}`: port `{port}` not found in `{}`", owner.name);
    Some((message, suggestion::help(port, &owner.port_names())))
}

/// A required check whose outcome can only be unknown makes every run INCONCLUSIVE.
pub(super) fn checks_of_executions_have_an_effect_log(
    scenario: &Scenario,
) -> Option<ValidationError> {
    if scenario.services().iter().any(|it| it.effects.is_some()) {
        return None;
    }
    let mut checks = scenario.checks().iter().zip(1_usize..);
    checks.find_map(|(check, number)| {
        if check.level != CheckLevel::Must || check.no_data != NoData::Unknown {
            return None;
        }
        let queries = check.that.metric_queries();
        let query = queries.iter().find(|it| it.metric.needs_effect_log())?;
        let name = query.metric.name();
        let message = format!("`{name}` needs an effect log, and no service has one");
        let service = scenario.services().first()?;
        let help = format!(
            "write effects = \"${{self.data}}/effects.jsonl\" in [service.{}], and let it log there what it executes",
            service.name
        );
        Some(ValidationError::new(format!("check.{number}.that"), message).with_help(help))
    })
}
