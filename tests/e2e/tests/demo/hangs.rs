//! A gateway that is suspended: its process and its sockets stay, and it does not respond.

use rustix::process::{Signal, kill_process};

use crate::process::{Demo, count, gateway_state};

#[test]
fn a_suspended_gateway_is_reported_until_it_responds_and_can_be_killed() {
    let demo = Demo::start().unwrap();
    let gateway = demo.gateway().unwrap();

    kill_process(gateway, Signal::STOP).unwrap();
    let suspended = demo
        .until("the gateway is unresponsive", |live| {
            gateway_state(live) == Some("unresponsive")
        })
        .unwrap();
    assert_eq!(count(&suspended, "/connections"), 0, "{suspended}");
    assert!(suspended["gateway"]["pid"].is_u64(), "{suspended}");

    kill_process(gateway, Signal::CONT).unwrap();
    assert_eq!(demo.gateway().unwrap(), gateway);
    let resumed = demo
        .until("clients are connected", |live| {
            count(live, "/connections") > 0
        })
        .unwrap();
    assert_eq!(count(&resumed, "/gateway/outages"), 0, "{resumed}");

    kill_process(gateway, Signal::STOP).unwrap();
    demo.until("the gateway is unresponsive again", |live| {
        gateway_state(live) == Some("unresponsive")
    })
    .unwrap();
    let response = demo.request("POST", "/demo/kill", "").unwrap();
    assert!(response.starts_with("HTTP/1.1 202"), "{response}");
    assert_ne!(demo.gateway().unwrap(), gateway);
}
