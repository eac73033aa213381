//! The numbers of streams: a short number for each name that the servers of a run give to a stream.

use std::collections::BTreeMap;

use steadfast_faults::topology::InstanceId;

/// Streams of one run. A server that names a new stream with each message has none that could be checked.
const STREAMS_MAX: usize = 10_000;

/// Identifies a stream: the same name at another instance, in another load or with another epoch is another stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamName {
    pub(super) load: String,
    pub(super) instance: InstanceId,
    pub(super) stream: String,
    pub(super) epoch: String,
}

/// The streams that were seen, with their numbers.
#[derive(Debug, Default)]
pub(super) struct Streams {
    numbers: BTreeMap<StreamName, u32>,
}

impl Streams {
    /// The number of a stream; `None` if there are too many.
    pub(super) fn number(&mut self, name: StreamName) -> Option<u32> {
        if let Some(number) = self.numbers.get(&name) {
            return Some(*number);
        }
        let next = self.numbers.len();
        if next >= STREAMS_MAX {
            return None;
        }
        let number = u32::try_from(next).ok()?;
        self.numbers.insert(name, number);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_keeps_its_number_and_their_count_is_bounded() {
        let mut streams = Streams::default();
        let name = |stream: usize| StreamName {
            load: "feed".to_owned(),
            instance: InstanceId(0),
            stream: stream.to_string(),
            epoch: String::new(),
        };

        assert_eq!(streams.number(name(7)), Some(0));
        assert_eq!(streams.number(name(8)), Some(1));
        assert_eq!(streams.number(name(7)), Some(0));
        let other = StreamName {
            epoch: "e".to_owned(),
            ..name(7)
        };
        assert_eq!(streams.number(other), Some(2));
        for stream in 100..100 + STREAMS_MAX {
            streams.number(name(stream));
        }
        assert_eq!(streams.number(name(9)), None);
        assert_eq!(streams.number(name(8)), Some(1));
    }
}
