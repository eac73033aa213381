//! Services of scenarios: programs that Debian packages, programs of a scenario's own, and programs that misbehave.

mod misbehaving;
mod programs;
mod selections;

use std::fs;
use std::path::Path;

use anyhow::Result;
use steadfast_e2e::lab_run::LabRun;

/// A load on two gateways, and the shortest phases in which its faults can be evaluated.
const COMMON: &str = r#"
[service.gateway]
use = "builtin:gateway"
replicas = 2

[load.chat]
driver = "gateway-chat"
to = "gateway"
clients = 4
send = { every = "100ms" }

[[check]]
that = "delivery.lost == 0"
"#;

/// The fault of a scenario that has none of its own: without a fault, a run proves nothing.
const FAULT: &str = r#"
[[step]]
at = "300ms"
do = "proc.kill"
on = "gateway:1"
then = { start_after = "200ms" }
"#;

/// The phases without a control run.
const PHASES: &str = r#"
[run]
baseline = "1s"
duration = "2s"
quiet = "2s"
drain = "1s"
control = "off"
"#;

/// Runs a scenario of these tables, with the load on two gateways.
pub(crate) fn run(name: &str, tables: &str) -> Result<LabRun> {
    let phases = if tables.contains("[run]") { "" } else { PHASES };
    let fault = if tables.contains("[[step]]") {
        ""
    } else {
        FAULT
    };
    LabRun::of(name, &format!("{tables}{COMMON}{fault}{phases}"))
}

/// The processes whose command contains a text.
pub(crate) fn processes_with(text: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let commands = entries.filter_map(|entry| {
        let is_process = entry.file_name().to_str()?.parse::<u32>().is_ok();
        let command = is_process.then(|| fs::read(entry.path().join("cmdline")).ok())??;
        Some(String::from_utf8_lossy(&command).replace('\0', " "))
    });
    commands.filter(|command| command.contains(text)).collect()
}

/// Whether these programs are installed; where tests are required to be complete, they must be.
pub(crate) fn has_programs(names: &[&str]) -> bool {
    let folders = ["/usr/bin", "/usr/sbin"].map(Path::new);
    let missing: Vec<&&str> = names
        .iter()
        .filter(|name| folders.iter().all(|folder| !folder.join(name).exists()))
        .collect();
    assert!(
        missing.is_empty() || std::env::var_os("CI").is_none(),
        "not installed: {missing:?}; run `make setup`"
    );
    missing.is_empty()
}
