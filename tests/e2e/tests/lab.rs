//! The lab's scenarios on real gateways and four kinds of clients: they pass on the gateway, and they detect planted
//! bugs and runs that prove nothing.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use steadfast_e2e::{binaries, lab_run};

#[test]
fn every_kind_of_client_reconnects_and_nothing_acknowledged_is_lost() {
    let report = finish("gateway-kill").unwrap();

    assert_eq!(report.verdict(), "PASS", "{report}");
    assert_eq!(report.exit, Some(0));
}

#[test]
fn a_freeze_without_disconnects_is_detected_and_nothing_acknowledged_is_lost() {
    let report = finish("gateway-freeze").unwrap();

    assert_eq!(report.verdict(), "PASS", "{report}");
    assert_eq!(report.check("freeze-detected"), Some("holds"));
    let detection = report.check("detection-bounded");
    assert_eq!(detection, Some("not_applicable"), "no client disconnects");
}

/// The library of this project needs neither cargo nor Python nor Node: nothing is in the search path.
#[test]
fn a_run_without_faults_is_inconclusive_and_needs_no_other_program() {
    let arguments = ["--placebo", "-p", "kinds=steadfast"];
    let mut command = command(&shipped("gateway-kill"), &arguments).unwrap();
    command.env("PATH", "/nonexistent");

    let report = start(command).and_then(Run::wait).unwrap();

    assert_eq!(report.verdict(), "INCONCLUSIVE", "{report}");
    assert_eq!(report.exit, Some(2));
    let again = report
        .messages
        .lines()
        .find(|line| line.starts_with("Run it again: "));
    let again = again.unwrap();
    for option in [
        "lab run scenarios/gateway-kill.toml",
        "--seed 5",
        "--profile short",
        "-p kinds=steadfast",
        "--out ",
        "--placebo",
        "--json",
    ] {
        assert!(again.contains(option), "no {option}: {again}");
    }
}

#[test]
fn a_gateway_that_exits_is_reported_at_once_with_its_output() {
    let folder = binaries::scratch("lab-exits").unwrap();
    let gateway = program(&folder, "echo 'no disk'; exit 3").unwrap();

    let (exit, messages) = fail(&["-p", "kinds=steadfast", "--gateway", &gateway]).unwrap();

    assert_eq!(exit, Some(5), "{messages}");
    assert!(
        messages.contains(
            "error: gateway:1 exited with status 3 before it was ready; its output:\n    no disk\n"
        ) || messages.contains(
            "error: gateway:2 exited with status 3 before it was ready; its output:\n    no disk\n"
        ),
        "{messages}"
    );
    assert!(messages.contains("The logs are in "), "{messages}");
}

#[test]
fn a_gateway_that_exits_before_the_clients_are_connected_is_reported_at_once() {
    let folder = binaries::scratch("lab-exits-later").unwrap();
    // It responds to /readyz, and then it exits.
    let server = "const port = fs.readFileSync('steadfast.toml', 'utf8').match(/port = (\\d+)/)[1]; \
                  http.createServer((_, reply) => reply.end(() => process.exit(9))).listen(port, '127.0.0.1')";
    let gateway = program(&folder, &format!("exec node -e \"{server}\"")).unwrap();

    let (exit, messages) = fail(&["-p", "kinds=steadfast", "--gateway", &gateway]).unwrap();

    assert_eq!(exit, Some(5), "{messages}");
    assert!(
        messages
            .contains("exited with status 9 before all clients were connected; it printed nothing"),
        "{messages}"
    );
}

#[test]
fn a_gateway_that_never_becomes_ready_is_named() {
    let folder = binaries::scratch("lab-unready").unwrap();
    let gateway = program(&folder, "exec sleep 600").unwrap();
    let limit = ("[run]\n", "[run]\nready_timeout = \"1s\"\n");
    let file = changed(&folder, limit).unwrap();
    let arguments = ["-p", "kinds=steadfast", "--gateway", &gateway];
    let mut command = command(&file, &arguments).unwrap();

    let output = command.output().unwrap();

    let messages = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{messages}");
    for part in [
        "timed out after 1 s waiting for gateway:1, gateway:2: GET http://127.0.0.1:",
        "/readyz: Connection refused (os error 111); it printed nothing",
    ] {
        assert!(messages.contains(part), "{messages}");
    }
}

