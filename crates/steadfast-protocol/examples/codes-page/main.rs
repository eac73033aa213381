//! Generates the reference page of the codes: `cargo run -p steadfast-protocol --example codes-page`.

use std::{fs, io, path::Path};

mod page;

fn main() -> io::Result<()> {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    fs::create_dir_all(&reference)?;
    fs::write(reference.join("codes.md"), page::render())
}
