//! Embeds the built web page, or a notice if it was not built: a build of the binary alone does not need Node.js.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The output directory of `npm --prefix web run build`.
const BUILT: &str = "../../web/dist";

const NOTICE: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Steadfast</title>\
    <p>The page was not built. <code>make run</code> builds it, and this program with it.";

#[expect(
    clippy::disallowed_methods,
    reason = "cargo passes parameters to a build script in environment variables"
)]
fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={BUILT}");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(BUILT);
    let mut files = Vec::new();
    if root.join("index.html").is_file() {
        collect(&root, "", &mut files)?;
    }
    let mut table = String::from("&[\n");
    for (path, file) in &files {
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "    ({path:?}, include_bytes!({:?}).as_slice()),",
            file.display().to_string()
        );
    }
    if files.is_empty() {
        let _ = writeln!(table, "    (\"/index.html\", {NOTICE:?}.as_bytes()),");
    }
    table.push_str("]\n");
    fs::write(out.join("page.rs"), table)
}

/// Collects every file below a directory with its URL path, in order.
fn collect(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let name = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        if path.is_dir() {
            collect(&path, &name, files)?;
        } else {
            files.push((name, fs::canonicalize(path)?));
        }
    }
    Ok(())
}
