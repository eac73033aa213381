//! `builtin:proxy`: `steadfast proxy serve` in front of another service, with one port for each of its instances.

use super::{auto, base, http, instances, template, templates};
use crate::scenario::model::{Port, Program, Service};

pub(super) fn service(name: &str, replicas: u32, to: &Service) -> Service {
    let ready = http("api", "/version", None);
    let mut service = base(name, replicas, Program::Steadfast, ready);
    service.args = templates(&[
        "proxy",
        "serve",
        "--host",
        "${self.address}",
        "--port",
        "${self.port.api}",
        "--config",
        "proxies.json",
    ]);
    let proxies: Vec<String> = instances(&to.name, to.replicas)
        .zip(1_u32..)
        .map(|(instance, number)| {
            let port = to.port_names().first().map_or("client", |it| *it).to_owned();
            format!(
                "  {{\"name\": \"${{{instance}.name}}\", \"listen\": \"${{self.address}}:${{self.port.client-{number}}}\", \"upstream\": \"${{{instance}.address}}:${{{instance}.port.{port}}}\", \"enabled\": true}}"
            )
        })
        .collect();
    let configuration = format!("[\n{}\n]\n", proxies.join(",\n"));
    service.files = vec![("proxies.json".to_owned(), template(&configuration))];
    service.ports = auto(&["api"]);
    let clients = (1..=to.replicas).map(|number| (format!("client-{number}"), Port::Auto));
    service.ports.extend(clients);
    service.forwards_to = Some(to.name.clone());
    service.url = to.url.as_ref().map(|url| {
        let text = url.to_string();
        let first = to.port_names().first().map(|it| format!("port.{it}"));
        template(&text.replace(&first.unwrap_or_default(), "port.client-1"))
    });
    service
}
