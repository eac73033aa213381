//! A gateway that is stopped while its disk is stuck: the process ends with its exit code, and what it acknowledged is
//! stored.
//!
//! Needs root and loop devices; without them the test says so and passes.

use serde_json::json;

use crate::disk::StuckDisk;
use crate::gateway::{Client, Gateway, serve};

/// Segments that fit on the disk, and short timeouts for clients that do not close their sockets.
const CONFIG: &str = "[store]\nsegment_bytes = \"64KiB\"\nbytes_max = \"512KiB\"\n\
                      [server]\nshutdown_timeout = \"1s\"\nclose_timeout = \"1s\"\n";

#[test]
fn sigterm_while_the_disk_is_stuck_ends_the_process_with_code_1_and_loses_nothing_acknowledged() {
    let disk = match StuckDisk::mount() {
        Ok(disk) => disk,
        Err(reason) => return println!("SKIP: {reason}"),
    };
    let data = disk.path().join("data");
    let config = disk.path().with_extension("toml");
    std::fs::write(&config, CONFIG).unwrap();
    let mut command = serve(&data);
    command.arg("--config").arg(&config);
    let mut gateway = Gateway::start_with(command);
    let mut client = Client::connect(&gateway);
    assert!(client.publish("news", "before"));
    disk.freeze();
    client
        .send("publish", json!({ "channel": "news", "data": "waits" }))
        .unwrap();
    // Once this command has its reply, the log has the earlier one.
    let params = json!({ "channel": "other" });
    client.call("presence", params).unwrap();

    gateway.terminate();

    // The last line of the process; its first thread ends, although the kernel keeps the thread that writes.
    gateway.wait_for_log("waiting for the engine to close; 1 requests have no response");
    gateway.wait_for_end_of_first_thread();
    disk.thaw();
    assert_eq!(gateway.wait().code(), Some(1), "{}", gateway.log());
    let again = Gateway::start_small(&data);
    let (found, _) = Client::connect(&again).history("news");
    assert_eq!(found[0], "before");
}
