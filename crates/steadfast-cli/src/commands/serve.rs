//! `steadfast serve`: reads settings from file, environment and arguments, and runs the gateway until a signal arrives.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use steadfast_gateway::config::load::{LoadedConfig, STORE_KIND};
use steadfast_gateway::config::{Config, StoreKind};
use steadfast_gateway::error::ServeError;
use steadfast_gateway::server;
use tokio::runtime;

use crate::args::Serve;
use crate::env::Environment;
use crate::exit::Failure;
use crate::output;
use crate::signals::Signals;

/// Runs the gateway until SIGINT or SIGTERM; a second signal terminates it immediately.
///
/// # Errors
///
/// When the settings are invalid, or the gateway fails to start or to shut down.
pub(crate) fn run(arguments: &Serve, environment: &Environment) -> Result<(), Failure> {
    let loaded = settings(arguments, environment)?;
    if arguments.print_config {
        output::print(loaded.config.effective().trim_end());
        return Ok(());
    }
    let dropped_lines = output::detach()?;
    output::start_log(environment);
    // This thread only waits; the gateway's shards have dedicated threads.
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::failed(format!("failed to start the async runtime: {error}"), "")
        })?;
    runtime.block_on(async {
        let (mut shutdown, mut second_signal) = (Signals::install()?, Signals::install()?);
        let format = if arguments.json {
            OutputFormat::Json
        } else {
            OutputFormat::Text
        };
        let banner = Banner::new(&loaded.config, format);
        let shutdown = async move {
            shutdown.next().await;
            tracing::info!("shutting down; closing connections with the advice to reconnect");
        };
        let second_signal = async move {
            second_signal.next().await;
            second_signal.again().await;
        };
        tokio::select! {
            outcome = server::run(loaded, dropped_lines, shutdown, |address| banner.print(address)) => {
                outcome.map_err(Failure::from)
            }
            () = second_signal => Err(Failure::failed(
                "terminated by a second signal before the shutdown was complete",
                "The next start checks the log automatically; no action is required.",
            )),
        }
    })
}

/// Applies the configuration file, then the environment, then the arguments.
fn settings(arguments: &Serve, environment: &Environment) -> Result<LoadedConfig, Failure> {
    let file = arguments
        .config
        .as_deref()
        .or_else(|| environment.config.as_deref().map(Path::new));
    let mut loaded = match file {
        Some(path) => LoadedConfig::read(path).map_err(ServeError::from)?,
        None => LoadedConfig::default(),
    };
    let server = &mut loaded.config.server;
    if let Some(address) = parsed::<IpAddr>(
        "STEADFAST_ADDRESS",
        environment.address.as_deref(),
        "an IP address",
    )? {
        server.address = address;
    }
    if let Some(port) = parsed(
        "PORT",
        environment.port.as_deref(),
        "a port from 0 to 65535",
    )? {
        server.port = port;
    }
    server.address = arguments.address.unwrap_or(server.address);
    server.port = arguments.port.unwrap_or(server.port);
    if let Some(shards) = arguments.shards {
        loaded
            .override_key("server.shards", "--shards")
            .server
            .shards = shards;
    }
    let of_argument = arguments.data.as_deref().map(|path| (path, "--data"));
    let of_environment = environment.data.as_deref();
    let directory = of_argument.or_else(|| Some((Path::new(of_environment?), "STEADFAST_DATA")));
    if let Some((directory, origin)) = directory {
        let store = &mut loaded.override_key("store.directory", origin).store;
        directory.clone_into(&mut store.directory);
        // A directory requests storage on disk, and overrides the kind in the configuration file.
        loaded.override_key(STORE_KIND, origin).store.kind = StoreKind::Segments;
    }
    if arguments.memory {
        loaded.override_key(STORE_KIND, "--memory").store.kind = StoreKind::Memory;
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
            format!("invalid environment variable {name}=\"{text}\": must be {expected}"),
            format!("Set a valid value, or remove the variable: unset {name}"),
        )),
    }
}

/// The message that is printed once clients can connect.
struct Banner {
    /// `None` if data is kept in memory.
    directory: Option<PathBuf>,
    format: OutputFormat,
}

enum OutputFormat {
    Text,
    Json,
}

impl Banner {
    fn new(config: &Config, format: OutputFormat) -> Self {
        let directory = match config.store.kind {
            StoreKind::Memory => None,
            StoreKind::Segments => {
                let directory = &config.store.directory;
                Some(std::path::absolute(directory).unwrap_or_else(|_| directory.clone()))
            }
        };
        Self { directory, format }
    }

    fn print(&self, address: SocketAddr) {
        let local = local_address(address);
        let directory = self
            .directory
            .as_ref()
            .map(|directory| directory.display().to_string());
        let text = match self.format {
            OutputFormat::Text => {
                let data = directory
                    .unwrap_or_else(|| "in memory only; lost when the process exits".to_owned());
                format!(
                    "Steadfast is listening on http://{local}\n  clients  ws://{local}/connection/websocket\n  \
                     data     {data}\n  stop     Ctrl-C; connected clients reconnect automatically"
                )
            }
            OutputFormat::Json => serde_json::json!({
                "address": address.to_string(),
                "websocket_url": format!("ws://{local}/connection/websocket"),
                "data_directory": directory,
            })
            .to_string(),
        };
        output::print(&text);
    }
}

/// The address for clients on this machine: loopback if the gateway listens on all interfaces.
fn local_address(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}
