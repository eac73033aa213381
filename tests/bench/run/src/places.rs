//! Where things are: the project, the results, the servers' binaries and peers.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Every path that the bench uses.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The project's root.
    pub(crate) root: PathBuf,
    /// Results, logs of the servers, data of the durable store.
    pub(crate) output: PathBuf,
    /// The bare server, built beside this binary.
    pub(crate) bare: PathBuf,
    /// The gateway.
    pub(crate) gateway: PathBuf,
}

impl Places {
    /// Finds everything; `gateway` replaces the release build of the project.
    pub(crate) fn find(gateway: Option<PathBuf>) -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(3)
            .context("the bench lies outside the project")?
            .to_path_buf();
        let bare = std::env::current_exe()?.with_file_name("bare");
        let gateway = gateway.unwrap_or_else(|| root.join("target/release/steadfast"));
        let output = root.join("target/bench");
        std::fs::create_dir_all(&output)?;
        Ok(Self {
            root,
            output,
            bare,
            gateway,
        })
    }

    /// A file of one of the peers.
    pub(crate) fn peer(&self, file: &str) -> PathBuf {
        self.root.join("tests/bench/peers").join(file)
    }
}
