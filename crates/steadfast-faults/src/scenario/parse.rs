//! Parses the text of a scenario file into the model, or returns an error with file, line, column and key.
//!
//! Every key is read here once; unknown keys are rejected, and the nearest known key is suggested.
//! [`super::validation`] checks conditions that span several tables.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use steadfast_toml::{FileError, Source};

use crate::scenario::expr::Expression;
use crate::scenario::model::{
    Check, CheckLevel, ControlRun, FaultAction, Load, LoadDriver, NoData, Program, Publishing,
    RunSettings, Scenario, Service, Step, StepSchedule,
};
use crate::scenario::params::{Params, ScenarioOptions};
use crate::scenario::select::InstanceSelector;
use crate::scenario::table::{File, Table};
use crate::scenario::validation;
use crate::topology::ClientKind;

/// The largest file that is read; a scenario is a page of text.
pub const TEXT_LEN_MAX: usize = 1 << 20;

/// The only supported format.
const SCHEMA: &str = "lab/1";

const ROOT: [&str; 11] = [
    "schema", "name", "about", "seed", "params", "profile", "service", "load", "run", "step",
    "check",
];
const SERVICE: [&str; 2] = ["use", "replicas"];
const LOAD: [&str; 8] = [
    "driver", "kinds", "clients", "to", "send", "queue", "ordered", "min_rate",
];
const SEND: [&str; 4] = ["every", "jitter", "size", "channels"];
const RUN: [&str; 7] = [
    "baseline",
    "duration",
    "quiet",
    "drain",
    "control",
    "stall",
    "ready_timeout",
];
const STEP: [&str; 10] = [
    "id", "at", "every", "count", "jitter", "do", "on", "for", "with", "then",
];
const CHECK: [&str; 4] = ["id", "that", "level", "no_data"];

/// Instances of one service; each is a process with a log on disk.
const REPLICAS: RangeInclusive<u32> = 1..=16;
/// Clients of one load.
const CLIENTS: RangeInclusive<u32> = 1..=1000;
/// Channels of one instance.
const CHANNELS: RangeInclusive<u32> = 1..=100;
/// The payload size in bytes; a payload contains its publisher and its sequence.
const PAYLOAD_BYTES: RangeInclusive<u32> = 64..=16_384;
/// Unacknowledged publications of one client.
const QUEUE: RangeInclusive<u32> = 1..=100_000;
/// Occurrences of one step.
const COUNT: RangeInclusive<u32> = 1..=10_000;

const BASELINE: Duration = Duration::from_secs(5);
const QUIET: Duration = Duration::from_secs(10);
const DRAIN: Duration = Duration::from_secs(5);
/// The default stall limit: how soon a client with `LIVENESS_FAST` detects an unresponsive peer.
const STALL: Duration = Duration::from_secs(5);
const READY_TIMEOUT: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_secs(1);
const PAYLOAD_BYTES_DEFAULT: u32 = 128;
const QUEUE_DEFAULT: u32 = 1000;
const MIN_RATE_PERCENT: u32 = 80;

impl Scenario {
    /// Parses the text of a file. Errors name `file`, and its stem must be the scenario's name.
    ///
    /// # Errors
    ///
    /// When the text is not valid TOML, a key is unknown, or a value is invalid.
    pub fn parse(file: &str, text: &str, options: &ScenarioOptions) -> Result<Self, FileError> {
        if text.len() > TEXT_LEN_MAX {
            let message = format!(
                "{file} has {} bytes; the maximum is {TEXT_LEN_MAX}",
                text.len()
            );
            return Err(FileError::without_location("", message, None));
        }
        let source = Source { file, text };
        let root = source.table()?;
        let root = root.get_ref();
        let params = Params::read(root, source, options)?;
        let file = File { source, params };
        let scenario = scenario(&Table::root(&file, root), &file.params)?;
        match validation::validate(&scenario) {
            None => Ok(scenario),
            Some(error) => Err(error.locate(root, source)),
        }
    }
}

fn scenario(root: &Table<'_>, params: &Params) -> Result<Scenario, FileError> {
    root.allow(&ROOT)?;
    let schema = root.required("schema", root.text("schema")?)?;
    if schema != SCHEMA {
        let help = Some(format!("supported: `{SCHEMA}`"));
        return Err(root.error("schema", format!("unsupported schema `{schema}`"), help));
    }
    let run = root.required("run", root.table("run")?)?;
    let services = root.named("service")?;
    let loads = root.named("load")?;
    let steps = root.list("step")?.into_iter().zip(1_usize..);
    let checks = root.list("check")?.into_iter().zip(1_usize..);
    Ok(Scenario {
        name: name(root)?,
        about: about(root, params)?,
        params: params.texts(),
        seed: root.number("seed")?,
        services: services
            .into_iter()
            .map(service)
            .collect::<Result<_, _>>()?,
        loads: loads.into_iter().map(load).collect::<Result<_, _>>()?,
        run: run_settings(&run)?,
        steps: steps.map(step).collect::<Result<_, _>>()?,
        checks: checks.map(check).collect::<Result<_, _>>()?,
    })
}

