//! The llama.cpp server that is recorded under load: one that runs already, or one that is started here.

use std::{net::TcpStream, path::Path, process::Command};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{
    bench::{
        job::Job,
        pair::Bench,
        workload::{self, Size, Workload},
    },
    process,
};

/// Which server.
#[derive(Args, Clone, Debug)]
pub struct Wanted {
    /// Start this command of a llama.cpp server, words with spaces between, and end it when done
    #[arg(long, value_name = "COMMAND", conflicts_with = "llama_pid")]
    llama: Option<String>,
    /// Where the server answers
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    llama_url: String,
    /// A server that runs already
    #[arg(long, value_name = "PID")]
    llama_pid: Option<u32>,
    /// Requests of each measurement
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    llama_requests: u32,
}

/// A server that answers.
pub struct Server {
    pid: u32,
    url: String,
    requests: u32,
    /// Ends with this.
    _started: Option<Job>,
}

impl Server {
    /// The server that is wanted, if any, answering.
    pub fn provide(wanted: &Wanted, files: &Path) -> Result<Option<Self>> {
        let (mut started, pid) = match (&wanted.llama, wanted.llama_pid) {
            (Some(line), _) => {
                let mut words = line.split_whitespace();
                let mut command = Command::new(words.next().context("start a server: --llama is empty")?);
                command.args(words);
                let job = Job::start(&mut command, files, "server")?;
                let pid = job.pid();
                (Some(job), pid)
            }
            (None, Some(pid)) => (None, pid),
            (None, None) => return Ok(None),
        };
        let address = address_of(&wanted.llama_url)?;
        match &mut started {
            Some(job) => {
                job.until(&format!("it answered at {address}"), |_| TcpStream::connect(&address).ok())
            }
            None => TcpStream::connect(&address)
                .with_context(|| format!("reach {address} (name the server's address with --llama-url)")),
        }?;
        Ok(Some(Self {
            pid,
            url: wanted.llama_url.clone(),
            requests: wanted.llama_requests,
            _started: started,
        }))
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The load, the same each time.
    pub fn load(&self, bench: &Bench) -> Result<Workload> {
        let hostprof = &bench.programs.hostprof;
        process::output(Command::new(hostprof).args(["load", "--help"]))
            .context("load a server: this hostprof has no command for it")?;
        let requests = if bench.size == Size::Full { self.requests } else { self.requests.min(4) };
        Ok(workload::load(&bench.programs, &self.url, requests))
    }
}

/// `host:port` of an `http` URL.
fn address_of(url: &str) -> Result<String> {
    let Some(rest) = url.strip_prefix("http://") else {
        bail!("read --llama-url {url}: not http:// (the load stays on this machine)");
    };
    let host = rest.split('/').next().unwrap_or_default();
    Ok(if host.contains(':') { host.to_owned() } else { format!("{host}:80") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_reached_by_host_and_port_of_its_url() {
        assert_eq!(address_of("http://127.0.0.1:8080/v1").unwrap(), "127.0.0.1:8080");
        assert_eq!(address_of("http://localhost").unwrap(), "localhost:80");
        assert!(address_of("https://localhost").is_err());
    }
}
