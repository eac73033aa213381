//! Parses `[service.X]`: a built-in or a program of the scenario's own, then the keys that replace defaults.

mod options;
mod probe;

use std::ops::RangeInclusive;
use std::time::Duration;

use steadfast_toml::{FileError, suggestion};

use crate::scenario::builtin;
use crate::scenario::model::{
    DataDirectory, Network, Port, Probe, ProbeKind, Program, RestartPolicy, Service, StopPolicy,
    StopSignal, WorkingDirectory,
};
use crate::scenario::table::Table;
use crate::scenario::template::Template;
use crate::scenario::units;

const SERVICE: [&str; 17] = [
    "use", "cmd", "args", "env", "files", "options", "replicas", "ports", "data", "ready",
    "leader", "restart", "stop", "network", "effects", "url", "version",
];

/// Values for the help of keys that must not be empty.
const CMD_EXAMPLE: &str = "\"python3\"";
const EFFECTS_EXAMPLE: &str = "\"${self.folder}/effects.log\"";
const URL_EXAMPLE: &str = "\"http://${self.address}:${self.port.NAME}/\"";

/// What the name of an environment variable cannot contain.
pub(super) const ENV_FORBIDDEN: [char; 2] = ['=', '\0'];

/// Instances of one service; each is a process with its own directory.
const REPLICAS: RangeInclusive<u32> = 1..=16;
/// Ports, files, arguments and environment variables of one service.
const ENTRIES_MAX: usize = 64;
/// The shortest time until a service is started again: a service that exits at once must not occupy a processor.
const RESTART_MIN: Duration = Duration::from_millis(100);
/// The longest time to exit, so that the end of a run has a limit.
const GRACE_MAX: Duration = Duration::from_mins(1);

