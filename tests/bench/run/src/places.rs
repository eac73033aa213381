//! Where things are, and that what is measured is built: release binaries of the gateway, of the bare server and
//! of the client processes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Every path that the bench uses.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    root: PathBuf,
    /// Results, logs of the servers, data of the durable store.
    pub(crate) output: PathBuf,
    /// The bare server.
    pub(crate) bare: PathBuf,
    /// The client processes, if clients are measured.
    clients: Option<PathBuf>,
    /// The gateway.
    pub(crate) gateway: PathBuf,
}

impl Places {
    /// Finds everything and builds what is not up to date; `gateway` names a binary that is taken as it is.
    pub(crate) fn prepare(gateway: Option<PathBuf>, with_clients: bool) -> Result<Self> {
        let (root, output) = (root()?, output()?);
        let bench = root.join("tests/bench");
        let bare = build(&bench, &["--bin", "bare"])?;
        let clients = with_clients
            .then(|| build(&bench, &["--package", "clients", "--bin", "clients"]))
            .transpose()?;
        let gateway = match gateway {
            Some(path) => path,
            None => build(&root, &["--bin", "steadfast"])?,
        };
        Ok(Self {
            root,
            output,
            bare,
            clients,
            gateway,
        })
    }

    /// The client processes.
    pub(crate) fn clients(&self) -> Result<&Path> {
        self.clients.as_deref().context("no clients were built")
    }

    /// A file of one of the peers.
    pub(crate) fn peer(&self, file: &str) -> PathBuf {
        self.root.join("tests/bench/peers").join(file)
    }
}

/// The project's root.
pub(crate) fn root() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(3)
        .map(Path::to_path_buf)
        .context("the bench lies outside the project")
}

/// The folder of results, made if it is not there.
pub(crate) fn output() -> Result<PathBuf> {
    let output = root()?.join("target/bench");
    std::fs::create_dir_all(&output)?;
    Ok(output)
}

/// One line of what cargo says about a build.
#[derive(Deserialize)]
struct Built {
    executable: Option<PathBuf>,
}

/// Builds the release binary that `which` names last, of the workspace at `folder`, and gives its path.
fn build(folder: &Path, which: &[&str]) -> Result<PathBuf> {
    let binary = which.last().copied().unwrap_or_default();
    let output = Command::new("cargo")
        .args(["build", "--release", "--quiet", "--message-format", "json"])
        .args(which)
        .arg("--manifest-path")
        .arg(folder.join("Cargo.toml"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cargo does not start")?;
    if !output.status.success() {
        bail!("{binary} could not be built");
    }
    String::from_utf8(output.stdout)?
        .lines()
        .filter_map(|line| serde_json::from_str::<Built>(line).ok()?.executable)
        .find(|path| path.file_stem().is_some_and(|stem| stem == binary))
        .with_context(|| format!("cargo built no {binary}"))
}
