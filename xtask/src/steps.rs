//! A task as a list of named steps: each step is timed, and the first failure is named and stops the list.
//!
//! The lists themselves are in `steps/lists`. CI reads the last line, `steps: N passed, N failed`.

mod lists;

use std::fs;
use std::io::{IsTerminal as _, stdin};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

pub(crate) use crate::steps::lists::list;
use crate::tools::{command, say};
use crate::tree::root;

/// Interval at which a running step is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The time within which a terminated step must stop its own child processes.
const STOP_WAIT: Duration = Duration::from_secs(5);

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

/// Runs the selected steps in order.
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
    let begin = Instant::now();
    let mut passed = Vec::new();
    let selected = steps.iter().filter(|step| choice.selects(&step.name));
    for step in selected {
        say(&format!("\n== {}: {}", step.name, step.shown()));
        let start = Instant::now();
        let outcome = execute(step);
        let took = start.elapsed();
        if let Err(error) = outcome {
            summary(&passed, begin.elapsed());
            say(&format!("{:12} FAILED after {}", step.name, seconds(took)));
            say(&format!("steps: {} passed, 1 failed", passed.len()));
            return Err(error.context(format!(
                "step `{}` failed; repeat it with --only {}",
                step.name, step.name
            )));
        }
        passed.push((step.name.as_str(), took));
    }
    summary(&passed, begin.elapsed());
    say(&format!("steps: {} passed, 0 failed", passed.len()));
    Ok(())
}

fn summary(passed: &[(&str, Duration)], total: Duration) {
    say("");
    for (name, took) in passed {
        say(&format!("{name:12} {:>8}", seconds(*took)));
    }
    say(&format!("{:12} {:>8}", "total", seconds(total)));
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn execute(step: &Step) -> Result<()> {
    if let Some(folder) = &step.folder {
        fs::create_dir_all(root().join(folder))
            .with_context(|| format!("failed to make {folder}"))?;
    }
    let mut command = command(&step.program);
    command
        .args(&step.arguments)
        .envs(step.variables.iter().map(|(name, value)| (*name, value)))
        .stdin(Stdio::null());
    // At a terminal a step stays in the process group of the shell, so that Ctrl-C reaches it.
    let has_group = !stdin().is_terminal();
    if has_group {
        command.process_group(0);
    }
    let mut child = command
        .spawn()
        .with_context(|| format!("failed to start {}", step.program))?;
    let deadline = Instant::now() + step.limit;
    loop {
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "{} exited with {status}", step.program);
            return Ok(());
        }
        if Instant::now() >= deadline {
            if has_group {
                stop_group(&mut child)?;
            }
            child.kill()?;
            child.wait()?;
            bail!("{} timed out after {}", step.program, seconds(step.limit));
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Stops a step with all its child processes: first with SIGTERM, since a test runner has process groups of its own to
/// stop.
fn stop_group(child: &mut Child) -> Result<()> {
    let group = Pid::from_child(child);
    kill_process_group(group, Signal::TERM)?;
    let deadline = Instant::now() + STOP_WAIT;
    while child.try_wait()?.is_none() && Instant::now() < deadline {
        thread::sleep(POLL_INTERVAL);
    }
    match kill_process_group(group, Signal::KILL) {
        // No process of the group is left.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};

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
    fn a_step_that_hangs_is_stopped() {
        let hung = Step {
            arguments: vec!["60".to_owned()],
            limit: Duration::ZERO,
            ..step("hung", "sleep")
        };

        let error = run(&[hung], &Choice::default()).unwrap_err();

        assert!(
            format!("{error:#}").contains("timed out after"),
            "{error:#}"
        );
    }

    #[test]
    fn what_a_step_has_started_is_stopped_with_it() {
        // The inner process keeps the output open while it runs, and ignores SIGTERM.
        let script = "(trap '' TERM; echo ready; sleep 60) & wait";
        let mut step = command("sh")
            .args(["-c", script])
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(step.stdout.take().unwrap());
        output.read_line(&mut String::new()).unwrap();

        let begin = Instant::now();
        stop_group(&mut step).unwrap();
        step.wait().unwrap();

        assert_eq!(output.read_line(&mut String::new()).unwrap(), 0);
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "it ran to its end"
        );
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
