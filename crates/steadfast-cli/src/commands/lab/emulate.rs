//! `steadfast lab emulate`: serves an emulated product until a signal arrives.

use std::io::ErrorKind;
use std::time::Duration;

use serde_json::json;
use steadfast_clock::Clock;
use steadfast_machine::Seed;
use steadfast_truenas_emulator::{Account, ListenError, Policy, Server};
use tokio::runtime;

use crate::args::emulate::{Emulate, EmulateTruenas};
use crate::exit::{Failure, with_causes};
use crate::output;
use crate::signals::Signals;

/// Runs the emulator until SIGINT or SIGTERM, which ends all connections.
///
/// # Errors
///
/// When the port cannot be used.
pub(super) fn run(arguments: &Emulate) -> Result<(), Failure> {
    let Emulate::Truenas(arguments) = arguments;
    output::detach()?;
    let seed = match arguments.seed {
        Some(seed) => Seed::new(seed),
        None => Seed::new(getrandom::u64().map_err(|error| {
            Failure::failed(format!("failed to read random bytes: {error}"), "")
        })?),
    };
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::failed(format!("failed to start the async runtime: {error}"), "")
        })?;
    runtime.block_on(async {
        let mut shutdown = Signals::install()?;
        let server = Server::bind(arguments.listen, policy(arguments, seed)).await?;
        print_banner(arguments, &server, seed);
        server.serve(async move { shutdown.next().await }).await;
        Ok(())
    })
}

fn policy(arguments: &EmulateTruenas, seed: Seed) -> Policy {
    let account = Account {
        username: arguments.user.clone(),
        password: Some(arguments.password.clone()),
        otp: arguments.otp.clone(),
        api_key: Some(arguments.api_key.clone()),
        state: arguments.account.into(),
    };
    let allow = &arguments.allow;
    Policy {
        call_time: Duration::from_millis(arguments.call_time),
        job_time: Duration::from_millis(arguments.job_time),
        session_age_max: Duration::from_secs(arguments.session_age),
        idle_cut: arguments.idle_cut.map(Duration::from_secs),
        redirect: arguments.redirect.clone(),
        allowed_addresses: (!allow.is_empty()).then(|| allow.clone()),
        repeats_last_job_event: arguments.repeat_last_job_event,
        started_at: Clock::wall(),
        seed,
        ..Policy::of_release(arguments.release, vec![account])
    }
}

fn print_banner(arguments: &EmulateTruenas, server: &Server, seed: Seed) {
    let (address, seed) = (server.local_addr(), seed.as_u64());
    let url = format!("ws://{address}/api/current");
    let text = if arguments.json {
        json!({"address": address.to_string(), "url": url, "seed": seed}).to_string()
    } else {
        format!(
            "The TrueNAS emulator is listening on {url}\n  release  {}\n  user     {}\n  \
             journal  http://{address}/_emulator/journal\n  \
             seed     {seed}; --seed {seed} repeats the random choices\n  stop     Ctrl-C",
            arguments.release, arguments.user,
        )
    };
    output::print(&text);
}

impl From<ListenError> for Failure {
    fn from(error: ListenError) -> Self {
        let text = with_causes(&error);
        if error.source.kind() == ErrorKind::AddrInUse {
            let hint = "Stop the other process, or choose another port: steadfast lab emulate truenas --listen 127.0.0.1:6001";
            Self::port_in_use(text, hint)
        } else {
            let hint = "Write an address of this machine: --listen 127.0.0.1:6000";
            Self::failed(text, hint)
        }
    }
}
