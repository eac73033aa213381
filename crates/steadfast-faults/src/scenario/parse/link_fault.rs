//! Reads the options of faults of links: `with` of `net.*`, `conn.*` and `proxy.toxic`.

use std::borrow::Cow;
use std::time::Duration;

use steadfast_toml::FileError;

use crate::scenario::model::{Block, BlockMode, BlockState, LinkFault};
use crate::scenario::table::Table;
use crate::toxic::{AttributeValue, Directions, KIND_NAMES, Toxic, ToxicKind};

/// The names of all faults of links.
pub(super) const NAMES: [&str; 7] = [
    "net.block",
    "net.down",
    "net.latency",
    "net.bandwidth",
    "conn.reset",
    "conn.freeze",
    "proxy.toxic",
];

/// `out` is from the load to the service.
const DIRECTIONS: [(&str, Directions); 3] = [
    ("out", Directions::ToServer),
    ("in", Directions::ToClient),
    ("both", Directions::Both),
];

/// Toxiproxy's names of the same directions.
const STREAMS: [(&str, Directions); 3] = [
    ("upstream", Directions::ToServer),
    ("downstream", Directions::ToClient),
    ("both", Directions::Both),
];

/// Ports of one block.
const PORTS_MAX: usize = 16;

/// Reads the fault with this name, which is one of [`NAMES`]; `with` is the table of its options.
pub(super) fn link_fault(step: &Table<'_>, name: &str) -> Result<LinkFault, FileError> {
    let with = step.table("with")?;
    let allow = |known: &[&str]| match &with {
        Some(_) if known.is_empty() => {
            Err(step.error("with", format!("`{name}` has no options"), None))
        }
        Some(with) => with.allow(known),
        None => Ok(()),
    };
    match name {
        "net.block" => {
            allow(&["mode", "dir", "state", "ports"])?;
            block(with.as_ref()).map(LinkFault::Block)
        }
        "net.latency" => {
            allow(&["delay", "jitter", "dir"])?;
            let with = options(step, with, "{ delay = \"100ms\" }")?;
            let delay = with.required("delay", with.duration("delay")?)?;
            let jitter = with.duration("jitter")?.unwrap_or(Duration::ZERO);
            if delay.is_zero() || jitter > delay {
                let message = "must be above 0 and at least `jitter`".to_owned();
                return Err(with.error("delay", message, None));
            }
            Ok(LinkFault::Latency {
                delay,
                jitter,
                directions: directions(Some(&with))?,
            })
        }
        "net.bandwidth" => {
            allow(&["rate", "dir"])?;
            let with = options(step, with, "{ rate = \"256kbit/s\" }")?;
            Ok(LinkFault::Bandwidth {
                bytes_per_second: with.required("rate", with.rate("rate")?)?,
                directions: directions(Some(&with))?,
            })
        }
        "conn.freeze" => {
            allow(&["dir"])?;
            let directions = directions(with.as_ref())?;
            Ok(LinkFault::Freeze { directions })
        }
        "proxy.toxic" => {
            allow(&["type", "stream", "toxicity", "attributes"])?;
            let with = options(step, with, "{ type = \"latency\" }")?;
            toxic(&with).map(LinkFault::Toxic)
        }
        "conn.reset" => allow(&[]).map(|()| LinkFault::Reset),
        _ => allow(&[]).map(|()| LinkFault::Down),
    }
}

/// The table of options of a fault that cannot do without.
fn options<'a>(
    step: &Table<'_>,
    with: Option<Table<'a>>,
    example: &str,
) -> Result<Table<'a>, FileError> {
    with.ok_or_else(|| {
        let help = Some(format!("write with = {example}"));
        step.error("with", "missing key `with`".to_owned(), help)
    })
}

fn directions(with: Option<&Table<'_>>) -> Result<Directions, FileError> {
    let found = with
        .map(|with| with.one_of("dir", &DIRECTIONS))
        .transpose()?;
    Ok(found.flatten().unwrap_or(Directions::Both))
}

fn block(with: Option<&Table<'_>>) -> Result<Block, FileError> {
    let mut block = Block {
        mode: BlockMode::Drop,
        directions: directions(with)?,
        state: BlockState::All,
        ports: Vec::new(),
    };
    let Some(with) = with else { return Ok(block) };
    let modes = [("drop", BlockMode::Drop), ("reject", BlockMode::Reject)];
    block.mode = with.one_of("mode", &modes)?.unwrap_or(block.mode);
    let states = [
        ("all", BlockState::All),
        ("new", BlockState::New),
        ("established", BlockState::Established),
    ];
    block.state = with.one_of("state", &states)?.unwrap_or(block.state);
    // A new connection begins with a packet to the service, so nothing in the other direction is new.
    if block.state == BlockState::New && block.directions != Directions::ToServer {
        let key = if with.has("dir") { "dir" } else { "state" };
        let message = "`state = \"new\"` needs `dir = \"out\"`".to_owned();
        let help = Some("a new connection begins with a packet to the service".to_owned());
        return Err(with.error(key, message, help));
    }
    for port in with.numbers("ports")?.unwrap_or_default() {
        let number = port.parse::<u16>().ok().filter(|number| *number > 0);
        let invalid = || format!("invalid port `{port}`: must be between 1 and 65535");
        block
            .ports
            .push(number.ok_or_else(|| with.error("ports", invalid(), None))?);
    }
    if block.ports.len() > PORTS_MAX {
        let message = format!("at most {PORTS_MAX} ports are possible");
        return Err(with.error("ports", message, None));
    }
    Ok(block)
}

fn toxic(with: &Table<'_>) -> Result<Toxic, FileError> {
    let name = with.required("type", with.text("type")?)?;
    let known = KIND_NAMES.map(|name| (name, ()));
    let kind = ToxicKind::from_name(&name);
    let mut kind = kind.ok_or_else(|| with.unknown("type", &name, &known))?;
    if let Some(attributes) = with.table("attributes")? {
        for key in attributes.keys() {
            let value = match attributes.text(&key) {
                Ok(Some(word)) => AttributeValue::Word(Cow::Owned(word)),
                Ok(None) | Err(_) => {
                    AttributeValue::Integer(attributes.number(&key)?.unwrap_or_default())
                }
            };
            kind.set_attribute(&key, &value)
                .map_err(|error| attributes.error(&key, error.to_string(), None))?;
        }
    }
    let directions = with.one_of("stream", &STREAMS)?.unwrap_or_default();
    let percent = with.percent("toxicity")?.unwrap_or(100);
    let toxic = Toxic::new(kind)
        .directions(directions)
        .toxicity(f64::from(percent) / 100.0);
    match toxic.validate() {
        Ok(()) => Ok(toxic),
        Err(problem) => Err(with.error("attributes", problem, None)),
    }
}
