//! The examples of the client library that are services: each runs while its gateway is killed and started again.
//!
//! They are started as their first lines say, and checked by what their users see: responses, exit codes, the last lines.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::binaries;
use crate::gateway::Gateway;

/// The limit of each wait, on a machine that also runs other tests.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How often a wait looks.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The jobs of the worker, half of them before the kill.
const JOBS: usize = 1_000;

/// An example that runs.
struct Example {
    child: Child,
    log: PathBuf,
}

/// The web service stores an order once, reports an outage to its callers, serves again afterwards, and ends on SIGTERM.
///
/// # Errors
///
/// When it does anything else.
pub fn run_web_service(program: PathBuf) -> Result<()> {
    let folder = binaries::scratch("web-service")?;
    let mut gateway = Gateway::new(program, folder.clone())?;
    gateway.start()?;
    let url = gateway.url();
    let mut service = Example::start("axum_service", &[&url, "127.0.0.1:0"], &folder)?;
    let line = service.wait_for("address=")?;
    let (_, address) = line.rsplit_once('=').context("no address")?;
    let address = address.parse()?;
    wait_until("the service is connected", || {
        Ok(get(address, "/ready")?.contains(" 200 "))
    })?;

    let stored = post_order(address, "order-1")?;
    let repeated = post_order(address, "order-1")?;
    gateway.kill()?;
    let during_outage = post_order(address, "order-2")?;
    gateway.start()?;
    wait_until("the service is connected", || {
        Ok(get(address, "/ready")?.contains(" 200 "))
    })?;
    let afterwards = post_order(address, "order-2")?;
    kill_process(Pid::from_child(&service.child), Signal::TERM)?;
    let status = service.wait()?;

    ensure!(
        stored.contains(" 201 ") && stored.ends_with("offset 1\n"),
        "{stored}"
    );
    ensure!(repeated.ends_with("offset 1\n"), "{repeated}");
    ensure!(during_outage.contains(" 503 "), "{during_outage}");
    ensure!(during_outage.contains("retry-after: 1"), "{during_outage}");
    ensure!(afterwards.ends_with("offset 2\n"), "{afterwards}");
    ensure!(status.success(), "{status}: {}", service.output());
    gateway.clean_up()
}

/// The worker completes all its jobs although the gateway is killed and the input ends before it is started again.
///
/// # Errors
///
/// When it does not.
pub fn run_worker(program: PathBuf) -> Result<()> {
    let folder = binaries::scratch("worker")?;
    let mut gateway = Gateway::new(program, folder.clone())?;
    gateway.start()?;
    let mut worker = Example::start("background_worker", &[&gateway.url()], &folder)?;
    // The kill then ends a connection.
    worker.wait_for("session ready")?;
    let mut input = worker.child.stdin.take().context("no standard input")?;

    // The input ends during the outage, so that jobs are in progress at its end.
    for job in 0..JOBS {
        if job == JOBS / 2 {
            gateway.kill()?;
        }
        writeln!(input, "{job}")?;
    }
    drop(input);
    gateway.start()?;
    let status = worker.wait()?;

    let output = worker.output();
    ensure!(status.success(), "{status}: {output}");
    ensure!(
        output.contains(&format!("done={JOBS} undone=0")),
        "{output}"
    );
    ensure!(
        output.contains("connection lost"),
        "the kill was not noticed: {output}"
    );
    gateway.clean_up()
}

impl Example {
    fn start(name: &str, arguments: &[&str], folder: &Path) -> Result<Self> {
        let log = folder.join(name);
        let child = binaries::command(binaries::example(name)?)
            .args(arguments)
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("failed to start {name}"))?;
        Ok(Self { child, log })
    }

    fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for a line with this text.
    fn wait_for(&self, text: &str) -> Result<String> {
        let mut found = None;
        wait_until(text, || {
            found = self
                .output()
                .lines()
                .find(|line| line.contains(text))
                .map(str::to_owned);
            Ok(found.is_some())
        })?;
        found.context("the line is there")
    }

    /// Waits until it has ended.
    fn wait(&mut self) -> Result<ExitStatus> {
        let mut status = None;
        wait_until("the example has ended", || {
            status = self.child.try_wait()?;
            Ok(status.is_some())
        })?;
        status.context("it has ended")
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + WAIT_MAX;
    while !condition()? {
        if Instant::now() > deadline {
            bail!("timed out after {WAIT_MAX:?} waiting until {what}");
        }
        thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

fn get(address: SocketAddr, path: &str) -> Result<String> {
    exchange(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"),
    )
}

fn post_order(address: SocketAddr, key: &str) -> Result<String> {
    let body = r#"{"item":7}"#;
    let length = body.len();
    exchange(
        address,
        &format!(
            "POST /orders HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nIdempotency-Key: {key}\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    )
}

fn exchange(address: SocketAddr, request: &str) -> Result<String> {
    let mut socket = TcpStream::connect_timeout(&address, WAIT_MAX)?;
    socket.set_read_timeout(Some(WAIT_MAX))?;
    socket.write_all(request.as_bytes())?;
    let mut response = String::new();
    socket.read_to_string(&mut response)?;
    Ok(response)
}
