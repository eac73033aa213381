//! `conn.reset`: the kernel destroys the sockets of an instance whose peers are the clients of a link, and sends a reset.

use std::collections::BTreeSet;

use steadfast_faults::counted::counted_len;

use super::Worker;
use crate::network::LinkPlace;

impl Worker {
    /// Resets all open connections of these links.
    pub(super) fn reset(&self, links: &[LinkPlace]) -> Result<String, String> {
        let mut reset = 0;
        for link in links {
            let before = self.connections(link, &[])?;
            if before.is_empty() {
                return Err(format!("no connection is open over {}", link.name));
            }
            self.connections(link, &["-K"])?;
            // Clients may have connected again in the meantime, with other ports.
            let after = self.connections(link, &[])?;
            let remaining = before.intersection(&after).count();
            if remaining > 0 {
                return Err(format!(
                    "{} of {} were not reset",
                    counted_len(remaining, "connection", "connections"),
                    link.name
                ));
            }
            reset += before.len();
        }
        let connections = counted_len(reset, "connection", "connections");
        Ok(format!("reset {connections}"))
    }

    /// The open connections of a link as addresses and ports, as its instance sees them.
    fn connections(&self, link: &LinkPlace, options: &[&str]) -> Result<BTreeSet<String>, String> {
        let client = link.client().to_string();
        let mut words = vec!["ss", "-H", "-t", "-n"];
        words.extend(options);
        words.extend(["state", "established", "dst", &client]);
        let listing = self.namespaces.in_instance(link.instance, &words, "")?;
        Ok(listing.lines().map(ends).collect())
    }
}

/// The last two columns: the local and the remote end.
fn ends(line: &str) -> String {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let (_, ends) = columns.split_at(columns.len().saturating_sub(2));
    ends.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_identified_by_its_ends_and_not_by_its_queues() {
        assert_eq!(
            ends("0      12      198.19.0.2:8000 198.18.0.2:48536"),
            "198.19.0.2:8000 198.18.0.2:48536"
        );
        assert_eq!(ends(""), "");
    }
}
