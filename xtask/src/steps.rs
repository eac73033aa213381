//! A task as a list of named steps: each step is timed, and the first failure is named and stops the list.
//!
//! Steps of different lanes run concurrently. The lists themselves are in `steps/lists`, and the process of a step is in
//! `steps/process`. CI reads the last line, `steps: N passed, N failed`.

mod lists;
mod process;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

pub(crate) use crate::steps::lists::list;
use crate::steps::process::{Output, Running};
use crate::tools::say;

/// Interval at which running steps are polled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The longest printed command, in characters.
const SHOWN_MAX: usize = 120;

/// One command with a name that can be selected.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Unique in its list.
    name: String,
    program: String,
    arguments: Vec<String>,
    variables: Vec<(&'static str, String)>,
    /// A folder in the root that must exist before the step begins.
    folder: Option<String>,
    /// After this time, the step is stopped and counts as failed, so that a hang does not use up the time of a CI run.
    limit: Duration,
    lane: Lane,
    /// Earlier steps of the list that must have passed before this one starts; a step that is not selected does not
    /// count.
    after: Vec<&'static str>,
}

/// Which steps run concurrently: each lane runs one step at a time, in the order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    /// Steps that compile the workspace: cargo locks its target folder anyway.
    Workspace,
    /// Steps that do not use the target folder of the workspace, or only run programs from it.
    Side,
    /// Steps that need the whole machine: they start when all earlier steps have ended, and end before later ones start.
    Alone,
}

impl Step {
    /// The command as it is printed: truncated, because a list of a hundred files is of no use.
    fn shown(&self) -> String {
        let whole = format!("{} {}", self.program, self.arguments.join(" "));
        match whole.char_indices().nth(SHOWN_MAX) {
            Some((end, _)) => format!("{} …", whole.get(..end).unwrap_or_default()),
            None => whole,
        }
    }

    /// True if this step may start before an earlier step of the list has ended.
    fn may_overtake(&self, earlier: &Self) -> bool {
        let is_alone = self.lane == Lane::Alone || earlier.lane == Lane::Alone;
        let requires = self.after.iter().any(|name| *name == earlier.name);
        !is_alone && !requires && self.lane != earlier.lane
    }
}

/// The selected steps of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    only: Vec<String>,
    skip: Vec<String>,
    show: bool,
}

impl Choice {
    /// Reads `--only A,B`, `--skip A,B` and `--list`.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut choice = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let target = match argument.as_str() {
                "--list" => {
                    choice.show = true;
                    continue;
                }
                "--only" => &mut choice.only,
                "--skip" => &mut choice.skip,
                other => {
                    bail!("unknown option `{other}`; the options are --only, --skip and --list")
                }
            };
            let names = arguments
                .next()
                .with_context(|| format!("{argument} requires names of steps"))?;
            target.extend(names.split(',').map(str::to_owned));
        }
        Ok(choice)
    }

    fn selects(&self, name: &str) -> bool {
        let is = |selected: &String| selected == name;
        (self.only.is_empty() || self.only.iter().any(is)) && !self.skip.iter().any(is)
    }

    fn check(&self, steps: &[Step]) -> Result<()> {
        for name in self.only.iter().chain(&self.skip) {
            let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
            ensure!(
                names.contains(&name.as_str()),
                "unknown step `{name}`; the steps are {}",
                names.join(", ")
            );
        }
        Ok(())
    }
}

/// Runs the selected steps.
///
/// # Errors
///
/// When a step fails, or a name is not in the list.
pub(crate) fn run(steps: &[Step], choice: &Choice) -> Result<()> {
    choice.check(steps)?;
    if choice.show {
        for step in steps {
            say(&format!("{:12} {}", step.name, step.shown()));
        }
        return Ok(());
    }
    let selected = steps.iter().filter(|step| choice.selects(&step.name));
    let mut run = Run::new(selected.collect());
    let outcome = run.execute();
    run.summary();
    let Err((step, error)) = outcome else {
        say(&format!("steps: {} passed, 0 failed", run.passed.len()));
        return Ok(());
    };
    say(&format!("{:12} FAILED", step.name));
    say(&format!("steps: {} passed, 1 failed", run.passed.len()));
    Err(error.context(format!(
        "step `{0}` failed; repeat it with --only {0}",
        step.name
    )))
}

/// The progress of a list.
struct Run<'a> {
    /// Not started yet, in the order of the list.
    waiting: Vec<&'a Step>,
    running: Vec<Running<'a>>,
    passed: Vec<(&'a str, Duration)>,
    output: Output,
    start: Instant,
}

impl<'a> Run<'a> {
    fn new(steps: Vec<&'a Step>) -> Self {
        // Steps of one lane run one after the other, so their output does not mix.
        let is_one_lane = steps.windows(2).all(|pair| match pair {
            [one, other] => one.lane == other.lane,
            _ => true,
        });
        Self {
            waiting: steps,
            running: Vec::new(),
            passed: Vec::new(),
            output: if is_one_lane {
                Output::Live
            } else {
                Output::File
            },
            start: Instant::now(),
        }
    }

