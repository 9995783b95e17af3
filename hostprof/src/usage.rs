//! What this process has used so far, as the kernel counts it.

use std::{fs, time::Duration};

use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        time::TimeVal,
    },
    time::{clock_getcpuclockid, clock_gettime},
    unistd::{Pid, SysconfVar, sysconf},
};

/// CPU time of all its threads.
pub fn own_cpu() -> Duration {
    getrusage(UsageWho::RUSAGE_SELF).map_or(Duration::ZERO, |usage| {
        let time = |time: TimeVal| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000);
        time(usage.user_time()) + time(usage.system_time())
    })
}

/// Its greatest resident set, in bytes.
pub fn own_max_rss() -> u64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.max_rss() as u64 * 1024)
}

/// Its resident set now, in bytes.
pub fn own_rss() -> Option<u64> {
    let pages: u64 = fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten()?;
    Some(pages * page as u64)
}

/// Returns what this process has freed to the system: the allocator keeps it, for each thread apart, and a peak of one
/// thread would be resident for good. Takes about a millisecond.
pub fn return_free_memory() {
    // SAFETY: takes no pointer, and locks each arena that it walks.
    unsafe { libc::malloc_trim(0) };
}

/// CPU time of another process: of all its threads, those that have ended among them. `None` where it is gone.
pub fn process_cpu(tgid: u32) -> Option<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(tgid).ok()?)).ok()?;
    clock_gettime(clock).ok().map(Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processs_cpu_time_is_that_of_all_its_threads() {
        let before = own_cpu();
        let read = process_cpu(std::process::id()).unwrap();
        assert!(read + Duration::from_millis(1) >= before && read <= own_cpu() + Duration::from_millis(1));
        assert_eq!(process_cpu(u32::MAX), None);
    }
}
