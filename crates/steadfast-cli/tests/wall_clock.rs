//! `steadfast serve` with another wall clock than the machine: libfaketime changes it for this one process, also while it
//! runs. A start of the machine is another boot identity in a mount namespace of the gateway's own.
//!
//! `cargo xtask setup` installs libfaketime.

#![cfg(test)]

#[path = "gateway/process.rs"]
mod process;
#[path = "gateway/wait.rs"]
mod wait;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::Process;
use crate::wait::wait_until;

#[test]
fn neither_a_jump_nor_a_restart_with_a_wrong_clock_loses_history_or_applies_a_key_twice() {
    let machine = Machine::new();
    machine.set_clock("+0");
    let gateway = machine.start(None);
    gateway.publish("1");
    gateway.check();

    machine.set_clock("+31d");
    gateway.check();
    machine.wait_for_log("wall clock set");

    // The process alone is restarted: the boot clock knows the time.
    machine.set_clock("+62d");
    drop(gateway);
    let gateway = machine.start(None);
    gateway.check();
    machine.wait_for_log("wall clock set");

    // The machine is restarted, 3 min further: the key is kept until its window has certainly passed.
    let three_minutes_later = format!("+{}", 62 * 86_400 + 180);
    machine.set_clock(&three_minutes_later);
    drop(gateway);
    let gateway = machine.start(Some("00000000-0000-4000-8000-000000000002"));
    gateway.check();
    machine.wait_for_log("machine restarted");

    // The next start has a wrong date until it is corrected.
    machine.set_clock("+10y");
    drop(gateway);
    let gateway = machine.start(Some("00000000-0000-4000-8000-000000000003"));
    machine.set_clock(&three_minutes_later);
    gateway.check();
}

/// A folder with the data, the log and the clock of a gateway.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Changes the wall clock at once.
    fn set_clock(&self, offset: &str) {
        // The file is replaced as a whole, so that the gateway never reads a part of it.
        fs::write(self.path("clock.new"), offset).unwrap();
        fs::rename(self.path("clock.new"), self.path("clock")).unwrap();
    }

    /// Waits until the log lines contain a text: a gateway does not wait until its lines are written.
    fn wait_for_log(&self, expected: &str) {
        wait_until(expected, || self.log().contains(expected));
    }

    /// What the gateway has logged since its start.
    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    fn start(&self, boot: Option<&str>) -> Gateway {
        let program = env!("CARGO_BIN_EXE_steadfast");
        let mut command = match boot {
            None => Command::new(program),
            Some(boot) => {
                fs::write(self.path("boot_id"), format!("{boot}\n")).unwrap();
                let mut command = Command::new("unshare");
                let script = "mount --bind boot_id /proc/sys/kernel/random/boot_id && exec \"$@\"";
                command.args([
                    "--map-root-user",
                    "--mount",
                    "sh",
                    "-ec",
                    script,
                    "sh",
                    "env",
                ]);
                command.arg(format!("LD_PRELOAD={}", library().display()));
                command.arg(program);
                command
            }
        };
        if boot.is_none() {
            command.env("LD_PRELOAD", library());
        }
        command
            .args(["serve", "--port", "0", "--json"])
            .current_dir(self.folder.path())
            .env_remove("STEADFAST_CONFIG")
            .env("STEADFAST_LOG", "info")
            .env("NO_COLOR", "1")
            .env("FAKETIME_TIMESTAMP_FILE", self.path("clock"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .stderr(File::create(self.path("log")).unwrap());
        Gateway(Process::start(&mut command, || self.log()))
    }
}

/// The library that changes the wall clock of the processes that load it.
fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap();
    folders
        .map(|folder| folder.unwrap().path().join("faketime/libfaketime.so.1"))
        .find(|path| Path::exists(path))
        .expect("libfaketime is installed (cargo xtask setup)")
}

/// A gateway, and a client with a connection for each command.
struct Gateway(Process);

impl Gateway {
    /// Publishes with a key that does not depend on the data.
    fn publish(&self, data: &str) -> String {
        self.ask(&format!(
            r#""rpc":{{"method":"gw.publish","data":{{"channel":"a","data":{data},"idempotency_key":"k"}}}}"#
        ))
    }

    /// The key is known, and the history has its only publication.
    fn check(&self) {
        let repeat = self.publish("1");
        assert!(repeat.contains(r#""duplicate":true"#), "{repeat}");
        let history = self.ask(r#""history":{"channel":"a","limit":10}"#);
        assert_eq!(history.matches(r#""data":"#).count(), 1, "{history}");
    }

    /// Sends a command on a new connection and returns the reply.
    fn ask(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(self.0.address).unwrap();
        stream.write_all(UPGRADE.as_bytes()).unwrap();
        read_until(&mut stream, b"\r\n\r\n");
        let commands = format!("{{\"id\":1,\"connect\":{{}}}}\n{{\"id\":2,{command}}}");
        let len = u8::try_from(commands.len()).unwrap();
        assert!(len < 126, "a frame with a short length");
        // A text frame whose mask is zero.
        let head = [0x81, 0x80 | len, 0, 0, 0, 0];
        stream
            .write_all(&[&head[..], commands.as_bytes()].concat())
            .unwrap();
        let mut text = String::new();
        while !text.contains(r#""id":2"#) {
            text = read_frame(&mut stream);
        }
        text
    }
}

const UPGRADE: &str = "GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
                       Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn read_frame(stream: &mut TcpStream) -> String {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let len = match head[1] {
        126 => {
            let mut len = [0; 2];
            stream.read_exact(&mut len).unwrap();
            usize::from(u16::from_be_bytes(len))
        }
        len => usize::from(len),
    };
    let mut payload = vec![0; len];
    stream.read_exact(&mut payload).unwrap();
    String::from_utf8(payload).unwrap()
}

fn read_until(stream: &mut TcpStream, end: &[u8]) {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(end) {
        stream.read_exact(&mut byte).unwrap();
        read.push(byte[0]);
    }
}
