//! The directory of a run: what is stored in it, so that the run can be evaluated and rendered again.
//!
//! | file | content |
//! | --- | --- |
//! | `NAME.toml` | the scenario as it was read |
//! | `run.json` | the options of the run, its seed, and the command that repeats it |
//! | `programs.json` | the programs of the services with their versions |
//! | `history.txt`, `control-history.txt` | the event records of the run and of the control run |

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};
use steadfast_faults::history::{self, HistoryReader, LINE_BYTES_MAX};
use steadfast_faults::ledger::event_log::EventLog;
use steadfast_faults::scenario::ScenarioOptions;
use steadfast_faults::scenario::model::{ControlRun, Scenario};
use steadfast_faults::scenario::plan::Plan;
use steadfast_lab::runner::{EVENTS_MAX, RunOutcome};
use steadfast_machine::convert;

use crate::exit::Failure;

const DESCRIPTION: &str = "run.json";
const PROGRAMS: &str = "programs.json";
const HISTORY: &str = "history.txt";
const CONTROL: &str = "control-history.txt";
const SCHEMA: &str = "lab-run/1";

/// The largest scenario and the largest description that are read.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// What determines a run, apart from its scenario.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Description {
    schema: String,
    /// The file name of the scenario in the directory.
    scenario: String,
    pub(super) profiles: Vec<String>,
    params: Vec<(String, String)>,
    seed: u64,
    pub(super) is_placebo: bool,
    /// The command that repeats the run.
    pub(super) command: String,
}

/// A stored run.
#[derive(Debug)]
pub(super) struct StoredRun {
    pub(super) description: Description,
    pub(super) scenario: Scenario,
    pub(super) plan: Plan,
    pub(super) outcome: RunOutcome,
}

impl Description {
    pub(super) fn new(
        scenario: &Scenario,
        options: ScenarioOptions,
        plan: &Plan,
        is_placebo: bool,
        command: String,
    ) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            scenario: format!("{}.toml", scenario.name()),
            profiles: options.profiles,
            params: options.params,
            seed: plan.seed(),
            is_placebo,
            command,
        }
    }
}

/// Stores the scenario and the options, before the run begins.
pub(super) fn write_description(
    folder: &Path,
    description: &Description,
    scenario: &str,
) -> Result<(), Failure> {
    write_file(&folder.join(&description.scenario), scenario)?;
    let text = serde_json::to_string_pretty(description).unwrap_or_default();
    write_file(&folder.join(DESCRIPTION), &text)
}

/// Stores what was executed: the event records, and the versions of the programs.
pub(super) fn write_outcome(
    folder: &Path,
    plan: &Plan,
    outcome: &RunOutcome,
) -> Result<(), Failure> {
    let programs = serde_json::to_string_pretty(&outcome.programs).unwrap_or_default();
    write_file(&folder.join(PROGRAMS), &programs)?;
    if let Some(control) = &outcome.control {
        write_history(&folder.join(CONTROL), &plan.without_faults(), control)?;
    }
    write_history(&folder.join(HISTORY), plan, &outcome.run)
}

fn write_history(path: &Path, plan: &Plan, log: &EventLog) -> Result<(), Failure> {
    let write = || {
        let mut file = BufWriter::new(File::create(path)?);
        for line in history::lines(plan, log) {
            file.write_all(line.as_bytes())?;
            file.write_all(b"\n")?;
        }
        file.flush()
    };
    write().map_err(|error| unwritten(path, &error))
}

/// Writes a file of the run.
pub(super) fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| unwritten(path, &error))
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::lab_failed(
        format!("failed to write {}: {error}", path.display()),
        "Free some space, or choose another directory: --out DIR",
    )
}

