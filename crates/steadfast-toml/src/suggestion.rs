//! The name that an operator probably meant.

/// Returns the help for an unknown name: the nearest known name, or all known names.
pub fn help(name: &str, known: &[&str]) -> String {
    nearest(name, known).map_or_else(
        || {
            if known.is_empty() {
                "none is defined".to_owned()
            } else {
                format!("one of: {}", known.join(", "))
            }
        },
        did_you_mean,
    )
}

/// Returns the help for an unknown name that resembles a known one; `None` when there are too many names to list.
pub fn help_if_similar(name: &str, known: &[&str]) -> Option<String> {
    nearest(name, known).map(did_you_mean)
}

fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// The most similar known name, if it is similar enough.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    /// The minimum Jaro-Winkler similarity, from 0 to 1, for a suggestion.
    const SIMILARITY_MIN: f64 = 0.75;
    let rated = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate));
    rated
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_or_all_are_listed() {
        let known = ["port", "address", "shards"];

        for (name, expected) in [
            ("prot", "did you mean `port`?"),
            ("shard", "did you mean `shards`?"),
            ("q", "one of: port, address, shards"),
        ] {
            assert_eq!(help(name, &known), expected);
        }
        assert_eq!(help("port", &[]), "none is defined");
    }

    #[test]
    fn a_long_list_of_names_is_not_shown() {
        let known = ["port", "address"];

        assert_eq!(
            help_if_similar("prot", &known).as_deref(),
            Some("did you mean `port`?")
        );
        assert_eq!(help_if_similar("q", &known), None);
    }
}
