//! The steps of each task: the checks, the tests, and the long tests that run on demand.

use std::env;
use std::sync::OnceLock;
use std::time::Duration;

use super::{Lane, Step};
use crate::tidy::PUBLISHED;
use crate::tools::target_folder;
use crate::tree::Tree;

/// More than enough for a step that compiles everything on two slow cores.
const BUILD_LIMIT: Duration = Duration::from_mins(20);

/// Several times the duration of the browser tests on a machine that runs other work too.
const BROWSER_LIMIT: Duration = Duration::from_mins(5);

/// Limit of one step of a long test.
const LONG_LIMIT: Duration = Duration::from_hours(3);

/// How long each fuzz target runs on demand.
const FUZZ_SECONDS: u32 = 120;

/// The folder with the sources of the fuzz targets.
const FUZZ_TARGETS: &str = "fuzz/fuzz_targets/";

/// Builds all programs of the workspace. The examples are included because only then do the dependencies have the
/// features that they have in tests; without them, most of the workspace would be compiled a second time.
const PROGRAMS: &str = "cargo build --quiet --workspace --bins --examples";

/// The steps of a task, or `None` when no list has this name.
pub(crate) fn list(task: &str) -> Option<Vec<Step>> {
    let steps = match task {
        "check" => checks(),
        "test" => [vec![own("setup").aside()], checks(), tests()].concat(),
        "conformance" => long(conformance()),
        "fuzz" => long(fuzz()),
        "sim" => long(vec![
            step(
                "sim",
                "cargo run --quiet --release --bin steadfast -- sim --seeds 0..10000",
            ),
            step(
                "sim-memory",
                "cargo run --quiet --release --bin steadfast -- sim --seeds 0..10000 --engine memory",
            ),
            step(
                "sim-calls",
                "cargo run --quiet --release --bin steadfast -- sim --seeds 0..10000 --world calls",
            ),
        ]),
        "soak" => long(soak()),
        "lab" => long(lab()),
        "pictures" => pictures(),
        "portable" => portable(),
        "bench" => long(vec![own("bench-servers"), bench(), log_bench()]),
        "links" => vec![links()],
        "fix" => fixes(),
        _ => return None,
    };
    Some(steps)
}

fn checks() -> Vec<Step> {
    vec![
        format("--check").aside(),
        own("tidy").aside(),
        own("layers").aside(),
        step("spelling", "typos").aside(),
        step("toml", "taplo fmt --check").aside(),
        links().aside(),
        step(
            "clippy",
            "cargo clippy --workspace --all-targets -- -D warnings",
        ),
        own("features"),
        step(
            "docs",
            "cargo doc --workspace --no-deps --document-private-items --features steadfast/websocket",
        )
        .with("RUSTDOCFLAGS", "-D warnings"),
        own("api"),
        package(),
        step(
            "licences",
            "cargo deny --log-level error check licenses bans sources",
        )
        .aside(),
        step("unused", "cargo shear").aside(),
        step("web", "npm --prefix web run check").aside(),
        step("browser-lint", "npm --prefix tests/browser run check").aside(),
    ]
}

/// The steps are ordered so that the first failure explains later ones: a broken unit makes later steps fail too.
fn tests() -> Vec<Step> {
    vec![
        step("web-unit", "npm --prefix web run test").aside(),
        web_build().aside(),
        bench_build().aside(),
        step(
            "bench-unit",
            &format!("cargo test --quiet {}", bench_workspace()),
        )
        .aside(),
        step("unit", &unit())
            // The runner is installed by `setup`, and the program embeds the page: a later page would compile it again.
            .after(&["setup", "web-build"]),
        step("doctests", "cargo test --quiet --workspace --doc"),
        build(),
        built(
            "sim",
            &format!("{} sim --seeds 0..200", program("steadfast")),
        ),
        built(
            "sim-memory",
            &format!(
                "{} sim --seeds 0..200 --engine memory",
                program("steadfast")
            ),
        ),
        built(
            "sim-calls",
            &format!("{} sim --seeds 0..200 --world calls", program("steadfast")),
        ),
        built("codec", "python3 tests/conformance/kosoku.py")
            .aside()
            .after(&["build"]),
        websocket("1-7,10").aside().after(&["build"]),
        browser("test")
            .within(BROWSER_LIMIT)
            .aside()
            .after(&["build"]),
        end_to_end("third-party", "third_party"),
        end_to_end("slow-links", "slow_links"),
        end_to_end("failover", "failover"),
        end_to_end("proxy-clients", "proxy_clients"),
        end_to_end("known-bad", &waiting("known_bad", &[])),
        end_to_end("truenas-clients", "truenas_clients"),
        end_to_end("demo", "demo"),
        end_to_end("lab", &waiting("lab", &LAB)),
        bench_smoke().alone(),
    ]
}

