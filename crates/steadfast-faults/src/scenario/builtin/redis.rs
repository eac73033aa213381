//! `builtin:redis`: redis 7.0 as Debian packages it; the instances after the first are replicas of the first.

use super::{auto, base, debian, probe, template, templates};
use crate::scenario::model::{Exchange, ProbeKind, Service};

pub(super) fn service(name: &str, replicas: u32) -> Service {
    // While it loads its data it replies with an error.
    let ready = exchange("PING\r\n", "+PONG");
    let program = debian("redis-server", "redis-server", "--version");
    let mut service = base(name, replicas, program, ready);
    service.args = templates(&[
        "--bind",
        "${self.listen}",
        "--port",
        "${self.port.client}",
        "--dir",
        "${self.data}",
        "--appendonly",
        "yes",
        "--daemonize",
        "no",
    ]);
    let first = [
        "--replicaof".to_owned(),
        format!("${{{name}:1.address}}"),
        format!("${{{name}:1.port.client}}"),
    ];
    service.args_of_others = first.iter().map(|it| template(it)).collect();
    service.ports = auto(&["client"]);
    // With QUIT it closes the connection, which ends the reply of an instance that is no master.
    service.leader = Some(probe(exchange("ROLE\r\nQUIT\r\n", "master")));
    service.url = Some(template("redis://${self.address}:${self.port.client}"));
    service
}

fn exchange(send: &str, expect: &str) -> ProbeKind {
    ProbeKind::Tcp {
        port: "client".to_owned(),
        exchange: Some(Exchange {
            send: template(send),
            expect: template(expect),
        }),
    }
}
