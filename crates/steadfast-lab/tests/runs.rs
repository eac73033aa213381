//! Short runs of programs without traffic: what the journal says and when, and which instances a role selects.

#![expect(
    clippy::unwrap_used,
    reason = "the support functions of a test fail as loudly as the test"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use steadfast_faults::ledger::event::{FaultEvent, ProcessEvent, RunEvent};
use steadfast_faults::ledger::event_log::EventLog;
use steadfast_faults::scenario::ScenarioOptions;
use steadfast_faults::scenario::model::Scenario;
use steadfast_faults::scenario::plan::Plan;
use steadfast_faults::scenario::routes::{self, Machine};
use steadfast_faults::topology::InstanceId;
use steadfast_lab::driver::DriverCommands;
use steadfast_lab::interrupt::Interrupt;
use steadfast_lab::journal::Journal;
use steadfast_lab::runner::{self, FaultsMode, RunSetup};

/// Clients that are connected at once and stay so.
const DRIVER: &str = r#"
import json, sys
def write(line):
    print(json.dumps(line), flush=True)
write({"event": "ready"})
for line in sys.stdin:
    command = json.loads(line)
    write({"id": command["id"], "ok": {}})
    if command["do"] == "open":
        write({"event": "connected", "client": command["client"]})
"#;

/// Five instances: the fourth leads, the fifth follows, and of the others there is no program that says it.
const SCENARIO: &str = r#"
schema = "lab/1"
name = "runs"

[service.worker]
cmd = "sleep"
args = ["600"]
replicas = 5
ready = { exec = ["true"] }
leader = { exec = ["FOLDER/leads-${self.number}"], timeout = "10s" }

[load.clients]
driver = "exec"
cmd = "python3"
args = ["DRIVER"]
clients = 1
to = "worker"

[run]
baseline = "100ms"
duration = "DURATION"
quiet = "100ms"
drain = "100ms"
control = "off"

[[step]]
id = "first"
at = "100ms"
do = "FAULT"

[[check]]
that = "faults.ineffective == 0"
"#;

const KILL: &str = "proc.kill\"\non = \"worker:1\"\nthen = { start_after = \"200ms\" }\n#";

#[test]
fn a_fault_is_written_before_it_is_injected_and_when_it_is_undone() {
    let folder = Folder::new("journal");
    let journal = Journal::create(&folder.0).unwrap();

    let run = folder.run(KILL, "1s", journal);

    let written = fs::read_to_string(folder.0.join("faults.jsonl")).unwrap();
    let lines: Vec<&str> = written.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            r#"{"do":"proc.kill worker:1","fault":0,"undo":"the process has ended"}"#,
            r#"{"undone":0}"#
        ],
        "{run:#?}"
    );
    assert!(has_fault(&run, |event| *event == FaultEvent::Healed));
}

/// After a crash of the lab it could not be undone.
#[test]
fn a_fault_that_cannot_be_written_is_not_injected() {
    let folder = Folder::new("full");
    symlink("/dev/full", folder.0.join("faults.jsonl")).unwrap();
    let journal = Journal::open(&folder.0).unwrap();

    let run = folder.run(KILL, "1s", journal);

    assert!(!has_fault(&run, |event| *event == FaultEvent::Injected));
    let exits = run.records().iter().filter(|record| {
        matches!(&record.event, RunEvent::Process { event: ProcessEvent::Exited(_), instance } if *instance == InstanceId(0))
    });
    assert_eq!(exits.count(), 0, "{run:#?}");
}

/// Neither the leader nor an instance that gives no reply is a follower.
#[test]
fn a_follower_is_an_instance_that_replies_and_does_not_lead() {
    let folder = Folder::new("follower");
    let journal = Journal::create(&folder.0).unwrap();
    for (number, program) in [(4, "true"), (5, "false")] {
        let script = folder.0.join(format!("leads-{number}"));
        symlink(format!("/bin/{program}"), script).unwrap();
    }
    // The instances are asked long before the heal, also on a busy machine.
    let fault = "proc.pause\"\non = \"worker:follower\"\nfor = \"3s\"\n#";

    let run = folder.run(fault, "4s", journal);

    let follower = FaultEvent::Targeted(vec![InstanceId(4)]);
    assert!(has_fault(&run, |event| *event == follower), "{run:#?}");
}

fn has_fault(run: &EventLog, is_meant: impl Fn(&FaultEvent) -> bool) -> bool {
    run.records()
        .iter()
        .any(|record| matches!(&record.event, RunEvent::Fault { event, .. } if is_meant(event)))
}

/// The directory of a run, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("lab-runs-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn run(&self, fault: &str, duration: &str, journal: Journal) -> EventLog {
        let driver = self.0.join("driver.py");
        fs::write(&driver, DRIVER).unwrap();
        let text = SCENARIO
            .replace("DRIVER", &driver.to_string_lossy())
            .replace("FOLDER", &self.0.to_string_lossy())
            .replace("DURATION", duration)
            .replace("FAULT", fault);
        let scenario = Scenario::parse("runs.toml", &text, &ScenarioOptions::default());
        let scenario = scenario.unwrap_or_else(|error| panic!("{error}"));
        let plan = Plan::new(&scenario, 1).unwrap();
        let setup = RunSetup {
            gateway: PathBuf::new(),
            launcher: None,
            search: ["/usr/local/bin", "/usr/bin", "/bin"]
                .map(PathBuf::from)
                .to_vec(),
            drivers: DriverCommands::new(),
            folder: self.0.clone(),
            routes: routes::choose(&scenario, &Machine::default()).unwrap(),
            journal: Some(journal),
            faults: FaultsMode::Real,
            interrupt: Interrupt::default(),
        };
        let outcome = runner::run(&scenario, &plan, &setup, &mut |_| {});
        outcome.unwrap_or_else(|error| panic!("{error}")).run
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all::<&Path>(&self.0));
    }
}
