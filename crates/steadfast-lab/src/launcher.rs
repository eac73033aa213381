//! What happens in a child before the real program begins: it is tied to the life of its parent.
//!
//! The lab starts this as a mode of its own binary, which then becomes the program (`exec`), because preparing a child
//! between fork and exec would need unsafe code. When the lab dies, however it dies, its services die.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// Becomes the program, and dies when the process with the id `parent` does. Returns only if that fails.
pub fn become_program(parent: u32, program: &OsString, arguments: &[OsString]) -> io::Error {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    // The parent may have died before the line above; then nobody would ever send the signal.
    let is_orphan = i32::try_from(parent).ok().and_then(Pid::from_raw) != getppid();
    if is_orphan {
        return io::Error::other("the process that started it is gone");
    }
    Command::new(program).args(arguments).exec()
}
