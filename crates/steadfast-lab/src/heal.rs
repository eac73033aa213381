//! Undoes what a crash of the lab left: processes, and with them network namespaces and packet filter rules.
//!
//! Rules, queues and devices are in network namespaces that the processes of the run hold, so killing these processes
//! removes all of them. A process of a run is recognized by the environment variable with the directory of its instance, or
//! by its network namespace; nothing else is touched.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::error::LabError;
use crate::journal::{Entries, FILE, Journal};
use crate::service::{kill_in_namespaces, kill_of_run};

/// Directories that are examined.
const FOLDERS_MAX: usize = 10_000;

/// What became of a run whose journal has no end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Healing {
    /// The process with this id still executes it.
    Running(u32),
    /// It crashed; nothing is left now.
    Healed {
        /// The faults that were in effect, each with what it did and how it is undone.
        faults: Vec<String>,
        /// The processes that were killed, by name and id.
        killed: Vec<String>,
    },
}

/// Undoes what the runs in a directory left: the directory of a run, or the parent of several. Returns the runs that had not
/// ended, by directory.
///
/// # Errors
///
/// When the directory cannot be read, or a journal cannot be written.
pub fn heal(folder: &Path) -> Result<Vec<(PathBuf, Healing)>, LabError> {
    let failed = |source| LabError::Folder {
        path: folder.to_owned(),
        source,
    };
    let mut healed = Vec::new();
    for run in runs(folder).map_err(failed)? {
        let Ok(entries) = Entries::read(&run) else {
            continue;
        };
        if entries.has_ended {
            continue;
        }
        let healing = match entries.running() {
            Some(id) => Healing::Running(id),
            None => heal_run(&run, &entries)?,
        };
        healed.push((run, healing));
    }
    Ok(healed)
}

fn heal_run(run: &Path, entries: &Entries) -> Result<Healing, LabError> {
    let mut killed = Vec::new();
    if !entries.is_of_an_earlier_boot() {
        killed.extend(kill_of_run(run));
        killed.extend(kill_in_namespaces(&entries.namespaces));
    }
    Journal::open(run)?.end()?;
    let faults = entries.open.iter();
    let faults = faults.map(|(_, what, undo)| format!("{what}: {undo}"));
    Ok(Healing::Healed {
        faults: faults.collect(),
        killed,
    })
}

/// The directory itself if it is that of a run, otherwise the directories of runs in it.
fn runs(folder: &Path) -> io::Result<Vec<PathBuf>> {
    // Processes name their directory without symbolic links.
    let folder = fs::canonicalize(folder)?;
    if folder.join(FILE).exists() {
        return Ok(vec![folder]);
    }
    let entries = fs::read_dir(&folder)?.take(FOLDERS_MAX).flatten();
    let mut runs: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.join(FILE).exists())
        .collect();
    runs.sort();
    Ok(runs)
}

/// The number of a network namespace.
pub(crate) fn inode(namespace: &Path) -> Option<u64> {
    Some(fs::metadata(namespace).ok()?.ino())
}