/// Reads a stored run and draws its plan again.
pub(super) fn read(folder: &Path) -> Result<StoredRun, Failure> {
    let path = folder.join(DESCRIPTION);
    let text = read_text(&path)?;
    let description: Description = serde_json::from_str(&text)
        .map_err(|error| not_a_run(&path, &format!("not the description of a run: {error}")))?;
    if description.schema != SCHEMA {
        let schema = &description.schema;
        return Err(not_a_run(
            &path,
            &format!("this version reads the schema \"{SCHEMA}\", not \"{schema}\""),
        ));
    }
    let scenario_path = Path::new(&description.scenario);
    let is_name = matches!(
        scenario_path.components().collect::<Vec<_>>().as_slice(),
        [Component::Normal(_)]
    );
    if !is_name {
        let name = &description.scenario;
        return Err(not_a_run(
            &path,
            &format!("\"{name}\" is not a file of the directory"),
        ));
    }
    let path = folder.join(scenario_path);
    let options = ScenarioOptions {
        profiles: description.profiles.clone(),
        params: description.params.clone(),
    };
    let scenario = Scenario::parse(&path.to_string_lossy(), &read_text(&path)?, &options)
        .map_err(|error| not_a_run(&path, &error.to_string()))?;
    let plan = Plan::new(&scenario, description.seed)
        .map_err(|error| not_a_run(&path, &error.to_string()))?;
    let control = match scenario.run().control {
        ControlRun::Before => Some(read_history(&folder.join(CONTROL), &plan.without_faults())?),
        ControlRun::Off => None,
    };
    let run = read_history(&folder.join(HISTORY), &plan)?;
    let path = folder.join(PROGRAMS);
    let programs = serde_json::from_str(&read_text(&path)?)
        .map_err(|error| not_a_run(&path, &format!("not a list of programs: {error}")))?;
    Ok(StoredRun {
        description,
        scenario,
        plan,
        outcome: RunOutcome {
            control,
            run,
            programs,
            notices: Vec::new(),
        },
    })
}

fn read_history(path: &Path, plan: &Plan) -> Result<EventLog, Failure> {
    let file = File::open(path).map_err(|error| unread(path, &error))?;
    let mut file = BufReader::new(file);
    let mut reader = HistoryReader::new(plan, EVENTS_MAX);
    let mut line = Vec::new();
    // A longer line is read as two, the first of which the reader rejects.
    let limit = convert::to_u64(LINE_BYTES_MAX + 2);
    loop {
        line.clear();
        let len = file.by_ref().take(limit).read_until(b'\n', &mut line);
        if len.map_err(|error| unread(path, &error))? == 0 {
            break;
        }
        let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line));
        let outcome = reader.read(&text);
        outcome.map_err(|error| not_a_run(path, &error.to_string()))?;
    }
    let log = reader.finish();
    log.map_err(|error| not_a_run(path, &error.to_string()))
}

fn read_text(path: &Path) -> Result<String, Failure> {
    let file = File::open(path).map_err(|error| unread(path, &error))?;
    let mut text = String::new();
    let len = file.take(TEXT_BYTES_MAX).read_to_string(&mut text);
    len.map_err(|error| unread(path, &error))?;
    Ok(text)
}

fn unread(path: &Path, error: &io::Error) -> Failure {
    Failure::scenario(
        format!("failed to read {}: {error}", path.display()),
        "Give the directory of a run, which `steadfast lab run` prints, for example steadfast-lab/gateway-kill-7-1",
    )
}

fn not_a_run(path: &Path, problem: &str) -> Failure {
    Failure::scenario(
        format!("{}: {problem}", path.display()),
        "A run can be rendered again by the version that stored it, if all of its files are unchanged.",
    )
}

#[cfg(test)]
pub(super) mod tests {
    use steadfast_faults::ledger::event::{EventRecord, RunEvent, RunPhase};
    use steadfast_machine::Instant;
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_stored_run_is_read_as_it_was_written() {
        let folder = stored_run();

        let stored = read(folder.path()).unwrap();

        assert_eq!(stored.plan.seed(), 7);
        assert_eq!(stored.scenario.name(), "gateway-kill");
        assert_eq!(stored.scenario.params().len(), 10);
        assert_eq!(stored.outcome.run, log(2));
        assert_eq!(stored.outcome.control, Some(log(1)));
        assert_eq!(stored.description.command, "steadfast lab run x");
    }