fn name(root: &Table<'_>) -> Result<String, FileError> {
    let name = root.required("name", root.text("name")?)?;
    let stem = Path::new(root.file_name()).file_stem();
    let stem = stem.map(|stem| stem.to_string_lossy().into_owned());
    match stem.filter(|stem| *stem != name) {
        None => Ok(name),
        Some(stem) => {
            let message = format!("`{name}` does not match the file name `{stem}`");
            let help = Some(format!("write name = \"{stem}\""));
            Err(root.error("name", message, help))
        }
    }
}

/// The sentence of the last selected profile that has one, otherwise that of the file.
fn about(root: &Table<'_>, params: &Params) -> Result<String, FileError> {
    match params.about() {
        Some(about) => root.substituted("about", about),
        None => Ok(root.text("about")?.unwrap_or_default()),
    }
}

fn service((name, table): (String, Table<'_>)) -> Result<Service, FileError> {
    table.allow(&SERVICE)?;
    let program = table.one_of("use", &[("builtin:gateway", Program::Gateway)])?;
    Ok(Service {
        name,
        program: table.required("use", program)?,
        replicas: table.count("replicas", REPLICAS)?.unwrap_or(1),
    })
}

fn load((name, table): (String, Table<'_>)) -> Result<Load, FileError> {
    table.allow(&LOAD)?;
    let driver = table.one_of("driver", &[("gateway-chat", LoadDriver::GatewayChat)])?;
    let send = table.table("send")?;
    let queue_len_max = table.count("queue", QUEUE)?.unwrap_or(QUEUE_DEFAULT);
    Ok(Load {
        name,
        driver: table.required("driver", driver)?,
        kinds: kinds(&table)?,
        clients: table.count("clients", CLIENTS)?.unwrap_or(1),
        to: table.required("to", table.text("to")?)?,
        send: publishing(send.as_ref(), queue_len_max)?,
        is_ordered: table.flag("ordered")?.unwrap_or(false),
        min_rate_percent: table.percent("min_rate")?.unwrap_or(MIN_RATE_PERCENT),
    })
}

fn kinds(table: &Table<'_>) -> Result<Vec<ClientKind>, FileError> {
    let Some(names) = table.names("kinds")? else {
        return Ok(vec![ClientKind::Steadfast]);
    };
    let known = ClientKind::ALL.map(|kind| (kind.name(), kind));
    let mut kinds = Vec::new();
    for name in names {
        let kind = ClientKind::from_name(&name);
        let kind = kind.ok_or_else(|| table.unknown("kinds", &name, &known))?;
        if kinds.contains(&kind) {
            return Err(table.error("kinds", format!("duplicate kind `{name}`"), None));
        }
        kinds.push(kind);
    }
    if kinds.is_empty() {
        return Err(table.error("kinds", "at least one kind is required".to_owned(), None));
    }
    Ok(kinds)
}

fn publishing(table: Option<&Table<'_>>, queue_len_max: u32) -> Result<Publishing, FileError> {
    let mut send = Publishing {
        every: EVERY,
        jitter_percent: 0,
        payload_bytes: PAYLOAD_BYTES_DEFAULT,
        channels: 1,
        queue_len_max,
    };
    let Some(table) = table else { return Ok(send) };
    table.allow(&SEND)?;
    send.every = table.duration("every")?.unwrap_or(EVERY);
    if send.every < Duration::from_millis(1) {
        return Err(table.error("every", "must be at least 1ms".to_owned(), None));
    }
    send.jitter_percent = table.percent("jitter")?.unwrap_or(0);
    if send.jitter_percent > 50 {
        let message = "must be at most 50%, so that publications keep their order".to_owned();
        return Err(table.error("jitter", message, None));
    }
    let payload = table.count("size", PAYLOAD_BYTES)?;
    send.payload_bytes = payload.unwrap_or(PAYLOAD_BYTES_DEFAULT);
    send.channels = table.count("channels", CHANNELS)?.unwrap_or(1);
    Ok(send)
}

fn run_settings(table: &Table<'_>) -> Result<RunSettings, FileError> {
    table.allow(&RUN)?;
    let control = table.one_of(
        "control",
        &[("before", ControlRun::Before), ("off", ControlRun::Off)],
    )?;
    Ok(RunSettings {
        baseline: bounded(table, "baseline")?.unwrap_or(BASELINE),
        duration: table.required("duration", bounded(table, "duration")?)?,
        quiet: bounded(table, "quiet")?.unwrap_or(QUIET),
        drain: bounded(table, "drain")?.unwrap_or(DRAIN),
        control: control.unwrap_or(ControlRun::Before),
        stall: bounded(table, "stall")?.unwrap_or(STALL),
        ready_timeout: bounded(table, "ready_timeout")?.unwrap_or(READY_TIMEOUT),
    })
}

/// The duration of a phase or a time limit, from 100 ms to 24 hours.
fn bounded(table: &Table<'_>, key: &str) -> Result<Option<Duration>, FileError> {
    const SHORTEST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_hours(24);
    let found = table.duration(key)?;
    match found.filter(|it| !(SHORTEST..=LONGEST).contains(it)) {
        None => Ok(found),
        Some(_) => Err(table.error(key, "must be from 100ms to 24h".to_owned(), None)),
    }
}

fn step((table, number): (Table<'_>, usize)) -> Result<Step, FileError> {
    table.allow(&STEP)?;
    let on = table.required("on", table.text("on")?)?;
    let on = InstanceSelector::parse(&on).ok_or_else(|| {
        let help = "for example gateway, gateway:2, gateway:not-1, gateway:random, gateway:last";
        table.error(
            "on",
            format!("invalid selector `{on}`"),
            Some(help.to_owned()),
        )
    })?;
    let action = action(&table)?;
    Ok(Step {
        id: table
            .text("id")?
            .unwrap_or_else(|| format!("step-{number}")),
        when: when(&table)?,
        jitter: table.duration("jitter")?.unwrap_or(Duration::ZERO),
        action,
        on,
        heal_after: heal_after(&table, action)?,
    })
}

fn when(table: &Table<'_>) -> Result<StepSchedule, FileError> {
    let (at, period) = (table.duration("at")?, table.duration("every")?);
    let count = table.count("count", COUNT)?;
    match (at, period) {
        (Some(at), None) if count.is_none() => Ok(StepSchedule::At(at)),
        (Some(_), None) => Err(table.error("count", "requires `every`".to_owned(), None)),
        (None, Some(period)) if period.is_zero() => {
            Err(table.error("every", "must be above 0".to_owned(), None))
        }
        (None, Some(period)) => Ok(StepSchedule::Every { period, count }),
        (Some(_), Some(_)) => {
            let message = "`at` and `every` are mutually exclusive".to_owned();
            Err(table.error("every", message, None))
        }
        (None, None) => {
            let message = format!("`{}` needs `at` or `every`", table.key());
            Err(table.error("at", message, None))
        }
    }
}

fn action(table: &Table<'_>) -> Result<FaultAction, FileError> {
    let known = [
        (FaultAction::Kill.name(), FaultAction::Kill),
        ("proc.term", FaultAction::Term { grace: GRACE }),
        (FaultAction::Pause.name(), FaultAction::Pause),
    ];
    let action = table.required("do", table.one_of("do", &known)?)?;
    let Some(with) = table.table("with")? else {
        return Ok(action);
    };
    match action {
        FaultAction::Term { grace } => {
            with.allow(&["grace"])?;
            let grace = with.duration("grace")?.unwrap_or(grace);
            Ok(FaultAction::Term { grace })
        }
        FaultAction::Kill | FaultAction::Pause => {
            let message = format!("`{}` has no options", action.name());
            Err(table.error("with", message, None))
        }
    }
}

/// An exited process is restarted after `then.start_after`; a suspended one is resumed after `for`.
fn heal_after(table: &Table<'_>, action: FaultAction) -> Result<Option<Duration>, FileError> {
    let (supported, other) = if action.ends_process() {
        ("then", "for")
    } else {
        ("for", "then")
    };
    if table.has(other) {
        let help = if action.ends_process() {
            "write then = { start_after = \"1s\" }"
        } else {
            "write for = \"1s\""
        };
        let message = format!("`{other}` is not supported by `{}`", action.name());
        return Err(table.error(other, message, Some(help.to_owned())));
    }
    if supported == "for" {
        return table.duration("for");
    }
    let Some(then) = table.table("then")? else {
        return Ok(None);
    };
    then.allow(&["start_after"])?;
    then.duration("start_after")
}

fn check((table, number): (Table<'_>, usize)) -> Result<Check, FileError> {
    table.allow(&CHECK)?;
    let that = table.required("that", table.text("that")?)?;
    let that =
        Expression::parse(&that).map_err(|error| table.error("that", error.message, error.help))?;
    let level = table.one_of(
        "level",
        &[
            ("must", CheckLevel::Must),
            ("should", CheckLevel::Should),
            ("info", CheckLevel::Info),
        ],
    )?;
    let no_data = table.one_of(
        "no_data",
        &[
            ("unknown", NoData::Unknown),
            ("fail", NoData::Fail),
            ("not-applicable", NoData::NotApplicable),
        ],
    )?;
    Ok(Check {
        id: table
            .text("id")?
            .unwrap_or_else(|| format!("check-{number}")),
        that,
        level: level.unwrap_or(CheckLevel::Must),
        no_data: no_data.unwrap_or(NoData::Unknown),
    })
}
