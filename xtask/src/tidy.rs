//! Checks that no linter provides, each a function from the tree to its findings.
//!
//! `cargo xtask tidy` prints the findings, and the test below fails on any finding, so the ordinary test run includes
//! the checks. Each check has a sample that it accepts and one that it rejects.

mod documents;
mod known_bad;
mod manifests;
mod places;
mod portability;
mod prose;
mod requirements;
mod source;
mod words;

use std::fmt;

use anyhow::{Result, bail};

use crate::tools::say;
use crate::tree::Tree;

pub(crate) use self::manifests::PUBLISHED;

/// One place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    /// Counted from 1; 0 means the file as a whole.
    line: usize,
    message: String,
}

impl Finding {
    fn at(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }

    fn whole(path: &str, message: impl Into<String>) -> Self {
        Self::at(path, 0, message)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}", self.path, self.message)
        } else {
            write!(f, "{}:{}: {}", self.path, self.line, self.message)
        }
    }
}

type Check = fn(&Tree) -> Vec<Finding>;

const CHECKS: [Check; 21] = [
    source::headers,
    source::lengths,
    source::names,
    source::allowances,
    source::conversions,
    manifests::layer_lints,
    manifests::reasons,
    manifests::published,
    manifests::lock_files,
    documents::records,
    documents::pages,
    prose::sentences,
    prose::headings,
    places::machines,
    places::assets,
    portability::conditions,
    portability::dependencies,
    known_bad::named,
    requirements::evidence,
    words::replaced,
    words::doc_comments,
];

/// Prints every finding.
///
/// # Errors
///
/// When there is a finding.
pub(crate) fn run() -> Result<()> {
    let findings = findings(&Tree::of_project()?);
    for finding in &findings {
        say(&finding.to_string());
    }
    if findings.is_empty() {
        say(&format!("tidy: {} checks passed", CHECKS.len()));
        return Ok(());
    }
    bail!("tidy: {} findings", findings.len())
}

fn findings(tree: &Tree) -> Vec<Finding> {
    CHECKS.iter().flat_map(|check| check(tree)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projects_tree_is_tidy() {
        let tree = Tree::of_project().unwrap();

        let found: Vec<String> = findings(&tree).iter().map(ToString::to_string).collect();

        assert!(tree.text("Cargo.toml").is_some(), "the tree was read");
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

#[cfg(test)]
mod samples {
    //! The code that the tests of the checks share.

    use super::{Check, Tree};

    /// The findings of one check on samples, as text.
    pub(super) fn findings(check: Check, samples: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(samples))
            .iter()
            .map(ToString::to_string)
            .collect()
    }
}
