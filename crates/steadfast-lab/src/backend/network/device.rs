//! `net.down` and `net.bandwidth`: the router's devices of a link.

use serde_json::Value;
use steadfast_faults::counted::counted;
use steadfast_faults::link::Direction;
use steadfast_faults::scenario::model::LinkFault;
use steadfast_faults::toxic::Directions;
use steadfast_machine::convert;

use super::Worker;
use super::probe::Probe;
use crate::network::LinkPlace;

/// The largest packet, which a limited link must be able to send at once.
const BURST_BYTES_MIN: u64 = 1_600;
/// A limited link sends this part of a second at once, since the kernel's timers are not exact.
const BURST_DIVISOR: u64 = 100;
/// The queue of a slow link, as of a modem: a few of the packets with which a connection begins.
const QUEUE_BYTES_MIN: u64 = 8_000;
/// The queue of a faster link: a quarter of a second.
const QUEUE_DIVISOR: u64 = 4;

impl Worker {
    /// Takes the links down. The instance has no carrier, and the router discards what it would send.
    pub(super) fn take_down(
        &self,
        links: &[LinkPlace],
        probes: &[Probe],
    ) -> Result<String, String> {
        for link in links {
            let device = link.service_device();
            self.namespaces
                .in_router(&["ip", "link", "set", &device, "down"])?;
        }
        for (link, probe) in links.iter().zip(probes) {
            if !probe.is_lost() {
                return Err(format!("a probe passed over {}", link.name));
            }
        }
        let probes = counted(
            convert::to_u64(probes.len()),
            "probe was lost",
            "probes were lost",
        );
        Ok(format!("no carrier, {probes}"))
    }

    pub(super) fn bring_up(&self, links: &[LinkPlace]) -> Result<(), String> {
        for link in links {
            let device = link.service_device();
            self.namespaces
                .in_router(&["ip", "link", "set", &device, "up"])?;
        }
        Ok(())
    }

    /// A link that was taken down and is up.
    pub(super) fn device_up(&self, links: &[LinkPlace]) -> Option<String> {
        let mut devices = links.iter().map(LinkPlace::service_device);
        let device = devices.find(|device| {
            let words = ["ip", "-j", "link", "show", "dev", device];
            self.namespaces
                .in_router(&words)
                .map_or(true, |listing| is_up(&listing))
        })?;
        Some(format!("{device} was set up"))
    }

    /// A link that was limited and has no queue with a limited rate.
    pub(super) fn device_unlimited(
        &self,
        directions: Directions,
        links: &[LinkPlace],
    ) -> Option<String> {
        let mut devices = links.iter().flat_map(|link| devices(link, directions));
        let device = devices.find(|device| self.times_over_limit(device).is_none())?;
        Some(format!("the limit of {device} was removed"))
    }

    fn times_over_limit(&self, device: &str) -> Option<u64> {
        let words = ["tc", "-s", "-j", "qdisc", "show", "dev", device];
        over_limit(&self.namespaces.in_router(&words).ok()?)
    }

    /// Adds a queue with a limited rate for each direction.
    pub(super) fn limit(
        &self,
        bytes_per_second: u64,
        directions: Directions,
        links: &[LinkPlace],
    ) -> Result<(), String> {
        let rate = format!("{bytes_per_second}bps");
        let burst = (bytes_per_second / BURST_DIVISOR).max(BURST_BYTES_MIN);
        let queue = (bytes_per_second / QUEUE_DIVISOR).max(QUEUE_BYTES_MIN);
        let (burst, queue) = (burst.to_string(), queue.to_string());
        for device in links.iter().flat_map(|link| devices(link, directions)) {
            self.namespaces.in_router(&[
                "tc", "qdisc", "add", "dev", &device, "root", "tbf", "rate", &rate, "burst",
                &burst, "limit", &queue,
            ])?;
        }
        Ok(())
    }

    /// Removes the queues, and returns what they delayed.
    pub(super) fn unlimit(
        &self,
        directions: Directions,
        links: &[LinkPlace],
    ) -> Result<Option<String>, String> {
        let delayed = self.delayed(directions, links);
        for device in links.iter().flat_map(|link| devices(link, directions)) {
            self.namespaces
                .in_router(&["tc", "qdisc", "del", "dev", &device, "root"])?;
        }
        Ok(delayed)
    }

    /// What confirms a limit: the queue of each link had to delay packets.
    pub(super) fn limited(&self, action: &LinkFault, links: &[LinkPlace]) -> Option<String> {
        let LinkFault::Bandwidth { directions, .. } = action else {
            return None;
        };
        self.delayed(*directions, links)
    }

    fn delayed(&self, directions: Directions, links: &[LinkPlace]) -> Option<String> {
        let mut sum = 0;
        for link in links {
            let devices = devices(link, directions).into_iter();
            let counts = devices.filter_map(|device| self.times_over_limit(&device));
            let count: u64 = counts.sum();
            if count == 0 {
                return None;
            }
            sum += count;
        }
        Some(format!(
            "the rate was reached {}",
            counted(sum, "time", "times")
        ))
    }
}

/// The router's devices with the queues of these directions.
fn devices(link: &LinkPlace, directions: Directions) -> Vec<String> {
    let mut devices = Vec::new();
    if directions.includes(Direction::ToServer) {
        devices.push(link.service_device());
    }
    if directions.includes(Direction::ToClient) {
        devices.push(link.client_device());
    }
    devices
}

/// Whether a device is up, from the output of `ip -j link show`; what is no such output shows no device that is down.
fn is_up(listing: &str) -> bool {
    let listing: Option<Value> = serde_json::from_str(listing).ok();
    let flags = listing
        .as_ref()
        .and_then(|it| it.get(0)?.get("flags")?.as_array());
    flags.is_none_or(|flags| flags.iter().any(|flag| flag == "UP"))
}

/// How often a queue was over its limit, from the output of `tc -s -j qdisc show`.
fn over_limit(listing: &str) -> Option<u64> {
    let listing: Value = serde_json::from_str(listing).ok()?;
    let mut queues = listing.as_array()?.iter();
    let queue = queues.find(|queue| queue.get("kind").and_then(Value::as_str) == Some("tbf"))?;
    queue.get("overlimits")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_down_only_if_its_flags_say_so() {
        assert!(is_up(
            r#"[{"ifname":"service0","flags":["BROADCAST","UP","LOWER_UP"]}]"#
        ));
        assert!(!is_up(r#"[{"ifname":"service0","flags":["BROADCAST"]}]"#));
        assert!(is_up("[]"));
        assert!(is_up(""));
    }

    #[test]
    fn only_a_queue_with_a_limited_rate_counts() {
        let limited =
            r#"[{"kind":"tbf","handle":"8001:","root":true,"packets":40,"overlimits":7}]"#;
        let other = r#"[{"kind":"noqueue","root":true,"overlimits":7}]"#;

        assert_eq!(over_limit(limited), Some(7));
        assert_eq!(over_limit(other), None);
        assert_eq!(over_limit(""), None);
    }
}
