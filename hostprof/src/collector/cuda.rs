//! Probes `cuda` and `cuda_launch` in a recording: which libraries are probed, when one that comes later was found, and
//! what is noted of it.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use anyhow::{Context as _, Result};
use hostprof_common::span::{ProbeStats, probe};

use crate::{
    bpf::{self, Kernel},
    clock,
    humane::{count, duration, plural},
    probe::{CUDA, CUDA_LAUNCH, Selection, cuda_probes},
    recording::Config,
    target::{CudaLibrary, FileId, Proc},
    units::{MonoNs, Tgid},
};

/// Kernels on which a return probe may end a program that a seccomp filter holds: the probe's own system call is held
/// against the filter. Stable releases of them have it mended, which a version does not tell.
const RETURNS_KILL: std::ops::RangeInclusive<(u32, u32)> = (6, 11)..=(6, 13);

/// How often a process that has a library is looked at again: it may load another one.
const AGAIN: Duration = Duration::from_secs(10);

/// The libraries of a recording that has the probes.
pub struct CudaProbes {
    proc: Proc,
    launches: bool,
    returns: bool,
    attached: HashSet<FileId>,
    /// Libraries that were refused, told once.
    refused: HashSet<FileId>,
    /// When each process was looked at last, and whether it had a library.
    looked: HashMap<Tgid, (MonoNs, bool)>,
    /// Of each library: its path, and what is to know of it.
    notes: Vec<String>,
    /// What the user is told at once.
    told: Vec<String>,
}

impl CudaProbes {
    /// Probes the libraries that the processes have mapped, or would find; `None` where no such probe is asked for.
    ///
    /// # Errors
    ///
    /// The kernel refuses: the probes were asked for by name.
    pub fn begin(
        kernel: &mut Kernel,
        proc: &Proc,
        probes: &Selection,
        processes: &[Tgid],
    ) -> Result<Option<Self>> {
        if !probes.has(CUDA) && !probes.has(CUDA_LAUNCH) {
            return Ok(None);
        }
        let held = processes.iter().any(|&tgid| proc.has_seccomp(tgid));
        let returns = !RETURNS_KILL.contains(&bpf::kernel_version()?) || !held;
        let mut this = Self {
            proc: proc.clone(),
            launches: probes.has(CUDA_LAUNCH),
            returns,
            attached: HashSet::new(),
            refused: HashSet::new(),
            looked: HashMap::new(),
            notes: Vec::new(),
            told: Vec::new(),
        };
        if !returns {
            this.say(
                "calls are counted and not timed: on Linux 6.11 to 6.13 a return probe may end a program that runs under \
                 seccomp, as this does (run a newer kernel)"
                    .to_owned(),
            );
        }
        let mut roots = HashSet::new();
        for &tgid in processes {
            let mapped = proc.mapped_libcuda(tgid).unwrap_or_default();
            this.looked.insert(tgid, (clock::mono(), !mapped.is_empty()));
            let findable =
                if roots.insert(proc.root_id(tgid)) { proc.findable_libcuda(tgid) } else { Vec::new() };
            for library in mapped.into_iter().chain(findable) {
                this.attach(kernel, &library).context("run probe cuda")?;
            }
        }
        if this.attached.is_empty() {
            this.say(
                "no libcuda.so.1 is mapped, or where the target's loader looks for one: CUDA's calls are told from up to a \
                 second after one is mapped (install NVIDIA's driver, set LD_LIBRARY_PATH to its folder; in a container \
                 --gpus all)"
                    .to_owned(),
            );
        }
        Ok(Some(this))
    }

    /// Looks whether processes have mapped a library that is not probed.
    pub fn look(&mut self, kernel: &mut Kernel, processes: &[Tgid]) {
        let now = clock::mono();
        self.looked.retain(|tgid, _| processes.binary_search(tgid).is_ok());
        for &tgid in processes {
            let before = self.looked.get(&tgid).copied();
            if let Some((at, true)) = before
                && now.0 < at.0 + AGAIN.as_nanos() as u64
            {
                continue;
            }
            // One that is gone, or may not be looked at any more, has none to be seen.
            let Ok(mapped) = self.proc.mapped_libcuda(tgid) else { continue };
            self.looked.insert(tgid, (now, !mapped.is_empty()));
            for library in mapped {
                if self.attached.contains(&library.id) || !self.refused.insert(library.id) {
                    continue;
                }
                let path = library.path.display().to_string();
                match self.attach(kernel, &library) {
                    Ok(()) => {
                        self.refused.remove(&library.id);
                        let since = before.map_or_else(
                            || "its beginning".to_owned(),
                            |(at, _)| format!("{} before", duration(clock::mono().0.saturating_sub(at.0))),
                        );
                        self.say(format!(
                            "{path}: process {tgid} mapped it after the start; its calls until then, from {since}, are not \
                             seen"
                        ));
                    }
                    Err(error) => self.say(format!(
                        "{path}: process {tgid} mapped it after the start, and its calls are not seen: {error:#} (record \
                         as root itself, or once it is mapped)"
                    )),
                }
            }
        }
    }

    /// What the user is to be told since the last time.
    pub fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    fn say(&mut self, note: String) {
        self.told.push(format!("cuda: {note}"));
        self.notes.push(note);
    }

    fn attach(&mut self, kernel: &mut Kernel, library: &CudaLibrary) -> Result<()> {
        if !self.attached.insert(library.id) {
            return Ok(());
        }
        let path = library.path.display();
        let functions = match library.functions() {
            Ok(functions) => functions,
            // A damaged file, or one for another machine, which nothing here can load.
            Err(error) => {
                self.notes.push(format!("{path}: not probed: {error}"));
                return Ok(());
            }
        };
        let functions = functions.iter().map(|(name, offset)| (name.as_str(), *offset));
        let probes = cuda_probes(functions, self.launches);
        let attached = kernel.attach_cuda(&library.file, &probes, self.returns);
        if let Err(error) = attached {
            self.attached.remove(&library.id);
            return Err(error.into());
        }
        self.notes.push(format!("{path}: {} probed", plural(probes.len() as u64, "function")));
        Ok(())
    }

    /// Notes in `config.json` what was probed, and what is counted and no row. `stats` are its counters of each CPU.
    pub fn note(&self, config: &mut Config, stats: &[ProbeStats]) {
        let sum = |of: fn(&ProbeStats) -> u64| -> u64 { stats.iter().map(of).sum() };
        let mut notes = self.notes.clone();
        let mut note = |calls: u64, text: &str| {
            if calls > 0 {
                notes.push(format!("{} {text}", plural(calls, "call")));
            }
        };
        note(sum(|stats| stats.unfinished), "left by another way than their return");
        note(sum(|stats| stats.unbegun), "returned whose beginning was not seen");
        note(
            sum(|stats| stats.filtered),
            "not in the histogram: more processes and calls than it has room for",
        );
        let records = sum(|stats| stats.records);
        if records > 0 {
            notes.push(format!("{} rows", count(records)));
        }
        let is_on = |probe: &&mut crate::recording::ProbeStatus| {
            probe.on && [CUDA, CUDA_LAUNCH].contains(&probe.name.as_str())
        };
        if let Some(probe) = config.probes.iter_mut().find(is_on) {
            probe.notes.extend(notes);
        }
    }
}

/// The counters of the probes on each CPU.
pub fn stats(kernel: &Kernel) -> Result<Vec<ProbeStats>> {
    Ok(kernel.span_stats()?.iter().map(|cpu| cpu.probes[usize::from(probe::CUDA)]).collect())
}
