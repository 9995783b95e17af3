//! The probes at functions of libraries: attaching them, and what was counted.

use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use aya::{
    Ebpf,
    maps::{Array, MapData, PerCpuHashMap},
    programs::{
        UProbe,
        uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeScope},
    },
};
use hostprof_common::{
    function::{Open, lane},
    slot::Slot,
    span::{CallCounts, CountKey},
};

use super::{
    error::{LoadError, broken, refused},
    load::take,
    span::sums,
    support,
    uprobe_multi::{self, Relocated},
};
use crate::probe::FunctionProbe;

/// The programs: at the return of a function, at a function that is timed, at one that is only counted. A call that is
/// seen to begin must be seen to end, so that they are attached in this order.
const PROGRAMS: [&str; 3] = ["function_return", "function_enter", "function_count"];
const RETURN: usize = 0;

/// How probes are attached.
enum Means {
    /// By a link for a program and a file.
    Links { programs: Vec<OwnedFd>, links: Vec<OwnedFd> },
    /// By a perf event each, on older kernels.
    Events { attached: bool },
}

/// What is recorded of libraries' functions.
pub(super) struct Functions {
    /// `None` where nothing is.
    means: Option<Means>,
    open: Array<MapData, Open>,
    counts: PerCpuHashMap<MapData, CountKey, CallCounts>,
    frozen: Array<MapData, u64>,
}

impl Functions {
    /// Loads the programs. None is attached.
    pub(super) fn new(ebpf: &mut Ebpf, relocated: Option<&Relocated>, on: bool) -> Result<Self, LoadError> {
        let means = match (on, relocated) {
            (false, _) => None,
            (true, Some(relocated)) => {
                let programs = PROGRAMS.iter().map(|name| relocated.load(name));
                Some(Means::Links { programs: programs.collect::<Result<_, _>>()?, links: Vec::new() })
            }
            (true, None) => {
                for name in PROGRAMS {
                    let loaded = program(ebpf, name)?.load();
                    loaded.map_err(|error| refused(&format!("load uprobe/{name}"), &error))?;
                }
                Some(Means::Events { attached: false })
            }
        };
        Ok(Self {
            means,
            open: take(ebpf, "FUNCTION_OPEN")?,
            counts: take(ebpf, "FUNCTION_COUNTS")?,
            frozen: take(ebpf, "FUNCTION_FROZEN")?,
        })
    }

    /// The programs' relocated code, where it is to be loaded and this kernel has links for many functions.
    pub(super) fn relocated(object: &[u8], ebpf: &Ebpf, on: bool) -> Result<Option<Relocated>, LoadError> {
        (on && support::kernel_version()? >= uprobe_multi::SINCE)
            .then(|| Relocated::new(object, ebpf))
            .transpose()
    }

    /// Descriptors of the programs, whose cost is counted.
    pub(super) fn programs(&self, ebpf: &Ebpf) -> io::Result<Vec<OwnedFd>> {
        match &self.means {
            None => Ok(Vec::new()),
            Some(Means::Links { programs, .. }) => programs.iter().map(OwnedFd::try_clone).collect(),
            Some(Means::Events { .. }) => PROGRAMS
                .iter()
                .filter_map(|name| ebpf.program(name)?.fd().ok()?.as_fd().try_clone_to_owned().ok())
                .map(Ok)
                .collect(),
        }
    }

    /// Attaches probes at a library's functions, whoever calls them: programs tell whose call it is. With no `returns`
    /// calls are counted and not timed.
    pub(super) fn attach(
        &mut self,
        ebpf: &mut Ebpf,
        library: &File,
        probes: &[FunctionProbe],
        returns: bool,
    ) -> Result<(), LoadError> {
        let (timed, counted): (Vec<&FunctionProbe>, Vec<&FunctionProbe>) =
            probes.iter().partition(|probe| returns && !probe.only_counted);
        for (at, (name, probes)) in PROGRAMS.into_iter().zip([&timed, &timed, &counted]).enumerate() {
            let attached =
                |error: &(dyn std::error::Error + 'static)| refused(&format!("attach uprobe/{name}"), error);
            match &mut self.means {
                None => {}
                Some(_) if probes.is_empty() => {}
                Some(Means::Links { programs, links }) => {
                    let offsets: Vec<u64> = probes.iter().map(|probe| probe.offset).collect();
                    let cookies: Vec<u64> = probes.iter().map(|probe| probe.cookie.pack()).collect();
                    let program = programs[at].as_fd();
                    let link =
                        uprobe_multi::attach(program, library.as_fd(), &offsets, &cookies, at == RETURN);
                    links.push(link.map_err(|error| attached(&error))?);
                }
                Some(Means::Events { attached: any }) => {
                    *any = true;
                    for probe in probes {
                        attach_event(ebpf, name, library, probe)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Has the programs do nothing any more.
    pub(super) fn freeze(&mut self) -> Result<(), LoadError> {
        self.frozen.set(0, 1, 0).map_err(|error| refused("end the probes of functions", &error))
    }

    /// Whether there is anything to record.
    pub(super) fn is_on(&self) -> bool {
        self.means.is_some()
    }

    /// The calls that the thread of a slot is in.
    pub(super) fn open(&self, slot: &Slot) -> Result<Vec<Open>, LoadError> {
        let mut open = Vec::new();
        for lane in 0..lane::COUNT {
            let at = slot.index * lane::COUNT + lane;
            if at < self.open.len() {
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
        match &mut self.means {
            // Enters before returns: a call that is seen to begin may still end.
            Some(Means::Links { links, .. }) => links.drain(..).rev().for_each(drop),
            Some(Means::Events { attached }) => {
                if !std::mem::take(attached) {
                    return Ok(());
                }
                for name in PROGRAMS.iter().rev() {
                    program(ebpf, name)?.unload().map_err(|error| refused("detach", &error))?;
                }
            }
            None => {}
        }
        Ok(())
    }
}

fn attach_event(
    ebpf: &mut Ebpf,
    name: &'static str,
    library: &File,
    probe: &FunctionProbe,
) -> Result<(), LoadError> {
    let point = UProbeAttachPoint {
        location: UProbeAttachLocation::AbsoluteOffset(probe.offset),
        cookie: Some(probe.cookie.pack()),
    };
    // The kernel follows the link to the file itself, wherever it is.
    let path = format!("/proc/self/fd/{}", library.as_raw_fd());
    let attached = program(ebpf, name)?.attach(point, &path, UProbeScope::AllProcesses);
    attached.map(drop).map_err(|error| refused(&format!("attach uprobe/{name}"), &error))
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut UProbe, LoadError> {
    ebpf.program_mut(name).and_then(|program| program.try_into().ok()).ok_or_else(|| broken(name))
}
