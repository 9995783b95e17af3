//! Loading the kernel half and attaching it.

use std::{
    fs::File,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    thread,
};

use aya::{
    Btf, Ebpf, EbpfLoader, TestRun as _,
    maps::{Array, Map, MapData, RingBuf},
    programs::{BtfTracePoint, Program, RawTracePoint, RawTracePointRunOptions},
};
use hostprof_common::{
    function::{Open as OpenFunction, lane},
    http::HttpStats,
    layout::KernelLayout,
    ring::Cell,
    shed::Tallies,
    slot::{Slot, adopt},
    span::{CallCounts, CountKey, Open, SpanStats},
    stats::CpuStats,
};

use super::{
    btf::{self, KernelBtf},
    cost::Cost,
    error::{LoadError, broken, refused},
    function::Functions,
    http::{self, Http},
    layout,
    log::KernelLog,
    programs::{load_programs, programs_for},
    ring::CellRing,
    slots::Slots,
    sockets::Sockets,
    span::{self, SpanSettings, Spans},
    support,
};
use crate::{
    clock,
    probe::{FunctionProbe, NETWORK},
    units::{MonoNs, Tgid, Tid},
};

/// The kernel half, as `cargo xtask build` left it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("HOSTPROF_EBPF_OBJECT"));

/// The ring of thread records. A fork storm of 10 000 threads a second fills it in 1.5 s.
pub const THREAD_RING_BYTES: u32 = 2 << 20;
/// The ring of records that have no room in a cell, where there can be any: of connections and of the NVIDIA driver's calls.
const LONG_RING_BYTES: u32 = 16 << 20;
/// The smallest ring there is.
const NO_RING_BYTES: u32 = 4096;

/// How often the kernel half is looked at, 5 ms apart, until it is quiet.
const QUIET_TRIES: u32 = 2000;

/// The programs that make the target set, in the order they are attached: forks are followed before the
/// first thread is in the set.
pub(super) const LIFECYCLE: &[&str] = &["sched_process_fork", "sched_process_exec", "task_rename"];

/// The program that is run and not attached.
pub(super) const ADOPT: &str = "adopt";

/// How the kernel half is to run.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a probe of its own, on or off")]
pub struct Settings {
    /// The most bytes of each CPU's ring of episodes and spans, a page at least.
    pub ring_bytes: u32,
    /// The most threads recorded at a time.
    pub slots: u32,
    /// Whether to attach `sched_waking`, which tells who wakes whom.
    pub wakers: bool,
    /// Whether to count the machine's run-queue latency.
    pub host_runqueue: bool,
    /// Whether to count what processes send and receive, where the kernel tells.
    pub network: bool,
    /// Whether to follow the connections of the target's HTTP servers, where the kernel tells.
    pub http: bool,
    /// Whether a ceiling is set on what the programs cost.
    pub ceiling: bool,
    /// Which system calls to trace.
    pub spans: SpanSettings,
}

impl Settings {
    /// Cells of a CPU, by their binary logarithm: as many as its ring has room for, a power of two.
    pub fn ring_shift(&self) -> u32 {
        (self.ring_bytes as usize / size_of::<Cell>()).ilog2()
    }

    /// Bytes of those cells.
    pub fn cell_bytes(&self) -> u64 {
        (size_of::<Cell>() as u64) << self.ring_shift()
    }
}

/// A ring buffer of the kernel's.
pub type Ring = RingBuf<MapData>;

/// The loaded kernel half.
pub struct Kernel {
    ebpf: Ebpf,
    /// What it was told of the running kernel.
    pub layout: KernelLayout,
    programs: Vec<&'static str>,
    /// Probes that this kernel does not offer, and why.
    left_out: Vec<(&'static str, String)>,
    sockets: Option<Sockets>,
    http: Http,
    slots: Slots,
    stats: Array<MapData, CpuStats>,
    btf: Btf,
    spans: Spans,
    functions: Functions,
    cost: Option<Cost>,
    /// Runs that the kernel skipped of programs that are detached: as [`Kernel::recursion_misses`].
    skipped: (u64, u64),
}

/// The rings, each for one consumer.
pub struct Rings {
    /// Episodes and spans, by CPU.
    pub cells: Vec<CellRing>,
    /// Thread records.
    pub threads: Ring,
    /// Records that have no room in a cell.
    pub long: Ring,
}

/// What became of a thread that was to be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// It is recorded from now on.
    Adopted,
    /// It already was.
    Known,
    /// All slots are taken.
    Full,
    /// The ring of thread records had no room just now.
    Busy,
}

