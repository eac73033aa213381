//! What a child process does before the real program starts: it arranges to be killed when its parent terminates.
//!
//! The lab starts its own binary as the child (`lab launch`). The child then replaces itself with the program (`exec`),
//! because preparing a child between fork and exec would need unsafe code. When the lab terminates, for whatever
//! reason, the kernel kills its services.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// Replaces this process with the program, which is killed when the process with the id `parent` terminates. Returns
/// only on failure.
pub fn become_program(parent: u32, program: &OsString, arguments: &[OsString]) -> io::Error {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    // The parent may have terminated before the line above; then the signal would never be sent.
    let is_orphan = i32::try_from(parent).ok().and_then(Pid::from_raw) != getppid();
    if is_orphan {
        return io::Error::other("the parent process has terminated");
    }
    Command::new(program).args(arguments).exec()
}
