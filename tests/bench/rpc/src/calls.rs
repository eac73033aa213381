//! Measures the rate of calls of each client: one process at a time, against one server.

use std::time::Duration;

use anyhow::{Context, Result};
use load::cores::{GENERATOR_CORE, SERVER_CORE};
use load::cost::{Meter, process_cpu};
use load::rpc::{Job, Row, Sample};

use crate::client::{Call, Counted};
use crate::process::Process;

/// Measures all clients.
pub(crate) fn measure(job: &Job) -> Result<Vec<Sample>> {
    let mut server = Process::start_self(&["serve"], SERVER_CORE)?;
    let port = server.line()?.trim().parse()?;
    let mut samples = Vec::new();
    for subject in crate::rotated(Row::RpcCalls, job.repeat)? {
        let call = Call {
            subject,
            port,
            in_flight: job.in_flight,
            warm_up_ms: job.warm_up_ms,
            time_ms: job.time_ms,
        };
        let sample = of_client(&call, &server);
        samples.push(sample.with_context(|| format!("failed to measure {subject:?}"))?);
    }
    Ok(samples)
}

fn of_client(call: &Call, server: &Process) -> Result<Sample> {
    let argument = serde_json::to_string(call)?;
    let mut client = Process::start_self(&["call", &argument], GENERATOR_CORE)?;
    client.line()?;
    let before = process_cpu(client.pid())?;
    let meter = Meter::start(server.pid())?;
    client.proceed()?;
    let counted: Counted = serde_json::from_str(&client.line()?)?;
    let cost = meter.stop()?;
    let cpu = process_cpu(client.pid())?.saturating_sub(before);
    let calls = f64::from(u32::try_from(counted.calls)?);
    let client_share = cpu.as_secs_f64() / cost.elapsed.as_secs_f64().max(1e-9);
    Ok(Sample {
        row: Row::RpcCalls,
        subject: call.subject,
        value: calls / cpu.as_secs_f64().max(1e-3),
        second_value: calls / Duration::from_nanos(counted.elapsed_ns).as_secs_f64(),
        client_share,
        server_share: cost.server_share,
        others_share: (cost.others_share - client_share).max(0.0),
    })
}
