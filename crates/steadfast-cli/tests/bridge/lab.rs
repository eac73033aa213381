//! An emulator and a bridge, each as a process, and the calls of a shell.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

pub(crate) const KEY: &str = "1-0123456789abcdef";
/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_mins(1);

/// A process that prints a banner as JSON; it is killed when the value is dropped.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) banner: Value,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let banner = serde_json::from_str(&line).unwrap_or_default();
        Self { child, banner }
    }

    /// Sends SIGTERM, and returns the exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) struct Lab {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) emulator: Process,
    pub(crate) bridge: Process,
    pub(crate) socket: PathBuf,
}

impl Lab {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let emulator = emulator();
        let key = folder.path().join("key");
        std::fs::write(&key, format!("{KEY}\n")).unwrap();
        let socket = folder.path().join("nas.sock");
        let bridge = Process::start(bridge(&emulator, &key).arg("--socket").arg(&socket));
        assert_eq!(bridge.banner["socket"], socket.display().to_string());
        let lab = Self {
            folder,
            emulator,
            bridge,
            socket,
        };
        lab.until(|status| status["state"] == "connected");
        lab
    }

    /// `steadfast call` over the bridge, with arguments that are separated by spaces.
    pub(crate) fn call(&self, arguments: &str) -> Output {
        let mut command = program();
        command
            .arg("call")
            .arg(format!("unix:{}", self.socket.display()))
            .args(arguments.split(' '));
        command.output().unwrap()
    }

    /// Waits until the status of the bridge meets a condition.
    pub(crate) fn until(&self, condition: impl Fn(&Value) -> bool) {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let deadline = deadline();
        loop {
            let request = json!({"jsonrpc": "2.0", "id": 1, "method": "bridge.status"});
            writeln!(stream, "{request}").unwrap();
            let reply = lines.next().unwrap().unwrap();
            let reply: Value = serde_json::from_str(&reply).unwrap();
            if condition(&reply["result"]) {
                return;
            }
            assert!(now() < deadline, "{reply}");
            std::thread::yield_now();
        }
    }

    pub(crate) fn control(&self, path: &str) {
        let address = self.emulator.banner["address"].as_str().unwrap();
        let address: SocketAddr = address.parse().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "POST /_emulator/{path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    }
}

/// The program without an environment.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    command.env_clear().stdin(Stdio::null());
    command
}

pub(crate) fn emulator() -> Process {
    let mut command = program();
    command
        .args(["lab", "emulate", "truenas", "--json"])
        .args(["--listen", "127.0.0.1:0", "--api-key", KEY])
        // The fewest that the client library accepts, to save time.
        .args(["--scram-iterations", "4096"]);
    Process::start(&mut command)
}

/// A bridge to the emulator with this key file, without a socket.
pub(crate) fn bridge(emulator: &Process, key: &Path) -> Command {
    let mut command = program();
    command
        .args(["bridge", emulator.banner["url"].as_str().unwrap()])
        // A restart of the server begins its count again, which the session cannot know.
        .args(["--user", "admin", "--json", "--logins-per-minute", "1000"])
        .arg("--key-file")
        .arg(key);
    command
}

fn deadline() -> Instant {
    now() + PATIENCE
}

#[expect(clippy::disallowed_methods, reason = "the limit of a test")]
fn now() -> Instant {
    Instant::now()
}

/// The exit code, standard output and standard error.
pub(crate) fn ended(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}
