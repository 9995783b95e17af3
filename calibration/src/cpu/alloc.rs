//! alloc-heavy: each operation maps memory, touches every page and unmaps it.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use super::{Done, Plan, finish, start};
use crate::{
    sys::mapping::{Mapping, page_bytes},
    truth::ThreadTruth,
};

/// Pages of one mapping by default.
pub(super) const PAGES_PER_MAPPING: u64 = 64;

pub(super) fn run(plan: &Plan) -> Result<Done> {
    let stop = AtomicBool::new(false);
    let threads = std::thread::scope(|scope| {
        let workers = (0..plan.threads)
            .map(|i| start(scope, &format!("alloc-{i}"), || allocate(plan, &stop)))
            .collect::<Result<Vec<_>>>()?;
        finish(plan, &stop, workers)
    })?;
    Ok(Done { operations: threads.iter().map(|t| t.operations).sum(), barriers: 0, threads })
}

/// Maps, touches and unmaps. `--ops` counts the mappings of each thread.
fn allocate(plan: &Plan, stop: &AtomicBool) -> Result<ThreadTruth> {
    let page_bytes = page_bytes();
    let mut truth = ThreadTruth::default();
    while truth.operations < plan.most_operations() && !stop.load(Ordering::Relaxed) {
        let mapping = Mapping::anonymous(plan.size as usize * page_bytes, 0)
            .with_context(|| format!("map {} pages", plan.size))?;
        mapping.write_pages(page_bytes);
        truth.operations += 1;
        truth.mmaps += 1;
        truth.pages += plan.size;
    }
    Ok(truth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Limit;

    #[test]
    fn each_page_touched_is_a_minor_fault() {
        let plan = Plan { threads: 1, size: 64, limit: Limit::Operations(200) };
        let done = run(&plan).unwrap();
        let thread = &done.threads[0];
        assert_eq!((thread.operations, thread.mmaps, thread.pages), (200, 200, 12_800));
        assert!(thread.usage.min_flt >= 12_000, "{} minor faults", thread.usage.min_flt);
    }
}