    /// Runs all steps, or returns the first step that failed, after the others were stopped.
    fn execute(&mut self) -> Result<(), (&'a Step, anyhow::Error)> {
        while !self.waiting.is_empty() || !self.running.is_empty() {
            while let Some(index) = self.next() {
                let step = self.waiting.remove(index);
                if self.output == Output::Live {
                    say(&format!("\n== {}: {}", step.name, step.shown()));
                }
                match Running::start(step, self.output) {
                    Ok(running) => self.running.push(running),
                    Err(error) => return Err(self.fail(step, error)),
                }
            }
            self.poll()?;
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Returns the index of the first waiting step that may start now.
    fn next(&self) -> Option<usize> {
        (0..self.waiting.len()).find(|index| {
            let (earlier, rest) = self.waiting.split_at(*index);
            let Some(step) = rest.first() else {
                return false;
            };
            let running = self.running.iter().map(|running| running.step);
            let mut before = running.chain(earlier.iter().copied());
            before.all(|other| step.may_overtake(other))
        })
    }

    fn poll(&mut self) -> Result<(), (&'a Step, anyhow::Error)> {
        let mut index = 0;
        while let Some(running) = self.running.get_mut(index) {
            match running.has_passed() {
                Ok(false) => index += 1,
                Ok(true) => {
                    let ended = self.running.remove(index);
                    let (name, elapsed) = (ended.step.name.as_str(), ended.elapsed());
                    self.passed.push((name, elapsed));
                    if self.output == Output::File {
                        say(&line(name, elapsed));
                    }
                }
                Err(error) => {
                    let ended = self.running.remove(index);
                    if self.output == Output::File {
                        say(&format!("\n== {}: {}", ended.step.name, ended.step.shown()));
                        say(&ended.output());
                    }
                    return Err(self.fail(ended.step, error));
                }
            }
        }
        Ok(())
    }

    /// Stops all other steps and returns the failure.
    fn fail(&mut self, step: &'a Step, error: anyhow::Error) -> (&'a Step, anyhow::Error) {
        for mut running in self.running.drain(..) {
            let name = &running.step.name;
            match running.stop() {
                Ok(()) => say(&format!("{name:12} stopped")),
                Err(error) => say(&format!("{name:12} could not be stopped: {error:#}")),
            }
        }
        (step, error)
    }

    fn summary(&self) {
        if self.output == Output::Live {
            say("");
            for (name, elapsed) in &self.passed {
                say(&line(name, *elapsed));
            }
        }
        say(&line("total", self.start.elapsed()));
    }
}

fn line(name: &str, elapsed: Duration) -> String {
    format!("{name:12} {:>8.1} s", elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_list_stops_at_its_first_failure() {
        let steps = [
            step("good", "true"),
            step("bad", "false"),
            step("never", "no-such-program"),
        ];

        let error = run(&steps, &Choice::default()).unwrap_err();

        assert!(error.to_string().contains("step `bad` failed"), "{error:#}");
    }

    #[test]
    fn steps_are_chosen_by_name() {
        let steps = [step("good", "true"), step("bad", "false")];

        run(&steps, &choice(&["--only", "good"])).unwrap();
        run(&steps, &choice(&["--skip", "bad"])).unwrap();
        let error = run(&steps, &choice(&["--only", "best"])).unwrap_err();

        assert_eq!(
            error.to_string(),
            "unknown step `best`; the steps are good, bad"
        );
    }

    #[test]
    fn steps_of_different_lanes_run_at_the_same_time() {
        let folder = Folder::new("lanes");
        // Each step ends only when the other has started.
        let steps = [
            folder.script("one", "touch one; until [ -e other ]; do sleep 0.01; done"),
            Step {
                lane: Lane::Side,
                ..folder.script(
                    "other",
                    "touch other; until [ -e one ]; do sleep 0.01; done",
                )
            },
        ];

        run(&steps, &Choice::default()).unwrap();
    }

    #[test]
    fn a_step_starts_after_the_steps_that_it_requires() {
        let folder = Folder::new("order");
        let steps = [
            folder.script("first", "sleep 0.2; touch done"),
            Step {
                lane: Lane::Side,
                after: vec!["first"],
                ..folder.script("second", "test -e done")
            },
        ];

        run(&steps, &Choice::default()).unwrap();
    }

    #[test]
    fn a_step_that_needs_the_machine_runs_alone() {
        let folder = Folder::new("alone");
        let steps = [
            folder.script("before", "sleep 0.2; touch before"),
            Step {
                lane: Lane::Alone,
                ..folder.script("alone", "test -e before || exit 1; sleep 0.2; touch alone")
            },
            Step {
                lane: Lane::Side,
                ..folder.script("later", "test -e alone")
            },
        ];

        run(&steps, &Choice::default()).unwrap();
    }

    #[test]
    fn the_first_failure_stops_the_steps_of_other_lanes() {
        let folder = Folder::new("stop");
        let slow = "trap 'touch stopped; exit 1' TERM; touch started; sleep 60 & wait";
        let steps = [
            folder.script("slow", slow),
            Step {
                lane: Lane::Side,
                ..folder.script("bad", "until [ -e started ]; do sleep 0.01; done; exit 1")
            },
        ];

        let error = run(&steps, &Choice::default()).unwrap_err();

        assert!(error.to_string().contains("step `bad` failed"), "{error:#}");
        assert!(folder.0.join("stopped").exists());
    }

    /// A working folder for steps, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("steadfast-steps-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn script(&self, name: &str, script: &str) -> Step {
            let script = format!("cd {} && {{ {script}; }}", self.0.display());
            Step {
                arguments: vec!["-c".to_owned(), script],
                ..step(name, "sh")
            }
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn an_unknown_flag_is_rejected() {
        assert!(Choice::parse(&["--fast".to_owned()]).is_err());
        assert!(Choice::parse(&["--only".to_owned()]).is_err());
    }

    fn step(name: &str, program: &str) -> Step {
        Step {
            name: name.to_owned(),
            program: program.to_owned(),
            arguments: Vec::new(),
            variables: Vec::new(),
            folder: None,
            limit: Duration::from_mins(1),
            lane: Lane::Workspace,
            after: Vec::new(),
        }
    }

    fn choice(arguments: &[&str]) -> Choice {
        let arguments: Vec<String> = arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect();
        Choice::parse(&arguments).unwrap()
    }
}
