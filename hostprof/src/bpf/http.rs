//! The hooks of the target's HTTP servers: whether this kernel has them, which ports they are told of, what they counted.

use aya::{
    Ebpf,
    maps::{Array, MapData},
};
use hostprof_common::{
    http::HttpStats,
    layout::{ABSENT, KernelLayout},
};

use super::{
    btf::KernelBtf,
    error::{LoadError, refused},
    load::take,
};

/// The programs, each named after its tracepoint behind this.
const PREFIX: &str = "http_";
/// The programs.
pub const PROGRAMS: [&str; 4] =
    ["http_sock_send_length", "http_sock_recv_length", "http_sk_data_ready", "http_inet_sock_set_state"];

/// Connections at a time there is room for. Memory is taken for those there are.
pub const CONNECTIONS: u32 = 1 << 16;

/// The tracepoint of a program.
pub fn tracepoint(program: &'static str) -> &'static str {
    program.strip_prefix(PREFIX).unwrap_or(program)
}

/// Whether the running kernel tells what happens on sockets, or why not.
pub fn offered(btf: &KernelBtf<'_>, layout: &KernelLayout) -> Result<(), String> {
    match PROGRAMS.into_iter().map(tracepoint).find(|name| btf.tracepoint_args(name).is_none()) {
        Some(name) => Err(format!("the kernel has no tracepoint {name} (needs Linux 6.3 or newer)")),
        None if [layout.sock_family, layout.sock_port, layout.sock_state].contains(&ABSENT) => {
            Err("the kernel's types do not tell a socket's family, port and state".to_owned())
        }
        None => Ok(()),
    }
}

/// What the programs share with user space.
pub struct Http {
    ports: Array<MapData, u64>,
    stats: Array<MapData, HttpStats>,
}

impl Http {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        Ok(Self { ports: take(ebpf, "PORTS")?, stats: take(ebpf, "HTTP_STATS")? })
    }

    /// A server of the target listens on a port: arrivals there are told from the first on.
    pub(super) fn listens(&mut self, port: u16) -> Result<(), LoadError> {
        let word = u32::from(port >> 6);
        let error = |error| refused("tell a port", &error);
        let ports = self.ports.get(&word, 0).map_err(error)?;
        self.ports.set(word, ports | 1 << (port & 63), 0).map_err(error)
    }

    /// The counters of all CPUs together.
    pub(super) fn stats(&self) -> Result<HttpStats, LoadError> {
        (0..self.stats.len()).try_fold(HttpStats::default(), |sum, cpu| {
            let stats = self.stats.get(&cpu, 0).map_err(|error| refused("read the counters", &error))?;
            Ok(sum.plus(stats))
        })
    }
}
