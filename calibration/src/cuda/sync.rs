//! sync-heavy: a tiny kernel and a wait for it, again and again. How the thread waits is `--sync`.

use anyhow::Result;

use super::worker::Worker;

pub(super) fn run(worker: &mut Worker<'_>) -> Result<()> {
    while worker.goes_on() {
        let stream = worker.stream(worker.counts.operations);
        worker.launch_tiny(stream)?;
        worker.wait(stream)?;
        worker.counts.operations += 1;
    }
    Ok(())
}
