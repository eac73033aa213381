//! `builtin:gateway`: `steadfast serve` as an operator would start it, with a log on disk.

use std::time::Duration;

use super::{auto, base, http, template, templates};
use crate::scenario::model::{Program, Service};

/// The time until a restarted gateway is ready is a measurement, so it is polled often.
const EVERY: Duration = Duration::from_millis(5);

/// With segments of 1 MiB, the log starts new segments several times in a run; with the default size it never would.
/// Clients in other network namespaces do not count as programs of the same machine.
const CONFIGURATION: &str = "[client]
anonymous = \"all\"

[server]
address = \"${self.listen}\"
port = ${self.port.client}
shards = 1

[store]
directory = \"data\"
segment_bytes = \"1MiB\"
";

pub(super) fn service(name: &str, replicas: u32) -> Service {
    let mut service = base(
        name,
        replicas,
        Program::Gateway,
        http("client", "/readyz", None),
    );
    service.args = templates(&["serve", "--config", "steadfast.toml"]);
    service.files = vec![("steadfast.toml".to_owned(), template(CONFIGURATION))];
    service.ports = auto(&["client"]);
    service.ready.every = EVERY;
    service.url = Some(template(
        "ws://${self.address}:${self.port.client}/connection/websocket",
    ));
    service
}