/// The services of a file, in their order. A built-in that forwards to another service is read after that one.
pub(super) fn services(tables: &[(String, Table<'_>)]) -> Result<Vec<Service>, FileError> {
    let mut read: Vec<Option<Service>> = Vec::new();
    for (name, table) in tables {
        read.push(independent(name, table)?);
    }
    // Each pass reads at least one service, or finds an error.
    while read.iter().any(Option::is_none) {
        let mut has_progress = false;
        for ((name, table), index) in tables.iter().zip(0..) {
            if read.get(index).is_some_and(Option::is_some) {
                continue;
            }
            let service = forwarder(name, table, tables, &read)?;
            has_progress |= service.is_some();
            if let Some(place) = read.get_mut(index) {
                *place = service;
            }
        }
        let unread = tables.iter().zip(&read).find(|(_, it)| it.is_none());
        if let (false, Some(((name, table), _))) = (has_progress, unread) {
            let message = format!("`{name}` forwards to itself, directly or through others");
            return Err(table.error("options", message, None));
        }
    }
    Ok(read.into_iter().flatten().collect())
}

/// A service that can be read alone; `None` for one that forwards to another service.
fn independent(name: &str, table: &Table<'_>) -> Result<Option<Service>, FileError> {
    table.allow(&SERVICE)?;
    let replicas = table.count("replicas", REPLICAS)?.unwrap_or(1);
    let cmd = table.filled_template("cmd", CMD_EXAMPLE)?;
    let Some(used) = used(table)? else {
        let Some(cmd) = cmd else {
            let message = "a service needs `use` or `cmd`".to_owned();
            let help = "write use = \"builtin:gateway\", or cmd = \"PROGRAM\" and `args`";
            return Err(table.error("cmd", message, Some(help.to_owned())));
        };
        return own(name, replicas, cmd, table).map(Some);
    };
    if used == builtin::HAPROXY || used == builtin::PROXY {
        return Ok(None);
    }
    options::none(table)?;
    let known = builtin::INDEPENDENT.iter().find(|(it, _)| *it == used);
    let service = known.map(|(_, service)| service(name, replicas));
    service.map(|it| adjusted(it, table)).transpose()
}

/// The name of the built-in, if there is one.
fn used(table: &Table<'_>) -> Result<Option<&'static str>, FileError> {
    let independent = builtin::INDEPENDENT.map(|(name, _)| (name, name));
    let [gateway, etcd, nats, redis, truenas] = independent;
    let known = [
        gateway,
        (builtin::PROXY, builtin::PROXY),
        etcd,
        nats,
        redis,
        truenas,
        (builtin::HAPROXY, builtin::HAPROXY),
    ];
    table.one_of("use", &known)
}

/// A service that forwards to another one; `None` while that one is not read yet.
fn forwarder(
    name: &str,
    table: &Table<'_>,
    tables: &[(String, Table<'_>)],
    read: &[Option<Service>],
) -> Result<Option<Service>, FileError> {
    let replicas = table.count("replicas", REPLICAS)?.unwrap_or(1);
    let Some(options) = table.table("options")? else {
        let message = "missing key `options`".to_owned();
        let help = "write options = { to = \"SERVICE\" }";
        return Err(table.error("options", message, Some(help.to_owned())));
    };
    let to = options.required("to", options.text("to")?)?;
    if tables.iter().all(|(name, _)| *name != to) {
        let names: Vec<&str> = tables.iter().map(|(it, _)| it.as_str()).collect();
        let message = format!("service `{to}` not found");
        return Err(options.error("to", message, Some(suggestion::help(&to, &names))));
    }
    let Some(to) = read.iter().flatten().find(|it| it.name == to) else {
        return Ok(None);
    };
    let service = if used(table)? == Some(builtin::HAPROXY) {
        builtin::haproxy(name, replicas, &options::haproxy(&options, to)?, to)
    } else {
        options.allow(&["to"])?;
        builtin::proxy(name, replicas, to)
    };
    adjusted(service, table).map(Some)
}

/// A program of the scenario's own.
fn own(name: &str, replicas: u32, cmd: Template, table: &Table<'_>) -> Result<Service, FileError> {
    options::none(table)?;
    let program = Program::Command { cmd, package: None };
    let ports = ports(table)?.unwrap_or_default();
    let ready = match (probe::probe(table, "ready", &ports)?, ports.first()) {
        (Some(ready), _) => ready.kind,
        (None, Some((port, _))) => ProbeKind::Tcp {
            port: port.clone(),
            exchange: None,
        },
        (None, None) => {
            let help = "write ports = { NAME = \"auto\" }, and ${self.port.NAME} in `args`; or ready = { log = \"text\" }";
            let message = "a service without ports needs `ready`".to_owned();
            return Err(table.error("ready", message, Some(help.to_owned())));
        }
    };
    let mut service = builtin::base(name, replicas, program, ready);
    service.directory = WorkingDirectory::Lab;
    adjusted(service, table)
}

/// The service with every key of the file in place of its default.
fn adjusted(mut service: Service, table: &Table<'_>) -> Result<Service, FileError> {
    if let (Some(cmd), Program::Command { cmd: own, .. }) = (
        table.filled_template("cmd", CMD_EXAMPLE)?,
        &mut service.program,
    ) {
        *own = cmd;
    } else if table.has("cmd") {
        let message = "this built-in has no `cmd`".to_owned();
        let help = "run another gateway with `--gateway PROGRAM`";
        return Err(table.error("cmd", message, Some(help.to_owned())));
    }
    if table.has("use") {
        // Those of a built-in come first, so that an argument can be added or overridden.
        service
            .args
            .extend(table.templates("args")?.unwrap_or_default());
    } else {
        service.args = table.templates("args")?.unwrap_or_default();
    }
    service.env = named(table, "env")?;
    let files = named(table, "files")?;
    service
        .files
        .retain(|(name, _)| files.iter().all(|(it, _)| it != name));
    service.files.extend(files);
    for (name, port) in ports(table)?.unwrap_or_default() {
        match service.ports.iter_mut().find(|(it, _)| *it == name) {
            Some((_, known)) => *known = port,
            None => service.ports.push((name, port)),
        }
    }
    bounded(table, "args", service.args.len())?;
    let data = [
        ("fresh", DataDirectory::Fresh),
        ("keep", DataDirectory::Keep),
    ];
    service.data = table.one_of("data", &data)?.unwrap_or(service.data);
    service.ready = probe::probe(table, "ready", &service.ports)?.unwrap_or(service.ready);
    let leader: Option<Probe> = probe::probe(table, "leader", &service.ports)?;
    service.leader = leader.or(service.leader);
    service.restart = restart(table)?.unwrap_or(service.restart);
    service.stop = stop(table, service.stop)?;
    let networks = [("host", Network::Host), ("own", Network::Own)];
    service.network = table
        .one_of("network", &networks)?
        .unwrap_or(service.network);
    let effects = table.filled_template("effects", EFFECTS_EXAMPLE)?;
    service.effects = effects.or(service.effects);
    let url = table.filled_template("url", URL_EXAMPLE)?;
    service.url = url.or(service.url);
    service.version = table.text("version")?;
    Ok(service)
}

/// A table of texts by name.
fn named(table: &Table<'_>, key: &str) -> Result<Vec<(String, Template)>, FileError> {
    let Some(entries) = table.table(key)? else {
        return Ok(Vec::new());
    };
    let names = entries.keys();
    bounded(table, key, names.len())?;
    if key == "env" {
        entries.check_keys(&ENV_FORBIDDEN)?;
    }
    let texts = names.into_iter().map(|name| {
        let is_path = name.contains('/') || name.starts_with('.') || name.is_empty();
        if key == "files" && is_path {
            let message = format!("`{name}` must be a file name without a directory");
            return Err(entries.error(&name, message, None));
        }
        let text = entries.required(&name, entries.template(&name)?)?;
        Ok((name, text))
    });
    texts.collect()
}

fn ports(table: &Table<'_>) -> Result<Option<Vec<(String, Port)>>, FileError> {
    let Some(entries) = table.table("ports")? else {
        return Ok(None);
    };
    let names = entries.keys();
    bounded(table, "ports", names.len())?;
    entries.check_keys(&[])?;
    let ports = names.into_iter().map(|name| {
        let Some(number) = entries.number_or(&name, "auto")? else {
            return Ok((name, Port::Auto));
        };
        let last = u64::from(u16::MAX - 16);
        let port = u16::try_from(number)
            .ok()
            .filter(|_| (1..=last).contains(&number));
        let port = port.ok_or_else(|| {
            let message = format!("must be 1 to {last}, found {number}");
            let help = "each further instance uses the next port";
            entries.error(&name, message, Some(help.to_owned()))
        })?;
        Ok((name, Port::Number(port)))
    });
    ports.collect::<Result<_, _>>().map(Some)
}

fn bounded(table: &Table<'_>, key: &str, len: usize) -> Result<(), FileError> {
    if len <= ENTRIES_MAX {
        return Ok(());
    }
    let message = format!("at most {ENTRIES_MAX} entries, found {len}");
    Err(table.error(key, message, None))
}

/// `never`, or `after:` and a time.
fn restart(table: &Table<'_>) -> Result<Option<RestartPolicy>, FileError> {
    let Some(text) = table.text("restart")? else {
        return Ok(None);
    };
    if text == "never" {
        return Ok(Some(RestartPolicy::Never));
    }
    let after = text.strip_prefix("after:").and_then(units::duration);
    let after = after.ok_or_else(|| {
        let help = "write \"never\" or, for example, \"after:2s\"";
        table.error(
            "restart",
            format!("unknown value `{text}`"),
            Some(help.to_owned()),
        )
    })?;
    if after < RESTART_MIN {
        let message = format!("must be at least {RESTART_MIN:?}");
        return Err(table.error("restart", message, None));
    }
    Ok(Some(RestartPolicy::After(after)))
}

fn stop(table: &Table<'_>, default: StopPolicy) -> Result<StopPolicy, FileError> {
    let Some(stop) = table.table("stop")? else {
        return Ok(default);
    };
    stop.allow(&["signal", "grace"])?;
    let grace = stop.duration("grace")?.unwrap_or(default.grace);
    if grace > GRACE_MAX {
        return Err(stop.error("grace", format!("must be at most {GRACE_MAX:?}"), None));
    }
    Ok(StopPolicy {
        signal: stop
            .one_of("signal", &StopSignal::NAMED)?
            .unwrap_or(default.signal),
        grace,
    })
}
