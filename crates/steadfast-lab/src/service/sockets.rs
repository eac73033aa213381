//! The connections that a process serves, as the kernel lists them: no client and no load balancer has to report them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::io;
use std::path::PathBuf;

/// The tables of the kernel.
const TABLES: [&str; 2] = ["tcp", "tcp6"];
/// The state of an established connection in these tables.
const ESTABLISHED: &str = "01";

/// The number of established connections of each local port.
type Ports = BTreeMap<u16, u32>;

/// The established connections in the network namespaces of processes, each read once: the kernel takes ten milliseconds
/// and more for a table, however few connections it has.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    of_namespace: BTreeMap<PathBuf, Ports>,
}

impl Sockets {
    /// The number of established connections whose local end has this port, in the network namespace of a process.
    pub(super) fn established(&mut self, process: u32, port: u16) -> io::Result<u32> {
        // That of a process of another user is not known, which then has tables of its own.
        let namespace = fs::read_link(format!("/proc/{process}/ns/net"));
        let namespace = namespace.unwrap_or_else(|_| process.to_string().into());
        let ports = match self.of_namespace.entry(namespace) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(read(process)?),
        };
        Ok(ports.get(&port).copied().unwrap_or(0))
    }
}

fn read(process: u32) -> io::Result<Ports> {
    let mut ports = Ports::new();
    for table in TABLES {
        match fs::read_to_string(format!("/proc/{process}/net/{table}")) {
            Ok(text) => count(&text, &mut ports),
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ports)
}

fn count(table: &str, ports: &mut Ports) {
    let established = table.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, state) = (fields.next()?, fields.nth(1)?);
        let (_, port) = local.rsplit_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        (state == ESTABLISHED).then_some(port)
    });
    for port in established {
        *ports.entry(port).or_default() += 1;
    }
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

        let mut ports = Ports::new();
        count(table, &mut ports);

        assert_eq!(ports, Ports::from([(8080, 1), (50_000, 1)]));
    }

    #[test]
    fn a_real_connection_counts_once() {
        let own = std::process::id();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let established = |port| Sockets::default().established(own, port).unwrap();
        assert_eq!(established(port), 0);

        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let server = listener.accept().unwrap();

        assert_eq!(established(port), 1);
        drop((client, server));
    }

    #[test]
    fn the_tables_of_a_namespace_are_read_once() {
        let own = std::process::id();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut sockets = Sockets::default();
        assert_eq!(sockets.established(own, port).unwrap(), 0);

        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let server = listener.accept().unwrap();

        assert_eq!(sockets.established(own, port).unwrap(), 0);
        drop((client, server));
    }
}
