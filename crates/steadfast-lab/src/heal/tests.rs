//! What is healed and what is left alone, by the journals of runs whose lab has ended, still runs, or ran before the
//! machine was started again.

use std::process::{Child, Command, Stdio};

use super::*;
use crate::service::VARIABLE;

/// The directory of a run with a process of one of its instances; both are removed at the end.
struct Left {
    parent: PathBuf,
    process: Child,
}

impl Left {
    /// The journal says that this process executed the run, with a fault that was undone and one that was not.
    fn new(name: &str, started: &str, boot: &str) -> Self {
        let parent = format!("lab-heal-{name}-{}", std::process::id());
        let parent = std::env::temp_dir().join(parent);
        let run = parent.join("run-1");
        fs::create_dir_all(&run).unwrap();
        let journal = format!(
            "{{\"lab\":{},\"started\":\"{started}\",\"boot\":\"{boot}\"}}\n\
             {{\"fault\":0,\"do\":\"proc.kill a:1\",\"undo\":\"it has ended\"}}\n\
             {{\"fault\":1,\"do\":\"net.block b\",\"undo\":\"end the rules\"}}\n\
             {{\"undone\":0}}\n",
            std::process::id()
        );
        fs::write(run.join(FILE), journal).unwrap();
        // Processes name their directory without symbolic links.
        let parent = fs::canonicalize(parent).unwrap();
        let process = Self::sleep(&parent.join("run-1/a-1"));
        Self { parent, process }
    }

    fn sleep(instance: &Path) -> Child {
        let mut command = Command::new("sleep");
        command.arg("600").env(VARIABLE, instance);
        command.stdin(Stdio::null()).spawn().unwrap()
    }

    fn heal(&self) -> Vec<Healing> {
        let healed = heal(&self.parent).unwrap();
        assert!(healed.problems.is_empty(), "{:?}", healed.problems);
        let runs = healed.runs.into_iter();
        runs.map(|(_, healing)| healing).collect()
    }

    /// A process that was killed may have been collected too.
    fn is_running(&mut self) -> bool {
        self.process.try_wait().is_ok_and(|status| status.is_none())
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
        drop(fs::remove_dir_all(&self.parent));
    }
}

fn boot() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    boot.trim().to_owned()
}

fn faults() -> Vec<String> {
    vec!["net.block b: end the rules".to_owned()]
}

#[test]
fn the_processes_of_a_run_whose_lab_has_ended_are_killed_and_its_open_faults_named() {
    let mut left = Left::new("ended", "1", &boot());
    // Its name begins with that of the run.
    let mut other = Left::sleep(&left.parent.join("run-10/a-1"));

    let healed = left.heal();

    let [
        Healing::Healed {
            faults: open,
            killed,
        },
    ] = healed.as_slice()
    else {
        panic!("{healed:?}");
    };
    assert_eq!(*open, faults());
    assert_eq!(*killed, [format!("sleep ({})", left.process.id())]);
    assert!(!left.is_running());
    assert!(other.try_wait().unwrap().is_none(), "of another run");
    assert_eq!(left.heal(), [], "healed once");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn a_run_that_is_executed_is_left_alone() {
    let mut left = Left::new("running", "1", &boot());
    let run = left.parent.join("run-1");
    fs::remove_file(run.join(FILE)).unwrap();
    Journal::create(&run).unwrap();

    assert_eq!(left.heal(), [Healing::Running(std::process::id())]);
    assert!(left.is_running());
}

#[test]
fn after_a_start_of_the_machine_nothing_is_killed() {
    let mut left = Left::new("boot", "1", "another");

    let healed = left.heal();

    let killed = Vec::new();
    let faults = faults();
    assert_eq!(healed, [Healing::Healed { faults, killed }]);
    assert!(left.is_running());
}

#[test]
fn a_run_that_ended_and_a_directory_without_a_journal_are_skipped() {
    let mut left = Left::new("skipped", "1", &boot());
    fs::create_dir_all(left.parent.join("other")).unwrap();
    Journal::open(&left.parent.join("run-1"))
        .unwrap()
        .end()
        .unwrap();

    assert_eq!(left.heal(), []);
    assert!(left.is_running());
}

#[test]
fn a_journal_that_cannot_be_read_does_not_keep_the_others_from_being_healed() {
    let parent = std::env::temp_dir().join(format!("lab-heal-{}", std::process::id()));
    // No user can read a directory as a file, and none can append to one.
    fs::create_dir_all(parent.join("a").join(FILE)).unwrap();
    let fault = b"{\"fault\":0,\"do\":\"x\",\"undo\":\"y\"}\n".as_slice();
    for (run, journal) in [("b", fault), ("c", b"\xff\n")] {
        fs::create_dir_all(parent.join(run)).unwrap();
        fs::write(parent.join(run).join(FILE), journal).unwrap();
    }
    fs::create_dir_all(parent.join("data")).unwrap();
    fs::write(parent.join("notes.txt"), "").unwrap();

    let first = heal(&parent).unwrap();
    let second = heal(&parent).unwrap();

    fs::remove_dir_all(&parent).unwrap();
    let names = |healed: &Healed| -> Vec<String> {
        let runs = healed.runs.iter();
        runs.map(|(run, _)| run.file_name().unwrap().to_string_lossy().into_owned())
            .collect()
    };
    assert_eq!(names(&first), ["b", "c"]);
    assert_eq!(names(&second), Vec::<String>::new(), "both have an end now");
    for healed in [first, second] {
        let problems: Vec<String> = healed.problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].ends_with("a/faults.jsonl"), "{problems:?}");
    }
}
