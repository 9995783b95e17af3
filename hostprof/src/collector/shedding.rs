//! Holds hostprof's cost below its ceiling: looks what it cost and what the target used, tells the kernel half, and
//! hands on each step as a row.

use std::{
    collections::HashMap,
    io::{self, Write as _},
    sync::{Arc, mpsc::SyncSender},
};

use anyhow::{Context as _, Result};

use super::{
    ceiling::{ByKernel, Ceiling, RECORD_NS, Rung, Used},
    gauges::Gauges,
    pipeline::Message,
};
use crate::{
    bpf::{Kernel, Ran},
    clock,
    recording::CeilingConfig,
    units::{MonoNs, Tgid},
    usage,
};

/// Sets a ceiling, before there is a thread that the programs record: they keep to it from the first on.
///
/// # Errors
///
/// The kernel half was loaded without one, or does not take it.
pub fn set(most: f64, kernel: &mut Kernel) -> Result<Ceiling> {
    let spans = kernel.spans().hook().is_some();
    let cost = kernel.cost().context("set a ceiling: the programs have none")?;
    let ran = cost.ran()?;
    let start = Used { at: clock::mono(), bpf_ns: ran.ns, runs: ran.runs, ..Used::default() };
    let ceiling = Ceiling::new(most, spans, start);
    cost.set_budget(ceiling.budget())?;
    Ok(ceiling)
}

/// The ceiling of a recording, once there is one who looks.
pub struct Shedding {
    ceiling: Ceiling,
    start: Ran,
    used: Used,
    /// CPU time of this process before.
    own_before_ns: u64,
    target: TargetCpu,
    gauges: Arc<Gauges>,
    sender: SyncSender<Message>,
    /// Steps are not said on the terminal.
    quiet: bool,
    ended: bool,
}

impl Shedding {
    /// Looks from now on. Of this process, what records cost that were read before counts, what it took to begin does
    /// not.
    pub fn begin(ceiling: Ceiling, gauges: &Arc<Gauges>, sender: SyncSender<Message>, quiet: bool) -> Self {
        let _ = sender.send(Message::Shed(ceiling.first_row()));
        let used = ceiling.last();
        Self {
            start: Ran { ns: used.bpf_ns, runs: used.runs },
            ceiling,
            used,
            own_before_ns: own_cpu_ns().saturating_sub(gauges.records() * RECORD_NS),
            target: TargetCpu::new(&gauges.processes()),
            gauges: Arc::clone(gauges),
            sender,
            quiet,
            ended: false,
        }
    }

    /// Looks, and takes the step that follows. Answers when recording ended, once that is the step.
    ///
    /// # Errors
    ///
    /// The kernel half cannot be asked or told.
    pub fn look(&mut self, kernel: &mut Kernel) -> Result<Option<MonoNs>> {
        self.used = self.used_now(kernel)?;
        if self.ended {
            let _ = self.ceiling.look(self.used, ByKernel::default());
            return Ok(None);
        }
        let cost = kernel.cost().context("keep the ceiling: the programs have none")?;
        let left = cost.budget()?;
        let at = |ns: u64| (ns != 0).then_some(MonoNs(ns));
        let by_kernel = ByKernel { counting: at(left.counting_ns), ended: at(cost.ended()?) };
        let step = self.ceiling.look(self.used, by_kernel);
        self.gauges.set_overhead_ratio(self.ceiling.latest_ratio());
        cost.set_budget(self.ceiling.budget())?;
        let Some(step) = step else { return Ok(None) };
        let mut ended = None;
        if step.rung == Rung::Ended {
            self.ended = true;
            let at = by_kernel.ended.unwrap_or_else(clock::mono);
            cost.end(at.0)?;
            ended = Some(at);
        } else if step.rung != Rung::Everything {
            kernel.detach_spans()?;
        }
        if !self.quiet {
            let percent = self.ceiling.most() * 100.0;
            let line =
                format!("hostprof: to stay below {percent} % of the target's CPU time: {}\n", step.row.what);
            // One write, where `eprintln` makes five.
            let _ = io::stderr().write_all(line.as_bytes());
        }
        let _ = self.sender.send(Message::Shed(step.row));
        Ok(ended)
    }

    /// Whether there is no step left to take.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether recording has ended and nothing of the target is left.
    pub fn target_is_gone(&self) -> bool {
        self.ended && self.gauges.processes().iter().all(|tgid| usage::process_cpu(tgid.0).is_none())
    }

    /// What came of it, up to now.
    ///
    /// # Errors
    ///
    /// The cost cannot be read.
    pub fn finish(&mut self, kernel: &mut Kernel) -> Result<CeilingConfig> {
        self.used = self.used_now(kernel)?;
        // No step any more: recording is over.
        let _ = self.ceiling.look(self.used, ByKernel::default());
        Ok(CeilingConfig {
            max_overhead_ratio: self.ceiling.most(),
            greatest_overhead_ratio: self.ceiling.greatest_ratio(),
            bpf_ns: self.used.bpf_ns - self.start.ns,
            bpf_runs: self.used.runs - self.start.runs,
            own_ns: self.used.own_ns,
            target_ns: self.used.target_ns,
        })
    }

    fn used_now(&mut self, kernel: &mut Kernel) -> Result<Used> {
        let ran = kernel.cost().context("read the cost: the programs have none")?.ran()?;
        Ok(Used {
            at: clock::mono(),
            bpf_ns: ran.ns,
            runs: ran.runs,
            records: self.gauges.records(),
            own_ns: own_cpu_ns().saturating_sub(self.own_before_ns),
            target_ns: self.target.read(&self.gauges.processes()),
        })
    }
}

fn own_cpu_ns() -> u64 {
    usage::own_cpu().as_nanos() as u64
}

/// CPU time of the target's processes since the start. Of one that ends, what it used since the last look is left out,
/// as is one that lives for less than that.
struct TargetCpu {
    known: HashMap<Tgid, u64>,
    sum_ns: u64,
}

impl TargetCpu {
    fn new(processes: &[Tgid]) -> Self {
        let known = processes.iter().filter_map(|&tgid| Some((tgid, cpu_ns(tgid)?))).collect();
        Self { known, sum_ns: 0 }
    }

    fn read(&mut self, processes: &[Tgid]) -> u64 {
        self.known.retain(|tgid, _| processes.binary_search(tgid).is_ok());
        for &tgid in processes {
            let Some(now_ns) = cpu_ns(tgid) else { continue };
            // One that is new was made since the start: all it used counts.
            let before_ns = self.known.insert(tgid, now_ns).unwrap_or(0);
            self.sum_ns += now_ns.saturating_sub(before_ns);
        }
        self.sum_ns
    }
}

fn cpu_ns(tgid: Tgid) -> Option<u64> {
    Some(usage::process_cpu(tgid.0)?.as_nanos() as u64)
}
