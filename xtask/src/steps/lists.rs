//! What each task consists of: the checks, the tests, and the long forms that run on demand.

use std::time::Duration;

use super::Step;
use crate::tree::Tree;

/// Ample for a step that compiles everything on two slow cores.
const BUILD_LIMIT: Duration = Duration::from_mins(20);

/// The long forms may take their time, but not for ever.
const LONG_LIMIT: Duration = Duration::from_hours(3);

/// How long each fuzz target runs on demand.
const FUZZ_SECONDS: u32 = 120;

/// What runs whole processes and so has a step of its own, apart from the unit tests.
const PROCESSES: &str =
    "package(steadfast-e2e) + package(steadfast-gym) + package(steadfast-conformance)";

/// The steps of a task, or `None` when no list has this name.
pub(crate) fn list(task: &str) -> Option<Vec<Step>> {
    let steps = match task {
        "check" => checks(),
        "test" => [vec![xtask("setup")], checks(), tests()].concat(),
        "conformance" => long(vec![
            python("websocket", &["tests/conformance/kosoku.py", "--long"]),
            cargo(
                "walk",
                &["run", "--quiet", "--package", "steadfast-e2e", "--", "walk"],
            ),
        ]),
        "fuzz" => long(fuzz()),
        "sim" => long(vec![simulation("0..1000").optimised()]),
        "soak" => long(vec![
            cargo(
                "kills",
                &[
                    "run",
                    "--quiet",
                    "--package",
                    "steadfast-e2e",
                    "--",
                    "kills",
                    "--long",
                ],
            ),
            cargo(
                "log-kills",
                &[
                    "run",
                    "--quiet",
                    "--package",
                    "steadfast-e2e",
                    "--",
                    "log-kills",
                    "--long",
                ],
            ),
        ]),
        "bench" => long(vec![bench("bench", &[])]),
        "links" => vec![links()],
        "fix" => fixes(),
        _ => return None,
    };
    Some(steps)
}

fn checks() -> Vec<Step> {
    vec![
        format(&["--check"]),
        xtask("tidy"),
        xtask("layers"),
        step("spelling", "typos", &[]),
        step("toml", "taplo", &["fmt", "--check"]),
        links(),
        cargo(
            "clippy",
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ],
        ),
        cargo(
            "docs",
            &[
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
            ],
        )
        .with("RUSTDOCFLAGS", "-D warnings"),
        cargo(
            "licences",
            &[
                "deny",
                "--log-level",
                "error",
                "check",
                "licenses",
                "bans",
                "sources",
            ],
        ),
        cargo("unused", &["shear"]),
    ]
}

/// In order of what a failure explains: a broken unit makes everything after it fail too.
fn tests() -> Vec<Step> {
    let units = format!("not ({PROCESSES})");
    vec![
        cargo("unit", &["nextest", "run", "--workspace", "-E", &units]).with("INSTA_UPDATE", "no"),
        cargo("doctests", &["test", "--quiet", "--workspace", "--doc"]),
        simulation("0..200"),
        cargo("peers", &["nextest", "run", "--package", "steadfast-e2e"]),
        cargo("gym", &["nextest", "run", "--package", "steadfast-gym"]),
        cargo(
            "codec",
            &["nextest", "run", "--package", "steadfast-conformance"],
        ),
        python("websocket", &["tests/conformance/kosoku.py"]),
        bench("bench", &["--smoke"]),
    ]
}

/// Each target for a while; what is found beyond the committed corpus stays in the target folder.
fn fuzz() -> Vec<Step> {
    let time = format!("-max_total_time={FUZZ_SECONDS}");
    project_texts("fuzz/fuzz_targets/", ".rs")
        .iter()
        .filter_map(|path| path.strip_prefix("fuzz/fuzz_targets/")?.strip_suffix(".rs"))
        .map(|target| {
            let found = format!("target/fuzz/{target}");
            let corpus = format!("fuzz/corpus/{target}");
            let mut step = cargo(
                target,
                &["fuzz", "run", target, &found, &corpus, "--", &time],
            );
            step.folder = Some(found);
            // The fuzzer's instrumentation is not stable in name, but is in this compiler.
            step.with("RUSTC_BOOTSTRAP", "1")
        })
        .collect()
}

