//! What is run, and what an operation of it should cost: one list.

use crate::{
    Pattern,
    cuda::{Alloc, Sync},
};

/// One number of a recording; all but the last ones without CUDA's start and for each operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// ioctls on the driver's devices.
    Ioctls,
    /// Calls of a name.
    Calls(&'static str),
    /// Voluntary context switches.
    Switches,
    /// Time on a CPU, a share of the pattern's run time.
    OnCpu,
    /// The busiest interval of GPM.
    GpuBusy,
    /// Kernels that the GPU counted, of those that were launched.
    Kernels,
    /// Launches that hostprof counted, of those that the program made.
    Launches,
    /// The same of graphs.
    GraphLaunches,
    /// The same of its waits for the GPU.
    Waits,
    /// The length of those by hostprof, of that by the program's own clock: that one sees the probes too.
    WaitTime,
    /// Of the waits' time by the program's clock, what hostprof tells as waiting for the GPU on a CPU.
    GpuSync,
}

impl Measure {
    /// What it is, for people.
    pub fn text(self) -> String {
        match self {
            Self::Ioctls => "ioctls per operation".to_owned(),
            Self::Calls(name) => format!("{name} per operation"),
            Self::Switches => "voluntary switches per operation".to_owned(),
            Self::OnCpu => "on a CPU, share of the run time".to_owned(),
            Self::GpuBusy => "GPU busy, the busiest interval (GPM)".to_owned(),
            Self::Kernels => "kernels the GPU counted, per launched".to_owned(),
            Self::Launches => "launches counted, per made".to_owned(),
            Self::GraphLaunches => "graph launches counted, per made".to_owned(),
            Self::Waits => "waits recorded, per made".to_owned(),
            Self::WaitTime => "length of waits, per the program's own".to_owned(),
            Self::GpuSync => "gpu_sync, per the program's own waits".to_owned(),
        }
    }
}

/// The least and the most; `None` where it is told and not judged.
pub type Bounds = Option<(f64, f64)>;

/// A program to record.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: &'static str,
    pub pattern: Pattern,
    pub ops: u64,
    pub sync: Sync,
    pub alloc: Option<Alloc>,
    pub graph: bool,
    /// The pattern's own where `None`.
    pub size: Option<u64>,
    pub expected: Vec<(Measure, Bounds)>,
}

impl Case {
    /// The program's arguments.
    pub fn arguments(&self) -> Vec<String> {
        let mut words = vec![self.pattern.name().to_owned(), "--backend=cuda".to_owned()];
        words.push(format!("--ops={}", self.ops));
        words.push(format!("--sync={}", self.sync));
        words.extend(self.alloc.map(|alloc| format!("--alloc={alloc}")));
        words.extend(self.graph.then(|| "--graph=16".to_owned()));
        words.extend(self.size.map(|size| format!("--size={size}")));
        words
    }
}

/// The arguments of a program that starts CUDA and does nothing.
pub fn start_arguments(sync: Sync) -> Vec<String> {
    let words = [Pattern::SyncHeavy.name().to_owned(), "--backend=cuda".to_owned(), "--ops=0".to_owned()];
    words.into_iter().chain([format!("--sync={sync}")]).collect()
}

/// None, but for a stray call of the driver's own threads.
const NONE: Bounds = Some((-0.01, 0.01));
/// Threads of long runs are moved, and interrupts come.
const ALL_THE_TIME: Bounds = Some((0.9, 1.1));
const EVERY: Bounds = Some((1.0, 1.0));

/// Within a twentieth.
const fn about(number: f64) -> (f64, f64) {
    (number * 0.95, number * 1.05)
}

type Expected = (Measure, Bounds);

fn case(name: &'static str, pattern: Pattern, ops: u64, expected: &[Expected]) -> Case {
    Case {
        name,
        pattern,
        ops,
        sync: Sync::Spin,
        alloc: None,
        graph: false,
        size: None,
        expected: expected.to_vec(),
    }
}

/// Everything that is run, in order.
pub fn cases() -> Vec<Case> {
    [launches(), waits(), allocations()].concat()
}

