//! A gateway process on a data directory, and a client with one connection that publishes, reads and asks for readiness.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::process::Process;
use crate::wait::wait_until;

/// Longer than any operation here takes.
const TEST_TIMEOUT: Duration = Duration::from_mins(1);

/// A running gateway; it is killed when the value is dropped.
pub(crate) struct Gateway {
    process: Process,
    log: tempfile::NamedTempFile,
}

impl Gateway {
    /// Starts a gateway that must serve.
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(serve(data))
    }

    /// Starts a gateway whose log has segments of 64 KiB, and at most a few of them.
    pub(crate) fn start_small(data: &Path) -> Self {
        Self::start_with(serve_small(data))
    }

    pub(crate) fn start_with(mut command: Command) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let process = Process::start(command.stderr(log.reopen().unwrap()), || {
            std::fs::read_to_string(log.path()).unwrap()
        });
        Self { process, log }
    }

    /// Everything that the gateway has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// Stops the gateway with SIGTERM and returns its status.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.wait()
    }

    /// Sends SIGTERM to the gateway.
    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.process.child), Signal::TERM).unwrap();
    }

    /// Waits until the process has begun to exit: its first thread is gone, although others may be in the kernel.
    pub(crate) fn wait_for_end_of_first_thread(&self) {
        let path = format!("/proc/{}/status", self.id());
        wait_until("the first thread has ended", || {
            std::fs::read_to_string(&path)
                .unwrap()
                .contains("State:\tZ")
        });
    }

    /// Kills the gateway.
    pub(crate) fn kill(&mut self) {
        self.process.child.kill().unwrap();
        self.process.child.wait().unwrap();
    }

    /// Waits until the gateway exits, and returns its status.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.child.wait().unwrap()
    }

    /// The status line and the body of `/readyz`.
    pub(crate) fn readiness(&self) -> String {
        let mut stream = TcpStream::connect(self.process.address).unwrap();
        stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    }

    /// Waits until the log lines contain a text: a gateway does not wait until its lines are written.
    pub(crate) fn wait_for_log(&self, expected: &str) {
        wait_until(expected, || self.log().contains(expected));
    }

    /// Waits until `/readyz` contains a text, and returns the response.
    pub(crate) fn wait_for_readiness(&self, expected: &str) -> String {
        let mut response = String::new();
        wait_until(expected, || {
            response = self.readiness();
            response.contains(expected)
        });
        response
    }
}

/// One connection to a gateway, which sends a command and waits for the reply.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    id: u64,
}

impl Client {
    pub(crate) fn connect(gateway: &Gateway) -> Self {
        let mut stream = TcpStream::connect(gateway.process.address).unwrap();
        stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        let host = gateway.process.address;
        let head = format!(
            "GET /connection/websocket HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).unwrap();
        }
        let mut client = Self { stream, id: 0 };
        client.call("connect", json!({})).unwrap();
        client
    }

