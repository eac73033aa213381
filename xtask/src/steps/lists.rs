//! What each task consists of: the checks, the tests, and the long forms that run on demand.

use std::time::Duration;

use super::Step;
use crate::tree::Tree;

/// Ample for a step that compiles everything on two slow cores.
const BUILD_LIMIT: Duration = Duration::from_mins(20);

/// The steps of a task, or `None` when no list has this name.
pub(crate) fn list(task: &str) -> Option<Vec<Step>> {
    let steps = match task {
        "check" => checks(),
        "test" => [setup(), checks(), tests()].concat(),
        "links" => vec![links()],
        "fix" => fixes(),
        _ => return None,
    };
    Some(steps)
}

fn setup() -> Vec<Step> {
    vec![xtask("setup")]
}

fn checks() -> Vec<Step> {
    vec![
        step("format", "cargo", &["fmt", "--all", "--check"]),
        xtask("tidy"),
        xtask("layers"),
        step("spelling", "typos", &[]),
        step("toml", "taplo", &["fmt", "--check"]),
        links(),
        step(
            "clippy",
            "cargo",
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ],
        ),
        step(
            "docs",
            "cargo",
            &[
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
            ],
        )
        .with("RUSTDOCFLAGS", "-D warnings"),
        step(
            "licences",
            "cargo",
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
        step("unused", "cargo", &["shear"]),
    ]
}

fn tests() -> Vec<Step> {
    vec![
        step("unit", "cargo", &["nextest", "run", "--workspace"]).with("INSTA_UPDATE", "no"),
        step(
            "doctests",
            "cargo",
            &["test", "--quiet", "--workspace", "--doc"],
        ),
    ]
}

fn fixes() -> Vec<Step> {
    vec![
        step("format", "cargo", &["fmt", "--all"]),
        step("toml", "taplo", &["fmt"]),
        step("spelling", "typos", &["--write-changes"]),
    ]
}

/// Files and anchors only: what the network says today must not fail a build.
fn links() -> Step {
    let documents = Tree::of_project()
        .map(|tree| {
            tree.texts_ending(".md")
                .map(|(path, _)| path.to_owned())
                .collect()
        })
        .unwrap_or_default();
    let mut links = step(
        "links",
        "lychee",
        &["--offline", "--include-fragments", "--no-progress"],
    );
    let documents: Vec<String> = documents;
    links.arguments.extend(documents);
    links
}

/// A task of this program as a step.
fn xtask(task: &'static str) -> Step {
    step(task, "cargo", &["xtask", task])
}

fn step(name: &'static str, program: &'static str, arguments: &[&str]) -> Step {
    let arguments = arguments
        .iter()
        .map(|argument| (*argument).to_owned())
        .collect();
    Step {
        name,
        program,
        arguments,
        variables: Vec::new(),
        limit: BUILD_LIMIT,
    }
}

impl Step {
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
        for task in ["check", "test", "links", "fix"] {
            let steps = list(task).unwrap();
            let names: BTreeSet<&str> = steps.iter().map(|step| step.name).collect();

            assert_eq!(names.len(), steps.len(), "{task}");
        }
    }

    #[test]
    fn an_unknown_task_has_no_list() {
        assert!(list("no-such-task").is_none());
    }
}
