//! Measures the latency of a program's calls: over the bridge, over a relay that only copies bytes, and directly.
//!
//! All reach one emulated server, which responds without a delay. The program opens a WebSocket over the socket, as
//! existing clients of such servers do, and makes one call after the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use load::cores::{GENERATOR_CORE, SERVER_CORE};
use load::cost::{Meter, process_cpu};
use load::rpc::{Job, Row, Sample, Subject};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::process::Process;

/// The account of the emulated server, which protects nothing.
const USER: &str = "admin";
const KEY: &str = "1-steadfast0emulator0key0of0sixty0four0characters0for0tests0only00";

/// A call with a short result, which the bridge passes to the server.
const METHOD: &str = "core.ping";

/// The id of each call, since there is only one at a time.
const ID: u64 = 1;

/// Maximum time until a relay accepts a program.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Share of the calls that are made before the measured ones.
const WARM_UP_DIVISOR: u32 = 10;

/// The server that both relays lead to.
struct Server {
    process: Process,
    port: u16,
}

/// What the server prints when it has started.
#[derive(Deserialize)]
struct Started {
    address: std::net::SocketAddr,
}

/// A message of the server; without an id it is a notification.
#[derive(Deserialize)]
struct Response {
    id: Option<u64>,
    result: Option<Value>,
}

pub(crate) fn has_socat() -> bool {
    let version = Command::new("socat")
        .arg("-V")
        .stdout(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success())
}

/// Measures all paths to the server.
pub(crate) fn measure(job: &Job) -> Result<Vec<Sample>> {
    let server = Server::start(&job.steadfast)?;
    let folder = tempfile::tempdir()?;
    let mut samples = Vec::new();
    for subject in crate::rotated(Row::BridgeLatency, job.repeat)? {
        let sample = of_path(subject, job, &server, folder.path());
        samples.push(sample.with_context(|| format!("failed to measure {subject:?}"))?);
    }
    Ok(samples)
}

impl Server {
    fn start(steadfast: &Path) -> Result<Self> {
        let mut command = Command::new(steadfast);
        command.args(["lab", "emulate", "truenas", "--listen", "127.0.0.1:0"]);
        // With the login by key, which a program can make without a library.
        command.args(["--call-time", "0", "--no-scram", "--json"]);
        let mut process = Process::start(&mut command, SERVER_CORE, true)?;
        let started: Started = serde_json::from_str(&process.line()?)?;
        let port = started.address.port();
        Ok(Self { process, port })
    }
}

fn of_path(subject: Subject, job: &Job, server: &Server, folder: &Path) -> Result<Sample> {
    let socket = folder.join(format!("{subject:?}.sock"));
    let relay = start_relay(subject, job, server.port, &socket)?;
    let runtime = crate::client::runtime()?;
    runtime.block_on(async {
        if relay.is_some() {
            let stream = connect(&socket).await?;
            time(subject, job.latencies, server, relay.as_ref(), stream).await
        } else {
            let stream = TcpStream::connect(("127.0.0.1", server.port)).await?;
            stream.set_nodelay(true)?;
            time(subject, job.latencies, server, None, stream).await
        }
    })
}

/// Starts what is between program and server, on the core of the program.
fn start_relay(subject: Subject, job: &Job, port: u16, socket: &Path) -> Result<Option<Process>> {
    let mut command = match subject {
        Subject::Direct => return Ok(None),
        Subject::Socat => {
            let mut command = Command::new("socat");
            command.arg(format!("UNIX-LISTEN:{},fork", socket.display()));
            command.arg(format!("TCP:127.0.0.1:{port},nodelay"));
            command
        }
        Subject::Bridge => {
            let mut command = Command::new(&job.steadfast);
            command.args(["bridge", &format!("ws://127.0.0.1:{port}/api/current")]);
            command
                .args(["--user", USER, "--key-file"])
                .arg(key_file(socket)?);
            command.arg("--socket").arg(socket);
            command
        }
        Subject::Bare | Subject::Steadfast | Subject::Jsonrpsee => {
            bail!("{subject:?} is not a path")
        }
    };
    Process::start(&mut command, GENERATOR_CORE, true).map(Some)
}

/// A file that only its owner can read, as the bridge requires.
fn key_file(socket: &Path) -> Result<PathBuf> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let path = socket.with_extension("key");
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)?;
    file.write_all(KEY.as_bytes())?;
    Ok(path)
}

async fn connect(socket: &Path) -> Result<UnixStream> {
    let start = Instant::now();
    loop {
        match UnixStream::connect(socket).await {
            Ok(stream) => return Ok(stream),
            Err(error) if start.elapsed() > START_TIMEOUT => return Err(error.into()),
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Logs in, which the bridge permits and does not need, and makes one call after the other.
async fn time<S: AsyncRead + AsyncWrite + Unpin>(
    subject: Subject,
    count: u32,
    server: &Server,
    relay: Option<&Process>,
    stream: S,
) -> Result<Sample> {
    let (mut socket, _) =
        tokio_tungstenite::client_async("ws://localhost/api/current", stream).await?;
    let login = json!([{"mechanism": "API_KEY_PLAIN", "username": USER, "api_key": KEY}]);
    let login = call(&mut socket, "auth.login_ex", &login).await?;
    let response_type = login.get("response_type").and_then(Value::as_str);
    ensure!(response_type == Some("SUCCESS"), "login failed: {login}");
    for _ in 0..count / WARM_UP_DIVISOR {
        call(&mut socket, METHOD, &json!([])).await?;
    }
    let relay_cpu = || relay.map_or(Ok(Duration::ZERO), |it| cpu_with_children(it.pid()));
    let (meter, before) = (Meter::start(server.process.pid())?, relay_cpu()?);
    let mut times = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        let result = call(&mut socket, METHOD, &json!([])).await?;
        times.push(start.elapsed());
        ensure!(result == "pong", "unexpected result: {result}");
    }
    let (cost, cpu) = (meter.stop()?, relay_cpu()?.saturating_sub(before));
    let relay_share = cpu.as_secs_f64() / cost.elapsed.as_secs_f64().max(1e-9);
    times.sort_unstable();
    Ok(Sample {
        row: Row::BridgeLatency,
        subject,
        value: percentile_us(&times, 50),
        second_value: percentile_us(&times, 99),
        client_share: cost.generator_share + relay_share,
        server_share: cost.server_share,
        others_share: (cost.others_share - relay_share).max(0.0),
    })
}

/// The CPU time of a process and of its children, since socat forks for the connection.
fn cpu_with_children(pid: u32) -> Result<Duration> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let mut total = process_cpu(pid)?;
    for child in children.split_ascii_whitespace() {
        total += process_cpu(child.parse()?)?;
    }
    Ok(total)
}

/// A percentile of sorted times, in µs.
fn percentile_us(times: &[Duration], percent: usize) -> f64 {
    let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(index).copied().unwrap_or_default().as_secs_f64() * 1e6
}

/// Makes a call, and returns its result.
async fn call<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    method: &str,
    params: &Value,
) -> Result<Value> {
    let request = json!({"jsonrpc": "2.0", "id": ID, "method": method, "params": params});
    socket.send(Message::text(request.to_string())).await?;
    loop {
        let message = socket.next().await.context("connection closed")??;
        let Message::Text(text) = message else {
            continue;
        };
        let response: Response = serde_json::from_str(&text)?;
        if response.id == Some(ID) {
            return response
                .result
                .with_context(|| format!("call rejected: {text}"));
        }
    }
}
