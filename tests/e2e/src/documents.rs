//! Runs every command and sample of the documents, in the order in which a reader meets them.
//!
//! The process is in network and mount namespaces of its own: the ports and folders that the documents name are free, and
//! nothing remains. What cannot run there as written is listed at [`substitute`]; everything else is executed by a shell.

mod blocks;
mod expected;
mod reader;
mod substitute;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use self::expected::{DOCUMENTS, Document, EMULATED, OWN_SERVICE};
use self::reader::Reader;
use crate::{binaries, namespaces};

/// The parent of the clone, and the folders that the documents name: empty file systems of this run.
const PARENT: &str = "/mnt";
const FOLDERS: [&str; 3] = [PARENT, "/var/lib", "/var/backups"];

/// What a fresh clone contains as far as the documents use it.
const OF_THE_CLONE: [&str; 7] = [
    ".venv",
    "Cargo.lock",
    "Cargo.toml",
    "Makefile",
    "crates",
    "scenarios",
    "tests",
];

/// Runs all documents but those of [`run_own_service`] and [`run_emulated`]; this process must be in namespaces of its own.
///
/// # Errors
///
/// When a command fails or does not print what it should, or a sample has no way to be run.
pub fn run(program: &Path) -> Result<()> {
    follow(program, &DOCUMENTS)
}

/// Runs the page with a service and a client of its own; this process must be in namespaces of its own.
///
/// # Errors
///
/// When a command fails or does not print what it should.
pub fn run_own_service(program: &Path) -> Result<()> {
    follow(program, &OWN_SERVICE)
}

/// Runs the pages about servers that the project emulates; this process must be in namespaces of its own.
///
/// # Errors
///
/// When a command fails or does not print what it should.
pub fn run_emulated(program: &Path) -> Result<()> {
    follow(program, &EMULATED)
}

fn follow(program: &Path, documents: &[Document]) -> Result<()> {
    namespaces::prepare(&FOLDERS)?;
    let clone = clone(program)?;
    for document in documents.iter().copied() {
        let text = fs::read_to_string(binaries::root().join(document.path))?;
        let items = blocks::items(&text);
        ensure!(!items.is_empty(), "{} has no samples", document.path);
        let mut reader = Reader::new(&clone, document)?;
        for item in &items {
            reader
                .follow(item)
                .with_context(|| format!("{}:{}", document.path, item.line))?;
        }
        reader.finish().with_context(|| document.path.to_owned())?;
    }
    Ok(())
}

/// A folder like a clone in which the release build has ended.
fn clone(program: &Path) -> Result<std::path::PathBuf> {
    let clone = Path::new(PARENT).join("steadfast");
    let release = clone.join("target/release");
    fs::create_dir_all(&release)?;
    symlink(program, release.join("steadfast"))?;
    // What is compiled for the third-party clients is not compiled again.
    symlink(
        binaries::target()?.join("third-party"),
        clone.join("target/third-party"),
    )?;
    for name in OF_THE_CLONE {
        symlink(binaries::root().join(name), clone.join(name))?;
    }
    Ok(clone)
}

/// The example in the crate of the client library, as the README shows it.
///
/// # Errors
///
/// When the README or the example cannot be read, or the README shows another program.
pub fn check_example() -> Result<()> {
    let readme = fs::read_to_string(binaries::root().join("README.md"))?;
    let example = binaries::root().join("crates/steadfast/examples/hello.rs");
    let example = fs::read_to_string(example)?;
    let shown = blocks::items(&readme)
        .into_iter()
        .find(|item| item.language == "rust")
        .context("README.md shows no program in Rust")?;
    let program = |text: &str| {
        let code = text.lines().skip_while(|line| !line.starts_with("use "));
        code.map(str::to_owned).collect::<Vec<_>>()
    };
    ensure!(
        program(&shown.text) == program(&example),
        "README.md and crates/steadfast/examples/hello.rs differ"
    );
    Ok(())
}
