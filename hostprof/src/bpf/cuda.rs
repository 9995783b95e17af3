//! The probes at functions of CUDA's driver library: attaching them, and what was counted.

use std::{
    fs::File,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::{
    Ebpf,
    maps::{Array, MapData, PerCpuHashMap},
    programs::{UProbe, uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeScope}},
};
use hostprof_common::{
    cuda::{Open, lane},
    slot::Slot,
    span::{CallCounts, CountKey},
};

use super::{
    error::LoadError,
    load::{broken, refused, take},
    span::sums,
};
use crate::probe::CudaProbe;

/// At a function that is only counted, at one that is timed, at its return.
const COUNT: &str = "cuda_count";
const ENTER: &str = "cuda_enter";
const RETURN: &str = "cuda_return";

/// What is recorded of CUDA's driver library.
pub(super) struct Cuda {
    on: bool,
    attached: bool,
    open: Array<MapData, Open>,
    counts: PerCpuHashMap<MapData, CountKey, CallCounts>,
    frozen: Array<MapData, u64>,
}

impl Cuda {
    pub(super) fn new(ebpf: &mut Ebpf, on: bool) -> Result<Self, LoadError> {
        Ok(Self {
            on,
            attached: false,
            open: take(ebpf, "CUDA_OPEN")?,
            counts: take(ebpf, "CUDA_COUNTS")?,
            frozen: take(ebpf, "CUDA_FROZEN")?,
        })
    }

    /// The names of the programs that are loaded.
    pub(super) fn programs(&self) -> &'static [&'static str] {
        if self.on { &[COUNT, ENTER, RETURN] } else { &[] }
    }

    /// Loads the programs. None is attached.
    pub(super) fn load(&self, ebpf: &mut Ebpf) -> Result<(), LoadError> {
        self.programs().iter().try_for_each(|name| {
            program(ebpf, name)?.load().map_err(|error| refused(&format!("load uprobe/{name}"), &error))
        })
    }

    /// Attaches probes at a library's functions, whoever calls them: programs tell whose call it is. With no `returns`
    /// calls are counted and not timed.
    pub(super) fn attach(
        &mut self,
        ebpf: &mut Ebpf,
        library: &File,
        probes: &[CudaProbe],
        returns: bool,
    ) -> Result<(), LoadError> {
        self.attached = true;
        // The kernel follows the link to the file itself, wherever it is.
        let path = format!("/proc/self/fd/{}", library.as_fd().as_raw_fd());
        let mut attach = |name: &'static str, probe: &CudaProbe| {
            let point = UProbeAttachPoint {
                location: UProbeAttachLocation::AbsoluteOffset(probe.offset),
                cookie: Some(probe.cookie.pack()),
            };
            let attached = program(ebpf, name)?.attach(point, &path, UProbeScope::AllProcesses);
            attached.map(drop).map_err(|error| refused(&format!("attach uprobe/{name}"), &error))
        };
        let (timed, counted): (Vec<_>, Vec<_>) =
            probes.iter().partition(|probe| returns && !probe.only_counted);
        // Returns first: a call that is seen to begin is then seen to end.
        timed.iter().try_for_each(|probe| attach(RETURN, probe))?;
        timed.iter().try_for_each(|probe| attach(ENTER, probe))?;
        counted.iter().try_for_each(|probe| attach(COUNT, probe))
    }

    /// Has the programs do nothing any more.
    pub(super) fn freeze(&mut self) -> Result<(), LoadError> {
        self.frozen.set(0, 1, 0).map_err(|error| refused("end the probes of CUDA", &error))
    }

    /// The calls that the thread of a slot is in.
    pub(super) fn open(&self, slot: &Slot) -> Result<Vec<Open>, LoadError> {
        let mut open = Vec::new();
        for lane in 0..lane::COUNT {
            let at = slot.index * lane::COUNT + lane;
            if self.on && at < self.open.len() {
                let call = self.open.get(&at, 0).map_err(|error| refused("read the open calls", &error))?;
                open.extend(Some(call).filter(|call| call.state != 0 && call.utid == slot.utid));
            }
        }
        Ok(open)
    }

    /// The calls counted so far, all CPUs together.
    pub(super) fn counts(&self) -> Result<Vec<(CountKey, CallCounts)>, LoadError> {
        sums(&self.counts)
    }

    /// Detaches what is attached.
    pub(super) fn detach(&mut self, ebpf: &mut Ebpf) -> Result<(), LoadError> {
        if !std::mem::take(&mut self.attached) {
            return Ok(());
        }
        [COUNT, ENTER, RETURN].iter().try_for_each(|name| {
            program(ebpf, name)?.unload().map_err(|error| refused("detach", &error))
        })
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut UProbe, LoadError> {
    ebpf.program_mut(name).and_then(|program| program.try_into().ok()).ok_or_else(|| broken(name))
}