#[test]
fn a_driver_that_exits_is_reported_with_its_messages() {
    let folder = binaries::scratch("lab-driver").unwrap();
    fs::create_dir_all(folder.join("node/node_modules/centrifuge")).unwrap();
    let driver = "console.error('no clients'); process.exit(7);\n";
    fs::write(folder.join("node/driver.mjs"), driver).unwrap();

    let drivers = folder.to_string_lossy();
    let (exit, messages) = fail(&["-p", "kinds=centrifuge", "--drivers", &drivers]).unwrap();

    assert_eq!(exit, Some(5), "{messages}");
    assert!(
        messages.contains(
            "error: the driver for `centrifuge` clients exited with status 7; its output:\n    no clients\n"
        ),
        "{messages}"
    );
}

#[test]
fn missing_client_libraries_are_named_with_the_option_that_leaves_them_out() {
    let (exit, messages) = fail(&["--drivers", "/nonexistent"]).unwrap();

    assert_eq!(exit, Some(5), "{messages}");
    assert!(
        messages.contains("  `centrifuge`: /nonexistent/node/driver.mjs not found\n"),
        "{messages}"
    );
    assert!(
        messages.contains("Run without them: -p kinds=steadfast\n"),
        "{messages}"
    );
}

#[test]
fn the_check_of_a_scenario_prints_the_duration_with_the_control_run() {
    let output = binaries::command(binaries::gateway().unwrap())
        .args(["lab", "check", "scenarios/gateway-kill.toml"])
        .args(["--profile", "short", "--seed", "5"])
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(0));
    let plan = String::from_utf8(output.stdout).unwrap();
    assert!(
        plan.contains(
            "duration    26 s: 13 s for the control run without faults, then 13 s with faults\n"
        ),
        "{plan}"
    );
}

#[test]
fn a_suspended_harness_makes_the_run_inconclusive() {
    let mut run = without_control(&[]).unwrap();
    let id = rustix::process::Pid::from_raw(i32::try_from(run.child.id()).unwrap()).unwrap();
    let pause = |signal| rustix::process::kill_process(id, signal).unwrap();
    run.wait_for_message("run ").unwrap();
    pause(rustix::process::Signal::STOP);
    wait(Duration::from_secs(3));
    pause(rustix::process::Signal::CONT);

    let report = run.wait().unwrap();

    assert_eq!(report.verdict(), "INCONCLUSIVE", "{report}");
    assert!(report.text.contains("late"), "{report}");
    assert!(lab_run::was_disturbed(&report.json), "{report}");
}

#[test]
fn a_gateway_that_acknowledges_before_the_write_fails_for_lost_messages() {
    assert_fails(
        &on_known_bad("acks-before-write").unwrap(),
        "no-acknowledged-message-lost",
    );
}

#[test]
fn a_gateway_that_skips_recovery_fails_for_lost_messages() {
    assert_fails(
        &on_known_bad("skips-recovery").unwrap(),
        "no-acknowledged-message-lost",
    );
}

#[test]
fn a_gateway_that_forgets_keys_fails_for_duplicates() {
    assert_fails(&on_known_bad("forgets-keys").unwrap(), "no-duplicates");
}

#[test]
fn a_gateway_that_reuses_an_offset_fails_for_its_history() {
    assert_fails(
        &on_known_bad("reuses-offset").unwrap(),
        "no-gap-and-no-epoch-change",
    );
}

/// Runs the short profile on a known-bad build instead of the gateway. Its bug needs a kill, so that a control run would
/// show nothing.
fn on_known_bad(name: &str) -> Result<Report> {
    let program = binaries::known_bad(name)?;
    without_control(&["--gateway", &program.to_string_lossy()])?.wait()
}

fn assert_fails(report: &Report, check: &str) {
    assert_eq!(report.verdict(), "FAIL", "{report}");
    assert_eq!(report.exit, Some(1));
    assert_eq!(report.check(check), Some("fails"), "{report}");
    let back = report.check("all-affected-clients-reconnected");
    assert_eq!(back, Some("holds"), "{report}");
}

/// A run in progress.
struct Run {
    child: Child,
    messages: BufReader<ChildStderr>,
}

/// The report of a finished run.
struct Report {
    exit: Option<i32>,
    json: Value,
    text: String,
    /// What the lab printed on standard error, from its start or from the message that was waited for.
    messages: String,
}

