//! A Python program and a shell script share a bridge while the server restarts ten times; the journal of the server
//! says what was executed.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::lab::Lab;

const RESTARTS: usize = 10;
const CREATE: &str = "pool.dataset.create";

/// Creates datasets one after the other, until its input ends, and prints the name and the outcome of each.
const PYTHON: &str = r#"
import json, select, socket, sys
bridge = socket.socket(socket.AF_UNIX)
bridge.connect(sys.argv[1])
lines = bridge.makefile("rw")
number = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    number += 1
    name = f"tank/python-{number}"
    request = {"jsonrpc": "2.0", "id": number, "method": "pool.dataset.create", "params": [{"name": name}]}
    lines.write(json.dumps(request) + "\n")
    lines.flush()
    reply = json.loads(lines.readline())
    assert reply["id"] == number, reply
    data = reply.get("error", {}).get("data", {})
    outcome = "executed" if "result" in reply else data["outcome"]
    print(name, outcome, flush=True)
"#;

/// The same with `steadfast call`, whose exit code is the outcome.
const SHELL: &str = r#"
number=0
while [ ! -e "$2" ]; do
  number=$((number + 1))
  name="tank/shell-$number"
  "$0" call "unix:$1" pool.dataset.create "[{\"name\": \"$name\"}]" >/dev/null 2>&1
  case $? in
    0) echo "$name executed" ;;
    8) echo "$name not_sent" ;;
    9) echo "$name interrupted" ;;
    *) echo "$name $?" ;;
  esac
done
"#;

#[test]
fn each_restart_costs_one_login_and_each_call_of_both_programs_has_a_true_outcome() {
    let lab = Lab::start();
    let end = lab.folder.path().join("end");
    let mut python = Command::new("python3")
        .args(["-c", PYTHON])
        .arg(&lab.socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shell = Command::new("sh")
        .args(["-c", SHELL, env!("CARGO_BIN_EXE_steadfast")])
        .arg(&lab.socket)
        .arg(&end)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut by_python = BufReader::new(python.stdout.take().unwrap()).lines();
    let mut by_shell = BufReader::new(shell.stdout.take().unwrap()).lines();
    let mut outcomes = Vec::new();

    for restart in 0..RESTARTS {
        lab.until(|it| it["state"] == "connected" && it["reconnects"] == restart);
        for lines in [&mut by_python, &mut by_shell] {
            let mut lines = lines.map(Result::unwrap);
            let found = lines.any(|line| {
                outcomes.push(line.clone());
                line.ends_with(" executed")
            });
            assert!(found, "the program has ended");
        }
        lab.control("restart");
    }
    std::fs::write(&end, "").unwrap();
    drop(python.stdin.take());
    outcomes.extend(by_python.map(Result::unwrap));
    outcomes.extend(by_shell.map(Result::unwrap));

    assert!(python.wait().unwrap().success() && shell.wait().unwrap().success());
    lab.until(|it| it["reconnects"] == RESTARTS && it["in_flight"] == 0);
    let journal = lab.journal();
    for outcome in &outcomes {
        let (name, outcome) = outcome.split_once(' ').unwrap();
        check(name, outcome, executions(&journal, name));
    }
    let logins = journal.iter().filter(|it| it["method"] == "auth.login_ex");
    let starts: Vec<u64> = logins.filter_map(|it| it["start"].as_u64()).collect();
    // The two messages of a login by SCRAM, for each start.
    let expected: Vec<u64> = (1..=11).flat_map(|start| [start, start]).collect();
    assert_eq!(starts, expected);
}

fn executions(journal: &[Value], name: &str) -> usize {
    let params = json!([{"name": name}]);
    let of_call = |it: &&Value| it["method"] == CREATE && it["params"] == params;
    let executed = journal.iter().filter(of_call);
    executed.filter(|it| it["state"] == "executed").count()
}

/// What was executed was executed once, what was not sent was not, and nothing was executed twice.
fn check(name: &str, outcome: &str, executions: usize) {
    let expected = match outcome {
        "executed" => 1..=1,
        "not_sent" => 0..=0,
        "interrupted" | "timed_out" => 0..=1,
        _ => panic!("{name}: {outcome}"),
    };
    assert!(
        expected.contains(&executions),
        "{name}: {outcome}, executed {executions} times"
    );
}
