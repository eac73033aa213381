//! The public API of the client library, one item per line, in lists that are committed: a review shows each change.
//!
//! rustdoc writes the API as JSON, from which `public-api` lists the items with the traits that they implement, auto
//! traits included. It is a library of this program and not an installed tool, because it is small and the format of the
//! JSON is that of one compiler: the version in `Cargo.toml` is the one for the project's Rust version.
//! Only the crates of the list are documented, with the artefacts of `cargo check`: 3 s if these are up to date.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::{Metadata, MetadataCommand};

use crate::tools::{command, output, say};
use crate::tree::root;

/// The crates whose public API applications use.
const CRATES: [&str; 2] = ["steadfast", "steadfast-core"];

/// What rustdoc is called with; warnings are those of the step `docs`.
const RUSTDOC_FLAGS: &str = "-Z unstable-options --output-format json --cap-lints allow";

/// Traits that the compiler implements and no program on a stable compiler can name.
const UNSTABLE_TRAITS: [&str; 3] = [
    "core::marker::Freeze for ",
    "core::marker::StructuralPartialEq for ",
    "core::marker::UnsafeUnpin for ",
];

/// What the task does with the current API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Compare,
    Accept,
}

impl Mode {
    fn parse(arguments: &[String]) -> Result<Self> {
        match arguments {
            [] => Ok(Self::Compare),
            [only] if only == "--accept" => Ok(Self::Accept),
            _ => bail!("invalid arguments of `api`; the only option is --accept"),
        }
    }
}

/// Compares the public API with the lists, or rewrites the lists with `--accept`.
///
/// # Errors
///
/// When the API is not that of the lists, or cannot be read.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mode = Mode::parse(arguments)?;
    let metadata = MetadataCommand::new()
        .current_dir(root())
        .no_deps()
        .exec()
        .context("cargo cannot read the workspace")?;
    if let Some(other) = other_compiler(&metadata)? {
        ensure!(mode == Mode::Compare, "the lists need {other}");
        say(&format!(
            "api: not compared, because the lists need {other}"
        ));
        return Ok(());
    }
    document()?;
    let folder = metadata.target_directory.join("doc").into_std_path_buf();
    let mut changed = 0;
    for name in CRATES {
        let current = items(&folder, name)?;
        let path = list(name);
        if mode == Mode::Accept {
            fs::write(&path, current)
                .with_context(|| format!("failed to write {}", path.display()))?;
            continue;
        }
        let accepted = fs::read_to_string(&path)
            .with_context(|| format!("failed to read {}: run `make api`", path.display()))?;
        let changes = changes(&accepted, &current);
        if !changes.is_empty() {
            say(&format!(
                "the public API of {name}:\n{}",
                changes.join("\n")
            ));
        }
        changed += changes.len();
    }
    ensure!(
        changed == 0,
        "{changed} lines differ from crates/*/api.txt: if this is intended, run `make api`, and commit the lists with the \
         change"
    );
    Ok(())
}

/// The Rust version that the lists need and the version of the compiler, if these differ: both the format of the JSON
/// and the paths of the standard library's items depend on it.
fn other_compiler(metadata: &Metadata) -> Result<Option<String>> {
    let package = metadata
        .packages
        .iter()
        .find(|it| CRATES.contains(&it.name.as_str()));
    let needed = package.and_then(|it| it.rust_version.as_ref());
    let needed = needed.context("the crates have no rust-version")?;
    let said = output("rustc", &["--version"])?;
    let expected = format!("rustc {}.{}.", needed.major, needed.minor);
    let is_expected = said.starts_with(&expected);
    Ok((!is_expected).then(|| {
        format!(
            "Rust {}.{}, and this is {}",
            needed.major,
            needed.minor,
            said.trim()
        )
    }))
}

/// Writes the API of all crates with all features as JSON.
fn document() -> Result<()> {
    let packages = CRATES.iter().flat_map(|name| ["--package", name]);
    let status = command("cargo")
        .args(["doc", "--quiet", "--locked", "--no-deps", "--lib"])
        .arg("--all-features")
        .args(packages)
        .env("RUSTDOC", root().join("xtask/unstable-rustdoc"))
        .env("RUSTDOCFLAGS", RUSTDOC_FLAGS)
        .status()
        .context("failed to start cargo")?;
    ensure!(status.success(), "`cargo doc` failed: {status}");
    Ok(())
}

/// The public items of a crate, one per line.
fn items(folder: &Path, name: &str) -> Result<String> {
    let json = folder.join(format!("{}.json", name.replace('-', "_")));
    let api = public_api::Builder::from_rustdoc_json(&json)
        // They say nothing about a crate: every type has those of the standard library.
        .omit_blanket_impls(true)
        .build()
        .with_context(|| format!("failed to read {}", json.display()))?;
    let items = api.items().map(ToString::to_string);
    Ok(stable(items))
}

/// The lines of a list: the items that a program on a stable compiler can use.
fn stable(items: impl Iterator<Item = String>) -> String {
    let is_unstable = |item: &str| UNSTABLE_TRAITS.iter().any(|name| item.contains(name));
    let mut text = String::new();
    for item in items.filter(|it| !is_unstable(it)) {
        text += &item;
        text.push('\n');
    }
    text
}

/// The list of a crate.
fn list(name: &str) -> PathBuf {
    root().join("crates").join(name).join("api.txt")
}

/// The items that were removed and added; an item that was changed is both, one after the other as far as possible.
fn changes(accepted: &str, current: &str) -> Vec<String> {
    let [accepted, current] = [accepted, current].map(|it| it.lines().collect::<BTreeSet<_>>());
    accepted
        .symmetric_difference(&current)
        .map(|line| {
            let sign = if current.contains(line) { '+' } else { '-' };
            format!("{sign} {line}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPTED: &str = "\
pub struct a::Client
impl core::marker::Send for a::Client
pub fn a::Client::now(&self) -> u64
";

    #[test]
    fn an_item_that_is_added_removed_or_changed_is_found() {
        let current = "\
pub struct a::Client
pub fn a::Client::new() -> Self
pub fn a::Client::now(&self) -> u32
";

        assert_eq!(changes(ACCEPTED, ACCEPTED), [""; 0]);
        assert_eq!(
            changes(ACCEPTED, current),
            [
                "- impl core::marker::Send for a::Client",
                "+ pub fn a::Client::new() -> Self",
                "+ pub fn a::Client::now(&self) -> u32",
                "- pub fn a::Client::now(&self) -> u64",
            ]
        );
    }

    #[test]
    fn traits_that_no_program_can_name_are_not_listed() {
        let items = [
            "impl core::marker::Freeze for a::Client",
            "impl<'a> !core::marker::UnsafeUnpin for a::Message<'a>",
            "impl !core::marker::Unpin for a::Client",
        ];

        let text = stable(items.map(str::to_owned).into_iter());

        assert_eq!(text, "impl !core::marker::Unpin for a::Client\n");
    }

    #[test]
    fn an_unknown_option_is_rejected() {
        assert_eq!(Mode::parse(&[]).unwrap(), Mode::Compare);
        assert_eq!(Mode::parse(&["--accept".to_owned()]).unwrap(), Mode::Accept);
        assert!(Mode::parse(&["--only".to_owned()]).is_err());
    }

    #[test]
    fn each_crate_has_a_list_of_its_own_items() {
        for name in CRATES {
            let text = fs::read_to_string(list(name)).unwrap();
            let item = format!("pub mod {}\n", name.replace('-', "_"));

            assert!(text.starts_with(&item), "{name}");
        }
    }
}
