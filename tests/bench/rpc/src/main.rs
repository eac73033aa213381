//! Measures JSON-RPC: the rate of calls of three clients to one server, and the latency of calls over the bridge compared
//! with a plain relay.
//!
//! A process of one repeat: it measures every subject once, in rotated order, and reports the samples as one line of JSON.
//! Servers run on the first core; clients, relays and programs on the second. The server and the clients of the rate are
//! processes of their own, so that their CPU time is theirs alone.

mod bare;
mod calls;
mod client;
mod latency;
mod process;
mod server;

use std::io::Write;

use anyhow::{Result, bail};
use load::cores::{GENERATOR_CORE, pin};
use load::rpc::{Job, Report, Row, Subject};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve"] => server::serve(),
        ["call", call] => client::run(&serde_json::from_str(call)?),
        ["measure", job] => {
            let report = measure(&serde_json::from_str(job)?)?;
            write_line(&serde_json::to_string(&report)?)
        }
        _ => bail!("`bench --only rpc` starts this program"),
    }
}

fn measure(job: &Job) -> Result<Report> {
    pin(GENERATOR_CORE)?;
    let has = |row| job.rows.contains(&row);
    let mut samples = Vec::new();
    let mut skipped = None;
    if has(Row::RpcCalls) {
        samples.extend(calls::measure(job)?);
    }
    if has(Row::BridgeLatency) {
        if latency::has_socat() {
            samples.extend(latency::measure(job)?);
        } else {
            skipped = Some("socat is not installed; run `make setup`".to_owned());
        }
    }
    Ok(Report { samples, skipped })
}

/// The subjects of a row in the order of a repeat.
fn rotated(row: Row, repeat: u32) -> Result<[Subject; 3]> {
    let mut subjects = row.subjects();
    let places = usize::try_from(repeat)? % subjects.len();
    subjects.rotate_left(places);
    Ok(subjects)
}

/// Writes a line for the process that started this one.
fn write_line(line: &str) -> Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}
