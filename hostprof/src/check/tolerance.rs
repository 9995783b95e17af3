//! How far the recording and the kernel's own counters may differ, and why.
//!
//! Switches and faults are counted by the kernel where the programs are called, and must agree exactly. Time
//! may not: the kernel reads its clock 0.4 to 4 µs before the tracepoint, and milliseconds where a hypervisor
//! stops the CPU in between. That is measured and recorded (`late_on_cpu_ns`, `late_runqueue_ns`), as is what `sum_exec_runtime` leaves
//! out: interrupts and the hypervisor (`stolen_ns`). With both the sums agreed to 12 µs in 0.8 s for 100 000
//! switches, and to 2 ms in 1.3 s for a thread that forked 200 others (6.18, two virtual CPUs); without, fast
//! switchers were off by 4 %.
//!
//! A wakeup that finds the CPU idle makes the kernel skip the next update of the run queue's clock
//! (`rq_clock_skip_update` in `wakeup_preempt`): it then counts the time from the wakeup to the switch-in as
//! time on the CPU, where the thread in truth waited for the idle CPU to wake (50 to 500 µs on a virtual
//! one). That too is in `late_*_ns`. On a kernel that does not tell its run queues' clocks both are 0, and
//! the parts may be off by as much as the recorded waits after wakeups.

/// How far a sum may be off in proportion to the kernel's figure.
const RATIO_DIVISOR: u64 = 400;
/// How far on-CPU time may be off for each switch: measured, 0 to 0.4 µs.
const ON_CPU_NS_PER_SWITCH: u64 = 2_000;
/// How far run-queue time may be off for each episode: measured, 0 to 3 µs.
const RUNQUEUE_NS_PER_EPISODE: u64 = 5_000;
/// How far any sum may be off for all else: what interrupts and the hypervisor take around a switch.
const FLOOR_NS: u64 = 200_000;
/// How long two threads may both seem to be on one CPU. One timestamp ends the one's stay and begins the
/// other's, so not at all.
pub const CPU_OVERLAP_NS: u64 = 0;
/// `unattributed` may be this part of a thread's wall clock.
const UNATTRIBUTED_DIVISOR: u64 = 1_000;

/// How far on-CPU time may be from `sum_exec_runtime`.
pub fn on_cpu_ns(kernel_ns: u64, switches: u64) -> u64 {
    kernel_ns / RATIO_DIVISOR + ON_CPU_NS_PER_SWITCH * switches + FLOOR_NS
}

/// How far run-queue time may be from `run_delay`.
pub fn runqueue_ns(kernel_ns: u64, episodes: u64) -> u64 {
    kernel_ns / RATIO_DIVISOR + RUNQUEUE_NS_PER_EPISODE * episodes + FLOOR_NS
}

/// How much of a thread's wall clock may be unattributed.
pub fn unattributed_ns(wall_ns: u64) -> u64 {
    wall_ns / UNATTRIBUTED_DIVISOR
}
