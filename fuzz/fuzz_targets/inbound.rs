//! Feeds fuzzed messages to the receiving part of a server's connection.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| steadfast_fuzz::inbound::check(data));
