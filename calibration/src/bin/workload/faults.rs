//! Page faults: of memory never touched, and of a file that is not in the page cache.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::fd::AsRawFd,
    path::Path,
};

use anyhow::{Context, Result};
use calibration::sys::{
    mapping::{Mapping, page_bytes},
    usage::Usage,
};
use serde_json::json;

use crate::{report::Report, thread::start};

pub(crate) fn minor(report: &Report, pages: usize, threads: usize) -> Result<()> {
    // Huge pages would make one fault of many; integers only.
    // SAFETY: no pointers.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
    report.ready("minor-fault", json!({"pages": pages, "threads": threads}));
    let touch = move || {
        let page_bytes = page_bytes();
        let mapping = Mapping::anonymous(pages * page_bytes, 0)?;
        let before = Usage::of_this_thread();
        mapping.write_pages(page_bytes);
        io::Result::Ok(Usage::of_this_thread().since(&before))
    };
    let running: Vec<_> =
        (0..threads).map(|i| start(&format!("toucher-{i}"), touch)).collect::<Result<_>>()?;
    let mut faults = 0;
    for thread in running {
        let delta = thread.join(report)?.context("map memory")?;
        faults += delta.min_flt;
        let one =
            json!({"tid": delta.tid, "pages": pages, "min_flt": delta.min_flt, "maj_flt": delta.maj_flt});
        report.line(&json!({"faults": one}));
    }
    report.done(json!({"min_flt": faults}));
    Ok(())
}

pub(crate) fn major(report: &Report, path: &Path, pages: usize) -> Result<()> {
    let bytes = pages * page_bytes();
    let file = written(path, bytes)?;
    let dropped = drop_from_page_cache(&file);
    let mapping = Mapping::file(&file, bytes, 0).with_context(|| format!("map {}", path.display()))?;
    // No read-ahead: each page is a fault of its own.
    mapping.advise(libc::MADV_RANDOM).context("advise random access")?;
    fs::remove_file(path).with_context(|| format!("remove {}", path.display()))?;
    dropped.with_context(|| format!("drop {} from the page cache", path.display()))?;
    report.ready("major-fault", json!({"pages": pages}));
    let running = start("reader", move || {
        let before = Usage::of_this_thread();
        mapping.read_pages(page_bytes());
        Usage::of_this_thread().since(&before)
    })?;
    let tid = running.tid();
    let delta = running.join(report)?;
    report.done(json!({"tid": tid, "pages": pages, "min_flt": delta.min_flt, "maj_flt": delta.maj_flt}));
    Ok(())
}

fn written(path: &Path, bytes: usize) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    let mut file = options.open(path).with_context(|| format!("create {}", path.display()))?;
    file.write_all(&vec![7; bytes])
        .and_then(|()| file.sync_all())
        .with_context(|| format!("write {}", path.display()))?;
    Ok(file)
}

fn drop_from_page_cache(file: &File) -> io::Result<()> {
    // SAFETY: integers only; the descriptor is open.
    let result = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}
