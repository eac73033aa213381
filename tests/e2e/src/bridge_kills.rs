//! Three programs share `steadfast bridge` while the server restarts, and while the bridge is killed: a published client of
//! TrueNAS, an asynchronous one with several calls at a time, and a shell script. Each of them prints what it believes has
//! become of its calls, and the journal of the server says what was executed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::truenas_clients::Server;
use crate::{binaries, http};

const USER: &str = "admin";
const KEY: &str = "1-0123456789abcdef";
/// How long the emulator may take to reply.
const PATIENCE: Duration = Duration::from_secs(30);

/// The same as the other programs do, with `steadfast call`, whose exit code is the outcome.
const SHELL: &str = r#"
number=0
while [ ! -e "$2" ]; do
  number=$((number + 1))
  name="tank/shell-$number"
  "$0" call "unix:$1" pool.dataset.create "[{\"name\": \"$name\"}]" >/dev/null 2>&1
  case $? in
    0) echo "$name executed" ;;
    8) echo "$name not_sent" ;;
    9) echo "$name interrupted" ;;
    *) echo "$name $?" ;;
  esac
done
"#;

/// What is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// The middleware of the server restarts.
    Server,
    /// The server executes a call, and ends the connection instead of its reply.
    Reply,
    /// The bridge is killed, and another one is started at the same socket.
    Bridge,
}

/// Ends what is named, one after the other, and compares what the programs believe with the journal of the server.
/// `folder` is an empty one, for the socket and the key.
///
/// # Errors
///
/// When a process cannot be started, a program believes what is not true, or a connection has cost more than one login.
pub fn run(program: &Path, folder: &Path, kills: &[Kill]) -> Result<()> {
    let lab = Lab::start(program, folder)?;
    let mut bridge = lab.bridge()?;
    let mut programs = lab.programs()?;
    let mut outcomes = Vec::new();
    let mut reconnects = 0;
    for kill in kills {
        lab.until_connected(reconnects)?;
        for program in &mut programs {
            program.until_executed(&mut outcomes)?;
        }
        match kill {
            Kill::Server => {
                reconnects += 1;
                lab.control("restart")?;
            }
            Kill::Reply => {
                reconnects += 1;
                lab.control("lose-reply/pool.dataset.create")?;
            }
            Kill::Bridge => {
                reconnects = 0;
                drop(bridge);
                bridge = lab.bridge()?;
            }
        }
    }
    lab.until_connected(reconnects)?;
    for program in &mut programs {
        program.until_executed(&mut outcomes)?;
    }
    fs::write(&lab.end, "")?;
    for program in programs {
        program.end(&mut outcomes)?;
    }
    let journal = lab.journal()?;
    check_outcomes(&outcomes, &journal)?;
    check_logins(&journal, kills)
}

/// The emulated server, and where the bridges are.
struct Lab {
    program: PathBuf,
    emulator: Server,
    key: PathBuf,
    socket: PathBuf,
    /// A file that ends the script.
    end: PathBuf,
}

impl Lab {
    fn start(program: &Path, folder: &Path) -> Result<Self> {
        let emulator = Server::start(
            Command::new(program)
                .args(["lab", "emulate", "truenas", "--json"])
                .args(["--listen", "127.0.0.1:0", "--api-key", KEY])
                // The fewest that the client library accepts, to save time.
                .args(["--scram-iterations", "4096"]),
        )?;
        let key = folder.join("key");
        fs::write(&key, KEY)?;
        Ok(Self {
            program: program.to_owned(),
            emulator,
            key,
            socket: folder.join("nas.sock"),
            end: folder.join("end"),
        })
    }

    fn bridge(&self) -> Result<Server> {
        let mut command = Command::new(&self.program);
        command
            .args(["bridge", &self.emulator.banner("url")?])
            // A restart of the server begins its count again, which the session cannot know.
            .args(["--json", "--user", USER, "--logins-per-minute", "1000"])
            .arg("--key-file")
            .arg(&self.key)
            .arg("--socket")
            .arg(&self.socket)
            .stderr(Stdio::null());
        Server::start(&mut command)
    }

    fn programs(&self) -> Result<[Program; 3]> {
        let root = binaries::root();
        let python = binaries::python()?;
        let client = |kind: &str| {
            let mut command = Command::new(&python);
            command
                .arg(root.join("tests/third-party/truenas/share_bridge.py"))
                .arg(kind)
                .arg(&self.socket);
            command
        };
        let mut shell = Command::new("sh");
        shell
            .args(["-c", SHELL])
            .arg(&self.program)
            .arg(&self.socket)
            .arg(&self.end);
        Ok([
            Program::start(client("pytruenas"))?,
            Program::start(client("async"))?,
            Program::start(shell)?,
        ])
    }

