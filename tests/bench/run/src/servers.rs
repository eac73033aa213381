//! The servers that are measured: what they are called, how they are started on the first core, and their end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use load::dialect::Dialect;
use load::join::Target;
use rustix::thread::{CpuSet, sched_setaffinity};
use serde::{Deserialize, Serialize};

use crate::places::Places;

/// The servers' core. The generator has the other one.
const SERVER_CORE: usize = 0;
const GENERATOR_CORE: usize = 1;

/// A server that does not say its address within this time has failed.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A server under measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Server {
    /// Our codec with no protocol above it.
    Bare,
    /// The gateway, storing in memory.
    GatewayMemory,
    /// The gateway, storing in files with group commit.
    GatewayDurable,
    /// npm `ws` on Node.
    Ws,
    /// Bun's own WebSocket server.
    Bun,
}

impl Server {
    pub(crate) const ALL: [Self; 5] = [
        Self::Bare,
        Self::GatewayMemory,
        Self::GatewayDurable,
        Self::Ws,
        Self::Bun,
    ];

    /// The word of the command line, of file names and of the results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::GatewayMemory => "gateway-memory",
            Self::GatewayDurable => "gateway-durable",
            Self::Ws => "ws",
            Self::Bun => "bun",
        }
    }

    /// What the table says.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Bare => "bare server",
            Self::GatewayMemory | Self::GatewayDurable => "**gateway**",
            Self::Ws => "npm `ws` 8.23.0",
            Self::Bun => "Bun 1.4.5",
        }
    }

    /// The store of the table's row.
    pub(crate) fn store(self) -> &'static str {
        match self {
            Self::GatewayMemory => "memory",
            Self::GatewayDurable => "durable",
            Self::Bare | Self::Ws | Self::Bun => "none",
        }
    }

    /// True for the gateway with either store.
    pub(crate) fn is_gateway(self) -> bool {
        matches!(self, Self::GatewayMemory | Self::GatewayDurable)
    }
}

/// How often the gateway pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pings {
    /// As by default.
    Usual,
    /// Every two seconds, so that a short run sees enough of them.
    Often,
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    server: Server,
    child: Child,
    pub(crate) target: Target,
    data: Option<PathBuf>,
}

impl Running {
    /// Starts a server on its core. `plain_bytes` is the payload's length for servers without a protocol.
    pub(crate) fn start(
        server: Server,
        places: &Places,
        plain_bytes: usize,
        pings: Pings,
    ) -> Result<Self> {
        let data = (server == Server::GatewayDurable).then(|| places.output.join("data"));
        if let Some(data) = &data {
            // A data directory that a broken run left behind would be opened and replayed.
            let _ = fs::remove_dir_all(data);
        }
        if server.is_gateway() {
            let config = config(0, data.as_deref(), pings);
            fs::write(config_path(server, places), config)?;
        }
        let dialect = if server.is_gateway() {
            Dialect::Gateway
        } else {
            Dialect::Plain { bytes: plain_bytes }
        };
        let child = spawn(server, places)?;
        let target = Target { port: 0, dialect };
        let mut running = Self {
            server,
            child,
            target,
            data,
        };
        running.target.port = running.wait_for_port(&log_path(server, places))?;
        Ok(running)
    }

    /// Kills the server as a crash would, and starts it again on what it has stored.
    pub(crate) fn kill_and_restart(&mut self, places: &Places) -> Result<()> {
        self.kill()?;
        self.start_again(places)
    }

