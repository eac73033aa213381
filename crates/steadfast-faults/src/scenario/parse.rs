//! From the text of a scenario's file to the model, or to an error that names file, line, column and key.
//!
//! Every key is read here once; keys that do not exist are refused with the nearest name that does. What must fit
//! together across tables is said by [`super::check`].

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use toml::de::DeTable;

use crate::roster::ClientKind;
use crate::scenario::check;
use crate::scenario::expr::Expression;
use crate::scenario::model::{
    Action, Check, Control, Driver, Level, Load, NoData, Program, Publishing, Run, Scenario,
    Service, Step, When,
};
use crate::scenario::params::{Choice, Params};
use crate::scenario::problem::{ScenarioError, Source};
use crate::scenario::select::Selector;
use crate::scenario::table::{File, Table};

/// The largest file that is read; a scenario is a page of text.
pub const TEXT_LEN_MAX: usize = 1 << 20;

/// The one format.
const SCHEMA: &str = "lab/1";

const TOP: [&str; 11] = [
    "schema", "name", "about", "seed", "params", "profile", "service", "load", "run", "step",
    "check",
];
const SERVICE: [&str; 2] = ["use", "replicas"];
const LOAD: [&str; 8] = [
    "driver", "kinds", "clients", "to", "send", "queue", "ordered", "min_rate",
];
const SEND: [&str; 4] = ["every", "jitter", "size", "rooms"];
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

/// Instances of one service: each is a process with a log on disk.
const REPLICAS: RangeInclusive<u32> = 1..=16;
/// Clients of one load.
const CLIENTS: RangeInclusive<u32> = 1..=1000;
/// Rooms of one instance.
const ROOMS: RangeInclusive<u32> = 1..=100;
/// Payloads carry who published them, and which publication it is.
const PAYLOAD_BYTES: RangeInclusive<u32> = 64..=16_384;
/// Publications that one client keeps.
const QUEUE: RangeInclusive<u32> = 1..=100_000;
/// Occurrences of one step.
const COUNT: RangeInclusive<u32> = 1..=10_000;

const BASELINE: Duration = Duration::from_secs(5);
const QUIET: Duration = Duration::from_secs(10);
const DRAIN: Duration = Duration::from_secs(5);
/// What a client of the fast profile may take to notice a silent peer; nobody should call less a stall.
const STALL: Duration = Duration::from_secs(5);
const READY_TIMEOUT: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_secs(1);
const PAYLOAD_BYTES_TYPICAL: u32 = 128;
const QUEUE_TYPICAL: u32 = 1000;
const MIN_RATE_PERCENT: u32 = 80;

impl Scenario {
    /// Reads the text of a file; `file` is named in errors, and its stem must be the scenario's name.
    ///
    /// # Errors
    ///
    /// When it is no TOML, has a key or value that does not exist, or asks for what cannot be.
    pub fn parse(file: &str, text: &str, choice: &Choice) -> Result<Self, ScenarioError> {
        if text.len() > TEXT_LEN_MAX {
            let message = format!("{file} has {} bytes, at most {TEXT_LEN_MAX}", text.len());
            return Err(ScenarioError::placeless("", message, None));
        }
        let source = Source { file, text };
        let root = DeTable::parse(text).map_err(|error| {
            // The parser's text may go on with hints on further lines; the first one says what is wrong.
            let message = error.message().lines().next().unwrap_or("not valid");
            source.refuse("", message.to_owned(), None, error.span().unwrap_or(0..0))
        })?;
        let root = root.get_ref();
        let params = Params::read(root, source, choice)?;
        let file = File { source, params };
        let scenario = scenario(&Table::root(&file, root))?;
        match check::misfit(&scenario) {
            None => Ok(scenario),
            Some(misfit) => Err(misfit.locate(root, source)),
        }
    }
}

fn scenario(top: &Table<'_>) -> Result<Scenario, ScenarioError> {
    top.allow(&TOP)?;
    let schema = top.required("schema", top.text("schema")?)?;
    if schema != SCHEMA {
        let help = Some(format!("this program reads `{SCHEMA}`"));
        return Err(top.wrong("schema", format!("unknown format `{schema}`"), help));
    }
    let run = top.required("run", top.table("run")?)?;
    let services = top.named("service")?;
    let loads = top.named("load")?;
    let steps = top.list("step")?.into_iter().zip(1_usize..);
    let checks = top.list("check")?.into_iter().zip(1_usize..);
    Ok(Scenario {
        name: name(top)?,
        about: top.text("about")?.unwrap_or_default(),
        seed: top.number("seed")?,
        services: services
            .into_iter()
            .map(service)
            .collect::<Result<_, _>>()?,
        loads: loads.into_iter().map(load).collect::<Result<_, _>>()?,
        run: time_line(&run)?,
        steps: steps.map(step).collect::<Result<_, _>>()?,
        checks: checks.map(stated).collect::<Result<_, _>>()?,
    })
}

