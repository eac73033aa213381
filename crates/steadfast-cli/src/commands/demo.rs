//! `steadfast demo`: a shared canvas whose gateway the user can kill while painters draw.
//!
//! This process serves the page and maintains the picture. The gateway is a child process with a port of its own that is
//! restarted after a crash or a kill; this process forwards the connections of pages to it. The picture and the painters
//! use ordinary clients of the library, which connect directly, so that they see a kill itself. The demo shows the
//! guarantees of the product and adds none of its own.

mod board;
mod directory;
mod gateway_process;
mod live;
mod owner;
mod painter;
mod ports;
mod probe;
mod server;
mod supervisor;

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime;

use self::directory::Directory;
use self::gateway_process::GatewayCommand;
use self::live::LiveStats;
use self::owner::Canvas;
use self::ports::GatewayPort;
use self::server::Site;
use self::server::forward::Forwarder;
use self::supervisor::Supervisor;
use crate::args::Demo;
use crate::env::Environment;
use crate::exit::Failure;
use crate::output;
use crate::signals::Signals;

/// The default directory of the gateway's log and the picture.
const DIRECTORY_DEFAULT: &str = "steadfast-data/demo";
/// The channel of the canvas.
const CHANNEL: &str = "canvas";
/// How often the picture is saved.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// Runs the demo until SIGINT or SIGTERM; a second signal terminates it immediately.
///
/// # Errors
///
/// Fails when the directory is used by another demo or cannot be written, a port is in use, or the gateway cannot be
/// started.
pub(super) fn run(arguments: &Demo, environment: &Environment) -> Result<(), Failure> {
    let port = ports::configured(arguments.port, environment)?;
    let directory = arguments.data.as_deref();
    // Locked until the gateway has exited.
    let mut directory = Directory::lock(directory.unwrap_or_else(|| Path::new(DIRECTORY_DEFAULT)))?;
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
    runtime.block_on(async {
        let mut signals = Signals::install()?;
        let (listener, page) = ports::listen(port).await?;
        directory.record_page(page)?;
        let site = start(arguments, program, directory.path(), page)?;
        let outcome = tokio::select! {
            outcome = serve(arguments, listener, &site, directory.path()) => outcome,
            () = signals.next() => Ok(()),
        };
        if outcome.is_ok() {
            output::message("shutting down: the gateway closes its connections");
        }
        site.canvas.save();
        tokio::select! {
            () = site.supervisor.stop() => outcome,
            () = signals.again() => Err(Failure::failed(
                "terminated by a second signal before the gateway had closed its connections",
                "The next start checks the log automatically; no action is required.",
            )),
        }
    })
}

/// Starts the gateway, the picture and the painters.
fn start(
    arguments: &Demo,
    program: PathBuf,
    directory: &Path,
    page: SocketAddr,
) -> Result<Arc<Site>, Failure> {
    let gateway = GatewayPort::reserve()?;
    let url = gateway.url();
    let command = GatewayCommand::new(program, directory, gateway.address).map_err(|error| {
        Failure::failed(
            format!("failed to write to {}: {error}", directory.display()),
            "Choose another directory: steadfast demo --data DIR",
        )
    })?;
    let stats = Arc::new(LiveStats::new(arguments.painters));
    let supervisor = Supervisor::start(command, Arc::clone(&stats));
    let canvas = Canvas::start(&url, directory.join("picture.json"), Arc::clone(&stats))
        .map_err(|error| client_failure(&error))?;
    for number in 0..arguments.painters {
        painter::start(&url, number, Arc::clone(&stats)).map_err(|error| client_failure(&error))?;
    }
    Ok(Arc::new(Site {
        port: page.port(),
        forwarder: Forwarder::new(gateway),
        is_kill_allowed: !arguments.no_kill,
        canvas,
        stats,
        supervisor,
    }))
}

/// Serves the page until the gateway cannot be started.
async fn serve(
    arguments: &Demo,
    listener: TcpListener,
    site: &Arc<Site>,
    directory: &Path,
) -> Result<(), Failure> {
    let page = listener.local_addr().map_err(|error| {
        Failure::failed(
            format!("failed to read the address of the page: {error}"),
            "",
        )
    })?;
    let announce = async {
        site.supervisor.started().await?;
        print_banner(page, directory, arguments);
        Err(site.supervisor.gave_up().await)
    };
    let autosave = async {
        loop {
            tokio::time::sleep(SAVE_EVERY).await;
            site.canvas.save();
        }
    };
    tokio::select! {
        () = server::serve(listener, Arc::clone(site)) => Ok(()),
        () = autosave => Ok(()),
        gateway = announce => gateway.map_err(|reason| {
            Failure::failed(reason, "Fix the cause, and start the demo again.")
        }),
    }
}

fn print_banner(page: SocketAddr, directory: &Path, arguments: &Demo) {
    let invitation = if arguments.no_kill {
        "Open the page, and draw."
    } else {
        "Open the page, draw, and press \"Kill the gateway\": all clients reconnect, and no acknowledged pixel is lost."
    };
    output::print(&format!(
        "Demo running at http://{page}\n  clients  ws://{page}/connection/websocket\n  painters {}\n  data     {}\n\
         {invitation}\n\
         Stop with Ctrl-C.",
        arguments.painters,
        directory.display()
    ));
}

fn client_failure(error: &steadfast::error::BuildError) -> Failure {
    Failure::failed(format!("failed to create a client: {error}"), "")
}
