//! Parses `[requires]`: what the machine must have.

use steadfast_toml::FileError;

use super::link::vias;
use crate::scenario::model::Requirements;
use crate::scenario::table::Table;

const REQUIRES: [&str; 3] = ["any_of", "bins", "root"];

pub(super) fn requires(table: Option<&Table<'_>>) -> Result<Requirements, FileError> {
    let Some(table) = table else {
        return Ok(Requirements::default());
    };
    table.allow(&REQUIRES)?;
    Ok(Requirements {
        any_of: vias(table, "any_of")?.unwrap_or_default(),
        programs: table.names("bins")?.unwrap_or_default(),
        needs_root: table.flag("root")?.unwrap_or(false),
    })
}
