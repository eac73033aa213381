//! `builtin:etcd`: etcd 3.4 as Debian packages it; several instances are one cluster.

use std::time::Duration;

use super::{auto, base, debian, http, instances, probe, template, templates};
use crate::scenario::model::Service;

pub(super) fn service(name: &str, replicas: u32) -> Service {
    // It returns 503 as long as the cluster has no leader.
    let ready = http("client", "/health", Some("true"));
    let program = debian("etcd", "etcd-server", "--version");
    let mut service = base(name, replicas, program, ready);
    let members: Vec<String> = instances(name, replicas)
        .map(|it| format!("${{{it}.name}}=http://${{{it}.address}}:${{{it}.port.peer}}"))
        .collect();
    service.args = templates(&[
        "--name=${self.name}",
        "--data-dir=${self.data}",
        "--listen-client-urls=http://${self.listen}:${self.port.client}",
        "--advertise-client-urls=http://${self.address}:${self.port.client}",
        "--listen-peer-urls=http://${self.address}:${self.port.peer}",
        "--initial-advertise-peer-urls=http://${self.address}:${self.port.peer}",
        "--logger=zap",
    ]);
    service
        .args
        .push(template(&format!("--initial-cluster-token={name}")));
    service.args.push(template(&format!(
        "--initial-cluster={}",
        members.join(",")
    )));
    // A leader that is terminated together with its followers tries for 7 s to hand over.
    service.stop.grace = Duration::ZERO;
    service.ports = auto(&["client", "peer"]);
    service.leader = Some(probe(http(
        "client",
        "/metrics",
        Some("\netcd_server_is_leader 1\n"),
    )));
    service.url = Some(template("http://${self.address}:${self.port.client}"));
    service
}
