//! Reads `ready` and `leader`.

use std::time::Duration;

use steadfast_toml::FileError;

use crate::scenario::builtin;
use crate::scenario::model::{Exchange, Port, Probe, ProbeKind};
use crate::scenario::table::Table;

/// The keys that select what is asked; exactly one is required.
const KINDS: [&str; 5] = ["http", "tcp", "grpc", "log", "exec"];

const EXAMPLE: &str = "for example { http = \"/ready\" }, { tcp = \"PORT\" }, { grpc = \"PORT\" }, { log = \"text\" } or { exec = [\"program\"] }";

/// The longest name of a gRPC service: its length is one byte in the request.
const GRPC_SERVICE_MAX: usize = 100;
const EVERY_MIN: Duration = Duration::from_millis(5);
const TIME_MAX: Duration = Duration::from_mins(1);

/// The probe under this key.
pub(super) fn probe(
    service: &Table<'_>,
    key: &str,
    ports: &[(String, Port)],
) -> Result<Option<Probe>, FileError> {
    let Some(table) = service.table(key)? else {
        return Ok(None);
    };
    let kinds: Vec<&str> = KINDS.into_iter().filter(|it| table.has(it)).collect();
    let [kind] = kinds.as_slice() else {
        let message = format!("`{key}` needs exactly one of {}", KINDS.join(", "));
        return Err(service.error(key, message, Some(EXAMPLE.to_owned())));
    };
    let kind = match *kind {
        "http" => http(&table, ports)?,
        "tcp" => tcp(&table)?,
        "grpc" => grpc(&table)?,
        "log" => {
            table.allow(&["log", "every", "timeout"])?;
            ProbeKind::Log {
                text: table.required_template("log", "\"ready to serve\"")?,
            }
        }
        _ => exec(&table)?,
    };
    Ok(Some(Probe {
        kind,
        every: time(&table, "every", EVERY_MIN)?.unwrap_or(builtin::EVERY),
        timeout: time(&table, "timeout", EVERY_MIN)?.unwrap_or(builtin::TIMEOUT),
    }))
}

fn http(table: &Table<'_>, ports: &[(String, Port)]) -> Result<ProbeKind, FileError> {
    table.allow(&["http", "port", "body", "every", "timeout"])?;
    let path = table.required_template("http", "\"/ready\"")?;
    if !path.to_string().starts_with('/') {
        let message = "must be a path that begins with `/`".to_owned();
        return Err(table.error("http", message, None));
    }
    let port = match (table.text("port")?, ports) {
        (Some(port), _) => port,
        (None, [(port, _)]) => port.clone(),
        (None, []) => {
            let help = "write ports = { NAME = \"auto\" } in the service";
            let message = "the service has no ports".to_owned();
            return Err(table.error("http", message, Some(help.to_owned())));
        }
        (None, several) => {
            let names: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
            let message = "the service has several ports".to_owned();
            let help = format!("write port = and one of {}", names.join(", "));
            return Err(table.error("http", message, Some(help)));
        }
    };
    Ok(ProbeKind::Http {
        port,
        path,
        body: table.filled_template("body", "\"ok\"")?,
    })
}

fn tcp(table: &Table<'_>) -> Result<ProbeKind, FileError> {
    table.allow(&["tcp", "send", "expect", "every", "timeout"])?;
    let port = table.required("tcp", table.text("tcp")?)?;
    let send = table.filled_template("send", "\"PING\\r\\n\"")?;
    let expect = table.filled_template("expect", "\"PONG\"")?;
    let exchange = match (send, expect) {
        (None, None) => None,
        (send, Some(expect)) => Some(Exchange {
            send: send.unwrap_or_default(),
            expect,
        }),
        (Some(_), None) => {
            let message = "`send` needs `expect`: what must the reply contain?".to_owned();
            return Err(table.error("send", message, None));
        }
    };
    Ok(ProbeKind::Tcp { port, exchange })
}

fn grpc(table: &Table<'_>) -> Result<ProbeKind, FileError> {
    table.allow(&["grpc", "service", "every", "timeout"])?;
    let service = table.text("service")?.unwrap_or_default();
    if service.len() > GRPC_SERVICE_MAX {
        let message = format!("must have at most {GRPC_SERVICE_MAX} bytes");
        return Err(table.error("service", message, None));
    }
    Ok(ProbeKind::Grpc {
        port: table.required("grpc", table.text("grpc")?)?,
        service,
    })
}

fn exec(table: &Table<'_>) -> Result<ProbeKind, FileError> {
    table.allow(&["exec", "every", "timeout"])?;
    let command = table.required("exec", table.templates("exec")?)?;
    let program = command.first().map(ToString::to_string);
    if program.is_none_or(|program| program.is_empty()) {
        let message = "at least the program is required".to_owned();
        let help = "write for example exec = [\"PROGRAM\", \"ARGUMENT\"]";
        return Err(table.error("exec", message, Some(help.to_owned())));
    }
    Ok(ProbeKind::Exec { command })
}

fn time(table: &Table<'_>, key: &str, min: Duration) -> Result<Option<Duration>, FileError> {
    let found = table.duration(key)?;
    if found.is_none_or(|it| (min..=TIME_MAX).contains(&it)) {
        return Ok(found);
    }
    let message = format!("must be from {min:?} to {TIME_MAX:?}");
    Err(table.error(key, message, None))
}