fn name(top: &Table<'_>) -> Result<String, ScenarioError> {
    let name = top.required("name", top.text("name")?)?;
    let stem = Path::new(top.file_name()).file_stem();
    let stem = stem.map(|stem| stem.to_string_lossy().into_owned());
    match stem.filter(|stem| *stem != name) {
        None => Ok(name),
        Some(stem) => {
            let message = format!("the name is `{name}` and the file is called `{stem}`");
            let help = Some(format!("write name = \"{stem}\""));
            Err(top.wrong("name", message, help))
        }
    }
}

fn service((name, table): (String, Table<'_>)) -> Result<Service, ScenarioError> {
    table.allow(&SERVICE)?;
    let program = table.one_of("use", &[("builtin:gateway", Program::Gateway)])?;
    Ok(Service {
        name,
        program: table.required("use", program)?,
        replicas: table.count("replicas", REPLICAS)?.unwrap_or(1),
    })
}

fn load((name, table): (String, Table<'_>)) -> Result<Load, ScenarioError> {
    table.allow(&LOAD)?;
    let driver = table.one_of("driver", &[("gateway-chat", Driver::GatewayChat)])?;
    let send = table.table("send")?;
    let queue_len_max = table.count("queue", QUEUE)?.unwrap_or(QUEUE_TYPICAL);
    Ok(Load {
        name,
        driver: table.required("driver", driver)?,
        kinds: kinds(&table)?,
        clients: table.count("clients", CLIENTS)?.unwrap_or(1),
        to: table.required("to", table.text("to")?)?,
        send: publishing(send.as_ref(), queue_len_max)?,
        ordered: table.flag("ordered")?.unwrap_or(false),
        min_rate_percent: table.percent("min_rate")?.unwrap_or(MIN_RATE_PERCENT),
    })
}

fn kinds(table: &Table<'_>) -> Result<Vec<ClientKind>, ScenarioError> {
    let Some(names) = table.texts("kinds")? else {
        return Ok(vec![ClientKind::Steadfast]);
    };
    let known = ClientKind::ALL.map(|kind| (kind.name(), kind));
    let mut kinds = Vec::new();
    for name in names {
        let kind = ClientKind::from_name(&name);
        let kind = kind.ok_or_else(|| table.unknown("kinds", &name, &known))?;
        if kinds.contains(&kind) {
            return Err(table.wrong("kinds", format!("`{name}` stands there twice"), None));
        }
        kinds.push(kind);
    }
    if kinds.is_empty() {
        return Err(table.wrong("kinds", "at least one kind is needed".to_owned(), None));
    }
    Ok(kinds)
}

fn publishing(table: Option<&Table<'_>>, queue_len_max: u32) -> Result<Publishing, ScenarioError> {
    let mut send = Publishing {
        every: EVERY,
        jitter_percent: 0,
        payload_bytes: PAYLOAD_BYTES_TYPICAL,
        rooms: 1,
        queue_len_max,
    };
    let Some(table) = table else { return Ok(send) };
    table.allow(&SEND)?;
    send.every = table.duration("every")?.unwrap_or(EVERY);
    if send.every < Duration::from_millis(1) {
        return Err(table.wrong("every", "must be at least 1ms".to_owned(), None));
    }
    send.jitter_percent = table.percent("jitter")?.unwrap_or(0);
    if send.jitter_percent > 50 {
        let message = "must be at most 50%, so that publications keep their order".to_owned();
        return Err(table.wrong("jitter", message, None));
    }
    let payload = table.count("size", PAYLOAD_BYTES)?;
    send.payload_bytes = payload.unwrap_or(PAYLOAD_BYTES_TYPICAL);
    send.rooms = table.count("rooms", ROOMS)?.unwrap_or(1);
    Ok(send)
}

fn time_line(table: &Table<'_>) -> Result<Run, ScenarioError> {
    table.allow(&RUN)?;
    let control = table.one_of(
        "control",
        &[("before", Control::Before), ("off", Control::Off)],
    )?;
    Ok(Run {
        baseline: bounded(table, "baseline")?.unwrap_or(BASELINE),
        duration: table.required("duration", bounded(table, "duration")?)?,
        quiet: bounded(table, "quiet")?.unwrap_or(QUIET),
        drain: bounded(table, "drain")?.unwrap_or(DRAIN),
        control: control.unwrap_or(Control::Before),
        stall: bounded(table, "stall")?.unwrap_or(STALL),
        ready_timeout: bounded(table, "ready_timeout")?.unwrap_or(READY_TIMEOUT),
    })
}

/// A part of the time line: long enough to see something, and no longer than a day.
fn bounded(table: &Table<'_>, key: &str) -> Result<Option<Duration>, ScenarioError> {
    const SHORTEST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_hours(24);
    let found = table.duration(key)?;
    match found.filter(|it| !(SHORTEST..=LONGEST).contains(it)) {
        None => Ok(found),
        Some(_) => Err(table.wrong(key, "must be from 100ms to 24h".to_owned(), None)),
    }
}

fn step((table, number): (Table<'_>, usize)) -> Result<Step, ScenarioError> {
    table.allow(&STEP)?;
    let on = table.required("on", table.text("on")?)?;
    let on = Selector::parse(&on).ok_or_else(|| {
        let help = "for example gateway, gateway:2, gateway:not-1, gateway:random, gateway:last";
        table.wrong(
            "on",
            format!("`{on}` selects nothing"),
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

fn when(table: &Table<'_>) -> Result<When, ScenarioError> {
    let (at, period) = (table.duration("at")?, table.duration("every")?);
    let count = table.count("count", COUNT)?;
    match (at, period) {
        (Some(at), None) if count.is_none() => Ok(When::At(at)),
        (Some(_), None) => Err(table.wrong("count", "goes with `every` only".to_owned(), None)),
        (None, Some(period)) if period.is_zero() => {
            Err(table.wrong("every", "must be more than 0".to_owned(), None))
        }
        (None, Some(period)) => Ok(When::Every { period, count }),
        (Some(_), Some(_)) => {
            let message = "`at` and `every` exclude each other".to_owned();
            Err(table.wrong("every", message, None))
        }
        (None, None) => {
            let message = format!("`{}` says neither `at` nor `every`", table.key());
            Err(table.wrong("at", message, None))
        }
    }
}

fn action(table: &Table<'_>) -> Result<Action, ScenarioError> {
    let known = [
        (Action::Kill.name(), Action::Kill),
        ("proc.term", Action::Term { grace: GRACE }),
        (Action::Pause.name(), Action::Pause),
    ];
    let action = table.required("do", table.one_of("do", &known)?)?;
    let Some(with) = table.table("with")? else {
        return Ok(action);
    };
    match action {
        Action::Term { grace } => {
            with.allow(&["grace"])?;
            let grace = with.duration("grace")?.unwrap_or(grace);
            Ok(Action::Term { grace })
        }
        Action::Kill | Action::Pause => {
            let message = format!("`{}` takes nothing", action.name());
            Err(table.wrong("with", message, None))
        }
    }
}

/// A process that was ended is started again by `then.start_after`; one that was stopped runs on after `for`.
fn heal_after(table: &Table<'_>, action: Action) -> Result<Option<Duration>, ScenarioError> {
    let (fits, other) = if action.ends_process() {
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
        let message = format!("`{other}` does not go with `{}`", action.name());
        return Err(table.wrong(other, message, Some(help.to_owned())));
    }
    if fits == "for" {
        return table.duration("for");
    }
    let Some(then) = table.table("then")? else {
        return Ok(None);
    };
    then.allow(&["start_after"])?;
    then.duration("start_after")
}

fn stated((table, number): (Table<'_>, usize)) -> Result<Check, ScenarioError> {
    table.allow(&CHECK)?;
    let that = table.required("that", table.text("that")?)?;
    let that =
        Expression::parse(&that).map_err(|error| table.wrong("that", error.message, error.help))?;
    let level = table.one_of(
        "level",
        &[
            ("must", Level::Must),
            ("should", Level::Should),
            ("info", Level::Info),
        ],
    )?;
    let no_data = table.one_of(
        "no_data",
        &[
            ("unknown", NoData::Unknown),
            ("fail", NoData::Fail),
            ("pass", NoData::Pass),
        ],
    )?;
    Ok(Check {
        id: table
            .text("id")?
            .unwrap_or_else(|| format!("check-{number}")),
        that,
        level: level.unwrap_or(Level::Must),
        no_data: no_data.unwrap_or(NoData::Unknown),
    })
}