impl Kernel {
    /// Loads the programs; attaches nothing.
    ///
    /// # Errors
    ///
    /// See [`LoadError`]: each says its remedy.
    pub fn load(settings: &Settings) -> Result<(Self, Rings), LoadError> {
        let version = support::kernel_version()?;
        support::in_initial_pid_namespace()?;
        // A loader reads all of the kernel's types, whether they are needed or not: that it does beside the rest.
        let loader = thread::spawn(EbpfLoader::new);
        let types = btf::read()?;
        let kernel_btf = KernelBtf::parse(&types)?;
        let pid_max = support::pid_max()?;
        let cpus = support::possible_cpus()?;
        let nvidia = settings.spans.nvidia.settings();
        let any_long = settings.http || nvidia.any != 0;
        let long_ring_bytes = if any_long { LONG_RING_BYTES } else { NO_RING_BYTES };
        let layout = KernelLayout {
            tids: pid_max + 1,
            ring_shift: settings.ring_shift(),
            thread_ring_bytes: u64::from(THREAD_RING_BYTES),
            long_ring_bytes: u64::from(long_ring_bytes),
            host_runqueue: u32::from(settings.host_runqueue),
            slots: settings.slots,
            ceiling: u32::from(settings.ceiling),
            ..layout::read(&kernel_btf, version)?
        };
        let filter = settings.spans.filter()?;
        let mut loader = loader.join().map_err(|_| broken("loader"))?;
        let mut ebpf = loader
            // Rust's programs have no relocations for it.
            .btf(None)
            .override_global("LAYOUT", &layout, true)
            .override_global("FILTER", &filter, true)
            .override_global("NVIDIA", &nvidia, true)
            .map_max_entries("CELLS", cpus << layout.ring_shift)
            .map_max_entries("RING_HEADS", cpus)
            .map_max_entries("RING_TAILS", cpus)
            .map_max_entries("LONG_RECORDS", long_ring_bytes)
            .map_max_entries("THREADS", THREAD_RING_BYTES)
            .map_max_entries("TIDS", layout.tids)
            .map_max_entries("SLOTS", settings.slots + 1)
            .map_max_entries("FREE_SLOTS", settings.slots)
            .map_max_entries("SLOT_BY_START", settings.slots)
            .map_max_entries("STATS", cpus)
            .map_max_entries("SOCKET_BYTES", settings.slots)
            .map_max_entries("CONNECTIONS", if settings.http { http::CONNECTIONS } else { 1 })
            .map_max_entries("HTTP_STATS", cpus)
            .map_max_entries("OPEN", if settings.spans.any() { settings.slots + 1 } else { 1 })
            .map_max_entries(
                "FUNCTION_OPEN",
                if settings.spans.functions { (settings.slots + 1) * lane::COUNT } else { 1 },
            )
            .map_max_entries("NVIDIA_OPEN", if nvidia.any != 0 { settings.slots + 1 } else { 1 })
            .map_max_entries("SPAN_STATS", cpus)
            .map_max_entries("SPARE_COUNTS", if settings.spans.counts { span::SPARE_COUNTS } else { 1 })
            .map_max_entries("COUNTED", if settings.ceiling { settings.slots + 1 } else { 1 })
            .load(OBJECT)
            .map_err(|error| refused("load the maps", &error))?;

        // Before any map is taken.
        let functions = Functions::relocated(OBJECT, &ebpf, settings.spans.functions)?;
        let rings = Rings {
            cells: CellRing::open(map(&ebpf, "CELLS")?, map(&ebpf, "RING_TAILS")?, cpus, layout.ring_shift)
                .map_err(|error| refused("map the rings", &error))?,
            threads: take(&mut ebpf, "THREADS")?,
            long: take(&mut ebpf, "LONG_RECORDS")?,
        };
        let slots = Slots::new(take(&mut ebpf, "SLOTS")?, take(&mut ebpf, "GIVEN_OUT")?);
        let stats = take(&mut ebpf, "STATS")?;
        let sockets = take(&mut ebpf, "SOCKET_BYTES").map(Sockets::new)?;
        let http = Http::new(&mut ebpf)?;
        let spans = Spans::new(&mut ebpf, &settings.spans)?;
        settings.spans.nvidia.tell(&mut ebpf)?;
        let functions = Functions::new(&mut ebpf, functions.as_ref(), settings.spans.functions)?;

        let cost = settings.ceiling.then(|| Cost::new(&mut ebpf)).transpose()?;
        let (programs, left_out) = programs_for(settings, &kernel_btf, &layout);
        let counts_bytes = settings.network && !left_out.iter().any(|(probe, _)| *probe == NETWORK);
        let sockets = Some(sockets).filter(|_| counts_bytes);
        for tracepoint in programs.iter().copied().map(http::tracepoint) {
            if kernel_btf.tracepoint_args(tracepoint).is_none() {
                return Err(LoadError::NoTracepoint(tracepoint));
            }
        }
        let mut tracepoints: Vec<_> = programs.iter().copied().map(http::tracepoint).collect();
        tracepoints.extend(spans.tracepoints());
        let btf = kernel_btf.for_programs(&tracepoints, &spans.functions())?;
        load_programs(&mut ebpf, &programs, &btf)?;
        let kernel = Self {
            ebpf,
            layout,
            programs,
            left_out,
            sockets,
            http,
            slots,
            stats,
            btf,
            spans,
            functions,
            cost,
            skipped: (0, 0),
        };
        Ok((kernel, rings))
    }

