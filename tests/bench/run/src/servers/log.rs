//! The sinks of a gateway's log: a file, and three that do not accept it.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Write as _};
use std::process::Command;

use anyhow::Result;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// Where the gateway's log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// A file that accepts everything.
    File,
    /// A pipe that is full and not read.
    Stalled,
    /// A pipe whose reader is gone.
    Closed,
    /// A file on a full `tmpfs`, in a mount namespace of the gateway's own.
    FullDisk,
}

impl Log {
    /// Redirects the log of a command to this sink. Returns the end of a pipe that must stay open.
    pub(super) fn redirect(
        self,
        command: &mut Command,
        output: File,
    ) -> Result<Option<PipeReader>> {
        match self {
            Self::File => {
                command.stderr(output);
                Ok(None)
            }
            Self::FullDisk => {
                *command = with_log_on_a_full_disk(command);
                command.stderr(output);
                Ok(None)
            }
            Self::Stalled | Self::Closed => {
                let (reader, mut writer) = std::io::pipe()?;
                fill(&mut writer)?;
                command.stderr(writer);
                Ok((self == Self::Stalled).then_some(reader))
            }
        }
    }
}

/// Fills a pipe so that the next write to it waits.
fn fill(pipe: &mut PipeWriter) -> Result<()> {
    let flags = fcntl_getfl(&*pipe)?;
    fcntl_setfl(&*pipe, flags | OFlags::NONBLOCK)?;
    while pipe.write(&[b'\n'; 4096]).is_ok() {}
    while pipe.write(b"\n").is_ok() {}
    Ok(fcntl_setfl(&*pipe, flags)?)
}

/// Returns the command in a mount namespace of its own, with standard error on a file system without space.
fn with_log_on_a_full_disk(command: &Command) -> Command {
    let flags = if rustix::process::geteuid().is_root() {
        "-m"
    } else {
        "-rm"
    };
    let script = "mount -t tmpfs -o size=64k none /mnt || exit 1; head -c 65536 /dev/zero >/mnt/filler; \
                  exec \"$0\" \"$@\" 2>>/mnt/log";
    let mut wrapped = Command::new("unshare");
    wrapped
        .args([flags, "sh", "-c", script])
        .arg(command.get_program())
        .args(command.get_args());
    wrapped
}
