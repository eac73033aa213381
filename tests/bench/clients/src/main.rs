//! One client process: runs a workload with one library; the workload is the same for all libraries.
//!
//! Contains only clients; the job and the reports are defined in `load::job`. Each library runs in a separate process,
//! so that memory and CPU time are those of that library alone. Everything runs on one thread.

mod bare;
mod calls;
mod idle;
mod recovery;

use std::io::Write;

use anyhow::{Context, Result, bail};
use load::job::{Job, Report, Workload};

fn main() -> Result<()> {
    let job = std::env::args()
        .nth(1)
        .context("missing argument: `bench` starts this program with a job")?;
    let job: Job = serde_json::from_str(&job)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match job.workload {
            Workload::Calls { .. } => calls::run(job).await,
            Workload::Idle { sessions } => idle::run(job, sessions).await,
            Workload::Recovery {
                sessions,
                publications,
            } => recovery::run(job, sessions, publications).await,
        }
    })?;
    // The orchestrator still reads the CPU time and memory of this process.
    wait_for_line()
}

/// Sends a report to the orchestrator.
fn report(report: &Report) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, report)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Blocks the process until a line or the end of the input is read.
fn wait_for_line() -> Result<()> {
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

fn url(port: u16) -> String {
    format!("ws://127.0.0.1:{port}/connection/websocket")
}

/// Starts a session of the client under test. Its jitter is seeded by the system, as in an application.
fn steadfast(port: u16) -> Result<steadfast::centrifuge::Client> {
    let (client, driver) = steadfast::centrifuge::Client::builder(&url(port))?.build()?;
    tokio::spawn(driver);
    Ok(client)
}

/// Starts the official client with its defaults. Its handlers are called inline: they do little work, so a thread for
/// each client would be a waste.
fn centrifuge(port: u16) -> Result<centrifuge::Client> {
    let client = centrifuge::Client::builder(url(port))
        .protocol(centrifuge::Protocol::Json)
        .event_delivery(centrifuge::EventDelivery::Inline)
        .build()?;
    client.connect()?;
    Ok(client)
}

fn unsupported<T>(job: Job) -> Result<T> {
    bail!("unsupported workload for {:?}", job.library)
}
