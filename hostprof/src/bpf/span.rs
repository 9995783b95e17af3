//! The hooks of system calls: which one this kernel allows, attaching it, and what it has counted.
//!
//! Three kinds, tried in this order, since each costs the rest of the machine more than the one before:
//! programs at the functions of the calls (nothing), at the calls' own tracepoints (the slow path for every
//! call), at the tracepoints of every call (a program for every call).

use std::path::Path;

use aya::{
    Btf, Ebpf,
    maps::{Array, HashMap, MapData, PerCpuHashMap},
    programs::{FEntry, FExit, Program, TracePoint},
};
use hostprof_common::span::{CallCounts, CountKey, DEVICE_RANGES, Filter, Open, SpanStats, state};

use super::{
    error::{LoadError, broken, refused},
    load::{program, take},
    nvidia::NvidiaSettings,
};

/// Where the kernel's tracing files are, or may be.
const TRACING: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// The tracepoints of every call, in the order they are attached.
const EVERY: [&str; 2] = ["sys_exit", "sys_enter"];

/// Pairs of process and call that may be counted where memory was not to be had just then: a kibibyte each.
pub(super) const SPARE_COUNTS: u32 = 1024;

/// The kernel's function of a call.
fn function(call: &str) -> String {
    format!("__x64_sys_{call}")
}

/// Which system calls become records, or are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a probe of its own, on or off")]
pub struct SpanSettings {
    /// Ioctls on [`Self::devices`].
    pub ioctl: bool,
    /// Calls that change the address space.
    pub memory: bool,
    /// Futex calls.
    pub futex: bool,
    /// Every call, a record each.
    pub rows: bool,
    /// Every call, counted.
    pub counts: bool,
    /// Calls of libraries' functions, which are no system calls.
    pub functions: bool,
    /// First and last number of each range of selected devices.
    pub devices: Vec<(u32, u32)>,
    /// Futex calls shorter than this become no record.
    pub futex_threshold_ns: u64,
    /// Of the ioctls, those of the NVIDIA driver.
    pub nvidia: NvidiaSettings,
}

impl SpanSettings {
    /// Whether there is anything to do.
    pub fn any(&self) -> bool {
        self.ioctl || self.memory || self.futex || self.rows || self.counts || self.functions
    }

    /// The calls that are traced by name.
    fn calls(&self) -> Vec<&'static str> {
        let mut calls = Vec::new();
        if self.ioctl {
            calls.push("ioctl");
        }
        if self.memory {
            calls.extend(["mmap", "munmap", "mremap", "mprotect", "madvise", "brk"]);
        }
        if self.futex {
            calls.push("futex");
        }
        calls
    }

    /// What the kernel half is told.
    pub(super) fn filter(&self) -> Result<Filter, LoadError> {
        if self.devices.len() > DEVICE_RANGES {
            return Err(LoadError::TooManyDevices(self.devices.len()));
        }
        let mut filter = Filter {
            futex_threshold_ns: self.futex_threshold_ns,
            ioctl: self.ioctl.into(),
            memory: self.memory.into(),
            futex: self.futex.into(),
            rows: self.rows.into(),
            counts: self.counts.into(),
            any: self.any().into(),
            ranges: self.devices.len() as u32,
            functions: self.functions.into(),
            ..Filter::NONE
        };
        for (range, &(first, last)) in filter.devices.iter_mut().zip(&self.devices) {
            *range = [first, last];
        }
        Ok(filter)
    }
}

/// A kind of hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanHook {
    /// fentry and fexit of the calls' functions.
    Function,
    /// The calls' own tracepoints.
    Named,
    /// The tracepoints of every call.
    Every,
}

impl SpanHook {
    /// What it is, in the kernel's words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Function => "fentry and fexit of __x64_sys_*",
            Self::Named => "tracepoints syscalls:sys_enter_* and sys_exit_*",
            Self::Every => "tp_btf sys_enter and sys_exit",
        }
    }

    /// What the rest of the machine pays for it.
    pub fn bystander_cost(self) -> &'static str {
        match self {
            Self::Function => {
                "nothing on other system calls; two filtered programs on a call of the same name"
            }
            Self::Named => {
                "the kernel's slow path on every system call (a bare one takes 1.3 times as long), and two filtered programs on a call of the same name"
            }
            Self::Every => {
                "the kernel's slow path and two filtered programs on every system call (a bare one takes 1.9 times as long)"
            }
        }
    }
}

