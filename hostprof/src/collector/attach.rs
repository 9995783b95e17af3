//! From a selector to threads that are recorded: adopt all there are, and look again until nothing is new.

use std::collections::HashSet;

use anyhow::{Context as _, Result, bail};

use super::pipeline::Met;
use crate::{
    bpf::{Adoption, Kernel},
    target::{self, Found, Proc, Selector, TargetError, TreeMode},
    units::{Tgid, Tid},
};

/// A program that makes threads faster than they are found would keep the scan going for ever; the fork
/// hook follows those anyway.
const MOST_SCANS: usize = 50;

/// What a scan found.
pub struct Attached {
    /// The target, as the last scan saw it.
    pub found: Found,
    /// What the folds must be told first.
    pub met: Vec<Met>,
    /// Threads adopted.
    pub threads: usize,
}

/// Records every thread of the target, until two scans agree.
///
/// # Errors
///
/// There is no target, or no room for its threads.
pub fn attach(kernel: &mut Kernel, proc: &Proc, selector: &Selector, mode: TreeMode) -> Result<Attached> {
    let mut attached = Attached { found: Found::default(), met: Vec::new(), threads: 0 };
    let mut known: HashSet<(Tgid, Tid)> = HashSet::new();
    for scan in 0..MOST_SCANS {
        let found = match target::find(proc, selector, mode) {
            // It ended while hostprof attached.
            Err(TargetError::NoSuchPid(pid)) if scan > 0 => return Err(TargetError::Gone(pid).into()),
            found => found?,
        };
        let before = known.len();
        for &tgid in &found.processes {
            adopt_process(kernel, proc, tgid, &mut known, &mut attached)?;
        }
        attached.found = found;
        if known.len() == before {
            break;
        }
    }
    if known.is_empty() {
        match selector {
            Selector::Pid(pid) => return Err(TargetError::Gone(*pid).into()),
            _ => bail!("record the target: it ended while hostprof attached"),
        }
    }
    Ok(attached)
}

fn adopt_process(
    kernel: &mut Kernel,
    proc: &Proc,
    tgid: Tgid,
    known: &mut HashSet<(Tgid, Tid)>,
    attached: &mut Attached,
) -> Result<()> {
    let mut is_new = false;
    for tid in proc.threads(tgid) {
        if !known.insert((tgid, tid)) {
            continue;
        }
        is_new = true;
        match kernel.adopt(tid, tgid).context("record the target")? {
            Adoption::Adopted => {
                attached.threads += 1;
                if let Some(seed) = proc.seed(tgid, tid) {
                    attached.met.push(Met::Thread(tid, Box::new(seed)));
                }
            }
            Adoption::Known => {}
            Adoption::Full => {
                bail!("record process {tgid}: more threads than there is room for (raise --max-threads)")
            }
            Adoption::Busy => bail!("record process {tgid}: more new threads at once than the ring holds"),
        }
    }
    if is_new && let Some(exe) = proc.exe(tgid) {
        attached.met.push(Met::Program(tgid, exe));
    }
    if is_new && let Some(placement) = proc.placement(tgid) {
        attached.met.push(Met::Placement(tgid, placement));
    }
    Ok(())
}
