//! `builtin:truenas`: `steadfast lab emulate truenas`, with an effect log of the datasets that clients create.

use super::{auto, base, http, template, templates};
use crate::scenario::model::{Program, Service};

pub(super) fn service(name: &str, replicas: u32) -> Service {
    let ready = http("client", "/api/versions", None);
    let mut service = base(name, replicas, Program::Steadfast, ready);
    service.args = templates(&[
        "lab",
        "emulate",
        "truenas",
        "--listen",
        "${self.listen}:${self.port.client}",
        "--effects",
        "${self.data}/effects.jsonl",
    ]);
    service.ports = auto(&["client"]);
    service.effects = Some(template("${self.data}/effects.jsonl"));
    service.url = Some(template(
        "ws://${self.address}:${self.port.client}/api/current",
    ));
    service
}
