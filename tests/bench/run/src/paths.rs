//! The paths of the benchmark, and the builds of the measured programs: the gateway, the bare server and the client
//! processes. They have the profile of this program: a release build measures release builds.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::page::Part;

/// All paths that the benchmark uses.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    root: PathBuf,
    /// The directory of results, logs of the servers and data of the durable store.
    pub(crate) output: PathBuf,
    /// The binary of the bare server.
    pub(crate) bare: PathBuf,
    /// The binary of the client processes, if clients are measured.
    clients: Option<PathBuf>,
    /// The binary of the proxy rows, if they are measured.
    proxy: Option<PathBuf>,
    /// The binary of the rows of JSON-RPC, if they are measured.
    rpc: Option<PathBuf>,
    /// The binary of the gateway, which is also that of the bridge.
    pub(crate) gateway: PathBuf,
    /// The binary of the base gateway, if one is measured.
    pub(crate) base: Option<PathBuf>,
    /// The binaries of the servers that only the full benchmark installs.
    pub(crate) nats: PathBuf,
    pub(crate) s2: PathBuf,
}

impl Paths {
    /// Builds the binaries that the measured parts need and that are not up to date. If `gateway` is given, that binary is used without a build.
    pub(crate) fn prepare(
        gateway: Option<PathBuf>,
        base: Option<PathBuf>,
        has: impl Fn(Part) -> bool,
    ) -> Result<Self> {
        let (root, output) = (root()?, output()?);
        let profile = Profile::of_this_program()?;
        let bench = root.join("tests/bench");
        let bare = profile.build(&bench, "bare", Some(&profile.target))?;
        let proxy = has(Part::Proxy)
            .then(|| profile.build(&bench, "proxy-bench", Some(&profile.target)))
            .transpose()?;
        let rpc = has(Part::Rpc)
            .then(|| profile.build(&bench, "rpc-bench", Some(&profile.target)))
            .transpose()?;
        let clients = has(Part::Client)
            .then(|| profile.build(&bench, "clients", Some(&profile.target)))
            .transpose()?;
        let gateway = match gateway {
            Some(path) => path,
            None => profile.build(&root, "steadfast", None)?,
        };
        Ok(Self {
            nats: root.join(".venv/bin/nats-server"),
            // The package calls its program by this name.
            s2: root.join("target/s2-lite/bin/server"),
            root,
            output,
            bare,
            clients,
            proxy,
            rpc,
            gateway,
            base,
        })
    }

    /// Returns the binary of the client processes.
    pub(crate) fn clients(&self) -> Result<&Path> {
        self.clients
            .as_deref()
            .context("the client processes were not built")
    }

    /// Returns the binary of the proxy rows.
    pub(crate) fn proxy(&self) -> Result<&Path> {
        self.proxy
            .as_deref()
            .context("the process of the proxy rows was not built")
    }

    /// Returns the binary of the rows of JSON-RPC.
    pub(crate) fn rpc(&self) -> Result<&Path> {
        self.rpc
            .as_deref()
            .context("the process of the rows of JSON-RPC was not built")
    }

    /// Returns the path of a file of a third-party server.
    pub(crate) fn third_party(&self, file: &str) -> PathBuf {
        self.root.join("tests/bench/third-party").join(file)
    }
}

/// Returns the root directory of the project.
pub(crate) fn root() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(3)
        .map(Path::to_path_buf)
        .context("the benchmark is outside the project")
}

/// Returns the directory of results, which is created if it does not exist.
pub(crate) fn output() -> Result<PathBuf> {
    let output = root()?.join("target/bench");
    std::fs::create_dir_all(&output)?;
    Ok(output)
}

/// One JSON line that cargo prints about a build.
#[derive(Deserialize)]
struct Built {
    executable: Option<PathBuf>,
}

/// The profile of this program and its target directory, which is that of all programs of its workspace.
struct Profile {
    target: PathBuf,
    is_release: bool,
}

impl Profile {
    fn of_this_program() -> Result<Self> {
        let program = std::env::current_exe().context("failed to find the path of this program")?;
        let folder = program.parent().context("this program has no directory")?;
        let target = folder.parent().context("the profile has no directory")?;
        Ok(Self {
            target: target.to_owned(),
            is_release: folder.ends_with("release"),
        })
    }

    /// Builds a binary of the workspace at `folder` and returns its path; `target` is the target directory if it is not
    /// cargo's default. No package is selected, so that the dependencies have the same features in each build.
    fn build(&self, folder: &Path, binary: &str, target: Option<&Path>) -> Result<PathBuf> {
        let mut command = Command::new("cargo");
        command
            .args(["build", "--quiet", "--locked", "--message-format", "json"])
            .args(["--bin", binary, "--manifest-path"])
            .arg(folder.join("Cargo.toml"));
        if self.is_release {
            command.arg("--release");
        }
        if let Some(target) = target {
            command.arg("--target-dir").arg(target);
        }
        let output = command
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("failed to start cargo")?;
        if !output.status.success() {
            bail!("failed to build {binary}");
        }
        String::from_utf8(output.stdout)?
            .lines()
            .filter_map(|line| serde_json::from_str::<Built>(line).ok()?.executable)
            .find(|path| path.file_stem().is_some_and(|stem| stem == binary))
            .with_context(|| format!("binary {binary} not found in the output of cargo"))
    }
}
