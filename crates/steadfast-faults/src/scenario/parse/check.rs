//! Parses `[[check]]`: its condition and the consequence of its outcome.

use steadfast_toml::FileError;

use crate::scenario::expr::Expression;
use crate::scenario::model::{Check, CheckLevel, NoData};
use crate::scenario::table::Table;

const CHECK: [&str; 4] = ["id", "that", "level", "no_data"];

pub(super) fn check((table, number): (Table<'_>, usize)) -> Result<Check, FileError> {
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
