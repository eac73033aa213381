//! Who may use the demo, and the reasons and hints in its refusals.

use crate::process::Demo;

#[test]
fn a_foreign_page_can_neither_kill_nor_read_nor_frame() {
    let demo = Demo::start().unwrap();

    for (method, path) in [("POST", "/demo/kill"), ("GET", "/demo/picture")] {
        for fields in [
            "Origin: http://evil.example\r\n",
            "Host: evil.example\r\n",
            "X-Forwarded-For: 192.0.2.1\r\n",
            "CF-Connecting-IP: 192.0.2.1\r\n",
        ] {
            let response = demo.request(method, path, fields).unwrap();
            assert!(
                response.starts_with("HTTP/1.1 403 "),
                "{fields}: {response}"
            );
        }
    }

    let page = demo.request("GET", "/", "").unwrap().to_ascii_lowercase();
    for field in [
        "frame-ancestors 'none'",
        "x-frame-options: deny",
        "x-content-type-options: nosniff",
    ] {
        assert!(page.contains(field), "{field}: {page}");
    }
    for (path, allowed) in [
        ("/demo/picture", "allow: get, head\r\n"),
        ("/demo/kill", "allow: post\r\n"),
    ] {
        let response = demo.request("DELETE", path, "").unwrap();
        assert!(response.starts_with("HTTP/1.1 405 "), "{response}");
        let response = response.to_ascii_lowercase();
        assert!(response.contains(allowed), "{response}");
    }
}

#[test]
fn a_browser_that_uses_another_name_or_a_proxy_is_shown_why_and_what_to_do() {
    let demo = Demo::start().unwrap();
    let port = demo.address.port();

    for (fields, reason, host) in [
        ("Host: devbox:8000\r\n", "another name", "devbox"),
        ("X-Forwarded-For: 192.0.2.1\r\n", "A proxy added", "HOST"),
        ("Host: <script>\r\n", "another name", "HOST"),
    ] {
        let accept = "Accept: text/html,application/xhtml+xml\r\n";
        let page = demo
            .request("GET", "/", &format!("{fields}{accept}"))
            .unwrap();
        let json = demo.request("GET", "/demo/live", fields).unwrap();

        assert!(page.starts_with("HTTP/1.1 403 "), "{page}");
        assert!(page.contains("content-type: text/html"), "{page}");
        let command = format!("ssh -L {port}:127.0.0.1:{port} {host}<");
        for text in ["could otherwise kill the gateway", reason, &command] {
            assert!(page.contains(text), "{text}: {page}");
        }
        assert!(!page.contains("<script>"), "{page}");
        assert!(json.contains("content-type: application/json"), "{json}");
        assert!(json.contains(reason), "{json}");
    }
}
