//! `net.block`: packet filter rules at the receiver of each direction, confirmed by their counters.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use steadfast_faults::counted::counted;
use steadfast_faults::link::Direction;
use steadfast_faults::scenario::model::{Block, BlockMode};
use steadfast_faults::topology::{FaultId, InstanceId};

use super::Worker;
use super::probe::Probe;
use crate::error::LabError;
use crate::network::{LinkPlace, command, rules};

/// Longest wait for the first packet that a rule counts.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval at which the counters are read.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

const BOTH: [Direction; 2] = [Direction::ToClient, Direction::ToServer];

impl Worker {
    /// Adds the rules and waits until each has counted a packet.
    ///
    /// The direction to the clients is blocked and probed first: afterwards nothing would arrive at the instance to which
    /// it could reply.
    pub(super) fn block(
        &self,
        id: FaultId,
        block: &Block,
        links: &[LinkPlace],
        probes: &[Probe],
    ) -> Result<String, String> {
        let mut packets = 0;
        for direction in BOTH {
            if !block.directions.includes(direction) {
                continue;
            }
            for (instance, links) in by_receiver(links, direction) {
                let ruleset = rules::ruleset(id, block, &links, direction);
                self.nft(instance, &["nft", "-f", "-"], &ruleset)?;
            }
            packets += self.count_probes(id, links, probes, direction)?;
        }
        Ok(describe(block, packets))
    }

    /// Removes the rules, and returns what they counted.
    pub(super) fn unblock(
        &self,
        id: FaultId,
        block: &Block,
        links: &[LinkPlace],
    ) -> Result<String, String> {
        let mut packets = 0;
        let table = rules::table(id);
        for direction in BOTH {
            if !block.directions.includes(direction) {
                continue;
            }
            let counts = links.iter().filter_map(|it| self.count(id, it, direction));
            packets += counts.sum::<u64>();
            for instance in by_receiver(links, direction).into_keys() {
                self.nft(instance, &["nft", "delete", "table", "ip", &table], "")?;
            }
        }
        Ok(describe(block, packets))
    }

    /// The rules of a fault as the kernel lists them, without what they counted, for each receiver.
    pub(super) fn rules(&self, id: FaultId, block: &Block, links: &[LinkPlace]) -> Vec<String> {
        let table = rules::table(id);
        let directions = BOTH.into_iter();
        let directions = directions.filter(|it| block.directions.includes(*it));
        let receivers = directions.flat_map(|it| by_receiver(links, it).into_keys());
        let listings = receivers.map(|receiver| {
            let words = ["nft", "-s", "list", "table", "ip", &table];
            self.nft(receiver, &words, "").unwrap_or_default()
        });
        listings.collect()
    }

    /// Sends probes over all links until the counter of each has grown; returns the sum of the counters.
    fn count_probes(
        &self,
        id: FaultId,
        links: &[LinkPlace],
        probes: &[Probe],
        direction: Direction,
    ) -> Result<u64, String> {
        for probe in probes {
            probe.send();
        }
        let deadline = self.clock.now() + CONFIRM_TIMEOUT;
        let mut sum = 0;
        for (link, probe) in links.iter().zip(probes) {
            loop {
                let count = self.count(id, link, direction).unwrap_or_default();
                if count > 0 {
                    sum += count;
                    break;
                }
                if self.clock.now() >= deadline {
                    let direction = match direction {
                        Direction::ToServer => "out",
                        Direction::ToClient => "in",
                    };
                    return Err(format!(
                        "the rule for {} ({direction}) counted no packet of a probe",
                        link.name
                    ));
                }
                // A rule for new connections counts only these.
                probe.is_lost();
                thread::park_timeout(POLL_INTERVAL);
            }
        }
        Ok(sum)
    }

    /// Lets the kernel track the connections of all links, in the namespaces where packets arrive.
    pub(super) fn track_connections(&self) -> Result<(), LabError> {
        let links = self.namespaces.layout().links();
        let places = links
            .iter()
            .flat_map(|link| BOTH.map(|it| receiver(link, it)));
        for place in places.collect::<BTreeSet<_>>() {
            self.nft(place, &["nft", "-f", "-"], &rules::tracking())
                .map_err(LabError::Network)?;
        }
        Ok(())
    }

    fn count(&self, id: FaultId, link: &LinkPlace, direction: Direction) -> Option<u64> {
        let receiver = receiver(link, direction);
        let table = rules::table(id);
        let words = ["nft", "-j", "list", "counters", "table", "ip", &table];
        let listing = self.nft(receiver, &words, "").ok()?;
        rules::packets(&listing, &table, &rules::counter(link, direction))
    }

    /// Runs `nft` in the namespace of an instance, or in that of the clients.
    fn nft(
        &self,
        instance: Option<InstanceId>,
        words: &[&str],
        input: &str,
    ) -> Result<String, String> {
        match instance {
            Some(instance) => self.namespaces.in_instance(instance, words, input),
            None => command::run(words, input),
        }
    }
}

/// Where the packets of a direction arrive: an instance, or `None` for the clients.
const fn receiver(link: &LinkPlace, direction: Direction) -> Option<InstanceId> {
    match direction {
        Direction::ToServer => Some(link.instance),
        Direction::ToClient => None,
    }
}

fn by_receiver(
    links: &[LinkPlace],
    direction: Direction,
) -> BTreeMap<Option<InstanceId>, Vec<&LinkPlace>> {
    let mut receivers: BTreeMap<_, Vec<&LinkPlace>> = BTreeMap::new();
    for link in links {
        let receiver = receiver(link, direction);
        receivers.entry(receiver).or_default().push(link);
    }
    receivers
}

fn describe(block: &Block, packets: u64) -> String {
    let packets = counted(packets, "packet", "packets");
    match block.mode {
        BlockMode::Drop => format!("dropped {packets}"),
        BlockMode::Reject => format!("rejected {packets}"),
    }
}
