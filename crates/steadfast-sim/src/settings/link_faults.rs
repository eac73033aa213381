//! The faults of links, which the seed determines.

use std::time::Duration;

use steadfast_faults::link::{Direction, LinkFault, ReadRate};
use steadfast_machine::Generator;

/// Draws a fault.
pub(super) fn draw(generator: &mut Generator) -> LinkFault {
    let millis = Duration::from_millis;
    match generator.below(8) {
        0 => LinkFault::BlackholeBoth,
        1 => LinkFault::Blackhole(Direction::ToServer),
        2 => LinkFault::Blackhole(Direction::ToClient),
        3 | 4 => LinkFault::Freeze(generator.between(millis(100), millis(4_000))),
        5 => LinkFault::StallUplink(generator.between(millis(1_000), millis(4_000))),
        _ => LinkFault::SlowReader {
            // In one of three cases the client reads only one byte per second.
            read_rate: ReadRate {
                bytes_per_second: match generator.below(3) {
                    0 => 1,
                    _ => 200 + generator.below(4_000),
                },
            },
            window: 256 << generator.below(5),
            // The time may exceed `STALL_MAX`: a client that recovers earlier exercises no timeout.
            time: generator.between(millis(1_000), millis(9_000)),
        },
    }
}
