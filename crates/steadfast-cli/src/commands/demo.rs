//! `steadfast demo`: a shared canvas whose gateway the user can kill while painters draw.
//!
//! This process serves the page and maintains the picture. The gateway is a child process that is restarted after a
//! crash or a kill. The picture and the painters use ordinary clients of the library. The demo shows the guarantees of
//! the product and adds none of its own.

mod board;
mod live;
mod owner;
mod painter;
mod server;
mod supervisor;

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use steadfast_gateway::error::ServeError;
use steadfast_gateway::listen;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use self::live::LiveStats;
use self::owner::Canvas;
use self::supervisor::Supervisor;
use crate::args::Demo;
use crate::env::Environment;
use crate::exit::Failure;
use crate::output;

/// The default port of the page; the gateway uses the next one.
const PORT_DEFAULT: u16 = 8000;
/// The default directory of the gateway's log and the picture.
const DIRECTORY_DEFAULT: &str = "steadfast-data/demo";
/// The channel of the canvas.
const CHANNEL: &str = "canvas";
/// How often the picture is saved.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// Runs the demo until SIGINT or SIGTERM.
///
/// # Errors
///
/// Fails when a port is in use, or the directory cannot be written.
pub(super) fn run(arguments: &Demo, environment: &Environment) -> Result<(), Failure> {
    let port = port(arguments, environment)?;
    let gateway_port = port.checked_add(1).ok_or_else(|| {
        Failure::usage(
            "invalid port 65535: the gateway uses the next port, and there is none",
            "Choose a lower port: PORT=8000",
        )
    })?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    listen::probe(address.ip(), port).map_err(ServeError::from)?;
    listen::probe(address.ip(), gateway_port).map_err(ServeError::from)?;
    let directory = prepare(arguments, port, gateway_port)?;
    let program = env::current_exe().map_err(|error| {
        Failure::failed(
            format!("failed to find the path of this program: {error}"),
            "",
        )
    })?;
    output::detach()?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::failed(format!("failed to start the async runtime: {error}"), "")
        })?;
    let url = format!("ws://127.0.0.1:{gateway_port}/connection/websocket");
    runtime.block_on(serve_until_shutdown(
        arguments, address, &url, &program, &directory,
    ))
}

async fn serve_until_shutdown(
    arguments: &Demo,
    address: SocketAddr,
    url: &str,
    program: &Path,
    directory: &Path,
) -> Result<(), Failure> {
    let shutdown = shutdown().map_err(|error| {
        Failure::failed(
            format!("failed to install the signal handlers: {error}"),
            "",
        )
    })?;
    let stats = Arc::new(LiveStats::new(arguments.painters));
    let supervisor = Supervisor::start(program, directory, url, Arc::clone(&stats));
    let picture = directory.join("picture.json");
    let canvas = Canvas::start(url, picture.clone(), Arc::clone(&stats))
        .map_err(|error| client_failure(&error))?;
    let canvas = Arc::new(canvas);
    for number in 0..arguments.painters {
        painter::start(url, number, Arc::clone(&stats)).map_err(|error| client_failure(&error))?;
    }
    let site = Arc::new(server::Site {
        url: url.to_owned(),
        is_kill_allowed: !arguments.no_kill,
        canvas: Arc::clone(&canvas),
        stats,
        supervisor,
    });
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|error| Failure::failed(format!("failed to listen on {address}: {error}"), ""))?;
    print_banner(address, url, directory, arguments);
    let autosave = async {
        loop {
            tokio::time::sleep(SAVE_EVERY).await;
            canvas.save();
        }
    };
    tokio::select! {
        () = server::serve(listener, Arc::clone(&site)) => {}
        () = autosave => {}
        () = shutdown => {}
    }
    output::message("shutting down: the gateway closes its connections");
    canvas.save();
    site.supervisor.stop().await;
    Ok(())
}

fn port(arguments: &Demo, environment: &Environment) -> Result<u16, Failure> {
    if let Some(port) = arguments.port {
        return Ok(port);
    }
    let Some(text) = &environment.port else {
        return Ok(PORT_DEFAULT);
    };
    let text = text.to_string_lossy();
    text.trim().parse().map_err(|_not_a_port| {
        Failure::usage(
            format!("invalid environment variable PORT=\"{text}\": must be a port from 1 to 65534"),
            "Set it to a valid port, or remove it: unset PORT",
        )
    })
}

/// Creates the directory and writes the gateway's configuration.
fn prepare(arguments: &Demo, port: u16, gateway_port: u16) -> Result<PathBuf, Failure> {
    let directory = arguments
        .data
        .clone()
        .unwrap_or_else(|| PathBuf::from(DIRECTORY_DEFAULT));
    let unwritable = |error: std::io::Error| {
        Failure::failed(
            format!("failed to write to {}: {error}", directory.display()),
            "Choose another directory: steadfast demo --data DIR",
        )
    };
    fs::create_dir_all(&directory).map_err(unwritable)?;
    let configuration = format!(
        "# Written by `steadfast demo` at each start.\n[server]\nport = {gateway_port}\nshards = 1\n\
         allowed_origins = [\"http://127.0.0.1:{port}\", \"http://localhost:{port}\"]\n\n\
         [client]\nanonymous_info = true\n\n[store]\ndirectory = \"log\"\n"
    );
    fs::write(directory.join("gateway.toml"), configuration).map_err(unwritable)?;
    fs::canonicalize(&directory).map_err(unwritable)
}

fn print_banner(address: SocketAddr, url: &str, directory: &Path, arguments: &Demo) {
    output::print(&format!(
        "Demo running at http://{address}\n  gateway  {url}\n  painters {}\n  data     {}\n\
         Open the page, draw, and press \"Kill the gateway\": all clients reconnect, and no acknowledged pixel is lost.\n\
         Stop with Ctrl-C.",
        arguments.painters,
        directory.display()
    ));
}

fn client_failure(error: &steadfast::error::BuildError) -> Failure {
    Failure::failed(format!("failed to create a client: {error}"), "")
}

/// Completes on the first SIGINT or SIGTERM.
fn shutdown() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
