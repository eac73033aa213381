//! The memory of a gateway whose clients have left.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;

use crate::gateway::Gateway;
use crate::wait::wait_until;

/// Clients with a message that they do not complete, and its size.
const CLIENTS: usize = 400;
const MESSAGE_BYTES: u16 = 60_000;

#[test]
fn the_memory_of_clients_that_have_left_is_returned_while_the_gateway_is_idle() {
    let gateway = Gateway::start_with_default_log(File::create("/dev/null").unwrap());
    let before = resident_bytes(&gateway);
    let message = incomplete_message();

    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut client = gateway.upgraded();
            client.stream.write_all(&message).unwrap();
            client
        })
        .collect();
    let sent = CLIENTS * message.len();
    wait_until("the messages are received", || {
        resident_bytes(&gateway) > before + sent / 4 * 3
    });
    drop(clients);

    wait_until("the memory is returned", || {
        resident_bytes(&gateway) < before + sent / 4
    });
}

/// The first frame of a message, which would continue.
fn incomplete_message() -> Vec<u8> {
    let mut text = String::from("{\"id\":1,\"rpc\":{\"data\":\"");
    while text.len() < usize::from(MESSAGE_BYTES) {
        write!(text, "{:016}", text.len()).unwrap();
    }
    text.truncate(usize::from(MESSAGE_BYTES));
    let mut frame = vec![0x01, 0xFE];
    frame.extend(MESSAGE_BYTES.to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

/// Returns the resident memory of the process.
fn resident_bytes(gateway: &Gateway) -> usize {
    let path = format!("/proc/{}/status", gateway.process.child.id());
    let status = std::fs::read_to_string(path).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: usize = resident
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib << 10
}