/// The files with end-to-end tests that have steps of their own, since they start gateways or third-party clients.
const END_TO_END: [&str; 8] = [
    "third_party",
    "slow_links",
    "failover",
    "proxy_clients",
    "truenas_clients",
    "known_bad",
    "demo",
    "lab",
];

/// The further files of the step `lab`.
const LAB: [&str; 5] = [
    "lab_clients",
    "lab_links",
    "lab_scenarios",
    "lab_services",
    "documents",
];

/// All tests without a step of their own.
fn unit() -> String {
    let others = END_TO_END.iter().chain(&LAB);
    let others: Vec<String> = others
        .map(|test| format!("binary_id(steadfast-e2e::{test})"))
        .collect();
    format!("cargo nextest run --workspace -E not({})", others.join("|"))
}

/// Files with tests that mostly wait, for scheduled faults and for programs: more of them run at a time than the machine
/// has cores.
fn waiting(first: &str, further: &[&str]) -> String {
    let tests = [&[first], further].concat();
    format!("{} --test-threads 4", tests.join(" --test "))
}

/// The end-to-end tests of one file, or with further arguments of several. The whole workspace is selected, since its
/// dependencies have other features when one package is selected, and would be compiled again. The programs are built
/// once, and not by each test.
fn end_to_end(name: &str, test: &str) -> Step {
    let run = format!("cargo nextest run --workspace --test {test}");
    built(name, &run).with("E2E_PROGRAMS_BUILT", "1")
}

/// Builds the programs that later steps start.
fn build() -> Step {
    step("build", PROGRAMS)
}

/// A program that `build` builds, as a word of a shell command.
fn program(name: &str) -> String {
    format!("\"{}/debug/{name}\"", target())
}

/// The target folder: `target`, unless cargo is configured otherwise.
fn target() -> &'static str {
    static TARGET: OnceLock<String> = OnceLock::new();
    TARGET.get_or_init(|| {
        // If cargo does not report it, cargo itself fails in the next step and says why.
        let folder = target_folder().unwrap_or_else(|_| "target".into());
        folder.to_string_lossy().into_owned()
    })
}

/// The workspace of the benchmark and of the third-party Rust client, and its target folder, in which `steadfast-e2e`
/// builds too.
fn bench_workspace() -> String {
    let target = target();
    format!("--locked --manifest-path tests/bench/Cargo.toml --target-dir {target}/third-party")
}

/// A step that starts a program of the workspace, which is built first if it is not up to date.
fn built(name: &str, line: &str) -> Step {
    let script = format!("{PROGRAMS} && exec {line}");
    step(name, "sh -c").and(vec![script])
}

/// The demo in a real browser: its tests, or the pictures of the documents.
fn browser(script: &str) -> Step {
    let name = if script == "test" { "browser" } else { script };
    step(
        name,
        &format!("npm --prefix tests/browser run --silent {script}"),
    )
}

/// Packages the client library and what it depends on, without compiling the packages.
fn package() -> Step {
    let crates = PUBLISHED.map(|name| ["--package", name].map(str::to_owned));
    let command = "cargo package --quiet --offline --locked --allow-dirty --no-verify";
    step("package", command).and(crates.concat())
}

/// Checks the client library for other systems, without TLS, which needs a C compiler for each of them.
fn portable() -> Vec<Step> {
    let targets = [
        ("windows", "x86_64-pc-windows-gnu"),
        ("macos", "aarch64-apple-darwin"),
    ];
    let check = |(name, target): (&str, &str)| {
        let flags = format!(
            "--package steadfast --no-default-features --features centrifuge,websocket --target {target}"
        );
        step(name, &format!("cargo check {flags}")).with("RUSTFLAGS", "-D warnings")
    };
    let install = targets.map(|(_, target)| target).join(" ");
    let mut steps = vec![step("targets", &format!("rustup target add {install}"))];
    steps.extend(targets.map(check));
    steps
}

