//! A reader of a document: runs its commands with a shell, saves its samples, and keeps its servers running.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use super::blocks::Item;
use super::expected::Document;
use super::substitute::substitute;
use crate::{binaries, http};

/// The limit of each command and of each wait, including the compilation of a sample.
const STEP_TIMEOUT: Duration = Duration::from_mins(4);
/// The timeout of a request to a server.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a wait looks.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How many lines of an output an error shows.
const SHOWN_LINES: usize = 20;
/// The ends of commands that run until a reader stops them, in addition to servers, and the text with which they are ready.
const ENDLESS: [(&str, &str); 11] = [
    ("--subscribe news", "subscribed"),
    ("--subscribe lobby", "subscribed"),
    ("node news.mjs", "hello"),
    ("node server.mjs", "listening"),
    ("cargo run", "Publication"),
    ("steadfast proxy serve", "is listening on"),
    ("steadfast lab emulate truenas", "is listening on"),
    ("--socket nas.sock", "is listening on"),
    ("--token-file token", "is listening on"),
    ("--tls-self-signed nas.pem", "is listening on"),
    ("--allow 192.0.2.1", "is listening on"),
];
/// The command that the reader repeats after the kill.
const PUBLISH: &str = "target/release/steadfast connect ws://127.0.0.1:8000 --publish news";
/// The message after the kill.
const AFTER_THE_KILL: &str = "after the kill";

/// A document while it is followed.
#[derive(Debug)]
pub(super) struct Reader {
    document: Document,
    clone: PathBuf,
    /// The folder of the next command; each section begins in the clone, unless the document has one folder.
    folder: PathBuf,
    /// The outputs of the commands so far.
    outputs: PathBuf,
    /// In the order of their commands.
    runs: Vec<Run>,
}

/// A command that was started.
#[derive(Debug)]
struct Run {
    command: String,
    output: PathBuf,
    /// Until it ends or is stopped.
    child: Option<Child>,
    is_server: bool,
}

impl Reader {
    pub(super) fn new(clone: &Path, document: Document) -> Result<Self> {
        let outputs = clone.with_file_name("outputs").join(document.path);
        fs::create_dir_all(&outputs)?;
        Ok(Self {
            document,
            clone: clone.to_owned(),
            folder: clone.to_owned(),
            outputs,
            runs: Vec::new(),
        })
    }

    /// Does with an item what its reader would do.
    pub(super) fn follow(&mut self, item: &Item) -> Result<()> {
        match item.language.as_str() {
            "heading" if self.document.has_one_folder => {}
            "heading" => self.folder.clone_from(&self.clone),
            "row" => self.command(&item.text, true)?,
            "sh" => {
                for line in item.text.lines().filter(|line| !line.is_empty()) {
                    self.command(line, false)?;
                }
            }
            "js" | "rust" | "python" | "bash" | "perl" | "go" => self.save(&item.text)?,
            "toml" if has_file_name(&item.text) => self.save(&item.text)?,
            "toml" => self.check_configuration(&item.text)?,
            // What a command prints, shortened; the commands have outputs that are checked.
            "text" => {}
            other => bail!("no test for a block of the language `{other}`"),
        }
        Ok(())
    }

    /// Checks the outputs, and stops what still runs.
    pub(super) fn finish(mut self) -> Result<()> {
        for (command, texts) in self.document.outputs {
            let run = self.runs.iter_mut().find(|run| run.command == *command);
            let run = run.with_context(|| format!("the document has no command `{command}`"))?;
            for text in *texts {
                run.wait_for(text)?;
            }
        }
        if self.document.is_killed {
            self.kill_and_publish()?;
        }
        for run in self.runs.iter_mut().rev() {
            run.stop()?;
        }
        Ok(())
    }

    /// Everything that runs receives a message that is published after a kill.
    fn kill_and_publish(&mut self) -> Result<()> {
        let response = request("POST", "/demo/kill", 8000)?;
        ensure!(response.starts_with("HTTP/1.1 202"), "{response}");
        let server = self.runs.iter_mut().find(|run| run.is_server);
        let server = server.context("the document starts no server")?;
        server.wait_until("it serves again", |_| is_restarted())?;
        self.command(&format!("{PUBLISH} '\"{AFTER_THE_KILL}\"'"), false)?;
        for run in &mut self.runs {
            if run.child.is_some() && !run.is_server {
                run.wait_for(AFTER_THE_KILL)?;
            }
        }
        Ok(())
    }

    fn command(&mut self, line: &str, is_row: bool) -> Result<()> {
        let drivers = binaries::root().join("tests/third-party");
        let executed = substitute(line, is_row, &drivers)?;
        let port = port_of_server(&executed);
        if port.is_some() {
            self.stop_server()?;
        }
        let run = self.start(line, &executed, port.is_some())?;
        self.runs.push(run);
        let run = self.runs.last_mut().context("a command was started")?;
        let ready = ENDLESS.iter().find(|(end, _)| line.ends_with(end));
        match (port, ready) {
            (Some(port), _) => run.wait_until("it serves", |_| is_ready(port)),
            (None, Some((_, text))) => run.wait_for(text),
            (None, None) => {
                let status = run.wait()?;
                ensure!(status.success(), "`{executed}`: {status}: {}", run.tail());
                self.folder = fs::read_to_string(self.outputs.join("folder"))?
                    .trim_end()
                    .into();
                Ok(())
            }
        }
        .with_context(|| format!("`{line}`"))
    }

