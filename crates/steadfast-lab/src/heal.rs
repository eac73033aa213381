//! Undoes what a crash of the lab left: processes, and with them network namespaces and packet filter rules.
//!
//! Rules, queues and devices are in network namespaces that the processes of the run hold, so killing these processes
//! removes all of them. A process of a run is recognized by the environment variable with the directory of its instance, or
//! by its network namespace; nothing else is touched.

#[cfg(test)]
mod tests;

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

/// What became of all runs of a directory.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Healed {
    /// The runs that had not ended, by directory.
    pub runs: Vec<(PathBuf, Healing)>,
    /// Journals that could not be read, whose runs may have left something, and journals that could not be written, whose
    /// runs are examined again the next time.
    pub problems: Vec<LabError>,
}

/// Undoes what the runs in a directory left: the directory of a run, or the parent of several. A journal that cannot be read
/// or written does not keep the other runs from being healed.
///
/// # Errors
///
/// When the directory itself cannot be read.
pub fn heal(folder: &Path) -> Result<Healed, LabError> {
    let failed = |source| LabError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    let mut healed = Healed::default();
    for run in folders(folder).map_err(failed)? {
        if let Err(problem) = healed.examine(run) {
            healed.problems.push(problem);
        }
    }
    Ok(healed)
}

impl Healed {
    /// Heals the run of a directory, if it is that of a run and the run has not ended.
    fn examine(&mut self, run: PathBuf) -> Result<(), LabError> {
        let unreadable = |source| LabError::Unreadable {
            path: run.join(FILE),
            source,
        };
        if !run.join(FILE).try_exists().map_err(unreadable)? {
            return Ok(());
        }
        let entries = Entries::read(&run).map_err(unreadable)?;
        if entries.has_ended {
            return Ok(());
        }
        if let Some(id) = entries.running() {
            self.runs.push((run, Healing::Running(id)));
            return Ok(());
        }
        let healing = undo(&run, &entries);
        // What was undone is reported, whether or not that can be written.
        let written = Journal::open(&run).and_then(|journal| journal.end());
        self.runs.push((run, healing));
        written
    }
}

/// Kills what a run left.
fn undo(run: &Path, entries: &Entries) -> Healing {
    let mut killed = Vec::new();
    if !entries.is_of_an_earlier_boot() {
        killed.extend(kill_of_run(run));
        killed.extend(kill_in_namespaces(&entries.namespaces));
    }
    let faults = entries.open.iter();
    let faults = faults.map(|(_, what, undo)| format!("{what}: {undo}"));
    Healing::Healed {
        faults: faults.collect(),
        killed,
    }
}

/// The directory itself if it is that of a run, otherwise the directories in it.
fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    // Processes name their directory without symbolic links.
    let folder = fs::canonicalize(folder)?;
    if folder.join(FILE).try_exists()? {
        return Ok(vec![folder]);
    }
    let entries = fs::read_dir(&folder)?.take(FOLDERS_MAX);
    let paths = entries.map(|entry| Ok(entry?.path()));
    let mut folders: Vec<PathBuf> = paths.collect::<io::Result<_>>()?;
    folders.retain(|path| path.is_dir());
    folders.sort();
    Ok(folders)
}

/// The number of a network namespace.
pub(crate) fn inode(namespace: &Path) -> Option<u64> {
    Some(fs::metadata(namespace).ok()?.ino())
}
