//! A published server for JSON-RPC 2.0, npm `rpc-websockets`, as the peer of the client library.
//!
//! The program in `tests/third-party` is the server. It prints which calls it executed, which decides whether the outcomes
//! that the client reports are true.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use steadfast::CallError;
use steadfast::jsonrpc::{Client, Error, LoginCall, LoginRequest};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::binaries;

const KEY: &str = "the key";
/// How many calls run at a time while the server is killed.
const IN_FLIGHT: usize = 8;
/// Calls for each of the two servers, about a second of work with the 20 ms that each takes.
const CALLS: usize = 400;
/// How long the client may need until the server that was started again has replied.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Calls, errors, notifications and batches have the outcome that JSON-RPC 2.0 defines.
///
/// # Errors
///
/// When the server cannot be started, or an outcome is another one.
pub fn run_calls() -> Result<()> {
    let server = Server::start(0)?;
    Runtime::new()?.block_on(async {
        for batch_max in [1, 20] {
            let builder = Client::builder(&server.url())?.batch_max(batch_max);
            let client = builder.connect()?;
            verify_calls(&client, batch_max).await?;
        }
        Ok(())
    })
}

async fn verify_calls(client: &Client, batch_max: usize) -> Result<()> {
    let mut sums = JoinSet::new();
    for number in 0_u64..100 {
        let client = client.clone();
        sums.spawn(async move { (number, client.request::<u64>("add", &(number, 1)).await) });
    }
    while let Some(sum) = sums.join_next().await {
        let (number, sum) = sum?;
        ensure!(sum? == number + 1, "the sum of another call");
    }
    let params = json!({"text": "\u{e9}\u{1f600}\"\\", "numbers": [0, -1, 1e300, null]});
    let echo: Value = client.request("echo", &params).await?;
    ensure!(echo == params, "{echo}");
    let nothing: Value = client.request("echo", &()).await?;
    ensure!(nothing.is_null(), "{nothing}");

    let expected = [
        ("fail", -32_050, "no", json!(["x"])),
        ("throw", -32_000, "TypeError", json!("broken")),
        ("missing", -32_601, "Method not found", Value::Null),
        ("create", -32_605, "Method forbidden", Value::Null),
    ];
    for (method, code, message, data) in expected {
        let outcome = client.request::<Value>(method, &["x"]).await;
        let Err(Error::Call(CallError::Rejected(error))) = outcome else {
            bail!("{method}: {outcome:?}");
        };
        let received = error.data.as_deref().map(serde_json::from_slice);
        let received: Value = received.transpose()?.unwrap_or_default();
        ensure!(
            (error.code, error.message.as_str(), &received) == (code, message, &data),
            "{method}: {error:?}"
        );
    }

    let name = format!("in batches of {batch_max}");
    client.notify("note", &[&name]).await?.await?;
    let noted: Vec<String> = client.request("noted", &()).await?;
    ensure!(noted.contains(&name), "{noted:?}");
    Ok(())
}

/// The server is killed while calls are in flight, and started again on the same port. The client logs in over each
/// connection; no call is executed twice, and each outcome agrees with what the server executed.
///
/// # Errors
///
/// When the server cannot be started, or an outcome is not true.
pub fn run_kill() -> Result<()> {
    let first = Server::start(0)?;
    let port = first.port;
    let runtime = Runtime::new()?;
    let client = runtime.block_on(async {
        let login = LoginCall::new(|key| LoginRequest {
            method: "rpc.login".to_owned(),
            params: json!([key.expose()]).to_string().into(),
        });
        let builder = Client::builder(&first.url())?.token(KEY).login(login);
        anyhow::Ok(builder.connect()?)
    })?;
    let calls = runtime.spawn(call_in_parallel(client, 2 * CALLS));
    // Each of them is in flight for 20 ms, and eight are at any time.
    thread::sleep(Duration::from_millis(500));
    let mut executed = first.kill()?;
    let second = Server::start(port)?;
    let outcomes = runtime.block_on(async { tokio::time::timeout(TIME_LIMIT, calls).await })??;
    executed.extend(second.kill()?);
    verify_executed(&outcomes, &executed)
}

type Outcomes = BTreeMap<String, Result<String, Error>>;

/// Calls `create` with the numbers below `count`, eight at a time.
async fn call_in_parallel(client: Client, count: usize) -> Outcomes {
    let mut workers = JoinSet::new();
    for worker in 0..IN_FLIGHT {
        let client = client.clone();
        workers.spawn(async move {
            let mut outcomes = Outcomes::new();
            for number in (worker..count).step_by(IN_FLIGHT) {
                let name = number.to_string();
                let outcome = client.request("create", &[&name]).await;
                outcomes.insert(name, outcome);
            }
            outcomes
        });
    }
    workers.join_all().await.into_iter().flatten().collect()
}

fn verify_executed(outcomes: &Outcomes, executed: &[String]) -> Result<()> {
    let (mut done, mut lost) = (0, 0);
    for (name, outcome) in outcomes {
        let times = executed.iter().filter(|it| *it == name).count();
        let is_true = match outcome {
            Ok(result) => {
                done += 1;
                result == name && times == 1
            }
            Err(Error::Call(
                CallError::Interrupted { maybe_executed } | CallError::TimedOut { maybe_executed },
            )) => {
                lost += usize::from(*maybe_executed);
                times <= usize::from(*maybe_executed)
            }
            Err(_) => false,
        };
        ensure!(is_true, "{name}: {outcome:?}, executed {times} times");
    }
    ensure!(outcomes.len() == 2 * CALLS, "{} outcomes", outcomes.len());
    // Otherwise the kill hit nothing, or the client never returned to the server.
    ensure!(lost > 0 && lost <= IN_FLIGHT, "{lost} calls were in flight");
    ensure!(done + lost == 2 * CALLS, "{done} calls have a result");
    Ok(())
}

/// A running server, which ends when it is dropped.
#[derive(Debug)]
struct Server {
    child: Child,
    port: u16,
    /// Reads the names that it created, until it ends.
    created: Option<JoinHandle<Result<Vec<String>>>>,
}

impl Server {
    fn start(port: u16) -> Result<Self> {
        let folder = binaries::root().join("tests/third-party/node");
        let mut child = Command::new("node")
            .arg(folder.join("rpc-server.mjs"))
            .args([&port.to_string(), KEY])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start node")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut stdout = BufReader::new(stdout);
        let mut banner = String::new();
        stdout.read_line(&mut banner)?;
        let port = serde_json::from_str::<Value>(&banner)?;
        let port = port.get("port").and_then(Value::as_u64);
        Ok(Self {
            child,
            port: u16::try_from(port.context("no port")?)?,
            created: Some(thread::spawn(|| read_created(stdout))),
        })
    }

    fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Kills it, and returns the names that it created.
    fn kill(mut self) -> Result<Vec<String>> {
        self.child.kill()?;
        let reader = self.created.take().context("killed before")?;
        reader.join().ok().context("the reader panicked")?
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn read_created(stdout: BufReader<ChildStdout>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for line in stdout.lines() {
        let line: Value = serde_json::from_str(&line?)?;
        let name = line.get("created").and_then(Value::as_str);
        names.push(name.context("no name")?.to_owned());
    }
    Ok(names)
}
