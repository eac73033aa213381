//! Feeds fuzzed messages to the JSON decoder of commands.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| steadfast_fuzz::json_commands::check(data));
