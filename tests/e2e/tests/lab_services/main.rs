//! Services of scenarios: programs that Debian packages, programs of a scenario's own, and programs that misbehave.

mod misbehaving;
mod programs;
mod selections;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use steadfast_e2e::binaries;

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

/// A finished run.
pub(crate) struct Outcome {
    pub(crate) exit: Option<i32>,
    /// What the lab printed on standard error.
    pub(crate) messages: String,
    /// The directory of the run with the logs of the instances.
    folder: PathBuf,
    report: Value,
}

/// Runs a scenario of these tables, with the load on two gateways.
pub(crate) fn run(name: &str, tables: &str) -> Result<Outcome> {
    let scratch = binaries::scratch(&format!("lab-{name}"))?;
    let file = scratch.join(format!("{name}.toml"));
    let phases = if tables.contains("[run]") { "" } else { PHASES };
    let fault = if tables.contains("[[step]]") {
        ""
    } else {
        FAULT
    };
    let text = format!("schema = \"lab/1\"\nname = \"{name}\"\n{tables}{COMMON}{fault}{phases}");
    fs::write(&file, text)?;
    let output = binaries::command(binaries::gateway()?)
        .args(["lab", "run"])
        .arg(&file)
        .args(["--seed", "5", "--json", "--out"])
        .arg(scratch.join("out"))
        .output()?;
    let messages = String::from_utf8(output.stderr)?;
    Ok(Outcome {
        exit: output.status.code(),
        messages,
        folder: scratch.join(format!("out/{name}-5-1/run")),
        report: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
    })
}

impl Outcome {
    pub(crate) fn verdict(&self) -> &str {
        let verdict = self.report.get("verdict").and_then(Value::as_str);
        verdict.unwrap_or_default()
    }

    /// The step and the targets of each fault.
    pub(crate) fn targets(&self) -> Vec<(String, Vec<String>)> {
        let faults = self.report.get("faults").and_then(Value::as_array);
        let read = faults.into_iter().flatten().filter_map(|fault| {
            let step = fault.get("step")?.as_str()?.to_owned();
            let targets = fault.get("targets")?.as_array()?.iter();
            let targets = targets.filter_map(Value::as_str).map(str::to_owned);
            Some((step, targets.collect()))
        });
        read.collect()
    }

    /// The name and the version of each program of the machine.
    pub(crate) fn programs(&self) -> Vec<(String, String)> {
        let programs = self.report.get("programs").and_then(Value::as_array);
        let read = programs.into_iter().flatten().filter_map(|it| {
            let text = |key: &str| it.get(key)?.as_str().map(str::to_owned);
            Some((text("service")?, text("version")?))
        });
        read.collect()
    }

    /// The output of an instance.
    pub(crate) fn log(&self, instance: &str) -> Result<String> {
        let path = self.folder.join(instance).join("service.log");
        fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
    }

    /// The report and the messages, for an assertion that failed.
    pub(crate) fn all(&self) -> String {
        format!("{}\n{:#}", self.messages, self.report)
    }
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
