//! Which instances a step hits: a rolling restart, and a role that no instance has.

use crate::run;

#[test]
fn a_rolling_restart_terminates_each_instance_once() {
    let outcome = run(
        "rolling",
        r#"
[[step]]
id = "rolling"
every = "1500ms"
count = 2
do = "proc.term"
on = "gateway:next"
then = { start_after = "200ms" }

[run]
baseline = "1s"
duration = "4s"
# A client may wait for 5 s after a shutdown, so that not all of them reconnect at once.
quiet = "5s"
drain = "1s"
control = "off"
"#,
    )
    .unwrap();

    assert_eq!(outcome.verdict(), "PASS", "{}", outcome.all());
    let expected = [
        ("rolling".to_owned(), vec!["gateway:1".to_owned()]),
        ("rolling".to_owned(), vec!["gateway:2".to_owned()]),
    ];
    assert_eq!(outcome.targets(), expected);
}

#[test]
fn a_fault_without_a_leader_is_inconclusive() {
    let outcome = run(
        "leaderless",
        r#"
[service.worker]
cmd = "sh"
args = ["-c", "echo ready; exec sleep 600"]
replicas = 2
ready = { log = "ready" }
leader = { exec = ["false"] }

[[step]]
at = "500ms"
do = "proc.kill"
on = "worker:leader"
then = { start_after = "200ms" }
"#,
    )
    .unwrap();

    assert_eq!(outcome.verdict(), "INCONCLUSIVE", "{}", outcome.all());
    let reason = "the leader probe succeeded on none of the 2 instances, and 0 gave no reply";
    assert!(outcome.all().contains(reason), "{}", outcome.all());
}
