//! The measured servers: their names, and their start and end on the first core.

mod log;

use std::fs::{self, File};
use std::io::PipeReader;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use load::cores::{GENERATOR_CORE, SERVER_CORE, pin};
use load::dialect::Dialect;
use load::join::Target;
use load::publish::{self, Protocol};
use serde::{Deserialize, Serialize};

pub(crate) use self::log::Log;
use crate::paths::Paths;

/// Maximum time until a server prints its address.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// The servers that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Server {
    /// Steadfast's WebSocket codec with no protocol above it.
    Bare,
    /// The gateway with the memory store.
    GatewayMemory,
    /// The gateway with segment files and group commit.
    GatewayDurable,
    /// The base gateway with the memory store: another build, measured in alternation with the gateway.
    BaseMemory,
    /// The base gateway with segment files and group commit.
    BaseDurable,
    /// npm `ws` on Node.
    Ws,
    /// Bun's built-in WebSocket server.
    Bun,
    /// NATS with a `JetStream` stream on files, each write synced.
    JetStream,
    /// S2's own server on a local directory.
    S2Lite,
}

impl Server {
    pub(crate) const ALL: [Self; 9] = [
        Self::Bare,
        Self::GatewayMemory,
        Self::GatewayDurable,
        Self::BaseMemory,
        Self::BaseDurable,
        Self::Ws,
        Self::Bun,
        Self::JetStream,
        Self::S2Lite,
    ];

    /// The base gateways, in the order of the gateways with which they are compared.
    pub(crate) const BASES: [(Self, Self); 2] = [
        (Self::GatewayMemory, Self::BaseMemory),
        (Self::GatewayDurable, Self::BaseDurable),
    ];

    /// Returns the name in command lines, file names and results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::GatewayMemory => "gateway-memory",
            Self::GatewayDurable => "gateway-durable",
            Self::BaseMemory => "base-memory",
            Self::BaseDurable => "base-durable",
            Self::Ws => "ws",
            Self::Bun => "bun",
            Self::JetStream => "jetstream",
            Self::S2Lite => "s2-lite",
        }
    }

    /// Returns the name in the tables.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Bare => "bare server",
            Self::GatewayMemory | Self::GatewayDurable => "**gateway**",
            Self::BaseMemory | Self::BaseDurable => "base gateway",
            Self::Ws => "npm `ws` 8.23.0",
            Self::Bun => "Bun 1.4.5",
            Self::JetStream => "NATS JetStream 2.15.1",
            Self::S2Lite => "s2-lite 0.43.4",
        }
    }

    /// Returns the store in the tables.
    pub(crate) fn store(self) -> &'static str {
        match self {
            Self::GatewayMemory | Self::BaseMemory => "memory",
            Self::GatewayDurable | Self::BaseDurable | Self::JetStream | Self::S2Lite => "durable",
            Self::Bare | Self::Ws | Self::Bun => "none",
        }
    }

    /// Returns `true` for the gateway and the base gateway with either store.
    pub(crate) fn is_gateway(self) -> bool {
        self.protocol() == Some(Protocol::Gateway)
    }

    /// Returns `true` if a publication is on disk before it is acknowledged.
    pub(crate) fn is_durable(self) -> bool {
        self.store() == "durable"
    }

    /// Returns the protocol of acknowledged publications; `None` for a server that acknowledges none.
    pub(crate) fn protocol(self) -> Option<Protocol> {
        match self {
            Self::GatewayMemory | Self::GatewayDurable | Self::BaseMemory | Self::BaseDurable => {
                Some(Protocol::Gateway)
            }
            Self::JetStream => Some(Protocol::JetStream),
            Self::S2Lite => Some(Protocol::S2),
            Self::Bare | Self::Ws | Self::Bun => None,
        }
    }
}

/// The interval at which the gateway sends pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PingInterval {
    /// The gateway's default interval.
    Default,
    /// An interval of two seconds, so that a short run has enough pings.
    Short,
}

/// A running server, which is killed when this value is dropped.
#[derive(Debug)]
pub(crate) struct RunningServer {
    server: Server,
    child: Child,
    pub(crate) target: Target,
    data: Option<PathBuf>,
    /// The end of the log's pipe that is not read.
    _log: Option<PipeReader>,
}

impl RunningServer {
    /// Starts a gateway with the default ping interval and its log in this sink.
    pub(crate) fn start_with_log(server: Server, paths: &Paths, log: Log) -> Result<Self> {
        Self::start_any(server, paths, 0, PingInterval::Default, log)
    }

