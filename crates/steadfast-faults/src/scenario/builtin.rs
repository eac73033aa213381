//! Built-in services: the keys of a `[service.X]` that a scenario need not write for a program that is known.
//!
//! A built-in is data: the program, its arguments, its files, ports and probes. Whatever it has, a scenario can write
//! for a program of its own.

mod etcd;
mod gateway;
mod haproxy;
mod nats;
mod proxy;
mod redis;
mod truenas;

use std::time::Duration;

pub(super) use haproxy::{Balance, HaProxyOptions};

use crate::scenario::model::{
    DataDirectory, Network, Package, Port, Probe, ProbeKind, Program, RestartPolicy, Service,
    StopPolicy, StopSignal, WorkingDirectory,
};
use crate::scenario::template::Template;

/// The time between two attempts of a probe.
pub(super) const EVERY: Duration = Duration::from_millis(50);
/// The longest time of one attempt of a probe.
pub(super) const TIMEOUT: Duration = Duration::from_secs(1);
/// The time to exit at the end of the run.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// Creates a service from its name and the number of its instances.
type Create = fn(&str, u32) -> Service;

/// The name of each built-in that needs no other service.
pub(super) const INDEPENDENT: [(&str, Create); 5] = [
    ("builtin:gateway", gateway::service),
    ("builtin:etcd", etcd::service),
    ("builtin:nats", nats::service),
    ("builtin:redis", redis::service),
    ("builtin:truenas", truenas::service),
];
/// The names of the built-ins that forward connections to another service.
pub(super) const HAPROXY: &str = "builtin:haproxy";
pub(super) const PROXY: &str = "builtin:proxy";

/// `HAProxy` in front of a service.
pub(super) fn haproxy(
    name: &str,
    replicas: u32,
    options: &HaProxyOptions,
    to: &Service,
) -> Service {
    haproxy::service(name, replicas, options, to)
}

/// The fault proxy of this project in front of a service.
pub(super) fn proxy(name: &str, replicas: u32, to: &Service) -> Service {
    proxy::service(name, replicas, to)
}

/// A service without arguments, files and ports.
pub(super) fn base(name: &str, replicas: u32, program: Program, ready: ProbeKind) -> Service {
    Service {
        name: name.to_owned(),
        program,
        args: Vec::new(),
        args_of_others: Vec::new(),
        env: Vec::new(),
        files: Vec::new(),
        directory: WorkingDirectory::Instance,
        replicas,
        ports: Vec::new(),
        data: DataDirectory::Fresh,
        ready: probe(ready),
        leader: None,
        restart: RestartPolicy::Never,
        stop: StopPolicy {
            signal: StopSignal::Term,
            grace: GRACE,
        },
        network: Network::Host,
        effects: None,
        url: None,
        forwards_to: None,
        version: None,
    }
}

const fn probe(kind: ProbeKind) -> Probe {
    Probe {
        kind,
        every: EVERY,
        timeout: TIMEOUT,
    }
}

fn http(port: &str, path: &str, body: Option<&str>) -> ProbeKind {
    ProbeKind::Http {
        port: port.to_owned(),
        path: Template::literal(path),
        body: body.map(template),
    }
}

fn debian(cmd: &str, name: &'static str, version: &'static str) -> Program {
    Program::Command {
        cmd: Template::literal(cmd),
        package: Some(Package { name, version }),
    }
}

fn auto(names: &[&str]) -> Vec<(String, Port)> {
    let ports = names.iter().map(|name| ((*name).to_owned(), Port::Auto));
    ports.collect()
}

fn templates(texts: &[&str]) -> Vec<Template> {
    texts.iter().map(|text| template(text)).collect()
}

/// A text of a built-in.
fn template(text: &str) -> Template {
    Template::parse(text).expect("the placeholders of built-ins are valid")
}

/// The instances of a service, as they are written in placeholders.
fn instances(service: &str, replicas: u32) -> impl Iterator<Item = String> {
    (1..=replicas).map(move |number| format!("{service}:{number}"))
}
