//! `builtin:haproxy`: `HAProxy` 2.6 as Debian packages it, in front of the instances of another service.

use std::fmt::Write as _;
use std::time::Duration;

use super::{auto, base, debian, http, instances, template, templates};
use crate::scenario::model::{ProbeKind, Service};

/// What a scenario may set; the timeouts have the names that `HAProxy` gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::scenario) struct HaProxyOptions {
    /// The name of the port of the service that it forwards to.
    pub(in crate::scenario) port: String,
    pub(in crate::scenario) balance: Balance,
    /// `timeout connect`: to connect to a server.
    pub(in crate::scenario) connect: Duration,
    /// `timeout client`: without bytes from the client.
    pub(in crate::scenario) client: Duration,
    /// `timeout server`: without bytes from the server.
    pub(in crate::scenario) server: Duration,
    /// `timeout tunnel`: without bytes in either direction after an upgrade; it replaces the former two.
    pub(in crate::scenario) tunnel: Duration,
    /// The time between two health checks of a server.
    pub(in crate::scenario) check: Duration,
}

/// How a server is selected for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scenario) enum Balance {
    RoundRobin,
    LeastConnections,
    Source,
}

impl Balance {
    const fn keyword(self) -> &'static str {
        match self {
            Self::RoundRobin => "roundrobin",
            Self::LeastConnections => "leastconn",
            Self::Source => "source",
        }
    }
}

pub(super) fn service(
    name: &str,
    replicas: u32,
    options: &HaProxyOptions,
    to: &Service,
) -> Service {
    let ready = http("health", "/health", None);
    let program = debian("haproxy", "haproxy", "-v");
    let mut service = base(name, replicas, program, ready);
    service.args = templates(&["-db", "-f", "haproxy.cfg"]);
    service.files = vec![(
        "haproxy.cfg".to_owned(),
        template(&configuration(options, to)),
    )];
    service.ports = auto(&["client", "health"]);
    service.forwards_to = Some(to.name.clone());
    service.url = Some(template(&format!(
        "{}${{self.address}}:${{self.port.client}}{}",
        scheme(to),
        path(to)
    )));
    service
}

fn configuration(options: &HaProxyOptions, to: &Service) -> String {
    let mut text = format!(
        "global
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  timeout connect {}ms
  timeout client {}ms
  timeout server {}ms
  timeout tunnel {}ms
frontend health
  bind ${{self.address}}:${{self.port.health}}
  monitor-uri /health
  stats enable
  stats uri /stats
frontend client
  bind ${{self.listen}}:${{self.port.client}}
  default_backend servers
backend servers
  balance {}
",
        options.connect.as_millis(),
        options.client.as_millis(),
        options.server.as_millis(),
        options.tunnel.as_millis(),
        options.balance.keyword(),
    );
    let check = checked_path(options, to);
    // Writing to a string cannot fail.
    if let Some(path) = check {
        let _ = writeln!(text, "  option httpchk GET {path}");
    }
    for instance in instances(&to.name, to.replicas) {
        let _ = writeln!(
            text,
            "  server ${{{instance}.name}} ${{{instance}.address}}:${{{instance}.port.{}}} check inter {}ms fall 2 rise 1",
            options.port,
            options.check.as_millis(),
        );
    }
    text
}

/// The path of the service's own readiness probe; otherwise a server is up if it accepts connections.
fn checked_path(options: &HaProxyOptions, to: &Service) -> Option<String> {
    match &to.ready.kind {
        ProbeKind::Http { port, path, .. } if *port == options.port => Some(path.to_string()),
        ProbeKind::Http { .. }
        | ProbeKind::Tcp { .. }
        | ProbeKind::Grpc { .. }
        | ProbeKind::Log { .. }
        | ProbeKind::Exec { .. } => None,
    }
}

fn scheme(to: &Service) -> String {
    let url = to.url.as_ref().map(ToString::to_string);
    let scheme = url.as_deref().and_then(|url| url.split_once("://"));
    format!("{}://", scheme.map_or("http", |(scheme, _)| scheme))
}

/// The path of the service's URL, which clients keep.
fn path(to: &Service) -> String {
    let url = to.url.as_ref().map(ToString::to_string).unwrap_or_default();
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.split_once('/')
        .map(|(_, path)| format!("/{path}"))
        .unwrap_or_default()
}