    /// Starts a server on its core. `plain_bytes` is the payload's length for servers without the client protocol.
    pub(crate) fn start(
        server: Server,
        paths: &Paths,
        plain_bytes: usize,
        ping_interval: PingInterval,
    ) -> Result<Self> {
        Self::start_any(server, paths, plain_bytes, ping_interval, Log::File)
    }

    fn start_any(
        server: Server,
        paths: &Paths,
        plain_bytes: usize,
        ping_interval: PingInterval,
        log: Log,
    ) -> Result<Self> {
        let data = server.is_durable().then(|| paths.output.join("data"));
        if let Some(data) = &data {
            // A data directory that remains from a failed run would be opened and replayed.
            let _ = fs::remove_dir_all(data);
        }
        let config = match server.protocol() {
            Some(Protocol::Gateway) => config(0, data.as_deref(), ping_interval),
            Some(Protocol::JetStream) => jetstream_config(&paths.output.join("data")),
            Some(Protocol::S2) => {
                fs::create_dir_all(paths.output.join("data"))?;
                publish::s2::RESOURCES.to_owned()
            }
            None => String::new(),
        };
        fs::write(config_path(server, paths), config)?;
        let dialect = if server.is_gateway() {
            Dialect::Gateway
        } else {
            Dialect::Plain { bytes: plain_bytes }
        };
        // This server prints no port if it chooses one.
        let port = if server == Server::S2Lite {
            free_port()?
        } else {
            0
        };
        let (child, log) = spawn(server, paths, port, log)?;
        let target = Target { port, dialect };
        let mut running = Self {
            server,
            child,
            target,
            data,
            _log: log,
        };
        running.target.port = running.wait_for_port(&log_path(server, paths))?;
        Ok(running)
    }

    /// Kills the server with SIGKILL and restarts it with its stored data.
    pub(crate) fn kill_and_restart(&mut self, paths: &Paths) -> Result<()> {
        self.kill()?;
        self.restart(paths)
    }

    /// Kills the server with SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Restarts the gateway after a kill, with its stored data and on its previous port, which its clients dial.
    pub(crate) fn restart(&mut self, paths: &Paths) -> Result<()> {
        let config = config(
            self.target.port,
            self.data.as_deref(),
            PingInterval::Default,
        );
        fs::write(config_path(self.server, paths), config)?;
        (self.child, _) = spawn(self.server, paths, self.target.port, Log::File)?;
        self.target.port = self.wait_for_port(&log_path(self.server, paths))?;
        Ok(())
    }

