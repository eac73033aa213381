//! The committed reference page of the codes matches the table.

#[path = "../examples/codes-page/page.rs"]
mod page;

#[test]
fn the_committed_page_matches_the_table() {
    let committed = include_str!("../../../docs/reference/codes.md");

    let rendered = page::render();

    assert!(
        committed == rendered,
        "docs/reference/codes.md is stale: run `cargo run -p steadfast-protocol --example codes-page`"
    );
}
