//! Probes `cuda`, `cuda_launch` and `engine` in a recording: which libraries are probed, when one that comes later was found,
//! and what is noted of it.

use std::{
    collections::{HashMap, HashSet},
    io,
    time::Duration,
};

use anyhow::{Context as _, Result};
use hostprof_common::span::{ProbeStats, SpanStats, probe};

use crate::{
    bpf::{self, Kernel},
    clock,
    humane::{count, duration, plural},
    probe::{
        CUDA, CUDA_LAUNCH, ENGINE, ENGINE_CALLS, ENGINE_MARKS, FunctionProbe, Selection, cuda_probes,
        engine_call, engine_probes,
    },
    recording::Config,
    target::{FileId, Library, Proc, Symbols, is_libcuda},
    units::{MonoNs, Tgid},
};

/// Kernels on which a return probe may end a program that a seccomp filter holds: the probe's own system call is held
/// against the filter. Stable releases of them have it mended, which a version does not tell.
const RETURNS_KILL: std::ops::RangeInclusive<(u32, u32)> = (6, 11)..=(6, 13);

/// How often a process that has a library is looked at again: it may load another one.
const AGAIN: Duration = Duration::from_secs(10);

/// Whose library it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Cuda,
    Engine,
}

impl Kind {
    /// The probes that have its notes: the first of them that is on.
    fn probes(self) -> &'static [&'static str] {
        match self {
            Self::Cuda => &[CUDA, CUDA_LAUNCH],
            Self::Engine => &[ENGINE],
        }
    }

    /// The index of its counters.
    fn counters(self) -> u16 {
        match self {
            Self::Cuda => probe::CUDA,
            Self::Engine => probe::ENGINE,
        }
    }

    /// That there is no library yet, and what to do.
    fn missing(self) -> &'static str {
        match self {
            Self::Cuda => {
                "no libcuda.so.1 is mapped, or where the target's loader looks for one: CUDA's calls are told from up to a \
                 second after one is mapped (install NVIDIA's driver, set LD_LIBRARY_PATH to its folder; in a container \
                 --gpus all)"
            }
            Self::Engine => {
                "no mapped file has llama.cpp's functions (llama_decode): steps are told from up to a second after one is \
                 mapped (run llama.cpp with libllama.so, or a server that is not stripped: other engines have no such \
                 functions)"
            }
        }
    }
}

/// The libraries of a recording that has the probes.
pub struct LibraryProbes {
    proc: Proc,
    kinds: Vec<Kind>,
    launches: bool,
    returns: bool,
    attached: HashSet<FileId>,
    /// Libraries that were refused, told once.
    refused: HashSet<FileId>,
    /// When each process was looked at last, and whether it had a library.
    looked: HashMap<Tgid, (MonoNs, bool)>,
    /// Mapped files that were looked into for an engine's functions, as mappings tell them.
    seen: HashSet<String>,
    /// Calls of an engine that are probed somewhere.
    engine: HashSet<&'static str>,
    /// Of each library: its path, and what is to know of it.
    notes: Vec<(Kind, String)>,
    /// What the user is told at once.
    told: Vec<String>,
}