fn simulation(seeds: &str) -> Step {
    cargo(
        "sim",
        &[
            "run",
            "--quiet",
            "--bin",
            "steadfast",
            "--",
            "sim",
            "--seeds",
            seeds,
        ],
    )
}

fn bench(name: &str, arguments: &[&str]) -> Step {
    let run = [
        "run",
        "--quiet",
        "--release",
        "--manifest-path",
        "tests/bench/Cargo.toml",
        "--bin",
        "bench",
        "--",
    ];
    cargo(name, &[&run, arguments].concat())
}

/// Every Rust file of every workspace in one go.
fn format(flags: &[&str]) -> Step {
    let files = project_texts("", ".rs");
    let files = files.iter().map(String::as_str);
    let arguments: Vec<&str> = flags
        .iter()
        .copied()
        .chain(["--edition", "2024"])
        .chain(files)
        .collect();
    step("format", "rustfmt", &arguments)
}

fn fixes() -> Vec<Step> {
    vec![
        format(&[]),
        step("toml", "taplo", &["fmt"]),
        step("spelling", "typos", &["--write-changes"]),
    ]
}

/// Files and anchors only: what the network says today must not fail a build.
fn links() -> Step {
    let documents = project_texts("", ".md");
    let documents = documents.iter().map(String::as_str);
    let flags = ["--offline", "--include-fragments", "--no-progress"];
    step(
        "links",
        "lychee",
        &flags.into_iter().chain(documents).collect::<Vec<_>>(),
    )
}

/// The project's text files in a folder, by the end of their names; none when git cannot list them, which the
/// step `tidy` tells.
fn project_texts(folder: &str, end: &str) -> Vec<String> {
    let Ok(tree) = Tree::of_project() else {
        return Vec::new();
    };
    tree.texts_ending(end)
        .map(|(path, _)| path.to_owned())
        .filter(|path| path.starts_with(folder))
        .collect()
}

/// A task of this program as a step.
fn xtask(task: &str) -> Step {
    cargo(task, &["xtask", task])
}

fn cargo(name: &str, arguments: &[&str]) -> Step {
    step(name, "cargo", arguments)
}

/// The Python of `.venv` comes first on the search path.
fn python(name: &str, arguments: &[&str]) -> Step {
    step(name, "python3", arguments)
}

fn step(name: &str, program: &'static str, arguments: &[&str]) -> Step {
    let arguments = arguments
        .iter()
        .map(|argument| (*argument).to_owned())
        .collect();
    Step {
        name: name.to_owned(),
        program,
        arguments,
        variables: Vec::new(),
        folder: None,
        limit: BUILD_LIMIT,
    }
}

fn long(steps: Vec<Step>) -> Vec<Step> {
    steps
        .into_iter()
        .map(|step| Step {
            limit: LONG_LIMIT,
            ..step
        })
        .collect()
}

impl Step {
    /// With the profile that users run.
    fn optimised(mut self) -> Self {
        self.arguments.insert(1, "--release".to_owned());
        self
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_step_of_a_list_has_a_name_of_its_own() {
        for task in [
            "check",
            "test",
            "links",
            "fix",
            "conformance",
            "bench",
            "fuzz",
            "sim",
            "soak",
        ] {
            let steps = list(task).unwrap();
            let names: BTreeSet<&str> = steps.iter().map(|step| step.name.as_str()).collect();

            assert_eq!(names.len(), steps.len(), "{task}");
        }
    }

    #[test]
    fn an_unknown_task_has_no_list() {
        assert!(list("no-such-task").is_none());
    }
}
