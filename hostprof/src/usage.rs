//! What this process has used so far, as the kernel counts it.

use std::time::Duration;

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
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

/// CPU time of another process: of all its threads, those that have ended among them. `None` where it is gone.
pub fn process_cpu(tgid: u32) -> Option<Duration> {
    // The kernel's encoding of a process's clock: the complement of its id, and CPUCLOCK_SCHED.
    let clock = (!i32::try_from(tgid).ok()? << 3) | 2;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes into `time`, which is alive.
    let read = unsafe { libc::clock_gettime(clock, &raw mut time) };
    (read == 0).then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
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
