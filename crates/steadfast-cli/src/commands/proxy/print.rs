//! The output of the commands: tab-separated for programs, aligned with colours on a terminal.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::exit::Failure;
use crate::output;

/// A proxy as the server describes it.
#[derive(Debug, Deserialize)]
pub(super) struct ProxyView {
    name: String,
    listen: String,
    upstream: String,
    enabled: bool,
    #[serde(default)]
    toxics: Vec<ToxicView>,
}

/// A toxic as the server describes it.
#[derive(Debug, Deserialize)]
pub(super) struct ToxicView {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) stream: String,
    toxicity: f32,
    /// In the order of their names.
    #[serde(default)]
    attributes: BTreeMap<String, Value>,
}

/// Reads a response of the server.
///
/// # Errors
///
/// When it is not what the API describes; the server is another program.
pub(super) fn parsed<T: DeserializeOwned>(response: Value, context: &str) -> Result<T, Failure> {
    serde_json::from_value(response).map_err(|error| {
        Failure::failed(
            format!("{context}: unexpected response: {error}"),
            "Check that --host is the URL of a proxy server.",
        )
    })
}

/// The state of a proxy in words.
pub(super) const fn enabled(is_enabled: bool) -> &'static str {
    if is_enabled { "enabled" } else { "disabled" }
}

/// Prints a line for each proxy.
pub(super) fn proxies<'a>(proxies: impl Iterator<Item = &'a ProxyView>) {
    let rows = proxies.map(|proxy| {
        [
            proxy.name.clone(),
            proxy.listen.clone(),
            proxy.upstream.clone(),
            enabled(proxy.enabled).to_owned(),
            proxy.toxics.len().to_string(),
        ]
    });
    let rows: Vec<[String; 5]> = rows.collect();
    if !io::stdout().is_terminal() {
        for row in rows {
            output::print(&row.join("\t"));
        }
    } else if rows.is_empty() {
        output::print("no proxies");
        output::message("Create one with `steadfast proxy create`.");
    } else {
        let heading = ["Name", "Listen", "Upstream", "Enabled", "Toxics"].map(str::to_owned);
        for line in aligned(&[&[heading], rows.as_slice()].concat()) {
            output::print(&line);
        }
        output::message("Print the toxics of one with `steadfast proxy inspect NAME`.");
    }
}

/// The rows with columns of equal width.
fn aligned(rows: &[[String; 5]]) -> Vec<String> {
    let mut widths = [0; 5];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths);
        let cells = cells.map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Prints a line for each toxic of a proxy.
pub(super) fn toxics(proxy: &ProxyView) {
    let is_terminal = io::stdout().is_terminal();
    if is_terminal {
        let state = enabled(proxy.enabled);
        let ProxyView {
            name,
            listen,
            upstream,
            ..
        } = proxy;
        output::print(&format!("{name}: {listen} to {upstream}, {state}"));
    }
    if is_terminal && proxy.toxics.is_empty() {
        output::print("no toxics");
        output::message("Add one with `steadfast proxy toxic add`.");
    }
    for toxic in &proxy.toxics {
        output::print(&toxic_line(toxic));
    }
}

fn toxic_line(toxic: &ToxicView) -> String {
    let ToxicView {
        name,
        kind,
        stream,
        toxicity,
        attributes,
    } = toxic;
    let attributes = attributes
        .iter()
        .map(|(key, value)| format!("\t{key}={value}"));
    let attributes: String = attributes.collect();
    format!(
        "{name}\ttype={kind}\tstream={stream}\ttoxicity={toxicity:.2}\tattributes=[{attributes}\t]"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_columns_of_equal_width() {
        let row = |cells: [&str; 5]| cells.map(str::to_owned);

        let lines = aligned(&[
            row(["Name", "Listen", "Upstream", "Enabled", "Toxics"]),
            row(["redis", "127.0.0.1:1", "a:2", "enabled", "0"]),
        ]);

        assert_eq!(
            lines,
            [
                "Name   Listen       Upstream  Enabled  Toxics",
                "redis  127.0.0.1:1  a:2       enabled  0",
            ]
        );
    }
}
