//! The three clocks, read together: a recording is on CLOCK_MONOTONIC, logs are on the wall clock, and a
//! jump of CLOCK_BOOTTIME against it is a suspend.

use nix::time::{ClockId, clock_gettime};

use crate::units::{MonoNs, WallNs};

/// Three clocks at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// CLOCK_MONOTONIC.
    pub mono: MonoNs,
    /// CLOCK_REALTIME.
    pub wall: WallNs,
    /// CLOCK_BOOTTIME, nanoseconds.
    pub boot_ns: u64,
    /// How far the clocks' instants may lie apart: half of the time that it took to read them.
    pub error_ns: u64,
}

fn read(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

/// CLOCK_MONOTONIC now.
pub fn mono() -> MonoNs {
    MonoNs(read(ClockId::CLOCK_MONOTONIC))
}

/// CLOCK_REALTIME now.
pub fn wall() -> WallNs {
    WallNs(read(ClockId::CLOCK_REALTIME))
}

/// CPU time of the calling thread, nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// The clocks now: CLOCK_MONOTONIC is read before and after the others, and of a few tries that with the
/// shortest time between is taken, its middle for the instant.
pub fn anchor() -> Anchor {
    let attempt = || {
        let before = read(ClockId::CLOCK_MONOTONIC);
        let (wall, boot_ns) = (read(ClockId::CLOCK_REALTIME), read(ClockId::CLOCK_BOOTTIME));
        let after = read(ClockId::CLOCK_MONOTONIC);
        let half = (after - before).div_ceil(2);
        Anchor { mono: MonoNs(before + half), wall: WallNs(wall), boot_ns, error_ns: half }
    };
    let mut best = attempt();
    for _ in 0..4 {
        let next = attempt();
        if next.error_ns < best.error_ns {
            best = next;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_lies_between_two_readings() {
        let (before, anchor, after) = (mono(), anchor(), mono());
        assert!(before <= anchor.mono && anchor.mono <= after);
        assert!(anchor.boot_ns >= anchor.mono.0, "boot time counts suspends too");
        assert!(anchor.mono.0 - before.0 >= anchor.error_ns, "the reading took no longer than the test saw");
    }
}
