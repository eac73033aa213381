//! Ends a run early: at the first SIGINT or SIGTERM its faults are undone and its processes end, at the second one the lab
//! ends at once.
//!
//! In namespaces the run is another process, the first one of its namespace, to which the kernel delivers neither signal.
//! It reads a pipe instead: the lab that started it closes the other end at the first signal.

use std::io;
use std::path::Path;
use std::process;
use std::thread;

use steadfast_lab::interrupt::Interrupt;
use tokio::runtime;

use crate::exit::{Failure, INTERRUPTED};
use crate::output;
use crate::signals::Signals;

/// From now on signals end the run in this directory. `request` is called at the first one.
///
/// # Errors
///
/// When the handlers or their thread cannot be installed.
pub(super) fn on_signals(
    folder: &Path,
    request: impl FnOnce() + Send + 'static,
) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        Failure::lab_failed(format!("failed to install signal handlers: {error}"), "")
    };
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed)?;
    let mut signals = {
        let _context = runtime.enter();
        Signals::install()?
    };
    let heal = format!("steadfast lab heal {}", folder.display());
    let wait = move || {
        runtime.block_on(signals.next());
        output::message(
            "Interrupted: the faults are undone and the processes end; a second signal ends the lab at once",
        );
        request();
        runtime.block_on(signals.again());
        end_at_once(&heal);
    };
    let thread = thread::Builder::new().name("signals".to_owned());
    thread.spawn(wait).map(drop).map_err(failed)
}

/// From now on the end of standard input ends the run.
///
/// # Errors
///
/// When the thread cannot be started.
pub(super) fn on_closed_input(interrupt: Interrupt) -> Result<(), Failure> {
    let wait = move || {
        drop(io::copy(&mut io::stdin().lock(), &mut io::sink()));
        interrupt.request();
    };
    let thread = thread::Builder::new().name("input".to_owned());
    let started = thread.spawn(wait).map(drop);
    started.map_err(|error| Failure::lab_failed(format!("failed to start a thread: {error}"), ""))
}

/// The kernel kills the services of this process with it. What left them remains for `lab heal`.
#[expect(
    clippy::exit,
    reason = "the thread of the run may wait for a service that does not end"
)]
fn end_at_once(heal: &str) -> ! {
    output::message(&format!(
        "Ended at once by a second signal. Undo what it left: {heal}"
    ));
    drop(output::FlushGuard);
    process::exit(i32::from(INTERRUPTED))
}
