//! One client process: calls over one connection with one library, with a fixed number of calls in flight.
//!
//! All libraries send the same params and check the same result. A library is used by one task for each call in flight, as
//! in an application; the bare loop has one task. Everything runs on one thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use jsonrpsee_core::client::ClientT as _;
use jsonrpsee_core::rpc_params;
use jsonrpsee_ws_client::{WsClient, WsClientBuilder};
use load::rpc::Subject;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// The method that returns its params.
pub(crate) const METHOD: &str = "echo";

/// 126 bytes, so that the JSON string has 128.
pub(crate) const DATA: &str = "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345";

/// Maximum time to open a session.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// The number of a call, and its data.
pub(crate) type Echo = (u64, String);

/// What a client process does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) subject: Subject,
    pub(crate) port: u16,
    pub(crate) in_flight: u32,
    pub(crate) warm_up_ms: u64,
    pub(crate) time_ms: u64,
}

/// The calls of the measured time.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) calls: u64,
    pub(crate) elapsed_ns: u64,
}

/// Counts the calls of all tasks.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    started: AtomicU64,
    completed: AtomicU64,
}

impl Counter {
    pub(crate) fn next_number(&self) -> u64 {
        self.started.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn completed(&self) {
        self.completed.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }
}

/// Checks that a result is that of its call.
pub(crate) fn check(number: u64, result: &Echo) -> Result<()> {
    ensure!(
        result.0 == number && result.1 == DATA,
        "call {number} has the result of another one"
    );
    Ok(())
}

pub(crate) fn url(port: u16) -> String {
    format!("ws://127.0.0.1:{port}/")
}

pub(crate) fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

/// Warms up, writes a line, waits for one, counts calls, writes their number, and waits for another line, so that the CPU
/// time of this process can still be read.
pub(crate) fn run(call: &Call) -> Result<()> {
    let counter = Arc::new(Counter::default());
    runtime()?.block_on(async {
        let mut callers = callers(call, &counter).await?;
        let measured = async {
            tokio::time::sleep(Duration::from_millis(call.warm_up_ms)).await;
            crate::write_line("ready")?;
            wait_for_line()?;
            let (start, before) = (Instant::now(), counter.count());
            tokio::time::sleep(Duration::from_millis(call.time_ms)).await;
            let calls = counter.count() - before;
            ensure!(calls > 0, "no call was completed");
            let elapsed_ns = u64::try_from(start.elapsed().as_nanos())?;
            crate::write_line(&serde_json::to_string(&Counted { calls, elapsed_ns })?)
        };
        tokio::select! {
            measured = measured => measured,
            ended = callers.join_next() => {
                ended.context("no callers")?.context("a caller failed")?
            }
        }
    })?;
    wait_for_line()
}

/// Blocks the process until a line or the end of the input is read.
fn wait_for_line() -> Result<()> {
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

async fn callers(call: &Call, counter: &Arc<Counter>) -> Result<JoinSet<Result<()>>> {
    let mut callers = JoinSet::new();
    let (port, in_flight) = (call.port, call.in_flight);
    match call.subject {
        Subject::Bare => {
            let counter = Arc::clone(counter);
            callers.spawn(async move { crate::bare::run(port, in_flight, &counter).await });
        }
        Subject::Steadfast => {
            let client = steadfast::jsonrpc::Client::builder(&url(port))?.connect()?;
            client.ready(READY_TIMEOUT).await?;
            for _ in 0..in_flight {
                let (client, counter) = (client.clone(), Arc::clone(counter));
                callers.spawn(async move { call_steadfast(&client, &counter).await });
            }
        }
        Subject::Jsonrpsee => {
            let client = Arc::new(WsClientBuilder::default().build(url(port)).await?);
            for _ in 0..in_flight {
                let (client, counter) = (Arc::clone(&client), Arc::clone(counter));
                callers.spawn(async move { call_jsonrpsee(&client, &counter).await });
            }
        }
        subject @ (Subject::Socat | Subject::Bridge | Subject::Direct) => {
            bail!("{subject:?} is not a client")
        }
    }
    Ok(callers)
}

async fn call_steadfast(client: &steadfast::jsonrpc::Client, counter: &Counter) -> Result<()> {
    loop {
        let number = counter.next_number();
        check(number, &client.request(METHOD, &(number, DATA)).await?)?;
        counter.completed();
    }
}

async fn call_jsonrpsee(client: &WsClient, counter: &Counter) -> Result<()> {
    loop {
        let number = counter.next_number();
        check(
            number,
            &client.request(METHOD, rpc_params![number, DATA]).await?,
        )?;
        counter.completed();
    }
}