    /// Sends a command without waiting for its reply; `None` when the connection ended.
    pub(crate) fn send(&mut self, method: &str, params: Value) -> Option<()> {
        self.id += 1;
        let mut command = json!({ "id": self.id });
        command[method] = params;
        let payload = command.to_string();
        let mut frame = vec![0x81];
        match u8::try_from(payload.len()) {
            Ok(len) if len < 126 => frame.push(0x80 | len),
            Ok(_) | Err(_) => {
                frame.push(0xfe);
                frame.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
            }
        }
        // A mask of zeros leaves the payload as it is.
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload.as_bytes());
        self.stream.get_mut().write_all(&frame).ok()
    }

    /// Sends a command and returns its result, or the error of the reply; `None` when the connection ended.
    pub(crate) fn try_call(&mut self, method: &str, params: Value) -> Option<Result<Value, Value>> {
        self.send(method, params)?;
        loop {
            let text = self.next_text()?;
            let replies = text.lines().map(|line| serde_json::from_str(line).unwrap());
            for reply in replies {
                let reply: Value = reply;
                if reply["id"] == self.id {
                    return Some(match reply.get("error") {
                        Some(error) => Err(error.clone()),
                        None => Ok(reply[method].clone()),
                    });
                }
            }
        }
    }

    pub(crate) fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        self.try_call(method, params).expect("a reply")
    }

    /// Publishes, and returns whether it was acknowledged.
    pub(crate) fn publish(&mut self, channel: &str, data: &str) -> bool {
        let params = json!({ "channel": channel, "data": data });
        matches!(self.try_call("publish", params), Some(Ok(_)))
    }

    /// Subscribes with the position of a channel, or without one, and returns the result.
    pub(crate) fn subscribe(&mut self, channel: &str, position: Option<&Value>) -> Value {
        let mut params = json!({ "channel": channel, "recoverable": true });
        if let Some(position) = position {
            params["recover"] = true.into();
            params["epoch"] = position["epoch"].clone();
            params["offset"] = position["offset"].clone();
        }
        self.call("subscribe", params).unwrap()
    }

    /// The data of all publications in the history of a channel, oldest first, and the position of its end.
    pub(crate) fn history(&mut self, channel: &str) -> (Vec<String>, Value) {
        let mut found = Vec::new();
        let mut since = Value::Null;
        loop {
            let mut params = json!({ "channel": channel, "limit": 100 });
            if !since.is_null() {
                params["since"] = since.clone();
            }
            let page = self.call("history", params).unwrap();
            let publications = page["publications"].as_array().cloned().unwrap_or_default();
            let end = json!({ "epoch": page["epoch"], "offset": page["offset"] });
            let Some(last) = publications.last() else {
                return (found, end);
            };
            since = json!({ "epoch": page["epoch"], "offset": last["offset"] });
            let data = publications
                .iter()
                .map(|it| it["data"].as_str().unwrap().to_owned());
            found.extend(data);
        }
    }

    fn next_text(&mut self) -> Option<String> {
        loop {
            let mut head = [0; 2];
            self.stream.read_exact(&mut head).ok()?;
            let mut len = u64::from(head[1]);
            if len >= 126 {
                let mut bytes = [0; 8];
                let skip = if len == 126 { 6 } else { 0 };
                self.stream.read_exact(&mut bytes[skip..]).ok()?;
                len = u64::from_be_bytes(bytes);
            }
            let mut payload = vec![0; usize::try_from(len).unwrap()];
            self.stream.read_exact(&mut payload).ok()?;
            match head[0] & 0x0f {
                1 => return String::from_utf8(payload).ok(),
                8 => return None,
                _ => {}
            }
        }
    }
}

/// A gateway on a data directory, with a free port.
pub(crate) fn serve(data: &Path) -> Command {
    let mut command = steadfast();
    command
        .args(["serve", "--port", "0", "--shards", "1", "--json", "--data"])
        .arg(data);
    command
}

/// As `serve`, with segments of 64 KiB, and at most a few of them.
pub(crate) fn serve_small(data: &Path) -> Command {
    let mut command = serve(data);
    command.arg("--config").arg(small_config(data));
    command
}

/// Runs `steadfast log` with paths or names.
pub(crate) fn log_with(arguments: &[&str], paths: &[&Path]) -> Output {
    let mut command = steadfast();
    command.arg("log").args(arguments).args(paths);
    command.output().unwrap()
}

/// Runs `steadfast log` with a directory.
pub(crate) fn log(arguments: &[&str], data: &Path) -> Output {
    let mut command = steadfast();
    command.arg("log").args(arguments).arg(data);
    command.output().unwrap()
}

pub(crate) fn steadfast() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    command.env_clear().stdin(Stdio::null());
    command
}

pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A configuration file next to the data directory.
fn small_config(data: &Path) -> PathBuf {
    let path = data.with_extension("toml");
    let text = "[store]\nsegment_bytes = \"64KiB\"\nbytes_max = \"512KiB\"\n";
    if !path.exists() {
        std::fs::write(&path, text).unwrap();
    }
    path
}
