//! Reads `[service.X]`.

use std::ops::RangeInclusive;

use steadfast_toml::FileError;

use crate::scenario::model::{Program, Service};
use crate::scenario::table::Table;

const SERVICE: [&str; 2] = ["use", "replicas"];

/// Instances of one service; each is a process with a log on disk.
const REPLICAS: RangeInclusive<u32> = 1..=16;

pub(super) fn service((name, table): (String, Table<'_>)) -> Result<Service, FileError> {
    table.allow(&SERVICE)?;
    let program = table.one_of("use", &[("builtin:gateway", Program::Gateway)])?;
    Ok(Service {
        name,
        program: table.required("use", program)?,
        replicas: table.count("replicas", REPLICAS)?.unwrap_or(1),
    })
}
