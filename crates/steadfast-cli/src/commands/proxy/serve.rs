//! `steadfast proxy serve`: runs the HTTP API and its proxies until a signal arrives.

use std::net::SocketAddr;

use serde_json::json;
use steadfast_proxy::api::{ApiListenError, ApiServer, ConfigError, Settings};
use tokio::runtime;

use crate::args::proxy::ProxyServe;
use crate::env::Environment;
use crate::exit::{Failure, with_causes};
use crate::output;
use crate::signals::Signals;

/// Runs the server until SIGINT or SIGTERM; a second signal terminates it immediately.
///
/// # Errors
///
/// When the port or the configuration cannot be used.
pub(super) fn run(arguments: &ProxyServe, environment: &Environment) -> Result<(), Failure> {
    output::detach()?;
    output::start_log(environment);
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::failed(format!("failed to start the async runtime: {error}"), "")
        })?;
    runtime.block_on(async {
        let (mut shutdown, mut second_signal) = (Signals::install()?, Signals::install()?);
        let settings = Settings {
            seed: arguments.seed,
            proxy_metrics: arguments.proxy_metrics,
            runtime_metrics: arguments.runtime_metrics,
        };
        let server = ApiServer::bind(&arguments.host, arguments.port, settings).await?;
        let proxies = match &arguments.config {
            None => 0,
            Some(path) => server.populate(path).await?,
        };
        print_banner(
            arguments,
            server.local_addr(),
            server.seed().as_u64(),
            proxies,
        );
        tokio::select! {
            () = server.serve(async move { shutdown.next().await }) => Ok(()),
            () = async move {
                second_signal.next().await;
                second_signal.again().await;
            } => Err(Failure::failed(
                "terminated by a second signal before all requests had a response",
                "",
            )),
        }
    })
}

fn print_banner(arguments: &ProxyServe, address: SocketAddr, seed: u64, proxies: usize) {
    let text = if arguments.json {
        json!({"address": address.to_string(), "seed": seed, "proxies": proxies}).to_string()
    } else {
        format!(
            "The proxy API is listening on http://{address}\n  proxies  {proxies}\n  \
             seed     {seed}; --seed {seed} repeats the random choices\n  \
             stop     Ctrl-C; all proxies end with the server"
        )
    };
    output::print(&text);
}

impl From<ApiListenError> for Failure {
    fn from(error: ApiListenError) -> Self {
        let text = with_causes(&error);
        if matches!(error, ApiListenError::PortInUse { .. }) {
            let hint =
                "Stop the other process, or choose another port: steadfast proxy serve --port 8475";
            return Self::port_in_use(text, hint);
        }
        let hint =
            "Write a name or an address of this machine: steadfast proxy serve --host localhost";
        if matches!(error, ApiListenError::Host { .. }) {
            Self::usage(text, hint)
        } else {
            Self::failed(text, hint)
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let text = with_causes(&error);
        if matches!(error, ConfigError::PortInUse(_)) {
            let hint = "Stop the other process, or choose another port for `listen`; port 0 selects a free one.";
            Self::port_in_use(text, hint)
        } else if matches!(error, ConfigError::Unreadable { .. }) {
            Self::usage(
                text,
                "Check the path after --config, and who may read the file.",
            )
        } else {
            // The text has the line of the file and what to do.
            Self::usage(text, "")
        }
    }
}