    /// Waits until the bridge has its session again.
    fn until_connected(&self, reconnects: u64) -> Result<()> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let deadline = Instant::now() + PATIENCE;
        loop {
            writeln!(
                stream,
                r#"{{"jsonrpc":"2.0","id":1,"method":"bridge.status"}}"#
            )?;
            let line = lines.next().context("the bridge has ended")??;
            let status: Value = serde_json::from_str(&line)?;
            let is_connected = status.pointer("/result/state") == Some(&"connected".into());
            let count = status.pointer("/result/reconnects").and_then(Value::as_u64);
            if is_connected && count == Some(reconnects) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "not connected: {status}");
            std::thread::yield_now();
        }
    }

    fn control(&self, path: &str) -> Result<()> {
        self.request("POST", path).map(drop)
    }

    fn journal(&self) -> Result<Vec<Value>> {
        Ok(serde_json::from_str(&self.request("GET", "journal")?)?)
    }

    fn request(&self, method: &str, path: &str) -> Result<String> {
        let address: SocketAddr = self.emulator.banner("address")?.parse()?;
        let path = format!("/_emulator/{path}");
        let response = http::request(method, address, &path, PATIENCE)?;
        let (head, body) = response.split_once("\r\n\r\n").context("no response")?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        Ok(body.to_owned())
    }
}

/// A program that prints the outcomes of its calls.
struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start a program")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let lines = BufReader::new(stdout).lines();
        Ok(Self { child, lines })
    }

    /// Waits for a call that was executed.
    fn until_executed(&mut self, outcomes: &mut Vec<String>) -> Result<()> {
        for line in &mut self.lines {
            let line = line?;
            let was_executed = line.ends_with(" executed");
            outcomes.push(line);
            if was_executed {
                return Ok(());
            }
        }
        bail!("a program has ended: {:?}", self.child.wait()?)
    }

    /// Ends its input, and waits for its last outcomes.
    fn end(mut self, outcomes: &mut Vec<String>) -> Result<()> {
        drop(self.child.stdin.take());
        for line in &mut self.lines {
            outcomes.push(line?);
        }
        let status = self.child.wait()?;
        ensure!(status.success(), "a program: {status}");
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // An error means that it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What was executed was executed once, what was not sent was not, and nothing was executed twice.
fn check_outcomes(outcomes: &[String], journal: &[Value]) -> Result<()> {
    let mut executions: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in journal {
        let name = entry.pointer("/params/0/name").and_then(Value::as_str);
        let is_executed = entry.get("state").and_then(Value::as_str) == Some("executed");
        if let Some(name) = name.filter(|_| is_executed) {
            *executions.entry(name).or_default() += 1;
        }
    }
    for (name, count) in &executions {
        ensure!(*count == 1, "{name} was executed {count} times");
    }
    for line in outcomes {
        let (name, outcome) = line.split_once(' ').context("no outcome")?;
        let was_executed = executions.contains_key(name);
        let is_true = match outcome {
            "executed" => was_executed,
            "not_sent" => !was_executed,
            "interrupted" | "timed_out" | "unknown" => true,
            _ => false,
        };
        ensure!(is_true, "{name}: {outcome}, executed: {was_executed}");
    }
    Ok(())
}

/// Each connection has one login, which is two calls by SCRAM; and each kill has led to one connection.
fn check_logins(journal: &[Value], kills: &[Kill]) -> Result<()> {
    let mut logins: BTreeMap<(u64, u64), usize> = BTreeMap::new();
    for entry in journal {
        if entry.get("method").and_then(Value::as_str) == Some("auth.login_ex") {
            let number = |name: &str| entry.get(name).and_then(Value::as_u64).unwrap_or_default();
            let connection = (number("start"), number("connection"));
            *logins.entry(connection).or_default() += 1;
        }
    }
    let mut start = 1;
    let starts = kills.iter().map(|kill| {
        start += u64::from(*kill == Kill::Server);
        start
    });
    let expected: Vec<u64> = [1].into_iter().chain(starts).collect();
    let actual: Vec<u64> = logins.keys().map(|(start, _)| *start).collect();
    ensure!(actual == expected, "{logins:?} instead of {expected:?}");
    let is_once = logins.values().all(|calls| *calls == 2);
    ensure!(is_once, "a connection with more than one login: {logins:?}");
    Ok(())
}
