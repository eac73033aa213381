//! Feeds fuzzed streams to the WebSocket decoder.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| steadfast_fuzz::websocket_decoder::check(data));