    /// Returns the process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_for_port(&mut self, log: &Path) -> Result<u16> {
        let start = Instant::now();
        loop {
            let text = fs::read_to_string(log)?;
            if self.server == Server::S2Lite {
                if TcpStream::connect((Ipv4Addr::LOCALHOST, self.target.port)).is_ok() {
                    return Ok(self.target.port);
                }
            } else if let Some(port) = port_in(&text) {
                return Ok(port);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("server exited with {status}: {text}");
            }
            if start.elapsed() > START_TIMEOUT {
                bail!("timed out after 10 s waiting for the server's address: {text}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        // Fails if the process has exited already, which the run reports elsewhere.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(data) = &self.data {
            let _ = fs::remove_dir_all(data);
        }
    }
}

fn log_path(server: Server, paths: &Paths) -> PathBuf {
    paths.output.join(format!("{}.log", server.name()))
}

fn config_path(server: Server, paths: &Paths) -> PathBuf {
    paths.output.join(format!("{}.toml", server.name()))
}

/// With a new idempotency key in each call, a run reaches the default limit of the store within seconds. A connection may
/// use half of this one. The size is a limit only, with which the store has space for so many keys.
const IDEMPOTENCY_KEYS: &str = "idempotency_keys_max = 16000000\nbytes_max = \"20GiB\"\n";

/// Returns the gateway's configuration: the defaults except for one shard, the port (0 for any free port), the store of
/// the row, the limit of idempotency keys and the ping interval.
fn config(port: u16, data: Option<&Path>, ping_interval: PingInterval) -> String {
    let store = match data {
        Some(data) => format!(
            "kind = \"segments\"\ndirectory = {:?}\nfsync = \"always\"\n",
            data.display().to_string()
        ),
        None => "kind = \"memory\"\n".to_owned(),
    };
    let client = match ping_interval {
        PingInterval::Default => "",
        PingInterval::Short => "ping_interval = \"2s\"\npong_timeout = \"1s\"\n",
    };
    format!(
        "server.shards = 1\nserver.port = {port}\n\n[store]\n{IDEMPOTENCY_KEYS}{store}\n[client]\n{client}"
    )
}

/// Returns NATS's configuration: a free port on the loopback interface, and a sync before each acknowledgement.
fn jetstream_config(data: &Path) -> String {
    format!(
        "host: \"127.0.0.1\"\nport: -1\njetstream {{\n  store_dir: {:?}\n  sync_interval: always\n}}\n",
        data.display().to_string()
    )
}

/// Returns a port on which no process listens.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// Returns why a server that only the full benchmark installs cannot be measured; `None` if it is installed.
pub(crate) fn missing(server: Server, paths: &Paths) -> Option<String> {
    let program = match server {
        Server::JetStream => &paths.nats,
        Server::S2Lite => &paths.s2,
        Server::Bare
        | Server::GatewayMemory
        | Server::GatewayDurable
        | Server::BaseMemory
        | Server::BaseDurable
        | Server::Ws
        | Server::Bun => return None,
    };
    (!program.exists()).then(|| {
        format!(
            "{} not found; `cargo xtask bench-servers` installs it",
            program.file_name().unwrap_or_default().to_string_lossy()
        )
    })
}

fn spawn(
    server: Server,
    paths: &Paths,
    port: u16,
    log: Log,
) -> Result<(Child, Option<PipeReader>)> {
    let mut command = command(server, paths, port)?;
    let output = File::create(log_path(server, paths))?;
    let reader = log.redirect(&mut command, output.try_clone()?)?;
    command.stdin(Stdio::null()).stdout(output);
    // Settings in the environment would override the generated file.
    for (name, _) in std::env::vars_os() {
        if name == "PORT" || name.to_string_lossy().starts_with("STEADFAST_") {
            command.env_remove(name);
        }
    }
    pin(SERVER_CORE)?;
    let child = command.spawn();
    pin(GENERATOR_CORE)?;
    let child = child.with_context(|| {
        format!(
            "failed to start {}; is {} built or installed?",
            server.name(),
            command.get_program().display()
        )
    })?;
    Ok((child, reader))
}

fn command(server: Server, paths: &Paths, port: u16) -> Result<Command> {
    let gateway = |program: &Path| {
        let mut command = Command::new(program);
        command
            .arg("serve")
            .arg("--config")
            .arg(config_path(server, paths));
        command
    };
    Ok(match server {
        Server::Bare => Command::new(&paths.bare),
        Server::GatewayMemory | Server::GatewayDurable => gateway(&paths.gateway),
        Server::BaseMemory | Server::BaseDurable => gateway(
            paths
                .base
                .as_deref()
                .context("missing --base with the path of the base gateway")?,
        ),
        Server::Ws => {
            let mut command = Command::new("node");
            command.arg(paths.third_party("ws/server.mjs"));
            command
        }
        Server::Bun => {
            let mut command =
                Command::new(paths.third_party("bun/node_modules/@oven/bun-linux-x64/bin/bun"));
            command.arg(paths.third_party("bun/server.mjs"));
            command
        }
        Server::JetStream => {
            let mut command = Command::new(&paths.nats);
            command.arg("--config").arg(config_path(server, paths));
            command
        }
        Server::S2Lite => {
            let mut command = Command::new(&paths.s2);
            command
                .arg("--local-root")
                .arg(paths.output.join("data"))
                .arg("--init-file")
                .arg(config_path(server, paths))
                .args(["--port", &port.to_string()]);
            // One line for each request would be a part of the measurement.
            command.env("RUST_LOG", "warn");
            command
        }
    })
}

/// Returns the first loopback port in a server's output.
fn port_in(text: &str) -> Option<u16> {
    text.split("127.0.0.1:").skip(1).find_map(|rest| {
        let digits = rest
            .split(|character: char| !character.is_ascii_digit())
            .next()?;
        // The last digits may be missing until the line is complete.
        let complete = rest.len() > digits.len();
        digits.parse().ok().filter(|port| complete && *port != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_parsed_only_from_a_complete_line() {
        assert_eq!(port_in("listening on 127.0.0.1:41"), None);
        assert_eq!(port_in("listening on 127.0.0.1:41234\n"), Some(41_234));
        assert_eq!(port_in("open http://127.0.0.1:41234/ now"), Some(41_234));
        assert_eq!(
            port_in("requested 127.0.0.1:0, listening on 127.0.0.1:5001\n"),
            Some(5001)
        );
    }
}