/// The hook that is attached, its counters, and the hooks that were refused before.
pub struct Spans {
    calls: Vec<&'static str>,
    every: bool,
    hook: Option<SpanHook>,
    programs: Vec<String>,
    refused: Vec<String>,
    stats: Array<MapData, SpanStats>,
    open: Array<MapData, Open>,
    counts: PerCpuHashMap<MapData, CountKey, CallCounts>,
    spare: HashMap<MapData, CountKey, CallCounts>,
}

impl Spans {
    pub(super) fn new(ebpf: &mut Ebpf, settings: &SpanSettings) -> Result<Self, LoadError> {
        Ok(Self {
            calls: settings.calls(),
            every: settings.rows || settings.counts,
            hook: None,
            programs: Vec::new(),
            refused: Vec::new(),
            stats: take(ebpf, "SPAN_STATS")?,
            open: take(ebpf, "OPEN")?,
            counts: take(ebpf, "CALL_COUNTS")?,
            spare: take(ebpf, "SPARE_COUNTS")?,
        })
    }

    /// The hook that is attached; `None` where no call is traced.
    pub fn hook(&self) -> Option<SpanHook> {
        self.hook
    }

    /// Why a hook that costs bystanders less is not used.
    pub fn refused(&self) -> &[String] {
        &self.refused
    }

