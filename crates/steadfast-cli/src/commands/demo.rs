//! `steadfast demo`: a shared canvas whose gateway anyone may kill while painters draw.
//!
//! This process serves the page and owns the canvas; the gateway is a child that dies and comes back. Both the owner of
//! the canvas and the painters are ordinary clients of the library. Nothing here is part of the product's promises: it
//! shows them.

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

use self::live::Live;
use self::owner::Canvas;
use self::supervisor::Supervisor;
use crate::args::Demo;
use crate::env::Environment;
use crate::exit::Failure;
use crate::output;

/// The port unless somebody chooses another; the gateway takes the next one.
const PORT_DEFAULT: u16 = 8000;
/// Where the gateway's log and the picture are kept.
const FOLDER_DEFAULT: &str = "steadfast-data/demo";
/// The channel of the canvas.
const CHANNEL: &str = "canvas";
/// How often the picture is written down.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// Shows it until SIGINT or SIGTERM.
///
/// # Errors
///
/// When a port is in use, or the folder cannot be written.
pub(super) fn run(arguments: &Demo, environment: &Environment) -> Result<(), Failure> {
    let port = port(arguments, environment)?;
    let gateway_port = port.checked_add(1).ok_or_else(|| {
        Failure::usage(
            "there is no port above 65535 for the gateway",
            "Choose a lower one: PORT=8000",
        )
    })?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    listen::probe(address.ip(), port).map_err(ServeError::from)?;
    listen::probe(address.ip(), gateway_port).map_err(ServeError::from)?;
    let folder = prepare(arguments, port, gateway_port)?;
    let own = env::current_exe()
        .map_err(|error| Failure::failed(format!("cannot find this program: {error}"), ""))?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}"), ""))?;
    let url = format!("ws://127.0.0.1:{gateway_port}/connection/websocket");
    runtime.block_on(show(arguments, address, &url, &own, &folder))
}

async fn show(
    arguments: &Demo,
    address: SocketAddr,
    url: &str,
    own: &Path,
    folder: &Path,
) -> Result<(), Failure> {
    let shutdown = shutdown()
        .map_err(|error| Failure::failed(format!("cannot wait for signals: {error}"), ""))?;
    let live = Arc::new(Live::new(arguments.painters));
    let supervisor = Supervisor::start(own, folder, url, Arc::clone(&live));
    let picture = folder.join("picture.json");
    let canvas =
        Canvas::start(url, picture.clone(), Arc::clone(&live)).map_err(|error| failed(&error))?;
    let canvas = Arc::new(canvas);
    for number in 0..arguments.painters {
        painter::start(url, number, Arc::clone(&live)).map_err(|error| failed(&error))?;
    }
    let site = Arc::new(server::Site {
        url: url.to_owned(),
        may_kill: !arguments.no_kill,
        canvas: Arc::clone(&canvas),
        live,
        supervisor,
    });
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|error| Failure::failed(format!("cannot listen on {address}: {error}"), ""))?;
    greet(address, url, folder, arguments);
    let saving = async {
        loop {
            tokio::time::sleep(SAVE_EVERY).await;
            canvas.save();
        }
    };
    tokio::select! {
        () = server::serve(listener, Arc::clone(&site)) => {}
        () = saving => {}
        () = shutdown => {}
    }
    output::message("ends: the gateway is told to close its connections");
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
            format!("the environment variable PORT must be a port, 1 to 65534, found \"{text}\""),
            "Set it to a usable value, or remove it: unset PORT",
        )
    })
}

/// The folder with the gateway's configuration.
fn prepare(arguments: &Demo, port: u16, gateway_port: u16) -> Result<PathBuf, Failure> {
    let folder = arguments
        .data
        .clone()
        .unwrap_or_else(|| PathBuf::from(FOLDER_DEFAULT));
    let unwritable = |error: std::io::Error| {
        Failure::failed(
            format!("cannot write to {}: {error}", folder.display()),
            "Choose another folder: steadfast demo --data DIR",
        )
    };
    fs::create_dir_all(&folder).map_err(unwritable)?;
    let configuration = format!(
        "# Written by `steadfast demo` at each start.\n[server]\nport = {gateway_port}\ncores = 1\n\
         allowed_origins = [\"http://127.0.0.1:{port}\", \"http://localhost:{port}\"]\n\n\
         [client]\nanonymous_info = true\n\n[store]\ndirectory = \"log\"\n"
    );
    fs::write(folder.join("gateway.toml"), configuration).map_err(unwritable)?;
    fs::canonicalize(&folder).map_err(unwritable)
}

fn greet(address: SocketAddr, url: &str, folder: &Path, arguments: &Demo) {
    output::print(&format!(
        "Steadfast draws on http://{address}\n  gateway  {url}\n  painters {}\n  data     {}\n\
         Open the page, draw, and press \"Kill the gateway\": everyone comes back, and no acknowledged pixel is lost.\n\
         Stop with Ctrl-C.",
        arguments.painters,
        folder.display()
    ));
}

fn failed(error: &steadfast::error::BuildError) -> Failure {
    Failure::failed(format!("a client cannot be made: {error}"), "")
}

/// Ends with the first SIGINT or SIGTERM.
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
