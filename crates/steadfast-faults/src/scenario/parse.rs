//! Parses the text of a scenario file into the model, or returns an error with file, line, column and key.
//!
//! Every key is read here once, in one file for each table; unknown keys are rejected, and the nearest known key is
//! suggested. [`super::validation`] checks conditions that span several tables.

mod check;
mod link;
mod link_fault;
mod load;
mod requires;
mod run;
mod service;
mod step;

use std::path::Path;

use steadfast_toml::{FileError, Source};

use crate::scenario::model::Scenario;
use crate::scenario::params::{Params, ScenarioOptions};
use crate::scenario::table::{File, Table};
use crate::scenario::validation;

/// The largest file that is read; a scenario is a page of text.
pub const TEXT_LEN_MAX: usize = 1 << 20;

/// The only supported format.
const SCHEMA: &str = "lab/1";

const ROOT: [&str; 13] = [
    "schema", "name", "about", "seed", "params", "profile", "requires", "service", "link", "load",
    "run", "step", "check",
];

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
    let links = root.named("link")?;
    let loads = root.named("load")?;
    let steps = root.list("step")?.into_iter().zip(1_usize..);
    let checks = root.list("check")?.into_iter().zip(1_usize..);
    Ok(Scenario {
        name: name(root)?,
        about: about(root, params)?,
        params: params.texts(),
        seed: root.number("seed")?,
        requires: requires::requires(root.table("requires")?.as_ref())?,
        links: links
            .into_iter()
            .map(link::link)
            .collect::<Result<_, _>>()?,
        services: service::services(&services)?,
        loads: loads
            .into_iter()
            .map(load::load)
            .collect::<Result<_, _>>()?,
        run: run::run_settings(&run)?,
        steps: steps.map(step::step).collect::<Result<_, _>>()?,
        checks: checks.map(check::check).collect::<Result<_, _>>()?,
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
