//! The log through its public face: a test disk carries out its orders, fails, and forgets what was not synced.

#[path = "log/bench.rs"]
mod bench;
#[path = "log/chance.rs"]
mod chance;
#[path = "log/crash.rs"]
mod crash;
#[path = "log/disk.rs"]
mod disk;
#[path = "log/order.rs"]
mod order;
