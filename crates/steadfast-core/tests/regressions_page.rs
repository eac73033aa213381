//! The page of known faults of reconnecting clients: each test that it names exists.

use std::fs;
use std::path::Path;

const PAGE: &str = "docs/reference/client-regressions.md";

#[test]
fn each_test_that_the_page_of_known_faults_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join(PAGE)).expect("the page");
    let mut names = 0;
    for row in page.lines().filter(|line| line.contains("](../../")) {
        let name = row.split('`').nth(1).expect("the name of a test");
        let (_, link) = row.split_once("](../../").expect("a link");
        let (file, _) = link.split_once(')').expect("a link");
        let text = fs::read_to_string(root.join(file)).expect("the file of a test");

        assert!(text.contains(&format!("fn {name}(")), "{name} in {file}");
        names += 1;
    }

    assert!(names >= 21, "{names} tests");
}
