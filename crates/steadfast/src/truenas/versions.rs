//! The versions of the API that this client knows.

use crate::connector::VersionRule;

/// The path of the newest version of a server.
pub(super) const CURRENT: &str = "/api/current";

/// The newest first.
const KNOWN: [&str; 9] = [
    "v27.0.0", "v26.0.0", "v25.10.5", "v25.10.2", "v25.10.1", "v25.10.0", "v25.04.2", "v25.04.1",
    "v25.04.0",
];

/// The newest version that client and server know, so that an update of the server changes nothing for the client.
pub(super) const RULE: VersionRule = VersionRule {
    unversioned: CURRENT,
    list: "/api/versions",
    choose,
};

fn choose(list: &[u8]) -> Option<String> {
    let offered: Vec<String> = serde_json::from_slice(list).ok()?;
    let mut known = KNOWN.iter();
    let chosen = known.find(|known| offered.iter().any(|it| it == *known))?;
    Some(format!("/api/{chosen}"))
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn the_newest_version_that_both_know_is_chosen() {
        for (list, expected) in [
            (r#"["v25.04.0","v25.10.0","v26.0.0"]"#, Some("/api/v26.0.0")),
            (r#"["v26.0.0","v28.0.0","v25.10.0"]"#, Some("/api/v26.0.0")),
            (r#"["v28.0.0"]"#, None),
            ("[]", None),
            ("[1]", None),
            (r#"["../x"]"#, None),
        ] {
            assert_eq!(choose(list.as_bytes()).as_deref(), expected, "{list}");
        }
    }
}
