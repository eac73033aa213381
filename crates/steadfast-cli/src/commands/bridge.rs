//! `steadfast bridge`: shares one session to a server between local programs until a signal arrives.

mod inputs;
mod notify;

use std::io::ErrorKind;
use std::path::Path;

use serde_json::json;
use steadfast_bridge::{BindError, ServeError, Server, Upstream};
use tokio::runtime;

use self::inputs::Inputs;
use crate::args::bridge::Bridge;
use crate::env::Environment;
use crate::exit::{Failure, with_causes};
use crate::output;
use crate::signals::Signals;

/// Runs the bridge until SIGINT or SIGTERM; a second signal terminates it immediately.
///
/// # Errors
///
/// When an argument is invalid, the socket or the port cannot be used, or the session to the server has failed.
pub(crate) fn run(arguments: &Bridge, environment: &Environment) -> Result<(), Failure> {
    let inputs = inputs::read(arguments, environment)?;
    output::detach()?;
    output::start_log(environment);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::failed(format!("failed to start the async runtime: {error}"), "")
        })?;
    runtime.block_on(serve(arguments, environment, inputs))
}

async fn serve(
    arguments: &Bridge,
    environment: &Environment,
    inputs: Inputs,
) -> Result<(), Failure> {
    let (mut shutdown, mut second_signal) = (Signals::install()?, Signals::install()?);
    let socket = inputs.settings.socket.clone();
    let server = Server::bind(inputs.settings).await?;
    let upstream = Upstream::connect(inputs.upstream)
        .map_err(|error| inputs::invalid_upstream(arguments, &error))?;
    print_banner(arguments, &server, &socket);
    if let Err(error) = notify::ready(environment.notify_socket.as_deref()) {
        tracing::warn!(%error, "failed to notify systemd");
    }
    tokio::select! {
        outcome = server.serve(upstream, async move { shutdown.next().await }) => {
            outcome.map_err(Failure::from)
        }
        () = async move {
            second_signal.next().await;
            second_signal.again().await;
        } => Err(Failure::failed(
            "terminated by a second signal before all calls had ended",
            "Calls in flight may have been executed.",
        )),
    }
}

fn print_banner(arguments: &Bridge, server: &Server, socket: &Path) {
    let address = server.local_addr();
    let text = if arguments.json {
        let address = address.map(|it| it.to_string());
        json!({"socket": socket.display().to_string(), "address": address}).to_string()
    } else {
        let port = address.map_or_else(String::new, |it| format!("\n  port     ws://{it}"));
        format!(
            "The bridge is listening on {}{port}\n  server   {}\n  user     {}\n  stop     Ctrl-C",
            socket.display(),
            arguments.url,
            arguments.user,
        )
    };
    output::print(&text);
}

impl From<BindError> for Failure {
    fn from(error: BindError) -> Self {
        let text = with_causes(&error);
        match error {
            BindError::InUse { .. } => Self::port_in_use(
                text,
                "Programs can use that bridge. For another server, choose another socket: --socket PATH",
            ),
            BindError::Port { source, .. } if source.kind() == ErrorKind::AddrInUse => {
                let hint = "Stop the other process, or choose another port: --listen 127.0.0.1:0";
                Self::port_in_use(text, hint)
            }
            BindError::NotLoopback(_) => Self::usage(
                text,
                "Programs of other machines cannot use a bridge: --listen 127.0.0.1:7000",
            ),
            BindError::NotASocket { .. } => Self::usage(
                text,
                "Choose another path, or remove the file: --socket PATH",
            ),
            BindError::Socket { .. } | BindError::Port { .. } => Self::failed(
                text,
                "Choose a path in a folder of this user, of at most 107 bytes: --socket PATH",
            ),
        }
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        let hint = match &error {
            ServeError::SessionFailed(_) => {
                "Check the URL, the user and the key, then start the bridge again."
            }
        };
        Self::failed(output::escape::text(&error.to_string()), hint)
    }
}