/// Regenerates the pictures of the documents from the current page.
fn pictures() -> Vec<Step> {
    vec![web_build(), build(), browser("pictures")]
}

/// Builds the page, which the program embeds when it is built.
fn web_build() -> Step {
    Step {
        name: "web-build".to_owned(),
        ..own("page")
    }
}

/// Runs the suite's cases for servers against the gateway; the step `codec` runs both roles without a gateway.
fn websocket(sections: &str) -> Step {
    let suite = "python3 tests/conformance/kosoku.py --role server --path /test/echo --sections";
    let gateway = format!(
        "{} serve --memory --config tests/conformance/gateway.toml",
        program("steadfast")
    );
    built(
        "websocket",
        &format!("{suite} {sections} --server-cmd '{gateway} --port {{port}}'"),
    )
}

fn conformance() -> Vec<Step> {
    let codec = "python3 tests/conformance/kosoku.py --sections 1-7,9-10";
    vec![
        build(),
        built("codec", codec),
        websocket("1-7,9-10"),
        built("walk", &format!("{} walk", program("steadfast-e2e"))),
        built(
            "slow-links",
            &format!("{} slow-links --long", program("steadfast-e2e")),
        ),
    ]
}

/// The shipped scenarios on real processes.
fn lab() -> Vec<Step> {
    let run = "cargo run --quiet --release --bin steadfast -- lab run";
    vec![
        step(
            "gateway-kill",
            &format!("{run} scenarios/gateway-kill.toml --out target/lab"),
        ),
        step(
            "extended",
            &format!("{run} scenarios/gateway-kill.toml --profile extended --out target/lab"),
        ),
        step(
            "gateway-freeze",
            &format!("{run} scenarios/gateway-freeze.toml --out target/lab"),
        ),
        step(
            "truenas-calls",
            &format!("{run} scenarios/truenas-calls.toml --out target/lab"),
        ),
        step(
            "truenas-idle",
            &format!("{run} scenarios/truenas-idle.toml --out target/lab"),
        ),
    ]
}

/// Long series of kill cycles: of the log alone, and of the gateway under the load of third-party clients.
fn soak() -> Vec<Step> {
    vec![
        step(
            "log-kills",
            "cargo run --quiet --package steadfast-gateway --example log-trial -- kill --cycles 1000 --seed 1",
        ),
        step(
            "kills",
            "cargo run --quiet --package steadfast-e2e -- kills --long",
        ),
    ]
}

/// Each fuzz target in turn; inputs that are not in the committed corpus are kept in the target folder.
fn fuzz() -> Vec<Step> {
    project_texts(FUZZ_TARGETS, ".rs")
        .iter()
        .filter_map(|path| path.strip_prefix(FUZZ_TARGETS)?.strip_suffix(".rs"))
        .map(|target| {
            let found = format!("target/fuzz/{target}");
            let run = format!(
                "cargo fuzz run {target} {found} fuzz/corpus/{target} -- -max_total_time={FUZZ_SECONDS}"
            );
            // The fuzzer's instrumentation requires unstable flags, which this variable enables in the stable compiler.
            let fuzz = step(target, &run).with("RUSTC_BOOTSTRAP", "1");
            Step { folder: Some(found), ..fuzz }
        })
        .collect()
}

/// Builds the benchmark and the third-party Rust client: one workspace that is not the product's.
fn bench_build() -> Step {
    step(
        "bench-build",
        &format!("cargo build --quiet {} --bins", bench_workspace()),
    )
}

/// Measures a release build, since the results are compared with those of other servers.
fn bench() -> Step {
    step(
        "bench",
        &format!(
            "cargo run --quiet --release {} --bin bench",
            bench_workspace()
        ),
    )
}

/// Measures the build of the tests: the smoke run compares it with a bare server and other clients of the same profile.
fn bench_smoke() -> Step {
    let bench = bench_workspace();
    let gateway = program("steadfast");
    built(
        "bench",
        &format!("cargo run --quiet {bench} --bin bench -- --smoke --gateway {gateway}"),
    )
}

