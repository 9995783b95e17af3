//! Polled sources: what the kernel shows of processes, cgroups, disks and the machine, NVML of GPUs, and inference
//! engines of themselves, read at intervals.
//!
//! A sampler is told which processes the target has now, and yields rows; when it is asked is the collector's
//! matter. Each of its files is parsed by a pure function. What the kernel does not show is null in its
//! column, and where that has a remedy, a note.

mod cgroup;
mod disk;
pub mod engine;
mod file;
mod gpu;
mod host;
mod network;
mod process;

use hostprof_common::socket::SocketBytes;

use self::{cgroup::Cgroups, disk::Disks, file::Reader, host::Host, network::Network, process::Processes};
pub use self::{
    cgroup::Layout as CgroupLayout,
    gpu::{Absent, GpuSamples, Gpus, LEAST_WINDOW as LEAST_GPM_WINDOW},
};
use crate::{
    table::{
        CgroupSampleRow, DiskSampleRow, EngineSampleRow, GpuProcessSampleRow, GpuSampleRow, HostSampleRow,
        ProcessSampleRow, Table as _,
    },
    units::Tgid,
};

/// A kind of sample.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// What it answers, in one line.
    pub question: &'static str,
    /// The files it reads.
    pub files: &'static [&'static str],
    /// The table it fills.
    pub table: &'static str,
}

/// Every kind: documentation comes from it.
pub const SAMPLES: &[Sample] = &[
    Sample {
        question: "What memory and threads has each process of the target, and what CPU time, faults, I/O and \
                   network bytes has it used?",
        files: &["/proc/PID/stat", "/proc/PID/status", "/proc/PID/io"],
        table: ProcessSampleRow::NAME,
    },
    Sample {
        question: "What have the target's cgroups used, and how were they throttled, short of memory, under \
                   pressure?",
        files: &["/proc/PID/cgroup", "cpu.*", "memory.*", "io.*", "cpuacct.*", "blkio.*"],
        table: CgroupSampleRow::NAME,
    },
    Sample {
        question: "How busy is each disk, and how long do its requests take?",
        files: &["/proc/diskstats"],
        table: DiskSampleRow::NAME,
    },
    Sample {
        question: "How busy is the machine, how long is its run queue, what do the hypervisor and interrupts take, \
                   and what is it short of?",
        files: &["/proc/stat", "/proc/loadavg", "/proc/meminfo", "/proc/pressure/*"],
        table: HostSampleRow::NAME,
    },
    Sample {
        question: "How busy is each GPU, and which of its units; what memory, power and clocks has it, and what \
                   holds it back?",
        files: &["libnvidia-ml.so.1"],
        table: GpuSampleRow::NAME,
    },
    Sample {
        question: "What has each process of a GPU?",
        files: &["libnvidia-ml.so.1", "/proc/PID/fd"],
        table: GpuProcessSampleRow::NAME,
    },
    Sample {
        question: "How many requests does the engine run, how many wait, and how full are its caches?",
        files: &["http://HOST:PORT/metrics"],
        table: EngineSampleRow::NAME,
    },
];

/// The rows of one sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Of the processes.
    pub processes: Vec<ProcessSampleRow>,
    /// Of the cgroups.
    pub cgroups: Vec<CgroupSampleRow>,
    /// Of the disks.
    pub disks: Vec<DiskSampleRow>,
    /// Of the machine; none where `/proc` is not mounted.
    pub host: Option<HostSampleRow>,
}

/// All samplers of a recording.
pub struct Sampler {
    reader: Reader,
    processes: Processes,
    cgroups: Cgroups,
    disks: Disks,
    host: Host,
    network: Network,
}

impl Sampler {
    /// Samplers of the running machine.
    pub fn new() -> Self {
        Self {
            reader: Reader::default(),
            processes: Processes::new(),
            cgroups: Cgroups::new(CgroupLayout::read()),
            disks: Disks::new(),
            host: Host::new(),
            network: Network::default(),
        }
    }

    /// Reads everything once. `live` are the target's processes now, sorted; `sockets` what each process of the
    /// target has sent and received, also those that have ended, or `None` where that is not counted. Rows come
    /// in the order of their times.
    pub fn sample(&mut self, live: &[Tgid], sockets: Option<&[(Tgid, SocketBytes)]>) -> Samples {
        let reader = &mut self.reader;
        let host = self.host.sample(reader);
        let disks = self.disks.sample(reader);
        let mut processes = self.processes.sample(reader, live);
        if let Some(sockets) = sockets {
            self.network.fill(&mut processes, sockets);
        }
        let cgroups = self.cgroups.sample(reader, self.processes.memberships());
        Samples { processes, cgroups, disks, host }
    }

    /// What could not be read so far, and why.
    pub fn notes(&self) -> Vec<String> {
        [self.cgroups.note(), self.host.note(), self.processes.note()].into_iter().flatten().collect()
    }
}

impl Default for Sampler {
    fn default() -> Self {
        Self::new()
    }
}