    /// The probes that were asked for and that this kernel does not offer, and why.
    pub fn left_out(&self) -> &[(&'static str, String)] {
        &self.left_out
    }

    /// What processes send and receive; `None` where that is not counted, or was taken before.
    pub fn take_sockets(&mut self) -> Option<Sockets> {
        self.sockets.take()
    }

    /// Attaches every loaded program. The target set is empty until [`Kernel::adopt`].
    ///
    /// # Errors
    ///
    /// The kernel refuses one; those attached before are detached when `self` is dropped.
    pub fn attach(&mut self) -> Result<(), LoadError> {
        for &name in &self.programs {
            program(&mut self.ebpf, name)?
                .attach()
                .map_err(|error| refused(&format!("attach tp_btf/{}", http::tracepoint(name)), &error))?;
        }
        // After the switches, and detached before them: a call's time off the CPU is what they tell.
        self.spans.attach(&mut self.ebpf, &self.btf)?;
        let Some(cost) = &mut self.cost else { return Ok(()) };
        let names = self.programs.iter().copied().chain(self.spans.programs().iter().map(String::as_str));
        for name in names {
            // One of system calls that was refused is not loaded.
            let Some(Ok(fd)) = self.ebpf.program(name).map(Program::fd) else { continue };
            let fd = fd.as_fd().try_clone_to_owned();
            cost.watch(fd.map_err(|source| LoadError::Io { action: "keep a program open", source })?);
        }
        let of_functions = self.functions.programs(&self.ebpf);
        of_functions
            .map_err(|source| LoadError::Io { action: "keep a program open", source })?
            .into_iter()
            .for_each(|program| cost.watch(program));
        Ok(())
    }

    /// What the programs cost; `None` where no ceiling is set.
    pub fn cost(&mut self) -> Option<&mut Cost> {
        self.cost.as_mut()
    }

    /// What is counted of these threads and was not handed over.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn tallies(&self, slots: &[Slot]) -> Result<Vec<Tallies>, LoadError> {
        self.cost.as_ref().map_or(Ok(Vec::new()), |cost| cost.tallies(slots))
    }

