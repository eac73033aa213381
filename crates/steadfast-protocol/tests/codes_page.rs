//! The committed reference page of the codes is the one that the table renders to.

#[path = "../examples/codes-page/page.rs"]
mod page;

#[test]
fn the_committed_page_is_rendered_from_the_table() {
    let committed = include_str!("../../../docs/reference/codes.md");

    let rendered = page::render();

    assert!(
        committed == rendered,
        "docs/reference/codes.md is stale: run `cargo run -p steadfast-protocol --example codes-page`"
    );
}