    fn start(&self, line: &str, executed: &str, is_server: bool) -> Result<Run> {
        let output = self.outputs.join(self.runs.len().to_string());
        let file = File::create(&output)?;
        let folder = self.outputs.join("folder");
        let path = std::env::var("PATH").unwrap_or_default();
        let release = self.clone.join("target/release");
        // The packages for Python are installed there.
        let python = self.clone.join(".venv/bin");
        let script = format!(
            "{executed}\nstatus=$?\npwd >{}\nexit $status",
            folder.display()
        );
        let child = binaries::command("setsid")
            .args(["--wait", "sh", "-c", &script])
            .current_dir(&self.folder)
            .env(
                "PATH",
                format!("{}:{}:{path}", release.display(), python.display()),
            )
            // A sample in Rust uses what is downloaded and compiled for the third-party client.
            .env("CARGO_NET_OFFLINE", "true")
            .env("CARGO_TARGET_DIR", binaries::target()?.join("third-party"))
            .stdin(Stdio::piped())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("failed to start `{executed}`"))?;
        Ok(Run {
            command: line.to_owned(),
            output,
            child: Some(child),
            is_server,
        })
    }

    /// A reader runs one server at a time.
    fn stop_server(&mut self) -> Result<()> {
        self.runs
            .iter_mut()
            .filter(|run| run.is_server)
            .try_for_each(Run::stop)
    }

    /// Saves a sample under the name in its first line.
    fn save(&self, text: &str) -> Result<()> {
        let first = text.lines().next().unwrap_or_default();
        let name = file_name(first)
            .context("the first line of a sample is a comment with its file name")?;
        fs::write(self.folder.join(name), text)?;
        Ok(())
    }

    /// A sample of a configuration is read by the gateway.
    fn check_configuration(&mut self, text: &str) -> Result<()> {
        let file = self.outputs.join("sample.toml");
        fs::write(&file, text)?;
        let check = format!("steadfast serve --print-config --config {}", file.display());
        self.command(&check, false)
    }
}

impl Run {
    /// Waits until it ends.
    fn wait(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        let child = self.child.as_mut().context("the command has ended")?;
        // Its input ends, as of a reader who types nothing.
        drop(child.stdin.take());
        loop {
            if let Some(status) = child.try_wait()? {
                self.child = None;
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("timed out waiting for its end: {}", self.tail());
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Waits until the output contains a text.
    fn wait_for(&mut self, text: &str) -> Result<()> {
        self.wait_until(&format!("it prints `{text}`"), |run| {
            run.text().contains(text)
        })
    }

    fn wait_until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        loop {
            // Asked first, because it may end between the two questions.
            let has_ended = match &mut self.child {
                Some(child) => child.try_wait()?.is_some(),
                None => true,
            };
            if condition(self) {
                return Ok(());
            }
            let has_time = !has_ended && Instant::now() < deadline;
            ensure!(
                has_time,
                "`{}` ended or waited too long until {what}: {}",
                self.command,
                self.tail()
            );
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Stops it as Ctrl-C in its terminal does.
    fn stop(&mut self) -> Result<()> {
        let Some(child) = &self.child else {
            return Ok(());
        };
        // An error means that it has ended already.
        let _ = kill_process_group(Pid::from_child(child), Signal::INT);
        self.wait().map(drop)
    }

    fn text(&self) -> String {
        let bytes = fs::read(&self.output).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last lines of the output.
    fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().rev().take(SHOWN_LINES).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
            drop(child.wait());
        }
    }
}

/// The name in a comment such as `// news.mjs`.
fn file_name(line: &str) -> Option<&str> {
    let text = line.trim_start_matches(['/', '#']);
    (text.len() < line.len())
        .then(|| text.strip_prefix(' '))
        .flatten()
}

/// Whether the first line of a sample is the name of a TOML file.
fn has_file_name(text: &str) -> bool {
    let name = text.lines().next().and_then(file_name);
    name.is_some_and(|name| Path::new(name).extension() == Some(OsStr::new("toml")))
}

/// The port of a command that starts a server.
fn port_of_server(command: &str) -> Option<u16> {
    let serves = command.contains("steadfast serve") && !command.contains("--print-config");
    if !serves && !command.ends_with("steadfast demo") {
        return None;
    }
    let option = command.split_once("--port ").map(|(_, rest)| rest);
    let port = option.and_then(|rest| rest.split_whitespace().next());
    port.map_or(Some(8000), |port| port.parse().ok())
}

fn is_ready(port: u16) -> bool {
    request("GET", "/readyz", port).is_ok_and(|it| it.starts_with("HTTP/1.1 200"))
}

/// Whether the demo has started its gateway again after a kill.
fn is_restarted() -> bool {
    let live = request("GET", "/demo/live", 8000).unwrap_or_default();
    let body = live.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let gateway = serde_json::from_str::<Value>(body).unwrap_or_default();
    gateway.pointer("/gateway/kills").and_then(Value::as_u64) > Some(0)
        && gateway.pointer("/gateway/state").and_then(Value::as_str) == Some("up")
}

fn request(method: &str, path: &str, port: u16) -> Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    http::request(method, address, path, RESPONSE_TIMEOUT)
}
