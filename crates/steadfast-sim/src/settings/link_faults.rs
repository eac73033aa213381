//! The faults of links, which the seed determines.

use std::time::Duration;

use steadfast_faults::link::{Direction, LinkFault, ReadRate};
use steadfast_faults::toxic::{CloseMode, Directions, ToxicKind};
use steadfast_machine::Generator;

/// Draws a fault.
pub(crate) fn draw(generator: &mut Generator) -> LinkFault {
    // A generator of its own, so that all else of a run stays as the seed determines it.
    let mut toxics = generator.clone().split().generator();
    let fault = draw_fault(generator);
    if toxics.chance(1, 4) {
        draw_toxic(&mut toxics)
    } else {
        fault
    }
}

/// Draws a toxic that delays bytes, or one that ends the connection. Toxics that lose or change bytes of a connection
/// that stays open are left out: TCP has no such fault.
fn draw_toxic(generator: &mut Generator) -> LinkFault {
    let millis = Duration::from_millis;
    let close = match generator.below(2) {
        0 => CloseMode::Fin,
        _ => CloseMode::Rst,
    };
    let kind = match generator.below(6) {
        0 => ToxicKind::Latency {
            latency: generator.between(millis(5), millis(400)),
            jitter: generator.between(millis(0), millis(200)),
        },
        1 => ToxicKind::Bandwidth {
            rate: 1 + generator.below(20),
        },
        2 => ToxicKind::Slicer {
            average_size: 1 + generator.below(64),
            size_variation: generator.below(32),
            delay: generator.between(millis(0), millis(2)),
        },
        3 => ToxicKind::Stall {
            after_bytes: generator.below(300),
            time: generator.between(millis(100), millis(3_000)),
        },
        4 => ToxicKind::Reset {
            after: generator.between(millis(0), millis(1_000)),
        },
        _ => ToxicKind::LimitData {
            bytes: generator.below(200),
            close,
        },
    };
    let is_final = matches!(kind, ToxicKind::Reset { .. } | ToxicKind::LimitData { .. });
    LinkFault::Toxic {
        kind,
        directions: match generator.below(3) {
            0 => Directions::ToServer,
            1 => Directions::ToClient,
            _ => Directions::Both,
        },
        seed: generator.split(),
        time: (!is_final).then(|| generator.between(millis(500), millis(4_000))),
    }
}

fn draw_fault(generator: &mut Generator) -> LinkFault {
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
