//! A demo as a child process, its directory, and requests to it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Pid;
use serde_json::Value;
use steadfast_e2e::binaries;

/// The time limit of each step: several reconnect delays of the clients.
pub(crate) const STEP_TIMEOUT: Duration = Duration::from_secs(30);
/// Interval at which a condition is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) struct Demo {
    pub(crate) child: Child,
    pub(crate) directory: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Demo {
    pub(crate) fn start() -> Result<Self> {
        Self::start_with(Stdio::null(), Stdio::inherit())
    }

    pub(crate) fn start_with(stdout: Stdio, stderr: Stdio) -> Result<Self> {
        let directory = directory()?;
        let mut command = command(&directory, "0")?;
        let child = command.stdout(stdout).stderr(stderr).spawn()?;
        Self::of(child, directory)
    }

    /// A started demo, once its page is served.
    pub(crate) fn of(mut child: Child, directory: PathBuf) -> Result<Self> {
        let lock = directory.join("demo.lock");
        let address = until("the demo records its address", || {
            if let Some(status) = child.try_wait()? {
                bail!("the demo exited with {status}");
            }
            let text = std::fs::read_to_string(&lock).unwrap_or_default();
            let url = text.split_whitespace().nth(1);
            Ok(url.and_then(|url| url.strip_prefix("http://")?.parse().ok()))
        })?;
        let demo = Self {
            child,
            directory,
            address,
        };
        demo.until("the gateway is up", is_up)?;
        Ok(demo)
    }

    /// Polls the live report until it satisfies the condition.
    pub(crate) fn until(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Result<Value> {
        until(what, || Ok(self.live().ok().filter(&condition)))
    }

    pub(crate) fn live(&self) -> Result<Value> {
        self.get("/demo/live")
    }

    /// The process of the running gateway.
    pub(crate) fn gateway(&self) -> Result<Pid> {
        let live = self.until("the gateway is up", is_up)?;
        let id = i32::try_from(count(&live, "/gateway/pid"))?;
        Pid::from_raw(id).context("the gateway has no process")
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        let response = self.request("GET", path, "")?;
        let (_, body) = response.split_once("\r\n\r\n").context("no body")?;
        Ok(serde_json::from_str(body)?)
    }

    /// Returns the whole response to a request with these header fields.
    pub(crate) fn request(&self, method: &str, path: &str, fields: &str) -> Result<String> {
        let fields = format!("{fields}Content-Length: 0\r\nConnection: close\r\n");
        let mut socket = self.send(method, path, &fields)?;
        let mut response = String::new();
        socket.read_to_string(&mut response)?;
        Ok(response)
    }

    /// Sends the head of a request. Its `Host` is the address of the page, unless the fields begin with another one.
    pub(crate) fn send(&self, method: &str, path: &str, fields: &str) -> Result<TcpStream> {
        let mut socket = TcpStream::connect(self.address)?;
        socket.set_read_timeout(Some(STEP_TIMEOUT))?;
        let host = if fields.starts_with("Host") {
            String::new()
        } else {
            format!("Host: {}\r\n", self.address)
        };
        write!(socket, "{method} {path} HTTP/1.1\r\n{host}{fields}\r\n")?;
        Ok(socket)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // The demo's gateway ends with the demo.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A directory of its own for one demo.
pub(crate) fn directory() -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    binaries::scratch(&format!("demo-{number}"))
}

/// A demo in this directory that is not started yet.
pub(crate) fn command(directory: &Path, port: &str) -> Result<Command> {
    let mut command = Command::new(binaries::gateway()?);
    command
        .args(["demo", "--port", port, "--data"])
        .arg(directory)
        .stdin(Stdio::null());
    Ok(command)
}

/// Waits until the function returns a value.
pub(crate) fn until<T>(what: &str, mut value: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + STEP_TIMEOUT;
    loop {
        if let Some(value) = value()? {
            return Ok(value);
        }
        if Instant::now() > deadline {
            bail!("timed out waiting until {what}");
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

fn is_up(live: &Value) -> bool {
    gateway_state(live) == Some("up")
}

pub(crate) fn gateway_state(live: &Value) -> Option<&str> {
    live.pointer("/gateway/state")?.as_str()
}

pub(crate) fn count(value: &Value, at: &str) -> u64 {
    value
        .pointer(at)
        .and_then(Value::as_u64)
        .unwrap_or_default()
}

pub(crate) fn painters(live: &Value, field: &str) -> Vec<u64> {
    let painters = live.get("clients").and_then(Value::as_array);
    let painters = painters.into_iter().flatten();
    painters.map(|it| count(it, &format!("/{field}"))).collect()
}