fn launches() -> Vec<Case> {
    use Measure::{Calls, GpuBusy, GraphLaunches, Ioctls, Kernels, Launches, OnCpu, Switches};
    let few = [
        (Kernels, EVERY),
        (Launches, EVERY),
        (GpuBusy, Some((0.95, 1.0))),
        // A kernel is milliseconds: a few strays would be more than NONE of so few.
        (Ioctls, Some((-0.05, 0.05))),
        (Calls("futex"), Some((-0.1, 0.1))),
        (OnCpu, ALL_THE_TIME),
    ];
    let many = [
        (Kernels, EVERY),
        (Launches, EVERY),
        (Ioctls, Some((-0.001, 0.001))),
        (Calls("futex"), NONE),
        (Switches, NONE),
        (OnCpu, ALL_THE_TIME),
    ];
    let graph =
        [(Kernels, EVERY), (GraphLaunches, EVERY), (Ioctls, NONE), (Calls("futex"), NONE), (Switches, NONE)];
    vec![
        case("compute-heavy", Pattern::ComputeHeavy, 500, &few),
        case("launch-heavy", Pattern::LaunchHeavy, 200_000, &many),
        Case { graph: true, ..case("launch-heavy, graph", Pattern::LaunchHeavy, 20_000, &graph) },
    ]
}

fn waits() -> Vec<Case> {
    use Measure::{Calls, GpuSync, Ioctls, Kernels, Launches, OnCpu, Switches, WaitTime, Waits};
    let waits = |name, sync, ops, expected: &[Expected]| Case {
        sync,
        ..case(name, Pattern::SyncHeavy, ops, expected)
    };
    let spinning = [
        (Kernels, EVERY),
        (Launches, EVERY),
        (Waits, EVERY),
        (WaitTime, None),
        (GpuSync, None),
        (Ioctls, NONE),
        (Calls("futex"), NONE),
        (Switches, NONE),
        (OnCpu, ALL_THE_TIME),
    ];
    // Long beside what the probes take.
    let long = [
        (Kernels, EVERY),
        (Launches, EVERY),
        (Waits, EVERY),
        (WaitTime, Some((0.98, 1.02))),
        (GpuSync, Some((0.95, 1.02))),
        (Ioctls, NONE),
        (OnCpu, ALL_THE_TIME),
    ];
    let yielding = [
        (Kernels, EVERY),
        (Waits, EVERY),
        (Ioctls, NONE),
        (Calls("futex"), NONE),
        (Calls("sched_yield"), None),
    ];
    let blocking = [
        (Kernels, EVERY),
        (Waits, EVERY),
        (GpuSync, None),
        (Ioctls, NONE),
        (Calls("futex"), Some((1.5, 2.5))),
        (Calls("poll"), Some((0.8, 1.5))),
        (Calls("read"), Some((0.8, 1.2))),
        (Calls("write"), Some((0.8, 1.2))),
        (Switches, Some((1.5, 2.5))),
        (OnCpu, None),
    ];
    vec![
        waits("sync-heavy, spin", Sync::Spin, 50_000, &spinning),
        Case { size: Some(200_000), ..waits("sync-heavy, spin, long", Sync::Spin, 4000, &long) },
        waits("sync-heavy, yield", Sync::Yield, 50_000, &yielding),
        waits("sync-heavy, blocking", Sync::Blocking, 20_000, &blocking),
    ]
}

fn allocations() -> Vec<Case> {
    use Measure::{Calls, Ioctls, Switches};
    let pairs = |name, alloc, ops, expected: &[Expected]| Case {
        alloc: Some(alloc),
        ..case(name, Pattern::AllocHeavy, ops, expected)
    };
    let device =
        [(Ioctls, Some(about(7.0))), (Calls("mmap"), Some(about(1.0))), (Calls("munmap"), Some(about(2.0)))];
    let pool = [(Ioctls, NONE), (Calls("mmap"), NONE), (Switches, NONE)];
    let pinned = [(Ioctls, Some(about(5.0))), (Calls("mmap"), None), (Calls("munmap"), None)];
    let vmm = [(Ioctls, None), (Calls("mmap"), None), (Calls("munmap"), None)];
    vec![
        pairs("alloc-heavy, device", Alloc::Device, 2000, &device),
        pairs("alloc-heavy, pool", Alloc::Pool, 20_000, &pool),
        pairs("alloc-heavy, pinned", Alloc::Pinned, 500, &pinned),
        pairs("alloc-heavy, vmm", Alloc::Vmm, 2000, &vmm),
    ]
}
