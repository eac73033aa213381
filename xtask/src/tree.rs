//! The project's files as git knows them, read once; every check of `tidy` reads this and not the disk.
//!
//! New files that are not ignored count too, so that a check reports before the commit and not after it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Paths relative to the root, with `/`, and their text; `None` for what is not UTF-8.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, Option<String>>,
}

impl Tree {
    /// Reads the tree of the project that this binary was built in.
    pub(crate) fn of_project() -> Result<Self> {
        let root = root();
        let listed = Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(&root)
            .output()
            .context("failed to run git")?;
        ensure!(
            listed.status.success(),
            "git cannot list the files of {}",
            root.display()
        );
        let names = String::from_utf8(listed.stdout).context("a file name is not UTF-8")?;
        let mut files = BTreeMap::new();
        for name in names.split('\0').filter(|name| !name.is_empty()) {
            let path = root.join(name);
            // A file that was removed and is not yet committed is still listed.
            if path.is_file() {
                let bytes = fs::read(&path).with_context(|| format!("failed to read {name}"))?;
                files.insert(name.to_owned(), String::from_utf8(bytes).ok());
            }
        }
        Ok(Self { files })
    }

    /// A tree of samples, for the tests of the checks.
    #[cfg(test)]
    pub(crate) fn of(samples: &[(&str, &str)]) -> Self {
        let files = samples
            .iter()
            .map(|(path, text)| ((*path).to_owned(), Some((*text).to_owned())))
            .collect();
        Self { files }
    }

    /// Every path, in order.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Every text file, in order.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// Every text file with this ending, in order.
    pub(crate) fn texts_ending<'tree>(
        &'tree self,
        end: &'tree str,
    ) -> impl Iterator<Item = (&'tree str, &'tree str)> {
        self.texts().filter(move |(path, _)| path.ends_with(end))
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }
}

/// The folder that holds the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
