//! The questions that the benchmark answers, one file each.

mod bystander;
mod collector;
mod live;
mod offline;
mod programs;
mod rate;
mod slowdown;

use anyhow::Result;
use clap::ValueEnum;

use crate::bench::{
    job,
    pair::{Bench, Pairs},
    results::Results,
    server::Server,
    tracer::Tracer,
    workload::Workload,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// How much slower is a workload that is recorded, beside the peers?
    Slowdown,
    /// What does a program pay that is not recorded, while another is?
    Bystander,
    /// What does the recorder itself use, how soon does it record, and how much can it take?
    Collector,
    /// What does a live view use beyond the recording it looks at, and does it cost a record?
    Live,
    /// How long does each eBPF program run, in a pass of its own?
    Programs,
    /// How do report and check grow with the recording?
    Offline,
}

impl Suite {
    pub const ALL: [Self; 6] =
        [Self::Slowdown, Self::Bystander, Self::Collector, Self::Live, Self::Programs, Self::Offline];

    fn name(self) -> &'static str {
        match self {
            Self::Slowdown => "slowdown",
            Self::Bystander => "bystander",
            Self::Collector => "collector",
            Self::Live => "live",
            Self::Programs => "programs",
            Self::Offline => "offline",
        }
    }

    /// Measures; what fails is left out with its reason, and only Ctrl-C ends it early.
    pub fn run(self, bench: &Bench, server: Option<&Server>, results: &mut Results) -> Result<()> {
        match self {
            Self::Slowdown => slowdown::run(bench, server, results),
            Self::Bystander => bystander::run(bench, server, results),
            Self::Collector => {
                collector::run(bench, server, results)?;
                rate::run(bench, results)
            }
            Self::Live => live::run(bench, results),
            Self::Programs => programs::run(bench, server, results),
            Self::Offline => offline::run(bench, results),
        }
    }

    /// The lines of a workload under a tracer.
    fn add(self, results: &mut Results, workload: &Workload, tracer: &Tracer, pairs: &Pairs) {
        let note = pairs.note();
        let of = |quantity| [self.name(), workload.name, tracer.name, quantity];
        results.add(of("time_ratio"), &pairs.time_ratio, &pairs.rejected, &note);
        results.add(of("cpu_ratio"), &pairs.cpu_ratio, &[], "");
        results.add(of("machine_cpu_s"), &pairs.cpu_s, &[], "");
    }

    /// One line for whoever waits.
    fn progress(self, workload: &str, tracer: &str, round: usize, of: usize, latest: &str) {
        eprintln!("{}: {workload} · {tracer} · {}/{of}: {latest}", self.name(), round + 1);
    }
}

/// What a measurement yields; a failure is left out with its reason, unless it is the run's end.
fn or_left_out<T>(result: Result<T>, results: &mut Results, what: &str) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(err) if job::interrupted() => Err(err),
        Err(err) => {
            results.leave_out(what, &format!("{err:#}"));
            Ok(None)
        }
    }
}
