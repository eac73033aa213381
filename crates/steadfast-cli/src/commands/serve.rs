//! `steadfast serve`: settings from file, environment and arguments, then the gateway until a signal comes.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use steadfast_gateway::config::load::Loaded;
use steadfast_gateway::config::{Config, StoreKind};
use steadfast_gateway::error::ServeError;
use steadfast_gateway::server;
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::Serve;
use crate::env::Environment;
use crate::exit::Failure;
use crate::output;

/// Serves until SIGINT or SIGTERM; a second one ends it at once.
///
/// # Errors
///
/// When the settings cannot be used, or the gateway cannot start or end.
pub(crate) fn run(arguments: &Serve, environment: &Environment) -> Result<(), Failure> {
    let loaded = settings(arguments, environment)?;
    if arguments.print_config {
        output::print(loaded.config.effective().trim_end());
        return Ok(());
    }
    output::start_log(environment);
    // This thread only waits; the gateway's event loops have threads of their own.
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}"), ""))?;
    runtime.block_on(async {
        let no_signals = |error| Failure::failed(format!("cannot wait for signals: {error}"), "");
        let (mut shutdown, mut impatience) = (
            Signals::new().map_err(no_signals)?,
            Signals::new().map_err(no_signals)?,
        );
        let form = if arguments.json {
            Form::Programs
        } else {
            Form::People
        };
        let greeting = Greeting::new(&loaded.config, form);
        let shutdown = async move {
            shutdown.next().await;
            tracing::info!("closing every connection with the advice to come back");
        };
        let impatience = async move {
            impatience.next().await;
            impatience.next().await;
        };
        tokio::select! {
            outcome = server::run(loaded, shutdown, |address| greeting.print(address)) => {
                outcome.map_err(Failure::from)
            }
            () = impatience => Err(Failure::failed(
                "ended by a second signal, before all connections were closed",
                "The next start checks the log; nothing is to be done.",
            )),
        }
    })
}

/// The file, then the environment, then the arguments.
fn settings(arguments: &Serve, environment: &Environment) -> Result<Loaded, Failure> {
    let file = arguments
        .config
        .as_deref()
        .or_else(|| environment.config.as_deref().map(Path::new));
    let mut loaded = match file {
        Some(path) => Loaded::read(path).map_err(ServeError::from)?,
        None => Loaded::default(),
    };
    let server = &mut loaded.config.server;
    if let Some(address) = parsed::<IpAddr>(
        "STEADFAST_ADDRESS",
        environment.address.as_deref(),
        "an IP address",
    )? {
        server.address = address;
    }
    if let Some(port) = parsed("PORT", environment.port.as_deref(), "a port, 0 to 65535")? {
        server.port = port;
    }
    server.address = arguments.address.unwrap_or(server.address);
    server.port = arguments.port.unwrap_or(server.port);
    if let Some(cores) = arguments.cores {
        loaded.overrule("server.cores").server.cores = cores;
    }
    let directory = arguments
        .data
        .as_deref()
        .or_else(|| environment.data.as_deref().map(Path::new));
    if let Some(directory) = directory {
        let store = &mut loaded.overrule("store.directory").store;
        directory.clone_into(&mut store.directory);
        // Who names a directory wants files in it, whatever a configuration file says.
        store.kind = StoreKind::Segments;
    }
    if arguments.memory {
        loaded.config.store.kind = StoreKind::Memory;
    }
    Ok(loaded)
}

fn parsed<T: FromStr>(
    name: &str,
    value: Option<&OsStr>,
    expected: &str,
) -> Result<Option<T>, Failure> {
    let Some(value) = value else {
        return Ok(None);
    };
    let text = value.to_string_lossy();
    match text.trim().parse() {
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(Failure::usage(
            format!("the environment variable {name} must be {expected}, found \"{text}\""),
            format!("Set it to a usable value, or remove it: unset {name}"),
        )),
    }
}

/// SIGINT and SIGTERM, as they come.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        // Both are cancel-safe.
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What is printed once clients can connect.
struct Greeting {
    /// None for memory.
    directory: Option<PathBuf>,
    form: Form,
}

/// For whom it is printed.
enum Form {
    People,
    Programs,
}

impl Greeting {
    fn new(config: &Config, form: Form) -> Self {
        let directory = match config.store.kind {
            StoreKind::Memory => None,
            StoreKind::Segments => {
                let directory = &config.store.directory;
                Some(std::path::absolute(directory).unwrap_or_else(|_| directory.clone()))
            }
        };
        Self { directory, form }
    }

    fn print(&self, address: SocketAddr) {
        let reached = reached_at(address);
        let directory = self
            .directory
            .as_ref()
            .map(|directory| directory.display().to_string());
        let text = match self.form {
            Form::People => {
                let data = directory
                    .unwrap_or_else(|| "in memory only: gone when the process ends".to_owned());
                format!(
                    "Steadfast serves on http://{reached}\n  clients  ws://{reached}/connection/websocket\n  \
                     data     {data}\n  stop     Ctrl-C; connected clients are told to come back"
                )
            }
            Form::Programs => serde_json::json!({
                "address": address.to_string(),
                "clients": format!("ws://{reached}/connection/websocket"),
                "data_directory": directory,
            })
            .to_string(),
        };
        output::print(&text);
    }
}

/// The address that a client on this machine can use: "all interfaces" is none.
fn reached_at(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}
