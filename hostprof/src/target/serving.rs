//! Where the target's engines serve HTTP, their metrics among it.
//!
//! An engine listens on ports that are not HTTP too (ZeroMQ, process groups of torch), which must not be asked for
//! pages: the port is the one its command line names, or the engine's usual one, or the only one of its root.

use std::{collections::HashMap, fs};

use super::{
    Proc, Process,
    engine::{engine_of, root},
};
use crate::units::Tgid;

/// Engines whose metrics are known, each with its usual port.
const ENGINES: &[(&str, u16)] = &[("vLLM", 8000), ("SGLang", 30000), ("llama.cpp", 8080)];

/// A port that an engine serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Served {
    /// The port.
    pub port: u16,
    /// The engine.
    pub engine: &'static str,
    /// Whether it is in the network that hostprof is in, so that the port is the same here.
    pub is_here: bool,
}

impl Proc {
    /// The ports on which these processes serve as engines.
    pub fn served(&self, tgids: &[Tgid]) -> Vec<Served> {
        let is_engine = |tgid: &&Tgid| {
            let process = self.process(**tgid);
            process.is_some_and(|process| engine_of(&process, &self.command_line(**tgid)).is_some())
        };
        // All of /proc is read only where there is one.
        let engines: Vec<Tgid> = tgids.iter().filter(is_engine).copied().collect();
        if engines.is_empty() {
            return Vec::new();
        }
        let processes: HashMap<Tgid, Process> =
            self.processes().unwrap_or_default().into_iter().map(|process| (process.tgid, process)).collect();
        let mut served: Vec<Served> =
            engines.iter().filter_map(|&tgid| self.served_by(&processes, tgid)).collect();
        served.sort_unstable();
        served.dedup_by_key(|served| served.port);
        served
    }

    fn served_by(&self, processes: &HashMap<Tgid, Process>, tgid: Tgid) -> Option<Served> {
        let command_line = self.command_line(tgid);
        let engine = engine_of(processes.get(&tgid)?, &command_line)?;
        let &(_, usual) = ENGINES.iter().find(|(name, _)| *name == engine)?;
        let is_root = root(self, processes, tgid).is_some_and(|(root, _)| root == tgid);
        let port = choose(&self.listening_ports(tgid), named_port(&command_line), usual, is_root)?;
        Some(Served { port, engine, is_here: self.shares_network(tgid) })
    }

    /// Whether a process is in this one's network namespace; no where it may not be looked at.
    fn shares_network(&self, tgid: Tgid) -> bool {
        let network = |tgid| fs::read_link(self.path(tgid, "ns/net")).ok();
        let own = network(Tgid(std::process::id()));
        own.is_some() && own == network(tgid)
    }
}

/// `--port N`, or `--port=N`.
fn named_port(command_line: &[String]) -> Option<u16> {
    let at = command_line.iter().position(|word| word == "--port" || word.starts_with("--port="))?;
    let value =
        command_line[at].strip_prefix("--port=").or_else(|| command_line.get(at + 1).map(String::as_str))?;
    value.parse().ok()
}

fn choose(listening: &[u16], named: Option<u16>, usual: u16, is_root: bool) -> Option<u16> {
    let listens = |port: &u16| listening.contains(port);
    named.filter(listens).or(Some(usual).filter(listens)).or(match listening {
        [only] if is_root && named.is_none() => Some(*only),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_the_named_one_then_the_usual_then_the_only_one() {
        assert_eq!(choose(&[5555, 9000, 8000], Some(9000), 8000, true), Some(9000));
        assert_eq!(choose(&[5555, 8000], None, 8000, true), Some(8000));
        assert_eq!(choose(&[8311], None, 8080, true), Some(8311));
        assert_eq!(choose(&[8311], None, 8080, false), None, "of a worker: perhaps no HTTP");
        assert_eq!(choose(&[5555, 5556], None, 8000, true), None);
        assert_eq!(choose(&[5555], Some(9000), 8000, true), None, "not listening yet");
    }

    #[test]
    fn a_port_is_read_from_either_form() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(named_port(&words("llama-server --port 8081")), Some(8081));
        assert_eq!(named_port(&words("vllm serve m --port=9")), Some(9));
        assert_eq!(named_port(&words("vllm serve m --port")), None);
    }

    #[test]
    fn a_process_that_is_no_engine_serves_nothing() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(Proc::new().served(&[Tgid(std::process::id())]), []);
        assert!(Proc::new().shares_network(Tgid(std::process::id())));
        drop(listener);
    }
}
