//! A file system on a loop device that can be frozen with `fsfreeze`, so that writes and syncs do not return.
//!
//! Needs root and loop devices. The tests of the binary include this file by its path.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A mounted file system that can be frozen.
pub(crate) struct StuckDisk {
    directory: tempfile::TempDir,
    /// Thaws and unmounts the file system even if the test is killed: a thread that waits for it cannot be.
    guard: Child,
}

impl StuckDisk {
    pub(crate) fn mount() -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (image, path) = (
            directory.path().join("image"),
            directory.path().join("mounted"),
        );
        std::fs::create_dir(&path)
            .and_then(|()| std::fs::File::create(&image)?.set_len(64 << 20))
            .map_err(|error| error.to_string())?;
        run("mkfs.ext4", &["-q".as_ref(), image.as_ref()])?;
        run(
            "mount",
            &[
                "-o".as_ref(),
                "loop".as_ref(),
                image.as_ref(),
                path.as_ref(),
            ],
        )?;
        let guard = Command::new("sh")
            .args([
                "-c",
                "timeout 120 cat; fsfreeze -u \"$0\"; umount -l \"$0\"",
            ])
            .arg(&path)
            // A test that takes too long is killed with its process group.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let disk = Self {
            directory,
            guard: guard.map_err(|error| error.to_string())?,
        };
        run("fsfreeze", &["-f".as_ref(), disk.path().as_ref()])?;
        disk.thaw();
        Ok(disk)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    pub(crate) fn freeze(&self) {
        run("fsfreeze", &["-f".as_ref(), self.path().as_ref()]).unwrap();
    }

    pub(crate) fn thaw(&self) {
        run("fsfreeze", &["-u".as_ref(), self.path().as_ref()]).unwrap();
    }
}

impl Drop for StuckDisk {
    fn drop(&mut self) {
        // A test that failed may have left it frozen.
        drop(run("fsfreeze", &["-u".as_ref(), self.path().as_ref()]));
        drop(run("umount", &["-l".as_ref(), self.path().as_ref()]));
        // Waiting closes the input of the guard, which then ends.
        drop(self.guard.wait());
    }
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program} cannot be run: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        let error = String::from_utf8_lossy(&output.stderr);
        Err(format!("{program} failed: {error}"))
    }
}
