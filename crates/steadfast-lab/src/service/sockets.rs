//! The connections that a process serves, as the kernel lists them: no client and no load balancer has to report them.

use std::fs;
use std::io;

use steadfast_machine::convert;

/// The tables of the kernel, for the network that this process is in.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
/// The state of an established connection in these tables.
const ESTABLISHED: &str = "01";

/// The number of established connections whose local end has this port.
pub(super) fn established(port: u16) -> io::Result<u32> {
    let mut count = 0_u32;
    for table in TABLES {
        match fs::read_to_string(table) {
            Ok(text) => count = count.saturating_add(count_in(&text, port)),
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// The port of a URL such as `ws://127.0.0.1:8000/path`.
pub(super) fn port_of(url: &str) -> Option<u16> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    authority.rsplit_once(':')?.1.parse().ok()
}

fn count_in(table: &str, port: u16) -> u32 {
    let is_counted = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, state) = (fields.next(), fields.nth(1));
        let local = local.and_then(|local| local.rsplit_once(':'));
        let local = local.and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
        local == Some(port) && state == Some(ESTABLISHED)
    };
    convert::saturating(table.lines().filter(is_counted).count())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn only_established_connections_of_the_local_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n   \
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n   \
             1: 0100007F:1F90 0100007F:C350 01 00000000:00000000\n   \
             2: 0100007F:C350 0100007F:1F90 01 00000000:00000000\n   \
             3: 0100007F:1F90 0100007F:C351 06 00000000:00000000\n";

        assert_eq!(count_in(table, 8080), 1);
        assert_eq!(count_in(table, 8081), 0);
    }

    #[test]
    fn the_port_of_a_url_follows_its_host() {
        assert_eq!(port_of("ws://127.0.0.1:8000/path:9"), Some(8000));
        assert_eq!(port_of("http://[::1]:80"), Some(80));
        for url in ["ws://localhost/path:9", "127.0.0.1:8000", ""] {
            assert_eq!(port_of(url), None, "{url}");
        }
    }

    #[test]
    fn a_real_connection_counts_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(established(port).unwrap(), 0);

        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let server = listener.accept().unwrap();

        assert_eq!(established(port).unwrap(), 1);
        drop((client, server));
    }
}
