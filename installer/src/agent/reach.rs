//! Connections between hosts: some listen for a while, others connect.

use std::io::{self, Read};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::report::{Event, Observer};

/// Long enough for a packet and one retransmission of it; a firewall that drops both is noticed then.
const CONNECT_WITHIN: Duration = Duration::from_secs(4);
/// Connections that are tried at the same time.
const AT_ONCE: usize = 64;

/// Listens on those of `ports` that are free until `input` ends. On the others another program listens already.
pub fn listen(ports: &[u16], mut input: impl Read, observer: &impl Observer) -> anyhow::Result<()> {
    let mut listeners = Vec::new();
    for &port in ports {
        match bind(port) {
            Ok(listener) => listeners.push(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(anyhow::Error::new(error).context(format!("cannot listen on TCP port {port}"))),
        }
    }
    observer.event(&Event::Listening);
    // The kernel completes connections up to the backlog; the program need not accept any.
    io::copy(&mut input, &mut io::sink())?;
    Ok(())
}

fn bind(port: u16) -> io::Result<TcpListener> {
    // Takes IPv4 as well, unless IPv6 is switched off.
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).or_else(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Err(error),
        _ => TcpListener::bind(("0.0.0.0", port)),
    })
}

/// The targets that cannot be reached, and why.
pub fn unreachable(targets: &[SocketAddr]) -> Vec<(SocketAddr, String)> {
    let mut failures = Vec::new();
    for some in targets.chunks(AT_ONCE) {
        let tried: Vec<_> = thread::scope(|scope| {
            let tries: Vec<_> = some
                .iter()
                .map(|target| scope.spawn(move || TcpStream::connect_timeout(target, CONNECT_WITHIN).err()))
                .collect();
            tries.into_iter().map(|tried| tried.join().expect("connecting does not panic")).collect()
        });
        let failed = some.iter().zip(tried).filter_map(|(target, error)| Some((*target, error?.to_string())));
        failures.extend(failed);
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Reporter;

    #[test]
    fn a_port_without_a_listener_is_unreachable() {
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let failures = unreachable(&[open.local_addr().unwrap(), closed]);
        assert_eq!(failures.len(), 1);
        assert_eq!(failures[0].0, closed);
        assert!(failures[0].1.contains("refused"), "{}", failures[0].1);
    }

    #[test]
    fn a_port_that_is_taken_is_no_error() {
        let taken = TcpListener::bind("[::]:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_eq!(bind(port).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        listen(&[port], io::empty(), &Reporter::silent()).unwrap();
    }
}