    /// Kills the server as a crash would.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts the gateway again after a kill, on what it has stored and on its port, where its clients dial.
    pub(crate) fn start_again(&mut self, places: &Places) -> Result<()> {
        let config = config(self.target.port, self.data.as_deref(), Pings::Usual);
        fs::write(config_path(self.server, places), config)?;
        self.child = spawn(self.server, places)?;
        self.target.port = self.wait_for_port(&log_path(self.server, places))?;
        Ok(())
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_for_port(&mut self, log: &Path) -> Result<u16> {
        let start = Instant::now();
        loop {
            let text = fs::read_to_string(log)?;
            if let Some(port) = port_in(&text) {
                return Ok(port);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status}: {text}");
            }
            if start.elapsed() > START_TIMEOUT {
                bail!("the server did not say its address: {text}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which the run has noticed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(data) = &self.data {
            let _ = fs::remove_dir_all(data);
        }
    }
}

/// Pins this thread, and what it starts from now on, to one core; on a machine with only one it changes nothing.
pub(crate) fn pin(core: usize) -> Result<()> {
    if core >= machine_cores()? {
        return Ok(());
    }
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}

/// How many cores the machine has, whatever this process is pinned to.
pub(crate) fn machine_cores() -> Result<usize> {
    let stat = fs::read_to_string("/proc/stat")?;
    Ok(stat
        .lines()
        .filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "))
        .count())
}

fn log_path(server: Server, places: &Places) -> PathBuf {
    places.output.join(format!("{}.log", server.name()))
}

fn config_path(server: Server, places: &Places) -> PathBuf {
    places.output.join(format!("{}.toml", server.name()))
}

/// Calls with a new key each fill the default million within three seconds.
const KEYS: &str = "idempotency_keys_max = 16000000\n";

/// The gateway's settings: all defaults but one core, the port (0 for any), the store of the row, and room for keys.
fn config(port: u16, data: Option<&Path>, pings: Pings) -> String {
    let store = match data {
        Some(data) => format!(
            "kind = \"segments\"\ndirectory = {:?}\nfsync = \"always\"\n",
            data.display().to_string()
        ),
        None => "kind = \"memory\"\n".to_owned(),
    };
    let client = match pings {
        Pings::Usual => "",
        Pings::Often => "\n[client]\nping_interval = \"2s\"\npong_timeout = \"1s\"\n",
    };
    format!("[server]\nport = {port}\ncores = 1\n\n[store]\n{KEYS}{store}{client}")
}

fn spawn(server: Server, places: &Places) -> Result<Child> {
    let mut command = command(server, places);
    let output = File::create(log_path(server, places))?;
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    // Settings of the person who runs the bench would override the generated file.
    for (name, _) in std::env::vars_os() {
        if name == "PORT" || name.to_string_lossy().starts_with("STEADFAST_") {
            command.env_remove(name);
        }
    }
    pin(SERVER_CORE)?;
    let child = command.spawn();
    pin(GENERATOR_CORE)?;
    child.with_context(|| {
        format!(
            "{} does not start; is {} built or installed?",
            server.name(),
            command.get_program().display()
        )
    })
}

fn command(server: Server, places: &Places) -> Command {
    match server {
        Server::Bare => Command::new(&places.bare),
        Server::GatewayMemory | Server::GatewayDurable => {
            let mut command = Command::new(&places.gateway);
            command
                .arg("serve")
                .arg("--config")
                .arg(config_path(server, places));
            command
        }
        Server::Ws => {
            let mut command = Command::new("node");
            command.arg(places.peer("ws/server.mjs"));
            command
        }
        Server::Bun => {
            let mut command =
                Command::new(places.peer("bun/node_modules/@oven/bun-linux-x64/bin/bun"));
            command.arg(places.peer("bun/server.mjs"));
            command
        }
    }
}

/// The first port on the loopback that a server's output names.
fn port_in(text: &str) -> Option<u16> {
    text.split("127.0.0.1:").skip(1).find_map(|rest| {
        let digits = rest
            .split(|character: char| !character.is_ascii_digit())
            .next()?;
        // Until the line is complete its last digits may be missing.
        let complete = rest.len() > digits.len();
        digits.parse().ok().filter(|port| complete && *port != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_taken_only_from_a_complete_line() {
        assert_eq!(port_in("listening on 127.0.0.1:41"), None);
        assert_eq!(port_in("listening on 127.0.0.1:41234\n"), Some(41_234));
        assert_eq!(port_in("open http://127.0.0.1:41234/ now"), Some(41_234));
        assert_eq!(
            port_in("asked for 127.0.0.1:0, listening on 127.0.0.1:5001\n"),
            Some(5001)
        );
    }
}
