//! `steadfast lab emulate`: serves an emulated product until a signal arrives.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use steadfast_clock::Clock;
use steadfast_machine::Seed;
use steadfast_truenas_emulator::{Account, ListenError, Policy, Server, Tls, TlsError};
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
        let mut server = Server::bind(arguments.listen, policy(arguments, seed)).await?;
        if let Some(file) = &arguments.effects {
            let effects = OpenOptions::new().create(true).append(true).open(file);
            let effects = effects.map_err(|error| file_failure("open", file, &error))?;
            server = server.with_effects(effects);
        }
        if let Some(tls) = tls(arguments, server.local_addr())? {
            server = server.with_tls(tls);
        }
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
    let policy = Policy::of_release(arguments.release, vec![account]);
    let policy = policy.at_assurance(arguments.assurance.into());
    let session_age = arguments.session_age.map(Duration::from_secs);
    Policy {
        call_time: Duration::from_millis(arguments.call_time),
        job_time: Duration::from_millis(arguments.job_time),
        session_age_max: session_age.unwrap_or(policy.session_age_max),
        offers_scram: !arguments.no_scram,
        scram_iterations: arguments.scram_iterations,
        idle_cut: arguments.idle_cut.map(Duration::from_secs),
        redirect: arguments.redirect.clone(),
        allowed_addresses: (!allow.is_empty()).then(|| allow.clone()),
        repeats_last_job_event: arguments.repeat_last_job_event,
        started_at: Clock::wall(),
        seed,
        ..policy
    }
}

fn has_tls(arguments: &EmulateTruenas) -> bool {
    arguments.tls_self_signed.is_some() || arguments.tls_certificate.is_some()
}

/// The certificate, which is made and written if the arguments say so.
fn tls(arguments: &EmulateTruenas, address: SocketAddr) -> Result<Option<Tls>, Failure> {
    if let Some(file) = &arguments.tls_self_signed {
        let tls = Tls::self_signed(&[address.ip()])?;
        fs::write(file, tls.certificate_pem())
            .map_err(|error| file_failure("write the certificate to", file, &error))?;
        return Ok(Some(tls));
    }
    let files = arguments
        .tls_certificate
        .as_ref()
        .zip(arguments.tls_key.as_ref());
    let Some((certificate, key)) = files else {
        return Ok(None);
    };
    let read = |file: &Path| fs::read(file).map_err(|error| file_failure("read", file, &error));
    Ok(Some(Tls::from_pem(&read(certificate)?, &read(key)?)?))
}

fn file_failure(action: &str, file: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot {action} {}: {error}", file.display()), "")
}

impl From<TlsError> for Failure {
    fn from(error: TlsError) -> Self {
        let hint = "Write PEM files that fit: --tls-certificate FILE --tls-key FILE";
        Self::failed(with_causes(&error), hint)
    }
}

fn print_banner(arguments: &EmulateTruenas, server: &Server, seed: Seed) {
    let (address, seed) = (server.local_addr(), seed.as_u64());
    let (scheme, http) = if has_tls(arguments) {
        ("wss", "https")
    } else {
        ("ws", "http")
    };
    let url = format!("{scheme}://{address}/api/current");
    let trust = arguments.tls_self_signed.as_ref().map(|file| {
        let file = file.display();
        format!("\n  trust    steadfast call --ca {file} {url} core.ping")
    });
    let text = if arguments.json {
        json!({"address": address.to_string(), "url": url, "seed": seed}).to_string()
    } else {
        format!(
            "The TrueNAS emulator is listening on {url}\n  release  {}\n  user     {}\n  \
             journal  {http}://{address}/_emulator/journal\n  \
             seed     {seed}; --seed {seed} repeats the random choices{}\n  stop     Ctrl-C",
            arguments.release,
            arguments.user,
            trust.unwrap_or_default(),
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
