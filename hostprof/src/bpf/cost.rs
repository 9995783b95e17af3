//! What the kernel half costs, and its budget: there only where a ceiling is set.
//!
//! Cost is the kernel's own count of the programs' run time, which it keeps while someone holds the descriptor of
//! `BPF_ENABLE_STATS`. A program stays readable after it is detached.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use aya::{
    Ebpf,
    maps::{Array, MapData},
    sys::{Stats, enable_stats},
};
use aya_obj::generated::{bpf_attr, bpf_prog_info};
use hostprof_common::{
    shed::{Budget, Tallies},
    slot::Slot,
};
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    error::{LoadError, refused},
    load::{Ring, take},
};

/// `BPF_OBJ_GET_INFO_BY_FD`.
const GET_INFO_BY_FD: libc::c_long = 15;

/// How often programs ran, and for how long in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Nanoseconds, by the kernel's count.
    pub ns: u64,
    /// Runs.
    pub runs: u64,
}

/// The programs' cost, and what they may spend.
pub struct Cost {
    /// The kernel counts while this is open.
    _counting: OwnedFd,
    programs: Vec<OwnedFd>,
    budget: Array<MapData, Budget>,
    ended: Array<MapData, u64>,
    counted: Array<MapData, Tallies>,
    alarm: Option<Ring>,
}

/// Tells when the programs take a step by themselves.
pub struct Alarm(AsyncFd<Ring>);

impl Alarm {
    /// Waits for the next step.
    pub async fn sounded(&mut self) {
        match self.0.readable_mut().await {
            Ok(mut ready) => {
                while ready.get_inner_mut().next().is_some() {}
                ready.clear_ready();
            }
            // Looking at intervals remains.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Cost {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        Ok(Self {
            _counting: enable_stats(Stats::RunTime).map_err(|error| LoadError::NoRunTimes(error.io_error))?,
            programs: Vec::new(),
            budget: take(ebpf, "BUDGET")?,
            ended: take(ebpf, "ENDED")?,
            counted: take(ebpf, "COUNTED")?,
            alarm: Some(take(ebpf, "ALARM")?),
        })
    }

    /// What tells of the programs' own steps, on the running event loop; `None` where it was taken before.
    ///
    /// # Errors
    ///
    /// The event loop does not take it.
    pub fn alarm(&mut self) -> io::Result<Option<Alarm>> {
        let Some(ring) = self.alarm.take() else { return Ok(None) };
        // SAFETY: the ring owns its descriptor, and keeps it as long as it lives.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) };
        Ok(Some(Alarm(ring.map_err(io::Error::from)?)))
    }

    /// Counts a program in.
    pub(super) fn watch(&mut self, program: OwnedFd) {
        self.programs.push(program);
    }

    /// What the programs have cost so far.
    ///
    /// # Errors
    ///
    /// The kernel does not tell.
    pub fn ran(&self) -> Result<Ran, LoadError> {
        self.programs.iter().try_fold(Ran::default(), |sum, program| {
            let info = info(program)?;
            Ok(Ran { ns: sum.ns + info.run_time_ns, runs: sum.runs + info.run_cnt })
        })
    }

    /// The budget as the programs have left it.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn budget(&self) -> Result<Budget, LoadError> {
        self.budget.get(&0, 0).map_err(|error| refused("read the budget", &error))
    }

    /// Gives the programs a budget.
    ///
    /// # Errors
    ///
    /// The map cannot be written.
    pub fn set_budget(&mut self, budget: Budget) -> Result<(), LoadError> {
        self.budget.set(0, budget, 0).map_err(|error| refused("set the budget", &error))
    }

    /// When the programs stopped recording, by themselves or told to; 0 while they go on.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn ended(&self) -> Result<u64, LoadError> {
        self.ended.get(&0, 0).map_err(|error| refused("read the budget", &error))
    }

    /// Makes the programs do nothing any more.
    ///
    /// # Errors
    ///
    /// The map cannot be written.
    pub fn end(&mut self, at_ns: u64) -> Result<(), LoadError> {
        self.ended.set(0, at_ns, 0).map_err(|error| refused("set the budget", &error))
    }

    /// What is counted of these threads and was not handed over yet.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn tallies(&self, slots: &[Slot]) -> Result<Vec<Tallies>, LoadError> {
        let read = |slot: &Slot| {
            self.counted.get(&slot.index, 0).map_err(|error| refused("read what is counted", &error))
        };
        let mut all = Vec::new();
        for slot in slots.iter().filter(|slot| slot.index < self.counted.len()) {
            let tallies = read(slot)?;
            if tallies.utid == slot.utid {
                all.push(tallies);
            }
        }
        Ok(all)
    }
}

fn info(program: &OwnedFd) -> Result<bpf_prog_info, LoadError> {
    // SAFETY: integers only, for which zero bytes are a value.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut attributes: bpf_attr = unsafe { std::mem::zeroed() };
    attributes.info.bpf_fd = program.as_raw_fd().cast_unsigned();
    attributes.info.info_len = size_of_val(&info) as u32;
    attributes.info.info = (&raw mut info) as u64;
    // SAFETY: both are alive and as long as is said.
    let done =
        unsafe { libc::syscall(libc::SYS_bpf, GET_INFO_BY_FD, &raw mut attributes, size_of::<bpf_attr>()) };
    if done < 0 {
        return Err(LoadError::Io {
            action: "read the run time of a program",
            source: io::Error::last_os_error(),
        });
    }
    Ok(info)
}