/// Measures durable records and the opening of the log, in comparison with embedded stores.
fn log_bench() -> Step {
    step(
        "log",
        &format!(
            "cargo run --quiet --release {} --package log-bench",
            bench_workspace()
        ),
    )
}

fn fixes() -> Vec<Step> {
    vec![
        format(""),
        step("toml", "taplo fmt"),
        step("spelling", "typos --write-changes"),
        step("web", "npm --prefix web run fix"),
        step("browser-lint", "npm --prefix tests/browser run fix"),
    ]
}

/// Formats every Rust file of every workspace in one command.
fn format(flags: &str) -> Step {
    step("format", &format!("rustfmt --edition 2024 {flags}")).and(project_texts("", ".rs"))
}

/// Checks files and anchors only: an unreachable web page must not fail a build.
fn links() -> Step {
    step(
        "links",
        "lychee --offline --include-fragments --no-progress",
    )
    .and(project_texts("", ".md"))
}

/// The project's text files in a folder, by the end of their names. Empty when git cannot list the files; the step
/// `tidy` reports this error.
fn project_texts(folder: &str, end: &str) -> Vec<String> {
    let Ok(tree) = Tree::of_project() else {
        return Vec::new();
    };
    tree.texts_ending(end)
        .map(|(path, _)| path.to_owned())
        .filter(|path| path.starts_with(folder))
        .collect()
}

/// A task of this program as a step. It is started directly: cargo would wait for the build of another step.
fn own(name: &str) -> Step {
    let program = env::current_exe().unwrap_or_else(|_| "xtask".into());
    Step {
        program: program.to_string_lossy().into_owned(),
        ..step(name, &format!("xtask {name}"))
    }
}

/// A step from a command line whose words contain no spaces.
fn step(name: &str, line: &str) -> Step {
    let mut words = line.split_whitespace().map(str::to_owned);
    Step {
        name: name.to_owned(),
        program: words.next().unwrap_or_default(),
        arguments: words.collect(),
        variables: Vec::new(),
        folder: None,
        limit: BUILD_LIMIT,
        lane: Lane::Workspace,
        after: Vec::new(),
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
    /// Runs the step next to those that compile the workspace.
    fn aside(self) -> Self {
        Self {
            lane: Lane::Side,
            ..self
        }
    }

    /// Runs the step while no other step runs.
    fn alone(self) -> Self {
        Self {
            lane: Lane::Alone,
            ..self
        }
    }

    fn after(self, names: &[&'static str]) -> Self {
        Self {
            after: names.to_vec(),
            ..self
        }
    }

    fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    fn and(mut self, arguments: Vec<String>) -> Self {
        self.arguments.extend(arguments);
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_step_of_a_list_has_a_name_of_its_own() {
        let tasks = [
            "check",
            "test",
            "links",
            "fix",
            "conformance",
            "bench",
            "fuzz",
            "sim",
            "soak",
            "lab",
            "pictures",
            "portable",
        ];
        for task in tasks {
            let steps = list(task).unwrap();
            let names: BTreeSet<&str> = steps.iter().map(|step| step.name.as_str()).collect();

            assert!(!steps.is_empty(), "{task}");
            assert_eq!(names.len(), steps.len(), "{task}");
        }
    }

    /// The alias `cargo xtask` uses the lock file of the product itself.
    #[test]
    fn a_workspace_of_its_own_is_built_from_its_lock_file() {
        let steps = ["test", "bench"].into_iter().filter_map(list).flatten();
        let mut seen = 0;
        for step in steps {
            let command = step.arguments.join(" ");
            if command.contains("--manifest-path") {
                seen += 1;
                assert!(command.contains("--locked"), "{step:?}");
            }
        }
        assert!(seen > 0);
    }

    #[test]
    fn a_step_requires_only_earlier_steps_of_its_list() {
        let steps = list("test").unwrap();
        for (index, step) in steps.iter().enumerate() {
            let earlier = steps.iter().take(index);
            let earlier: BTreeSet<&str> = earlier.map(|step| step.name.as_str()).collect();

            assert!(
                step.after.iter().all(|name| earlier.contains(name)),
                "{step:?}"
            );
        }
    }

    #[test]
    fn an_unknown_task_has_no_list() {
        assert!(list("no-such-task").is_none());
    }
}
