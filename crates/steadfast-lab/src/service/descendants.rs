//! Processes that a service leaves: its children, and theirs, wherever they moved to.
//!
//! A process group is not enough, because a child can leave it (`setsid`), nor is the tree of parents, because a child
//! whose parent exits gets another one. Therefore each instance is started with an environment variable that contains
//! its directory; descendants inherit it. The lab is also the parent of orphans (`PR_SET_CHILD_SUBREAPER`), so that a
//! descendant that cleared its environment is found at the end of the run.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, pidfd_open, pidfd_send_signal,
    set_child_subreaper, waitpid,
};

/// The environment variable that every process of an instance has: the directory of the instance.
pub(crate) const VARIABLE: &str = "LAB_INSTANCE";

/// Rounds of search and kill: a process can start another one while it is being killed.
const ROUNDS_MAX: u32 = 100;
/// Time for killed processes to end.
const ROUND: Duration = Duration::from_millis(10);

/// A process that was found and killed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Killed {
    pub(crate) id: i32,
    /// The name of the program, for example `sleep`.
    pub(crate) name: String,
}

/// Makes this process the parent of orphaned descendants. Where the kernel refuses it, only those with the environment
/// variable are found.
pub(crate) fn adopt_orphans() {
    let _ = set_child_subreaper(Some(getpid()));
}

/// Kills every process of an instance; returns those that were found.
pub(super) fn kill(folder: &Path) -> Vec<Killed> {
    let expected = variable(folder);
    kill_all(|process| has_variable(process, expected.as_bytes()))
}

/// Suspends every process of an instance. Returns whether all of them were suspended already, so a caller repeats it: a
/// process can start another one while it is being suspended.
pub(super) fn suspend(folder: &Path) -> bool {
    let running: Vec<i32> = of_instance(folder).filter(|id| is_running(*id)).collect();
    for id in &running {
        send(*id, Signal::STOP);
    }
    running.is_empty()
}

/// Whether every process of an instance is suspended.
pub(super) fn are_suspended(folder: &Path) -> bool {
    !of_instance(folder).any(is_running)
}

/// Resumes every process of an instance.
pub(super) fn resume(folder: &Path) {
    for id in of_instance(folder) {
        send(id, Signal::CONT);
    }
}

fn of_instance(folder: &Path) -> impl Iterator<Item = i32> {
    let expected = variable(folder);
    processes().filter(move |id| has_variable(*id, expected.as_bytes()))
}

fn send(id: i32, signal: Signal) {
    // A process that has ended needs no signal.
    if let Some(process) = open(id) {
        let _ = pidfd_send_signal(&process, signal);
    }
}

/// Neither suspended, nor ended.
fn is_running(id: i32) -> bool {
    Stat::read(id).is_some_and(|it| !matches!(it.state, 'T' | 't' | 'Z' | 'X'))
}

fn variable(folder: &Path) -> OsString {
    let mut variable = OsString::from(VARIABLE);
    variable.push("=");
    variable.push(folder);
    variable
}

/// Kills the adopted orphans, after all services have ended. Processes in the lab's own group are its drivers.
pub(crate) fn kill_orphans() -> Vec<Killed> {
    let own = getpid().as_raw_nonzero().get();
    // In a namespace of processes, the group of the first process is 0, which the system call cannot return.
    let group = Stat::read(own).map(|it| it.group);
    kill_all(|process| {
        let stat = Stat::read(process);
        stat.is_some_and(|stat| stat.parent == own && Some(stat.group) != group)
    })
}

/// Kills every process of a run, by the directory of the run; returns their names and ids.
pub(crate) fn kill_of_run(folder: &Path) -> Vec<String> {
    let mut prefix = OsString::from(VARIABLE);
    prefix.push("=");
    prefix.push(folder.join(""));
    let killed = kill_all(|process| {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        variables.any(|it| it.starts_with(prefix.as_bytes()))
    });
    killed.iter().map(Killed::to_string).collect()
}