/// Runs the short profile of a scenario to its end, again while the machine is too busy.
fn finish(name: &str) -> Result<Report> {
    let (output, _) = lab_run::undisturbed(&mut command(&shipped(name), &[])?)?;
    let messages = String::from_utf8(output.stderr)?;
    Report::new(output.status.code(), output.stdout, messages)
}

/// Starts the short profile of the scenario `gateway-kill` without its control run.
fn without_control(arguments: &[&str]) -> Result<Run> {
    let folder = binaries::scratch("lab-without-control")?;
    let file = changed(&folder, ("control = \"before\"", "control = \"off\""))?;
    start(command(&file, arguments)?)
}

fn shipped(name: &str) -> PathBuf {
    PathBuf::from(format!("scenarios/{name}.toml"))
}

/// Writes the scenario `gateway-kill` with one text replaced.
fn changed(folder: &Path, (old, new): (&str, &str)) -> Result<PathBuf> {
    let text = fs::read_to_string(binaries::root().join(shipped("gateway-kill")))?;
    anyhow::ensure!(text.contains(old), "the scenario has no `{old}`");
    let file = folder.join("gateway-kill.toml");
    fs::write(&file, text.replace(old, new))?;
    Ok(file)
}

/// The command that runs the short profile of a scenario. It builds the driver of a third-party client.
fn command(file: &Path, arguments: &[&str]) -> Result<Command> {
    let mut command = binaries::command(binaries::gateway()?);
    command
        .args(["lab", "run"])
        .arg(file)
        .args(["--profile", "short", "--seed", "5", "--json", "--out"])
        .arg(binaries::scratch("lab")?)
        .args(arguments)
        .stdin(Stdio::null());
    Ok(command)
}

fn start(mut command: Command) -> Result<Run> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("failed to start the lab")?;
    let messages = child.stderr.take().context("no stderr")?;
    Ok(Run {
        child,
        messages: BufReader::new(messages),
    })
}

/// Runs the short profile of `gateway-kill`, which cannot be executed: the exit code and the messages.
fn fail(arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let output = command(&shipped("gateway-kill"), arguments)?.output()?;
    let messages = String::from_utf8(output.stderr)?;
    Ok((output.status.code(), messages))
}

/// Writes a shell script that takes the place of the gateway.
fn program(folder: &Path, script: &str) -> Result<String> {
    let path: PathBuf = folder.join("program.sh");
    fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path.to_string_lossy().into_owned())
}

impl Run {
    /// Waits for a message of the lab that begins with this text.
    fn wait_for_message(&mut self, start: &str) -> Result<()> {
        let mut message = String::new();
        while !message.starts_with(start) {
            message.clear();
            let length = self.messages.read_line(&mut message)?;
            anyhow::ensure!(length > 0, "the lab ended before it printed `{start}`");
            io::stderr().write_all(message.as_bytes())?;
        }
        Ok(())
    }

    fn wait(self) -> Result<Report> {
        let messages = self.messages;
        let print = thread::spawn(move || {
            let mut printed = String::new();
            for line in messages.lines().map_while(Result::ok) {
                printed.push_str(&line);
                printed.push('\n');
                drop(writeln!(io::stderr(), "{line}"));
            }
            printed
        });
        let output = self.child.wait_with_output()?;
        let messages = print.join().unwrap_or_default();
        Report::new(output.status.code(), output.stdout, messages)
    }
}

impl Report {
    fn new(exit: Option<i32>, text: Vec<u8>, messages: String) -> Result<Self> {
        let text = String::from_utf8(text)?;
        Ok(Self {
            exit,
            json: serde_json::from_str(&text).with_context(|| messages.clone())?,
            text,
            messages,
        })
    }

    fn verdict(&self) -> &str {
        let verdict = self.json.get("verdict").and_then(Value::as_str);
        verdict.unwrap_or_default()
    }

    fn check(&self, id: &str) -> Option<&str> {
        let checks = self.json.get("checks")?.as_array()?.iter();
        let named = |it: &&Value| it.get("id").and_then(Value::as_str) == Some(id);
        checks.into_iter().find(named)?.get("outcome")?.as_str()
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Waits in real time, because the processes are real; no assertion depends on the exact time.
fn wait(time: Duration) {
    thread::sleep(time);
}
