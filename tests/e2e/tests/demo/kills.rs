//! A kill of the gateway, as the page and the painters experience it.

use crate::process::{Demo, count, painters};

#[test]
fn a_kill_is_survived_by_every_painter_without_a_loss() {
    let demo = Demo::start().unwrap();
    demo.until("all painters paint", |live| {
        count(live, "/gateway/kills") == 0 && painters(live, "acked").iter().all(|it| *it > 3)
    })
    .unwrap();

    let response = demo.request("POST", "/demo/kill", "").unwrap();
    assert!(response.starts_with("HTTP/1.1 202"), "{response}");
    let before = demo.live().unwrap();
    let after = demo
        .until("all painters are connected again", |live| {
            painters(live, "resumed").iter().all(|it| *it >= 1)
                && painters(live, "downtime_ms").iter().all(|it| *it == 0)
        })
        .unwrap();

    assert_eq!(count(&after, "/gateway/kills"), 1);
    let settled = demo
        .until("missed pixels have arrived", |live| {
            count(live, "/acked") > count(&before, "/acked") + 10
                && count(live, "/undelivered") < 10
        })
        .unwrap();
    assert_eq!(count(&settled, "/lost"), 0, "{settled}");
    assert_eq!(count(&settled, "/duplicated"), 0, "{settled}");
    let picture = demo.get("/demo/picture").unwrap();
    assert!(count(&picture, "/offset") >= count(&before, "/acked"));
}

#[test]
fn a_report_after_the_reply_to_a_kill_says_that_the_gateway_is_down() {
    let demo = Demo::start().unwrap();
    for kills in 1..=3 {
        demo.gateway().unwrap();

        let response = demo.request("POST", "/demo/kill", "").unwrap();
        let live = demo.live().unwrap();

        assert!(response.starts_with("HTTP/1.1 202"), "{response}");
        assert_eq!(live["gateway"]["state"], "down", "{live}");
        assert!(live["gateway"]["pid"].is_null(), "{live}");
        assert_eq!(count(&live, "/gateway/kills"), kills, "{live}");
        let again = demo.request("POST", "/demo/kill", "").unwrap();
        assert!(again.starts_with("HTTP/1.1 409"), "{again}");
    }
}
