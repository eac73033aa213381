//! The journal of a run: what was done to the machine and how it is undone, written before it is done.
//!
//! The file `faults.jsonl` has one JSON object per line. After a crash of the lab it shows what may be left, and
//! [`crate::heal`] undoes it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use steadfast_faults::topology::FaultId;
use steadfast_machine::convert;

use crate::error::LabError;

/// The name of the file in the directory of a run.
pub(crate) const FILE: &str = "faults.jsonl";

/// The journal of the run in progress.
#[derive(Clone, Debug)]
pub struct Journal {
    file: Arc<Mutex<File>>,
    path: PathBuf,
}

impl Journal {
    /// Creates the journal in the directory of a run, which this process executes.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn create(folder: &Path) -> Result<Self, LabError> {
        let journal = Self::open(folder)?;
        let id = std::process::id();
        let started = start_of(id).unwrap_or_default();
        journal.write(&json!({"lab": id, "started": started, "boot": boot()}))?;
        Ok(journal)
    }

    /// Continues the journal of a run that another process created.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub fn open(folder: &Path) -> Result<Self, LabError> {
        let path = folder.join(FILE);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|source| LabError::Folder {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            file: Arc::new(Mutex::new(file)),
            path,
        })
    }

    /// Network namespaces, by the numbers that `/proc/ID/ns/net` shows.
    pub(crate) fn record_namespaces(&self, inodes: &[u64]) -> Result<(), LabError> {
        self.write(&json!({"namespaces": inodes}))
    }

    /// A fault that is about to be injected.
    pub(crate) fn begin(&self, fault: FaultId, what: &str, undo: &str) -> Result<(), LabError> {
        self.write(&json!({"fault": fault.0, "do": what, "undo": undo}))
    }

    /// A fault that is undone.
    pub(crate) fn undone(&self, fault: FaultId) -> Result<(), LabError> {
        self.write(&json!({"undone": fault.0}))
    }

    /// All processes have ended, and nothing is left.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn end(&self) -> Result<(), LabError> {
        self.write(&json!({"ended": true}))
    }

    fn write(&self, line: &Value) -> Result<(), LabError> {
        let failed = |source| LabError::Folder {
            path: self.path.clone(),
            source,
        };
        // A thread that panicked while it wrote leaves an incomplete line, which a reader skips.
        let mut file = match self.file.lock() {
            Ok(file) => file,
            Err(poisoned) => poisoned.into_inner(),
        };
        // One write: a crash of this process cannot tear it, and one of the machine leaves nothing to undo.
        file.write_all(format!("{line}\n").as_bytes())
            .map_err(failed)
    }
}

/// What a journal says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entries {
    /// The process that executes or executed the run.
    lab: u32,
    started: String,
    boot: String,
    pub(crate) namespaces: Vec<u64>,
    /// Faults that are not undone, each with what it did and how it is undone.
    pub(crate) open: Vec<(u64, String, String)>,
    pub(crate) has_ended: bool,
}

impl Entries {
    pub(crate) fn read(folder: &Path) -> io::Result<Self> {
        // A line that a crash of the machine damaged is skipped, like one that it tore.
        let bytes = fs::read(folder.join(FILE))?;
        Ok(Self::parse(&String::from_utf8_lossy(&bytes)))
    }

    fn parse(text: &str) -> Self {
        let mut entries = Self::default();
        for line in text.lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            entries.add(&line);
        }
        entries
    }

    fn add(&mut self, line: &Value) {
        let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
        let number = |key: &str| line.get(key).and_then(Value::as_u64);
        if let Some(lab) = number("lab") {
            self.lab = convert::saturating(lab);
            text("started").clone_into(&mut self.started);
            text("boot").clone_into(&mut self.boot);
        }
        let inodes = line.get("namespaces").and_then(Value::as_array);
        let inodes = inodes.into_iter().flatten().filter_map(Value::as_u64);
        self.namespaces.extend(inodes);
        if let Some(fault) = number("fault") {
            let entry = (fault, text("do").to_owned(), text("undo").to_owned());
            self.open.push(entry);
        }
        if let Some(undone) = number("undone") {
            self.open.retain(|(fault, ..)| *fault != undone);
        }
        self.has_ended |= line.get("ended").is_some();
    }

    /// The process that executes the run, if it still runs.
    pub(crate) fn running(&self) -> Option<u32> {
        let is_same = self.boot == boot() && start_of(self.lab).as_ref() == Some(&self.started);
        (is_same && self.lab > 0).then_some(self.lab)
    }

    /// Whether the machine was started again since, so that nothing can be left. Without its first line a journal does not
    /// say.
    pub(crate) fn is_of_an_earlier_boot(&self) -> bool {
        !self.boot.is_empty() && self.boot != boot()
    }
}

/// When a process was started, in ticks since the start of the machine: ids are assigned again, this pair is not.
fn start_of(id: u32) -> Option<String> {
    /// The field's index after the name of the process, which is in parentheses.
    const START: usize = 19;
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    if fields.clone().next() == Some("Z") {
        return None;
    }
    fields.nth(START).map(str::to_owned)
}

fn boot() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    boot.unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_undone_is_open_and_a_torn_line_is_skipped() {
        let text = "{\"lab\":7,\"started\":\"12\",\"boot\":\"x\"}\n\
                    {\"namespaces\":[4026532000,4026532001]}\n\
                    {\"fault\":0,\"do\":\"net.block a\",\"undo\":\"delete the rules\"}\n\
                    {\"fault\":1,\"do\":\"net.down b\",\"undo\":\"set the device up\"}\n\
                    {\"undone\":0}\n{\"fau";

        let entries = Entries::parse(text);

        assert_eq!(entries.namespaces, [4_026_532_000, 4_026_532_001]);
        let open = (1, "net.down b".to_owned(), "set the device up".to_owned());
        assert_eq!(entries.open, [open]);
        assert!(!entries.has_ended);
        assert_eq!(entries.running(), None, "another boot");
        assert!(entries.is_of_an_earlier_boot());
        assert!(!Entries::parse("{\"fau").is_of_an_earlier_boot());
        assert!(Entries::parse("{\"ended\":true}").has_ended);
    }

    #[test]
    fn a_process_is_recognized_by_its_id_and_its_start() {
        let own = Entries {
            lab: std::process::id(),
            started: start_of(std::process::id()).unwrap(),
            boot: boot(),
            ..Entries::default()
        };
        let later = Entries {
            started: "1".to_owned(),
            ..own.clone()
        };

        assert_eq!(own.running(), Some(std::process::id()));
        assert_eq!(later.running(), None);
    }
}
