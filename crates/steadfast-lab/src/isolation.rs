//! Runs the lab in namespaces of its own: users, network, mounts and processes.
//!
//! Packet filter rules, queues and devices then never concern the machine, and no root is needed where the kernel permits
//! user namespaces. When the lab ends, for whatever reason, the kernel kills all processes of the namespace of processes,
//! whose first one is the lab; with the last process the network namespaces end, with everything in them.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};

/// What a run in namespaces needs, each with a command that tries it in namespaces that end at once. `nft` is tried because
/// it needs the kernel's packet filter.
const NEEDS: [(&str, &str); 7] = [
    ("namespaces of network, mounts and processes", "true"),
    ("ip: devices can be configured", "ip link set lo up"),
    (
        "ip: pairs of devices can be created",
        "ip link add lab0 type veth peer name lab1",
    ),
    ("nft: the packet filter can be used", "nft list tables"),
    ("tc: queues can be listed", "tc qdisc show"),
    ("ss: connections can be listed", "ss -H -t"),
    (
        "nsenter: a namespace can be entered",
        "nsenter --net=/proc/self/ns/net true",
    ),
];

/// The options of `unshare`. All processes end with the first one, which ends with its parent.
const OPTIONS: [&str; 6] = [
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
];
/// The options that make a user root within its namespaces.
const USER_OPTIONS: [&str; 2] = ["--user", "--map-root-user"];

/// How namespaces are created here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    has_user_namespace: bool,
    /// The directories of programs, which for most users do not include those of administrators.
    search: OsString,
}

impl Isolation {
    /// Tries to create namespaces; `search` is the search path of programs.
    ///
    /// # Errors
    ///
    /// Why it is not possible here.
    pub fn examine(search: &OsStr) -> Result<Self, String> {
        let mut search = search.to_owned();
        search.push(":/usr/sbin:/sbin");
        let is_root = rustix::process::geteuid().is_root();
        // In a container, root may be permitted to create a user namespace only.
        let ways: &[bool] = if is_root { &[false, true] } else { &[true] };
        let mut reason = String::new();
        for has_user_namespace in ways {
            let isolation = Self {
                has_user_namespace: *has_user_namespace,
                search: search.clone(),
            };
            match isolation.attempt() {
                Ok(()) => return Ok(isolation),
                Err(error) if reason.is_empty() => reason = error,
                Err(_) => {}
            }
        }
        Err(reason)
    }

    fn attempt(&self) -> Result<(), String> {
        let commands: Vec<&str> = NEEDS.iter().map(|(_, command)| *command).collect();
        self.attempt_command(&commands.join(" && "))
    }

    /// What a run in namespaces needs, and for each why it is missing here. What root has may be missing for other users.
    pub fn needs(search: &OsStr) -> Vec<(&'static str, Result<(), String>)> {
        let mut search = search.to_owned();
        search.push(":/usr/sbin:/sbin");
        let is_root = rustix::process::geteuid().is_root();
        let isolation = |has_user_namespace| Self {
            has_user_namespace,
            search: search.clone(),
        };
        // The same order as in `examine`: root takes a user namespace only if it must.
        let needs_user = !is_root || isolation(false).attempt_command("true").is_err();
        let isolation = isolation(needs_user);
        let needs = NEEDS.iter();
        let needs = needs.map(|(name, command)| (*name, isolation.attempt_command(command)));
        needs.collect()
    }

    fn attempt_command(&self, words: &str) -> Result<(), String> {
        let mut command = Command::new("unshare");
        self.configure(&mut command);
        let output = command
            .args(["sh", "-c", words])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("failed to start unshare: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let first = text.lines().next().unwrap_or("a trial command failed");
        Err(format!("network namespaces cannot be created: {first}"))
    }

    /// A command that starts a program in new namespaces. `launcher` is a program whose `lab launch` lets the namespaces
    /// end with this process, which must not end earlier.
    pub fn command(&self, launcher: &Path, program: &Path) -> Command {
        let mut command = Command::new(launcher);
        let own_id = std::process::id().to_string();
        command.args(["lab", "launch", "--parent", &own_id, "--", "unshare"]);
        self.configure(&mut command);
        command.arg(program);
        command
    }

    fn configure(&self, command: &mut Command) {
        if self.has_user_namespace {
            command.args(USER_OPTIONS);
        }
        command.args(OPTIONS).arg("--").env("PATH", &self.search);
    }
}