impl LibraryProbes {
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
        let is_on = |kind: &Kind| kind.probes().iter().any(|name| probes.has(name));
        let kinds: Vec<Kind> = [Kind::Cuda, Kind::Engine].into_iter().filter(is_on).collect();
        if kinds.is_empty() {
            return Ok(None);
        }
        let held = processes.iter().any(|&tgid| proc.has_seccomp(tgid));
        let returns = !RETURNS_KILL.contains(&bpf::kernel_version()?) || !held;
        let mut this = Self {
            proc: proc.clone(),
            kinds: kinds.clone(),
            launches: probes.has(CUDA_LAUNCH),
            returns,
            attached: HashSet::new(),
            refused: HashSet::new(),
            looked: HashMap::new(),
            seen: HashSet::new(),
            engine: HashSet::new(),
            notes: Vec::new(),
            told: Vec::new(),
        };
        if !returns {
            this.say(
                kinds[0],
                "calls are counted and not timed: on Linux 6.11 to 6.13 a return probe may end a program that runs under \
                 seccomp, as this does (run a newer kernel)"
                    .to_owned(),
            );
        }
        let (mut roots, mut found) = (HashSet::new(), Vec::new());
        for &tgid in processes {
            let mapped = this.mapped(tgid).unwrap_or_default();
            this.looked.insert(tgid, (clock::mono(), !mapped.is_empty()));
            let findable = if kinds.contains(&Kind::Cuda) && roots.insert(proc.root_id(tgid)) {
                proc.findable_libcuda(tgid)
            } else {
                Vec::new()
            };
            let findable = findable.into_iter().map(|library| (Kind::Cuda, library));
            for (kind, library) in mapped.into_iter().chain(findable) {
                let attached = this.attach(kernel, kind, &library);
                if attached.with_context(|| format!("run probe {}", kind.probes()[0]))? > 0 {
                    found.push(kind);
                }
            }
        }
        for kind in kinds {
            if !found.contains(&kind) {
                this.say(kind, kind.missing().to_owned());
            }
        }
        Ok(Some(this))
    }

    /// The libraries a process has mapped, of each kind that is asked for; a file is looked into for an engine once.
    fn mapped(&mut self, tgid: Tgid) -> io::Result<Vec<(Kind, Library)>> {
        let [cuda, engine] = [Kind::Cuda, Kind::Engine].map(|kind| self.kinds.contains(&kind));
        let seen = &mut self.seen;
        let mapped = self.proc.mapped_files(tgid, |mapping| {
            (cuda && is_libcuda(mapping.path))
                || (engine
                    && mapping.executable
                    && seen.insert(format!("{} {}", mapping.file, mapping.path.display())))
        })?;
        let kind = |library: &Library| {
            if is_libcuda(&library.path) {
                return cuda.then_some(Kind::Cuda);
            }
            // One that cannot be read has no functions to be probed.
            library.mentions(ENGINE_MARKS).unwrap_or(false).then_some(Kind::Engine)
        };
        Ok(mapped.into_iter().filter_map(|library| Some((kind(&library)?, library))).collect())
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
            let Ok(mapped) = self.mapped(tgid) else { continue };
            self.looked.insert(tgid, (now, !mapped.is_empty()));
            for (kind, library) in mapped {
                if self.attached.contains(&library.id) || !self.refused.insert(library.id) {
                    continue;
                }
                let path = library.path.display().to_string();
                match self.attach(kernel, kind, &library) {
                    Ok(0) => {}
                    Ok(_) => {
                        self.refused.remove(&library.id);
                        let since = before.map_or_else(
                            || "its beginning".to_owned(),
                            |(at, _)| format!("{} before", duration(clock::mono().0.saturating_sub(at.0))),
                        );
                        self.say(
                            kind,
                            format!(
                                "{path}: process {tgid} mapped it after the start; its calls until then, from {since}, are \
                                 not seen"
                            ),
                        );
                    }
                    Err(error) => self.say(
                        kind,
                        format!(
                            "{path}: process {tgid} mapped it after the start, and its calls are not seen: {error:#} \
                             (record as root itself, or once it is mapped)"
                        ),
                    ),
                }
            }
        }
    }

    /// What the user is to be told since the last time.
    pub fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    fn say(&mut self, kind: Kind, note: String) {
        self.told.push(format!("{}: {note}", kind.probes()[0]));
        self.notes.push((kind, note));
    }

    /// Probes a library; yields at how many functions.
    fn attach(&mut self, kernel: &mut Kernel, kind: Kind, library: &Library) -> Result<usize> {
        if !self.attached.insert(library.id) {
            return Ok(0);
        }
        let path = library.path.display();
        let probes = match self.functions(kind, library) {
            Ok(probes) => probes,
            // A damaged file, or one for another machine, which nothing here can load.
            Err(error) => {
                self.notes.push((kind, format!("{path}: not probed: {error}")));
                return Ok(0);
            }
        };
        // One that uses an engine that is elsewhere.
        if kind == Kind::Engine && probes.is_empty() {
            return Ok(0);
        }
        let attached = kernel.attach_functions(&library.file, &probes, self.returns);
        if let Err(error) = attached {
            self.attached.remove(&library.id);
            return Err(error.into());
        }
        self.notes.push((kind, format!("{path}: {} probed", plural(probes.len() as u64, "function"))));
        Ok(probes.len())
    }

    /// The functions of a library that are to be probed.
    fn functions(&mut self, kind: Kind, library: &Library) -> io::Result<Vec<FunctionProbe>> {
        let dynamic = library.functions(Symbols::Dynamic)?;
        let dynamic = dynamic.iter().map(|(name, offset)| (name.as_str(), *offset));
        if kind == Kind::Cuda {
            return Ok(cuda_probes(dynamic, self.launches));
        }
        let name = |probe: &FunctionProbe| Some(engine_call(probe.cookie.call)?.name);
        let mut probes = engine_probes(dynamic);
        self.engine.extend(probes.iter().filter_map(name));
        // To read all symbols of a large library takes a while.
        if ENGINE_CALLS.iter().any(|call| !self.engine.contains(call.name)) {
            let all = library.functions(Symbols::Static)?;
            let more = engine_probes(all.iter().map(|(name, offset)| (name.as_str(), *offset)));
            let known: HashSet<u64> = probes.iter().map(|probe| probe.offset).collect();
            probes.extend(more.into_iter().filter(|probe| !known.contains(&probe.offset)));
            self.engine.extend(probes.iter().filter_map(name));
        }
        Ok(probes)
    }

    /// Notes in `config.json` what was probed, and what is counted and no row. `stats` are the counters of each CPU.
    pub fn note(&self, config: &mut Config, stats: &[SpanStats]) {
        for &kind in &self.kinds {
            let sum = |of: fn(&ProbeStats) -> u64| -> u64 {
                stats.iter().map(|cpu| of(&cpu.probes[usize::from(kind.counters())])).sum()
            };
            let own = self.notes.iter().filter(|(of, _)| *of == kind).map(|(_, note)| note.clone());
            let mut notes: Vec<String> = own.collect();
            notes.extend(self.unprobed().filter(|_| kind == Kind::Engine));
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
                probe.on && kind.probes().contains(&probe.name.as_str())
            };
            if let Some(probe) = config.probes.iter_mut().find(is_on) {
                probe.notes.extend(notes);
            }
        }
    }

    /// The calls of an engine that no mapped file has, where others are.
    fn unprobed(&self) -> Option<String> {
        let missing: Vec<&str> =
            ENGINE_CALLS.iter().map(|call| call.name).filter(|name| !self.engine.contains(name)).collect();
        (!self.engine.is_empty() && !missing.is_empty()).then(|| {
            format!(
                "not seen, since no mapped file has their symbols: {} (do not strip the server)",
                missing.join(", ")
            )
        })
    }
}