    #[test]
    fn a_directory_without_a_run_is_rejected_with_what_to_give() {
        let folder = TempDir::new().unwrap();

        let reason = read(folder.path()).unwrap_err().reason();

        assert!(reason.contains("run.json: No such file"), "{reason}");
    }

    #[test]
    fn each_damaged_file_is_named_with_the_problem() {
        for (name, text, problem) in [
            (
                DESCRIPTION,
                "{",
                "run.json: not the description of a run: EOF",
            ),
            (
                DESCRIPTION,
                "[]",
                "run.json: not the description of a run: ",
            ),
            (
                HISTORY,
                "{}\n",
                "history.txt: line 1: this is not a history of the lab",
            ),
            (HISTORY, "", "history.txt: incomplete"),
            (
                CONTROL,
                "lab-history/1 seed 8 faults 0\n",
                "control-history.txt: line 1: the plan",
            ),
            (
                "gateway-kill.toml",
                "schema = \"lab/1\"\n",
                "gateway-kill.toml: profile: `short` not found",
            ),
        ] {
            let folder = stored_run();
            fs::write(folder.path().join(name), text).unwrap();

            let reason = read(folder.path()).unwrap_err().reason();

            assert!(reason.contains(problem), "{name}: {reason}");
        }
    }

    #[test]
    fn a_description_with_another_schema_or_a_path_is_rejected() {
        for (from, to, problem) in [
            (
                "lab-run/1",
                "lab-run/2",
                "this version reads the schema \"lab-run/1\", not \"lab-run/2\"",
            ),
            (
                "gateway-kill.toml",
                "../gateway-kill.toml",
                "is not a file of the directory",
            ),
            (
                "gateway-kill.toml",
                "/etc/passwd",
                "is not a file of the directory",
            ),
        ] {
            let folder = stored_run();
            let path = folder.path().join(DESCRIPTION);
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.replace(from, to)).unwrap();

            let reason = read(folder.path()).unwrap_err().reason();

            assert!(reason.contains(problem), "{reason}");
        }
    }

    #[test]
    fn an_endless_line_is_rejected_without_being_read() {
        let folder = stored_run();
        let path = folder.path().join(HISTORY);
        fs::write(&path, "x".repeat(4 * LINE_BYTES_MAX)).unwrap();

        let reason = read(folder.path()).unwrap_err().reason();

        assert!(
            reason.contains("line 1: longer than 65536 bytes"),
            "{reason}"
        );
    }

    /// A short history of `gateway-kill`, stored in a directory.
    pub(crate) fn stored_run() -> TempDir {
        let folder = TempDir::new().unwrap();
        let text = include_str!("../../../../../scenarios/gateway-kill.toml");
        let options = ScenarioOptions {
            profiles: vec!["short".to_owned()],
            params: vec![("kinds".to_owned(), "steadfast".to_owned())],
        };
        let scenario = Scenario::parse("gateway-kill.toml", text, &options).unwrap();
        let plan = Plan::new(&scenario, 7).unwrap();
        let command = "steadfast lab run x".to_owned();
        let description = Description::new(&scenario, options, &plan, false, command);
        write_description(folder.path(), &description, text).unwrap();
        let outcome = RunOutcome {
            control: Some(log(1)),
            run: log(2),
            programs: Vec::new(),
            notices: Vec::new(),
        };
        write_outcome(folder.path(), &plan, &outcome).unwrap();
        folder
    }

    fn log(records: usize) -> EventLog {
        let mut log = EventLog::new(EVENTS_MAX);
        for phase in RunPhase::ALL.into_iter().take(records) {
            log.push(EventRecord {
                at: Instant::START,
                event: RunEvent::PhaseBegan(phase),
            });
        }
        log
    }
}