/// Kills every process in one of these network namespaces; returns their names and ids.
pub(crate) fn kill_in_namespaces(inodes: &[u64]) -> Vec<String> {
    let killed = kill_all(|process| {
        let namespace = format!("/proc/{process}/ns/net");
        let inode = crate::heal::inode(Path::new(&namespace));
        inode.is_some_and(|inode| inodes.contains(&inode))
    });
    killed.iter().map(Killed::to_string).collect()
}

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.id)
    }
}

fn kill_all(is_meant: impl Fn(i32) -> bool) -> Vec<Killed> {
    let mut killed: Vec<Killed> = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let found: Vec<i32> = processes().filter(|it| is_meant(*it)).collect();
        if found.is_empty() {
            break;
        }
        for id in found {
            // The descriptor refers to this very process, even if its id is assigned again.
            let Some(process) = open(id).filter(|_| is_meant(id)) else {
                continue;
            };
            let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
            let is_running = Stat::read(id).is_some_and(|it| it.state != 'Z');
            if is_running && pidfd_send_signal(&process, Signal::KILL).is_ok() {
                let name = name.trim().to_owned();
                let entry = Killed { id, name };
                if !killed.contains(&entry) {
                    killed.push(entry);
                }
            }
            // Collects the status of an adopted orphan; other processes are not children.
            let _ = waitpid(Pid::from_raw(id), WaitOptions::NOHANG);
        }
        thread::park_timeout(ROUND);
    }
    killed
}

fn open(id: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(id)?, PidfdFlags::empty()).ok()
}

/// The ids of all processes but this one.
fn processes() -> impl Iterator<Item = i32> {
    let own = getpid().as_raw_nonzero().get();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(move |id| *id != own)
}

fn has_variable(process: i32, expected: &[u8]) -> bool {
    let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
    environment
        .split(|byte| *byte == 0)
        .any(|it| it == expected)
}

/// What `/proc/ID/stat` says.
struct Stat {
    state: char,
    parent: i32,
    group: i32,
}

impl Stat {
    /// The fields follow the name, which is in parentheses and may contain any character.
    fn read(process: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let (_, rest) = text.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        Some(Self {
            state: fields.next()?.chars().next()?,
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
        })
    }
}

/// The processes in words, for a message.
pub(super) fn listed(killed: &[Killed]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = killed
        .iter()
        .take(SHOWN)
        .map(|it| format!("{} ({})", it.name, it.id))
        .collect();
    match killed.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_in_a_session_of_its_own_is_found_by_its_instance_and_killed() {
        let folder = Path::new("/nonexistent/lab-1");
        // The shell exits at once; its child is in another session, and has another parent.
        let status = Command::new("sh")
            .args(["-c", "setsid sleep 600 & setsid sleep 601 &"])
            .env(VARIABLE, folder)
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());

        let other = kill(Path::new("/nonexistent/lab-2"));
        let killed = kill(folder);

        assert_eq!(other, []);
        let names: Vec<&str> = killed.iter().map(|it| it.name.as_str()).collect();
        // A child may be found before it becomes `sleep`.
        assert_eq!(names.len(), 2, "{names:?}");
        assert_eq!(kill(folder), []);
    }

    #[test]
    fn a_process_in_a_session_of_its_own_is_suspended_and_resumed() {
        let folder = Path::new("/nonexistent/lab-3");
        let status = Command::new("sh")
            .args(["-c", "setsid sleep 600 &"])
            .env(VARIABLE, folder)
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        assert!(!are_suspended(folder));

        // A round finds the processes that the last one has suspended.
        let is_suspended = (0..ROUNDS_MAX).any(|_| {
            thread::park_timeout(ROUND);
            suspend(folder)
        });
        assert!(is_suspended && are_suspended(folder));
        resume(folder);
        let is_resumed = (0..ROUNDS_MAX).any(|_| {
            thread::park_timeout(ROUND);
            !are_suspended(folder)
        });

        assert_eq!(kill(folder).len(), 1);
        assert!(is_resumed);
    }
}
