//! Shell scripts in a mount namespace of their own.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs a script; `$0` is the binary, `$1` and so on are the paths. Fails with the reason if this system does not allow
/// mounts.
pub(crate) fn run(script: &str, paths: &[&Path]) -> Result<Output, String> {
    let flags = if rustix::process::geteuid().is_root() {
        "-m"
    } else {
        "-rm"
    };
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command
            .args([flags, "sh", "-c", script])
            .stdin(Stdio::null());
        command
    };
    let allowed = unshare("mount -t tmpfs none /mnt").output();
    let allowed = allowed.map_err(|error| format!("unshare cannot be run: {error}"))?;
    if !allowed.status.success() {
        let reason = String::from_utf8_lossy(&allowed.stderr);
        return Err(format!("mount namespaces are not available: {reason}"));
    }
    let mut command = unshare(script);
    command.arg(env!("CARGO_BIN_EXE_steadfast")).args(paths);
    command
        .output()
        .map_err(|error| format!("unshare cannot be run: {error}"))
}
