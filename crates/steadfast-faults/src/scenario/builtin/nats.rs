//! `builtin:nats`: nats-server 2.9 as Debian packages it, with `JetStream`; several instances are one cluster.

use std::fmt::Write as _;

use super::{auto, base, debian, http, instances, probe, template, templates};
use crate::scenario::model::Service;

const CONFIGURATION: &str = "server_name: ${self.name}
listen: \"${self.listen}:${self.port.client}\"
http: \"${self.address}:${self.port.monitor}\"
jetstream {
  store_dir: \"${self.data}\"
  max_memory_store: 64MB
  max_file_store: 1GB
}
";

pub(super) fn service(name: &str, replicas: u32) -> Service {
    let ready = http("monitor", "/healthz", Some("ok"));
    let program = debian("nats-server", "nats-server", "--version");
    let mut service = base(name, replicas, program, ready);
    service.args = templates(&["--config", "nats.conf"]);
    service.files = vec![(
        "nats.conf".to_owned(),
        template(&configuration(name, replicas)),
    )];
    service.ports = auto(&["client", "cluster", "monitor"]);
    // Every instance names the leader of the cluster's `JetStream` metadata.
    service.leader = Some(probe(http(
        "monitor",
        "/jsz",
        Some("\"leader\": \"${self.name}\""),
    )));
    service.url = Some(template("nats://${self.address}:${self.port.client}"));
    service
}

/// An instance alone must not be a cluster: it would wait for others to elect a leader.
fn configuration(name: &str, replicas: u32) -> String {
    let mut text = CONFIGURATION.to_owned();
    if replicas == 1 {
        return text;
    }
    let routes: Vec<String> = instances(name, replicas)
        .map(|it| format!("\"nats://${{{it}.address}}:${{{it}.port.cluster}}\""))
        .collect();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "cluster {{\n  name: \"{name}\"\n  listen: \"${{self.address}}:${{self.port.cluster}}\"\n  routes: [{}]\n}}\n",
        routes.join(", ")
    );
    text
}