    /// The tracepoints whose programs may be loaded.
    pub(super) fn tracepoints(&self) -> &'static [&'static str] {
        if self.calls.is_empty() && !self.every { &[] } else { &EVERY }
    }

    /// The functions whose programs may be loaded.
    pub(super) fn functions(&self) -> Vec<String> {
        if self.every { Vec::new() } else { self.calls.iter().map(|call| function(call)).collect() }
    }

    /// Attaches the first hook that the kernel allows.
    pub(super) fn attach(&mut self, ebpf: &mut Ebpf, btf: &Btf) -> Result<(), LoadError> {
        if self.calls.is_empty() && !self.every {
            return Ok(());
        }
        let mut hooks = vec![SpanHook::Every];
        if !self.every {
            hooks = vec![SpanHook::Function, SpanHook::Named, SpanHook::Every];
        }
        for hook in hooks {
            match self.try_hook(ebpf, btf, hook) {
                Ok(()) => {
                    self.hook = Some(hook);
                    return Ok(());
                }
                Err(error) => {
                    self.detach(ebpf)?;
                    self.refused.push(match error {
                        // Not for want of a capability: the switches' programs are attached by now.
                        LoadError::NotPermitted { action, .. } => {
                            format!("{action}: operation not permitted")
                        }
                        error => error.to_string(),
                    });
                }
            }
        }
        Err(LoadError::NoSpanHook(self.refused.join("; ")))
    }

    fn try_hook(&mut self, ebpf: &mut Ebpf, btf: &Btf, hook: SpanHook) -> Result<(), LoadError> {
        match hook {
            SpanHook::Function => self.attach_functions(ebpf, btf),
            SpanHook::Named => self.attach_named(ebpf),
            SpanHook::Every => self.attach_every(ebpf, btf),
        }
    }

    fn attach_functions(&mut self, ebpf: &mut Ebpf, btf: &Btf) -> Result<(), LoadError> {
        for call in self.calls.clone() {
            let function = function(call);
            // The exit first: an enter without one would be counted as a call that never returned.
            let name = self.used(format!("fexit_{call}"));
            let at = || format!("attach fexit/{function}");
            let exit: &mut FExit = of_kind(ebpf, &name)?;
            exit.load(&function, btf).map_err(|error| refused(&at(), &error))?;
            exit.attach().map_err(|error| refused(&at(), &error))?;
            let name = self.used(format!("fentry_{call}"));
            let at = || format!("attach fentry/{function}");
            let enter: &mut FEntry = of_kind(ebpf, &name)?;
            enter.load(&function, btf).map_err(|error| refused(&at(), &error))?;
            enter.attach().map_err(|error| refused(&at(), &error))?;
        }
        Ok(())
    }

    fn attach_named(&mut self, ebpf: &mut Ebpf) -> Result<(), LoadError> {
        if !TRACING.iter().any(|folder| Path::new(folder).join("events/syscalls").is_dir()) {
            return Err(LoadError::NoTracefs);
        }
        for (name, side) in [("sys_exit_named", "exit"), ("sys_enter_named", "enter")] {
            let name = self.used(name.to_owned());
            let program: &mut TracePoint = of_kind(ebpf, &name)?;
            program.load().map_err(|error| refused(&format!("load tracepoint/{name}"), &error))?;
            for call in &self.calls {
                let event = format!("sys_{side}_{call}");
                program
                    .attach("syscalls", &event)
                    .map_err(|error| refused(&format!("attach tracepoint/syscalls:{event}"), &error))?;
            }
        }
        Ok(())
    }

    fn attach_every(&mut self, ebpf: &mut Ebpf, btf: &Btf) -> Result<(), LoadError> {
        for name in EVERY {
            self.used(name.to_owned());
            let program = program(ebpf, name)?;
            program.load(name, btf).map_err(|error| refused(&format!("load tp_btf/{name}"), &error))?;
            program.attach().map_err(|error| refused(&format!("attach tp_btf/{name}"), &error))?;
        }
        Ok(())
    }

    /// Notes a program that may be loaded from here on.
    fn used(&mut self, name: String) -> String {
        self.programs.push(name.clone());
        name
    }

    /// Detaches what is attached, enters before exits: a call that is seen to begin may still end.
    pub(super) fn detach(&mut self, ebpf: &mut Ebpf) -> Result<(), LoadError> {
        while let Some(name) = self.programs.pop() {
            let unloaded = match ebpf.program_mut(&name) {
                Some(Program::FEntry(program)) => program.unload(),
                Some(Program::FExit(program)) => program.unload(),
                Some(Program::TracePoint(program)) => program.unload(),
                Some(Program::BtfTracePoint(program)) => program.unload(),
                _ => return Err(broken("a hook of system calls")),
            };
            match unloaded {
                // It was refused before it was loaded.
                Ok(()) | Err(aya::programs::ProgramError::NotLoaded) => {}
                Err(error) => return Err(refused("detach", &error)),
            }
        }
        Ok(())
    }

    /// The names of the programs that are loaded.
    pub(super) fn programs(&self) -> &[String] {
        &self.programs
    }

    /// The counters of each CPU.
    pub(super) fn stats(&self) -> Result<Vec<SpanStats>, LoadError> {
        (0..self.stats.len())
            .map(|cpu| self.stats.get(&cpu, 0).map_err(|error| refused("read the counters of calls", &error)))
            .collect()
    }

    /// The call that the thread of a slot is in, if that is to become a record.
    pub(super) fn open(&self, index: u32, utid: u32) -> Result<Option<Open>, LoadError> {
        if self.hook.is_none() || index >= self.open.len() {
            return Ok(None);
        }
        let open = self.open.get(&index, 0).map_err(|error| refused("read the open calls", &error))?;
        Ok((open.state == state::RECORD && open.utid == utid).then_some(open))
    }

    /// The calls counted so far, all CPUs together.
    pub(super) fn counts(&self) -> Result<Vec<(CountKey, CallCounts)>, LoadError> {
        let mut counts = sums(&self.counts)?;
        // There are few, if any.
        for spare in &self.spare {
            let (key, spare) = spare.map_err(|error| refused("read the counts of calls", &error))?;
            match counts.iter_mut().find(|(known, _)| *known == key) {
                Some((_, sum)) => add(sum, &spare),
                None => counts.push((key, spare)),
            }
        }
        Ok(counts)
    }
}

/// Counts of calls, all CPUs together.
pub(super) fn sums(
    map: &PerCpuHashMap<MapData, CountKey, CallCounts>,
) -> Result<Vec<(CountKey, CallCounts)>, LoadError> {
    let failed = |error| refused("read the counts of calls", &error);
    let mut counts = Vec::new();
    for key in map.keys() {
        let key = key.map_err(failed)?;
        // One that is gone meanwhile is no loss: none is ever removed.
        let Ok(cpus) = map.get(&key, 0) else { continue };
        let mut sum = CallCounts::ZERO;
        cpus.iter().for_each(|cpu| add(&mut sum, cpu));
        counts.push((key, sum));
    }
    Ok(counts)
}

fn add(sum: &mut CallCounts, more: &CallCounts) {
    for bucket in 0..sum.count.len() {
        sum.count[bucket] += more.count[bucket];
        sum.total_ns[bucket] += more.total_ns[bucket];
    }
}

fn of_kind<'a, T>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut T, LoadError>
where
    &'a mut T: TryFrom<&'a mut Program>,
{
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or_else(|| broken("a hook of system calls"))
}
