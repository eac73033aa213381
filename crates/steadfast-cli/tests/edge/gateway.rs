//! A gateway process, and a client that shares no code with the product.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::process::Process;

/// A gateway with a debug log, which is killed at the end of the test.
pub(crate) struct Gateway {
    pub(crate) process: Process,
    pub(crate) _directory: tempfile::TempDir,
}

impl Gateway {
    /// Starts a gateway with a debug log.
    pub(crate) fn start(stderr: impl Into<Stdio>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let command = command(directory.path());
        Self::spawn(command, directory, stderr)
    }

    /// Starts a gateway whose log has the default level.
    pub(crate) fn start_with_default_log(stderr: impl Into<Stdio>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = command(directory.path());
        command.env_remove("STEADFAST_LOG");
        Self::spawn(command, directory, stderr)
    }

    pub(crate) fn spawn(
        mut command: Command,
        directory: tempfile::TempDir,
        stderr: impl Into<Stdio>,
    ) -> Self {
        let process = Process::start(command.stderr(stderr), String::new);
        Self {
            process,
            _directory: directory,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address())
    }

    /// Returns an open WebSocket without a session.
    pub(crate) fn upgraded(&self) -> Client {
        let mut client = Client {
            stream: TcpStream::connect(self.address()).unwrap(),
        };
        client.stream.write_all(UPGRADE.as_bytes()).unwrap();
        client.until("\r\n\r\n");
        client
    }

    /// Returns a client with a session.
    pub(crate) fn client(&self) -> Client {
        let mut client = self.upgraded();
        client.send(b"{\"id\":1,\"connect\":{}}");
        client.until("\"connect\"");
        client
    }

    pub(crate) fn ready(&self) -> String {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        read_to_end(&mut stream)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process.child), signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.child.wait().unwrap()
    }
}

/// Returns a command that serves with a debug log.
pub(crate) fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    command
        .args([
            "serve", "--port", "0", "--shards", "1", "--json", "--memory",
        ])
        .current_dir(directory)
        .env_clear()
        .env("STEADFAST_LOG", "debug")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

/// A client that shares no code with the product.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
}

impl Client {
    pub(crate) fn publish(&mut self) {
        self.send(b"{\"id\":3,\"publish\":{\"channel\":\"a\",\"data\":1}}");
        self.until("{\"id\":3,\"publish\":{}}");
    }

    pub(crate) fn send(&mut self, message: &[u8]) {
        // A mask of zeros leaves the payload as it is.
        let len = u16::try_from(message.len()).unwrap();
        let mut frame = vec![0x81, 0xfe];
        frame.extend_from_slice(&len.to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(message);
        if len < 126 {
            frame.splice(1..4, [0x80 | u8::try_from(len).expect("it is below 126")]);
        }
        self.stream.write_all(&frame).unwrap();
    }

    pub(crate) fn until(&mut self, text: &str) {
        self.stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let mut received = Vec::new();
        let mut byte = [0];
        while !received.ends_with(text.as_bytes()) {
            self.stream.read_exact(&mut byte).unwrap();
            received.push(byte[0]);
        }
    }
}

pub(crate) fn read_to_end(stream: &mut impl io::Read) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

pub(crate) const UPGRADE: &str = "GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
                       Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
