//! The connections that a process serves, as the kernel lists them: no client and no load balancer has to report them.

use std::fs;
use std::io;

use steadfast_machine::convert;

/// The tables of the kernel.
const TABLES: [&str; 2] = ["tcp", "tcp6"];
/// The state of an established connection in these tables.
const ESTABLISHED: &str = "01";

/// The number of established connections whose local end has this port, in the network namespace of a process.
pub(super) fn established(process: u32, port: u16) -> io::Result<u32> {
    let mut count = 0_u32;
    for table in TABLES {
        match fs::read_to_string(format!("/proc/{process}/net/{table}")) {
            Ok(text) => count = count.saturating_add(count_in(&text, port)),
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
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
    fn a_real_connection_counts_once() {
        let own = std::process::id();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(established(own, port).unwrap(), 0);

        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let server = listener.accept().unwrap();

        assert_eq!(established(own, port).unwrap(), 1);
        drop((client, server));
    }
}
