//! The TCP ports that a process listens on, from `/proc/PID/net` and its open sockets.

use std::{collections::HashSet, fs};

use super::Proc;
use crate::units::Tgid;

/// `TCP_LISTEN`, as `/proc/net/tcp` writes it.
const LISTEN: &str = "0A";

impl Proc {
    /// The ports a process listens on, IPv4 and IPv6; none where it may not be looked at.
    pub fn listening_ports(&self, tgid: Tgid) -> Vec<u16> {
        let Ok(entries) = fs::read_dir(self.path(tgid, "fd")) else { return Vec::new() };
        let sockets: HashSet<u64> = entries
            .flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
            .collect();
        let mut ports: Vec<u16> = ["net/tcp", "net/tcp6"]
            .iter()
            .filter_map(|file| fs::read_to_string(self.path(tgid, file)).ok())
            .flat_map(|text| {
                listening(&text).filter(|(_, inode)| sockets.contains(inode)).collect::<Vec<_>>()
            })
            .map(|(port, _)| port)
            .collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}

/// Port and inode of each listening socket in the text of `/proc/net/tcp` or `tcp6`.
fn listening(text: &str) -> impl Iterator<Item = (u16, u64)> {
    text.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
        (*state == LISTEN).then_some((port, inode.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn ports_of_listening_sockets_are_told_and_of_no_others() {
        let me = Tgid(std::process::id());
        let four = TcpListener::bind("127.0.0.1:0").unwrap();
        let six = TcpListener::bind("[::1]:0").unwrap();
        let client = TcpStream::connect(four.local_addr().unwrap()).unwrap();
        let ports = Proc::new().listening_ports(me);
        assert!(ports.contains(&four.local_addr().unwrap().port()));
        assert!(ports.contains(&six.local_addr().unwrap().port()));
        assert!(!ports.contains(&client.local_addr().unwrap().port()));
        assert!(listening("header\nnonsense\n").next().is_none());
    }
}
