//! The packet filter rules of a block: what is dropped or rejected, and how it is counted.
//!
//! A rule is at the input of the namespace that receives the packets: a rule at the output would return an error to the
//! sender, which no network does.

use std::fmt::Write as _;

use serde_json::Value;
use steadfast_faults::link::Direction;
use steadfast_faults::scenario::model::{Block, BlockMode, BlockState};
use steadfast_faults::topology::FaultId;

use super::layout::LinkPlace;

/// The name of the table of a fault. Each fault has its own, so that a heal removes all its rules at once.
pub(crate) fn table(fault: FaultId) -> String {
    format!("lab_fault_{}", fault.0)
}

/// The name of the counter of one direction of a link.
pub(crate) fn counter(link: &LinkPlace, direction: Direction) -> String {
    let direction = match direction {
        Direction::ToServer => "out",
        Direction::ToClient => "in",
    };
    format!("link{}_{direction}", link.number)
}

/// The name of the table of [`tracking`].
const TRACKING_TABLE: &str = "lab_tracking";

/// A table that lets the kernel track connections from now on, as input of `nft -f -`. The first packet that it sees of a
/// connection is new to it, also in the middle of the connection; if a rule dropped that packet, so would it all further
/// ones.
pub(crate) fn tracking() -> String {
    format!(
        "table ip {TRACKING_TABLE} {{\n  chain input {{\n    \
         type filter hook input priority 0; policy accept;\n    ct state established accept\n  }}\n}}\n"
    )
}

/// The table with the rules for one direction of these links, as input of `nft -f -`.
pub(crate) fn ruleset(
    fault: FaultId,
    block: &Block,
    links: &[&LinkPlace],
    direction: Direction,
) -> String {
    let mut text = format!("table ip {} {{\n", table(fault));
    for link in links {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  counter {} {{ }}", counter(link, direction));
    }
    text.push_str("  chain input {\n    type filter hook input priority 0; policy accept;\n");
    for link in links {
        let _ = writeln!(text, "    {}", rule(block, link, direction));
    }
    text.push_str("  }\n}\n");
    text
}

fn rule(block: &Block, link: &LinkPlace, direction: Direction) -> String {
    let (from, port) = match direction {
        Direction::ToServer => (link.client(), "dport"),
        Direction::ToClient => (link.service(), "sport"),
    };
    let mut words = vec![format!("ip saddr {from}")];
    if !block.ports.is_empty() {
        let ports: Vec<String> = block.ports.iter().map(u16::to_string).collect();
        words.push(format!("tcp {port} {{ {} }}", ports.join(", ")));
    } else if block.mode == BlockMode::Reject {
        words.push("ip protocol tcp".to_owned());
    }
    match block.state {
        BlockState::All => {}
        BlockState::New => words.push("ct state new".to_owned()),
        BlockState::Established => words.push("ct state established,related".to_owned()),
    }
    words.push(format!("counter name \"{}\"", counter(link, direction)));
    words.push(
        match block.mode {
            BlockMode::Drop => "drop",
            BlockMode::Reject => "reject with tcp reset",
        }
        .to_owned(),
    );
    words.join(" ")
}

/// The number of packets that a counter has counted, from the output of `nft -j list counters`.
pub(crate) fn packets(listing: &str, table: &str, counter: &str) -> Option<u64> {
    let listing: Value = serde_json::from_str(listing).ok()?;
    let entries = listing.get("nftables")?.as_array()?;
    let mut counters = entries.iter().filter_map(|entry| entry.get("counter"));
    let text = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
    let found = counters.find(|entry| {
        text(entry, "table").as_deref() == Some(table)
            && text(entry, "name").as_deref() == Some(counter)
    });
    found?.get("packets")?.as_u64()
}

#[cfg(test)]
mod tests {
    use steadfast_faults::topology::InstanceId;
    use steadfast_faults::toxic::Directions;

    use super::*;

    fn link() -> LinkPlace {
        LinkPlace {
            number: 3,
            load: Some("chat".to_owned()),
            instance: InstanceId(0),
            name: "chat->gateway:1".to_owned(),
        }
    }

    #[test]
    fn a_rule_is_at_the_receiver_and_matches_the_sender() {
        let block = Block {
            mode: BlockMode::Drop,
            directions: Directions::Both,
            state: BlockState::All,
            ports: Vec::new(),
        };

        let text = ruleset(FaultId(7), &block, &[&link()], Direction::ToServer);

        assert_eq!(
            text,
            "table ip lab_fault_7 {\n  counter link3_out { }\n  chain input {\n    \
             type filter hook input priority 0; policy accept;\n    \
             ip saddr 198.18.3.2 counter name \"link3_out\" drop\n  }\n}\n"
        );
    }

    #[test]
    fn ports_states_and_rejection_are_part_of_the_rule() {
        let block = Block {
            mode: BlockMode::Reject,
            directions: Directions::ToClient,
            state: BlockState::Established,
            ports: vec![80, 443],
        };

        assert_eq!(
            rule(&block, &link(), Direction::ToClient),
            "ip saddr 198.19.3.2 tcp sport { 80, 443 } ct state established,related \
             counter name \"link3_in\" reject with tcp reset"
        );
        let all = Block {
            ports: Vec::new(),
            state: BlockState::New,
            ..block
        };
        assert_eq!(
            rule(&all, &link(), Direction::ToServer),
            "ip saddr 198.18.3.2 ip protocol tcp ct state new counter name \"link3_out\" \
             reject with tcp reset"
        );
    }

    #[test]
    fn a_counter_is_found_by_table_and_name_and_a_silent_program_has_none() {
        let listing = r#"{"nftables": [{"metainfo": {}}, {"counter": {"family": "ip", "name": "link3_in",
            "table": "lab_fault_7", "handle": 2, "packets": 14, "bytes": 840}}]}"#;

        assert_eq!(packets(listing, "lab_fault_7", "link3_in"), Some(14));
        assert_eq!(packets(listing, "lab_fault_8", "link3_in"), None);
        assert_eq!(packets("", "lab_fault_7", "link3_in"), None);
    }
}
