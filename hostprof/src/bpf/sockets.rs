//! What processes send and receive, as the kernel half counts it.

use aya::maps::{MapData, PerCpuHashMap};
use hostprof_common::{
    layout::{ABSENT, KernelLayout},
    socket::SocketBytes,
};

use super::{
    btf::KernelBtf,
    error::{LoadError, refused},
};
use crate::units::Tgid;

/// The programs that count.
pub const PROGRAMS: [&str; 2] = ["sock_send_length", "sock_recv_length"];

/// Whether the running kernel tells what sockets take and give, or why not.
pub fn offered(btf: &KernelBtf<'_>, layout: &KernelLayout) -> Result<(), String> {
    match PROGRAMS.into_iter().find(|name| btf.tracepoint_args(name).is_none()) {
        Some(name) => Err(format!("the kernel has no tracepoint {name} (needs Linux 6.3 or newer)")),
        None if layout.sock_family == ABSENT => {
            Err("the kernel's types do not tell a socket's address family".to_owned())
        }
        None => Ok(()),
    }
}

/// The counts, by process.
pub struct Sockets {
    counts: PerCpuHashMap<MapData, u32, SocketBytes>,
}

impl Sockets {
    pub(super) fn new(counts: PerCpuHashMap<MapData, u32, SocketBytes>) -> Self {
        Self { counts }
    }

    /// What every process has sent and received that did either.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn read(&self) -> Result<Vec<(Tgid, SocketBytes)>, LoadError> {
        let mut processes = Vec::new();
        for entry in &self.counts {
            let (tgid, cpus) = entry.map_err(|error| refused("read the network bytes", &error))?;
            let sum = cpus.iter().fold(SocketBytes::ZERO, |sum, cpu| SocketBytes {
                sent: sum.sent + cpu.sent,
                received: sum.received + cpu.received,
            });
            processes.push((Tgid(tgid), sum));
        }
        Ok(processes)
    }

    /// Forgets a process that has ended: its id may become another's.
    pub fn forget(&mut self, tgid: Tgid) {
        // One that is not there is forgotten already.
        let _ = self.counts.remove(&tgid.0);
    }
}