    /// The hooks of system calls.
    pub fn spans(&self) -> &Spans {
        &self.spans
    }

    /// Attaches probes at the functions of a library. With no `returns` calls are counted and not timed.
    ///
    /// # Errors
    ///
    /// The kernel refuses one.
    pub fn attach_functions(
        &mut self,
        library: &File,
        probes: &[FunctionProbe],
        returns: bool,
    ) -> Result<(), LoadError> {
        self.functions.attach(&mut self.ebpf, library, probes, returns)
    }

    /// Ends the recording of calls of functions; yields when, and those that are open then, each with its thread.
    ///
    /// # Errors
    ///
    /// A map cannot be read or written.
    pub fn end_functions(&mut self) -> Result<(MonoNs, Vec<(Slot, OpenFunction)>), LoadError> {
        self.functions.freeze()?;
        let at = clock::mono();
        let mut open = Vec::new();
        if self.functions.is_on() {
            for slot in self.slots.read()? {
                open.extend(self.functions.open(&slot)?.into_iter().map(|call| (slot, call)));
            }
        }
        Ok((at, open))
    }

    /// Calls of functions counted so far.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn function_counts(&self) -> Result<Vec<(CountKey, CallCounts)>, LoadError> {
        self.functions.counts()
    }

    /// Detaches the programs of system calls, and of functions.
    ///
    /// # Errors
    ///
    /// As for [`Kernel::detach`].
    pub fn detach_spans(&mut self) -> Result<(), LoadError> {
        let calls = self.kept(self.spans.programs().iter().map(String::as_str));
        self.spans.detach(&mut self.ebpf)?;
        self.skipped.1 += misses(&calls).unwrap_or(0);
        self.functions.detach(&mut self.ebpf)
    }

    /// Detaches every program: nothing is recorded after this returns, and slots stay readable.
    ///
    /// # Errors
    ///
    /// The kernel refuses, which it does not.
    pub fn detach(&mut self) -> Result<(), LoadError> {
        self.detach_spans()?;
        let programs = self.kept(self.programs.iter().copied());
        for name in std::mem::take(&mut self.programs) {
            program(&mut self.ebpf, name)?.unload().map_err(|error| refused("detach", &error))?;
        }
        self.skipped.0 += misses(&programs).unwrap_or(0);
        // The kernel detaches a little later, and a program may be running meanwhile: what it still writes
        // must be read with the rest.
        let switches =
            |kernel: &Self| kernel.stats().map(|cpus| cpus.iter().map(|cpu| cpu.switches).sum::<u64>());
        let mut before = switches(self)?;
        for _ in 0..QUIET_TRIES {
            thread::sleep(std::time::Duration::from_millis(5));
            let now = switches(self)?;
            if now == before {
                break;
            }
            before = now;
        }
        Ok(())
    }

    /// Detaches, if the programs have stopped recording by themselves. To be called now and then as long as nobody waits
    /// for their alarm: they go on to cost.
    ///
    /// # Errors
    ///
    /// As for [`Kernel::detach`].
    pub fn heed_end(&mut self) -> Result<(), LoadError> {
        let ended = self.cost.as_ref().map_or(Ok(0), Cost::ended)?;
        if ended != 0 && !self.programs.is_empty() { self.detach() } else { Ok(()) }
    }

    /// Puts a thread into the target set.
    ///
    /// # Errors
    ///
    /// The kernel refuses to run the program.
    pub fn adopt(&mut self, tid: Tid, tgid: Tgid) -> Result<Adoption, LoadError> {
        let mut options = RawTracePointRunOptions::new();
        options.args[0] = u64::from(tid.0);
        options.args[1] = u64::from(tgid.0);
        let answer = adopter(&mut self.ebpf)?
            .test_run(options)
            .map_err(|error| refused("run raw_tp/adopt", &error))?;
        self.heed_end()?;
        match answer.return_value {
            adopt::ADOPTED => Ok(Adoption::Adopted),
            adopt::KNOWN => Ok(Adoption::Known),
            adopt::FULL => Ok(Adoption::Full),
            adopt::BUSY => Ok(Adoption::Busy),
            answer => Err(LoadError::Kernel {
                action: format!("record thread {tid}"),
                cause: format!(
                    "the adopt program answered {answer} (tid beyond pid_max {}?)",
                    self.layout.tids - 1
                ),
            }),
        }
    }

    /// The counters of each CPU.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn stats(&self) -> Result<Vec<CpuStats>, LoadError> {
        (0..self.stats.len())
            .map(|cpu| self.stats.get(&cpu, 0).map_err(|error| refused("read the counters", &error)))
            .collect()
    }

    /// What each CPU has counted of system calls.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn span_stats(&self) -> Result<Vec<SpanStats>, LoadError> {
        self.spans.stats()
    }

    /// A server of the target listens on a port.
    ///
    /// # Errors
    ///
    /// The map cannot be written.
    pub fn listens(&mut self, port: u16) -> Result<(), LoadError> {
        self.http.listens(port)
    }

    /// What was counted of connections.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn http_stats(&self) -> Result<HttpStats, LoadError> {
        self.http.stats()
    }

    /// The system calls counted so far.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn call_counts(&self) -> Result<Vec<(CountKey, CallCounts)>, LoadError> {
        self.spans.counts()
    }

    /// The calls that these threads are in and that were to become records.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn open_calls(&self, slots: &[Slot]) -> Result<Vec<Open>, LoadError> {
        slots.iter().filter_map(|slot| self.spans.open(slot.index, slot.utid).transpose()).collect()
    }

    /// The threads that are recorded now, as the kernel half keeps them.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn slots(&self) -> Result<Vec<Slot>, LoadError> {
        self.slots.read()
    }

    /// The same, to be read by another thread.
    pub fn slot_reader(&self) -> Slots {
        self.slots.clone()
    }

    /// How often the kernel skipped a program because it was running already: what it would have seen is
    /// lost. Of the programs of switches and threads, and of those of system calls. `None` where the kernel
    /// does not tell.
    pub fn recursion_misses(&self) -> Option<(u64, u64)> {
        let calls = self.kept(self.spans.programs().iter().map(String::as_str));
        let switches = self.kept(self.programs.iter().copied());
        Some((self.skipped.0 + misses(&switches)?, self.skipped.1 + misses(&calls)?))
    }

    /// Holds programs, which then can be asked after they are detached.
    fn kept<'a>(&self, programs: impl Iterator<Item = &'a str>) -> Vec<OwnedFd> {
        let held = |name| self.ebpf.program(name)?.fd().ok()?.as_fd().try_clone_to_owned().ok();
        programs.filter_map(held).collect()
    }

    /// What the kernel half logs; `None` where that was taken before.
    pub fn log(&mut self) -> Option<KernelLog> {
        KernelLog::open(&mut self.ebpf)
    }
}

/// How often the kernel skipped these programs.
fn misses(programs: &[OwnedFd]) -> Option<u64> {
    let mut misses = 0;
    for program in programs {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_raw_fd())).ok()?;
        let line = info.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?;
        misses += line.trim().parse::<u64>().ok()?;
    }
    Some(misses)
}

fn map<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<&'a Map, LoadError> {
    ebpf.map(name).ok_or_else(|| broken(name))
}

pub(super) fn take<T: TryFrom<Map, Error = aya::maps::MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<T, LoadError> {
    let map = ebpf.take_map(name).ok_or_else(|| broken(name))?;
    T::try_from(map).map_err(|error| refused("open a map", &error))
}

pub(super) fn program<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut BtfTracePoint, LoadError> {
    ebpf.program_mut(name).and_then(|program| program.try_into().ok()).ok_or_else(|| broken(name))
}

fn adopter(ebpf: &mut Ebpf) -> Result<&mut RawTracePoint, LoadError> {
    ebpf.program_mut(ADOPT).and_then(|program| program.try_into().ok()).ok_or_else(|| broken(ADOPT))
}
