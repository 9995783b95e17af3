//! Each state on the real kernel: workloads block in a known way a known number of times, and the rows
//! are counted.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    clippy::duration_suboptimal_units,
    reason = "helpers of tests are tests"
)]

#[path = "kernel/support/mod.rs"]
mod support;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::Duration,
};

use hostprof::table::{OffCpuRow, State, ThreadRow, WakeSource};
use nix::sys::signal::Signal;
use support::{
    Recorded, Recorder, Workload, mono_ns, poll, record,
    recorded::{blocked_ns, line, number, off_cpu_ns, usage},
    task_state, workload_path,
};

/// What the first argument of the call is.
#[derive(Clone, Copy)]
enum Argument {
    Fd,
    Address,
    Exactly(u64),
    /// Another one in each row, or one that only the kernel knows.
    Any,
}

const COUNT: u64 = 30;

/// Holds one file descriptor, or what the call has: fds are small, addresses of user space are not.
fn assert_arguments(kind: &str, rows: &[OffCpuRow], argument: Argument) {
    for row in rows {
        let arg0 = row.arg0.unwrap_or_else(|| panic!("{kind}: no first argument in {row:?}"));
        let right = match argument {
            Argument::Fd => (3..1024).contains(&arg0),
            Argument::Address => (0x1000..1 << 47).contains(&arg0),
            Argument::Exactly(value) => arg0 == value,
            Argument::Any => true,
        };
        assert!(right, "{kind}: first argument {arg0:#x}");
    }
}

/// Records waits of one kind, each of which must have blocked once; yields the waiter's rows in the state.
/// `None` where the kernel has no such call: the workload says so, and nothing was recorded of a waiter.
fn waits(kind: &str, state: State, argument: Argument) -> Option<(Recorded, Vec<OffCpuRow>)> {
    let recorded = record(&["syscall-wait", kind, "--count", &COUNT.to_string()]).checked();
    if let Some(reason) = recorded.unsupported() {
        println!("unsupported: {kind}: {reason}");
        assert!(recorded.lines.iter().all(|line| line["done"].is_null()), "{kind}: unsupported, and done");
        return None;
    }
    let done = recorded.done();
    let syscall = done["syscall"].as_i64();
    assert_eq!((number(done, "blocked"), number(done, "switches")), (COUNT, COUNT), "{kind}: {done}");
    let mut rows = recorded.in_state(number(done, "waiter_tid") as u32, state);
    // The opening of a file for the waits may wait for a disk, and is one of the other calls too.
    rows.retain(|row| state != State::SyscallOther || row.syscall_nr.map(i64::from) == syscall);
    assert_eq!(rows.len() as u64, COUNT, "{kind}: rows in {state}");
    assert!(rows.iter().all(|row| row.syscall_nr.map(i64::from) == syscall), "{kind}: {rows:#?}");
    assert!(rows.iter().all(|row| row.voluntary && !row.open_start && !row.open_end), "{kind}: {rows:#?}");
    assert_arguments(kind, &rows, argument);
    assert!(off_cpu_ns(&rows) <= number(done, "call_ns"), "{kind}: longer than its calls");
    Some((recorded, rows))
}

/// Waits that the workload's second thread ends: it is the waker of each.
fn woken_by_the_helper(kinds: &[(&str, State, Argument)]) {
    for (kind, state, argument) in kinds {
        let Some((recorded, rows)) = waits(kind, *state, *argument) else { continue };
        let helper = number(recorded.done(), "waker_tid") as u32;
        for row in rows {
            assert_eq!((row.wake_source, row.waker_tid), (Some(WakeSource::Task), Some(helper)), "{kind}");
        }
    }
}

#[test]
fn futex_waits_have_their_address_and_their_waker() {
    woken_by_the_helper(&[
        ("futex", State::Futex, Argument::Address),
        ("futex_waitv", State::Futex, Argument::Address),
        ("futex_wait", State::Futex, Argument::Address),
    ]);
}

#[test]
fn polls_have_their_call_and_their_waker() {
    woken_by_the_helper(&[
        ("poll", State::Poll, Argument::Address),
        ("ppoll", State::Poll, Argument::Address),
        ("select", State::Poll, Argument::Fd),
        ("pselect6", State::Poll, Argument::Fd),
        ("epoll_wait", State::Poll, Argument::Fd),
        ("epoll_pwait", State::Poll, Argument::Fd),
        ("epoll_pwait2", State::Poll, Argument::Fd),
    ]);
}

#[test]
fn reads_and_writes_have_their_descriptor_and_their_waker() {
    woken_by_the_helper(&[
        ("read", State::Read, Argument::Fd),
        ("readv", State::Read, Argument::Fd),
        ("eventfd", State::Read, Argument::Fd),
        ("write", State::Write, Argument::Fd),
        ("writev", State::Write, Argument::Fd),
    ]);
}

#[test]
fn socket_waits_are_network_with_their_descriptor_and_their_waker() {
    woken_by_the_helper(&[
        ("recvfrom", State::Network, Argument::Fd),
        ("recvmsg", State::Network, Argument::Fd),
        ("sendto", State::Network, Argument::Fd),
        ("sendmsg", State::Network, Argument::Fd),
        ("accept", State::Network, Argument::Fd),
        ("accept4", State::Network, Argument::Fd),
        ("connect", State::Network, Argument::Fd),
    ]);
}

#[test]
fn other_calls_are_told_by_their_number() {
    woken_by_the_helper(&[
        ("msgrcv", State::SyscallOther, Argument::Any),
        ("flock", State::SyscallOther, Argument::Fd),
    ]);
}

#[test]
fn a_wait_for_io_uring_has_its_ring_and_its_waker() {
    woken_by_the_helper(&[("io_uring_enter", State::IoUring, Argument::Fd)]);
}

#[test]
fn an_ioctl_has_its_descriptor_its_request_and_its_waker() {
    let Some((recorded, rows)) = waits("ioctl", State::Ioctl, Argument::Fd) else { return };
    let threads = recorded.rows::<ThreadRow>();
    let filtered = threads.iter().find(|thread| thread.comm == "filtered").expect("the calling thread");
    for row in rows {
        assert_eq!(row.arg1, Some(0xc050_2100), "SECCOMP_IOCTL_NOTIF_RECV");
        assert_eq!((row.wake_source, row.waker_tid), (Some(WakeSource::Task), Some(filtered.tid)));
    }
}

#[test]
fn a_parent_is_woken_by_the_child_it_waits_for() {
    let (_, rows) = waits("wait4", State::Wait, Argument::Any).expect("every kernel has it");
    for row in &rows {
        assert_eq!(row.wake_source, Some(WakeSource::Task));
        assert_eq!(row.waker_tid.map(u64::from), row.arg0, "the child");
    }
    let (recorded, rows) =
        waits("waitid", State::Wait, Argument::Exactly(libc::P_PID.into())).expect("as above");
    let wakers: BTreeSet<u32> = rows.iter().filter_map(|row| row.waker_tid).collect();
    assert_eq!(wakers.len() as u64, COUNT, "another child each time");
    for child in wakers {
        assert!(recorded.thread(child).exit_mono_ns.is_some());
    }
}

#[test]
fn sleeps_are_ended_by_the_timer_interrupt() {
    for (kind, argument) in [
        ("nanosleep", Argument::Address),
        ("clock_nanosleep", Argument::Exactly(libc::CLOCK_MONOTONIC as u64)),
    ] {
        let (recorded, rows) = waits(kind, State::Sleep, argument).expect("every kernel has it");
        // Where the interrupt came while a thread of init ran, some kernels trace nothing, the wakeup neither.
        let (told, untold): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.wake_source.is_some());
        assert!(untold.len() * 10 <= rows.len(), "{kind}: {} wakeups not seen", untold.len());
        for row in told {
            assert_eq!((row.wake_source, row.waker_tid), (Some(WakeSource::Irq), None), "{kind}");
        }
        // 1 ms each; the timer is started a moment before the switch-out.
        assert!(blocked_ns(&rows) > COUNT * 900_000, "{kind}: {}", blocked_ns(&rows));
        assert!(blocked_ns(&rows) <= number(recorded.done(), "call_ns"));
    }
}

#[test]
fn syncs_of_a_file_are_fsync_with_its_descriptor() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = dir.path().join("synced");
    for kind in ["fsync", "fdatasync"] {
        let recorded =
            record(&["syscall-wait", kind, "--count", "10", "--file", file.to_str().unwrap()]).checked();
        let done = recorded.done();
        let rows = recorded.in_state(number(done, "waiter_tid") as u32, State::Fsync);
        // A call may wait more than once, for its data and for the journal.
        assert!(rows.len() as u64 >= number(done, "blocked"), "{kind}: {} rows, {done}", rows.len());
        assert!(rows.len() as u64 <= number(done, "switches"), "{kind}: {} rows, {done}", rows.len());
        assert!(rows.iter().all(|row| row.syscall_nr.map(i64::from) == done["syscall"].as_i64()), "{kind}");
        assert_arguments(kind, &rows, Argument::Fd);
    }
}

#[test]
fn a_sleep_through_the_32_bit_entry_is_a_sleep_without_a_64_bit_number() {
    let recorded = record(&["int80-sleep", "--count", "20"]).checked();
    if let Some(reason) = recorded.unsupported() {
        println!("unsupported: {reason}");
        assert!(reason.contains("int 0x80"), "{reason}");
        return;
    }
    let done = recorded.done();
    let rows = recorded.in_state(number(done, "tid") as u32, State::Sleep);
    assert_eq!((rows.len(), number(done, "sleeps")), (20, 20));
    assert!(rows.iter().all(|row| row.syscall_nr.is_none()), "{rows:#?}");
    assert!(off_cpu_ns(&rows) <= number(done, "slept_ns"));
}

/// A command confined to CPU 0, where it has to share.
fn on_cpu_0(arguments: &[&str]) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(workload_path()).args(arguments);
    command
}

#[test]
fn a_spin_on_sched_yield_is_yield() {
    let rival = Workload::start_command(&mut on_cpu_0(&["spin", "--seconds", "60"]));
    let mut workload = Workload::start_command(&mut on_cpu_0(&["--hold", "yield-spin", "--seconds", "0.5"]));
    let recorder = Recorder::attach(workload.pid());
    workload.go();
    let lines = workload.finish();
    rival.kill();
    let recorded = recorder.finish().checked();
    let done = line(&lines, "done");
    let rows = recorded.in_state(number(done, "tid") as u32, State::Yield);
    // Each call on a CPU that others want is a switch.
    assert!(rows.len() > 10 && rows.len() as u64 <= number(done, "calls"), "{} rows, {done}", rows.len());
    for row in &rows {
        assert_eq!((row.syscall_nr, row.blocked_ns, row.voluntary), (Some(24), 0, false), "{row:?}");
    }
    assert!(rows.len() as u64 <= number(usage(&lines, "yielder"), "nivcsw"));
}

/// The one thread beside the main one.
fn second_thread(pid: u32) -> u32 {
    poll("a second thread", || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse().ok()).find(|tid| *tid != pid)
    })
}

/// How long tests hold a thread up.
const HOLD: Duration = Duration::from_millis(200);

/// Asserts that one row spans the time for which the test knows that the thread was held up.
fn assert_spans(rows: &[OffCpuRow], from: u64, to: u64) {
    let spans = rows
        .iter()
        .filter(|row| row.ts_mono_ns <= from && row.ts_mono_ns + row.blocked_ns + row.runqueue_ns >= to);
    assert_eq!(spans.count(), 1, "one row from {from} to {to}: {rows:#?}");
}

#[test]
fn a_stopped_sleep_is_stopped_and_then_goes_on_as_a_sleep() {
    let mut workload = Workload::start(&["--hold", "sleeps", "--count", "1", "--us", "1000000"]);
    let pid = workload.pid();
    let recorder = Recorder::attach(pid);
    workload.go();
    let tid = second_thread(pid);
    poll("the sleep", || task_state(pid, tid).filter(|state| *state == 'S'));
    // Asleep in the call that is meant, not in one on the way there.
    sleep(Duration::from_millis(50));
    workload.send(Signal::SIGSTOP);
    poll("the stop", || task_state(pid, tid).filter(|state| *state == 'T'));
    // Its state changes a moment before it is off its CPU.
    sleep(Duration::from_millis(20));
    let from = mono_ns();
    sleep(HOLD);
    let to = mono_ns();
    workload.send(Signal::SIGCONT);
    let lines = workload.finish();
    let recorded = recorder.finish().checked();
    assert_eq!(number(line(&lines, "done"), "sleeps"), 1);

    assert_spans(&recorded.in_state(tid, State::Stopped), from, to);
    let sleeps = recorded.in_state(tid, State::Sleep);
    assert_eq!(sleeps.len(), 2, "before and after: {sleeps:#?}");
    assert_eq!(sleeps[0].syscall_nr, Some(230));
    assert_eq!(sleeps[1].syscall_nr, Some(219), "restart_syscall");
    assert_eq!(sleeps[1].wake_source, Some(WakeSource::Irq));
    let whole = off_cpu_ns(&sleeps) + off_cpu_ns(&recorded.in_state(tid, State::Stopped));
    assert!(whole > 990_000_000, "one second asleep or stopped: {whole}");
}

/// A cgroup of version 1 with nothing in it, removed when dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    /// `None` where the controller is not mounted so.
    fn make(controller: &str) -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup").join(controller);
        if !root.join("tasks").exists() {
            println!("unsupported: no cgroup v1 hierarchy {}", root.display());
            return None;
        }
        let path = root.join(format!("hostprof-test-{}", std::process::id()));
        std::fs::create_dir(&path).expect("make a cgroup");
        Some(Self(path))
    }

    fn set(&self, file: &str, value: impl ToString) {
        let path = self.0.join(file);
        std::fs::write(&path, value.to_string())
            .unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
    }

    fn get(&self, file: &str) -> String {
        std::fs::read_to_string(self.0.join(file)).expect("read a cgroup's file").trim().to_owned()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::write(self.0.join("freezer.state"), "THAWED");
        for _ in 0..500 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            sleep(Duration::from_millis(10));
        }
    }
}

/// Spins in a cgroup or not; the rows of each spinner beside its wall and CPU time, nanoseconds.
fn spinners(cgroup: Option<&Cgroup>, threads: &str) -> Vec<(Vec<OffCpuRow>, u64, u64)> {
    let mut workload = Workload::start(&["--hold", "spin", "--seconds", "1.5", "--threads", threads]);
    if let Some(cgroup) = cgroup {
        cgroup.set("cgroup.procs", workload.pid());
    }
    let recorder = Recorder::attach(workload.pid());
    workload.go();
    let lines = workload.finish();
    let recorded = recorder.finish().checked();
    let usages = lines.iter().map(|line| &line["usage"]);
    usages
        .filter(|usage| usage["name"].as_str().is_some_and(|name| name.starts_with("spin-")))
        .map(|usage| {
            let tid = number(usage, "tid") as u32;
            let thread = recorded.thread(tid);
            let wall_ns = thread.exit_mono_ns.expect("its end") - thread.begin_mono_ns;
            (recorded.off_cpu(tid), wall_ns, number(usage, "cpu_ns"))
        })
        .collect()
}

fn of(rows: &[OffCpuRow], state: State) -> Vec<OffCpuRow> {
    rows.iter().filter(|row| row.state == state).cloned().collect()
}

/// Wall time less CPU time is what the rows say, within 5 % of wall.
fn assert_off_cpu_is_the_rest(rows: &[OffCpuRow], wall_ns: u64, cpu_ns: u64) {
    let (rest, off) = (wall_ns.saturating_sub(cpu_ns), off_cpu_ns(rows));
    assert!(off.abs_diff(rest) <= wall_ns / 20, "off CPU {off}, wall {wall_ns} less CPU {cpu_ns} is {rest}");
}

#[test]
fn a_thread_over_its_cgroups_quota_is_throttled() {
    let Some(cgroup) = Cgroup::make("cpu") else {
        // Version 2 only: there is nothing to be throttled by that this test knows.
        assert!(Path::new("/sys/fs/cgroup/cgroup.controllers").exists());
        return;
    };
    cgroup.set("cpu.cfs_period_us", 100_000);
    cgroup.set("cpu.cfs_quota_us", 20_000);
    for (rows, wall_ns, cpu_ns) in spinners(Some(&cgroup), "2") {
        let throttled = of(&rows, State::Throttled);
        for row in &throttled {
            assert_eq!((row.blocked_ns, row.voluntary), (0, false), "{row:?}");
        }
        // A fifth of one CPU for two threads: most of the time each is held.
        assert!(off_cpu_ns(&throttled) > wall_ns / 2, "throttled {} of {wall_ns}", off_cpu_ns(&throttled));
        assert_off_cpu_is_the_rest(&rows, wall_ns, cpu_ns);
    }
    assert!(cgroup.get("cpu.stat").contains("nr_throttled"));
}

#[test]
fn more_spinners_than_cpus_are_preempted() {
    let cpus = std::thread::available_parallelism().unwrap().get();
    for (rows, wall_ns, cpu_ns) in spinners(None, &(2 * cpus).to_string()) {
        let preempted = of(&rows, State::Preempted);
        for row in &preempted {
            assert_eq!((row.blocked_ns, row.voluntary, row.wake_source), (0, false, None), "{row:?}");
        }
        assert!(off_cpu_ns(&preempted) > wall_ns / 10, "preempted {} of {wall_ns}", off_cpu_ns(&preempted));
        assert_off_cpu_is_the_rest(&rows, wall_ns, cpu_ns);
    }
}

#[test]
fn a_thread_in_the_freezer_is_frozen() {
    let Some(cgroup) = Cgroup::make("freezer") else {
        assert!(Path::new("/sys/fs/cgroup/cgroup.controllers").exists());
        return;
    };
    let mut workload = Workload::start(&["--hold", "spin", "--seconds", "60"]);
    let pid = workload.pid();
    cgroup.set("cgroup.procs", pid);
    let recorder = Recorder::attach(pid);
    workload.go();
    let tid = second_thread(pid);
    poll("the spin", || task_state(pid, tid).filter(|state| *state == 'R'));
    cgroup.set("freezer.state", "FROZEN");
    poll("the freezer", || (cgroup.get("freezer.state") == "FROZEN").then_some(()));
    sleep(Duration::from_millis(20));
    let from = mono_ns();
    sleep(HOLD);
    let to = mono_ns();
    cgroup.set("freezer.state", "THAWED");
    workload.stop();
    let recorded = recorder.finish().checked();
    assert_spans(&recorded.in_state(tid, State::Frozen), from, to);
}

fn ptrace(request: libc::c_uint, tid: u32) {
    // SAFETY: integers only; the kernel checks whether the thread may be traced.
    let result = unsafe { libc::ptrace(request, tid.cast_signed(), 0, 0) };
    assert_eq!(result, 0, "ptrace {request}: {}", std::io::Error::last_os_error());
}

#[test]
fn a_thread_that_a_debugger_holds_is_traced() {
    let mut workload = Workload::start(&["--hold", "spin", "--seconds", "60"]);
    let pid = workload.pid();
    let recorder = Recorder::attach(pid);
    workload.go();
    let tid = second_thread(pid);
    ptrace(libc::PTRACE_SEIZE, tid);
    ptrace(libc::PTRACE_INTERRUPT, tid);
    let mut status = 0;
    // SAFETY: the status is a live integer.
    let stopped = unsafe { libc::waitpid(tid.cast_signed(), &raw mut status, libc::__WALL) };
    assert_eq!(stopped, tid.cast_signed());
    sleep(Duration::from_millis(20));
    let from = mono_ns();
    sleep(HOLD);
    let to = mono_ns();
    ptrace(libc::PTRACE_DETACH, tid);
    workload.stop();
    let recorded = recorder.finish().checked();
    assert_spans(&recorded.in_state(tid, State::Traced), from, to);
}

#[test]
fn major_faults_are_waits_and_their_number_is_the_kernels() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = dir.path().join("pages");
    let recorded = record(&["major-fault", "--file", file.to_str().unwrap(), "--pages", "200"]).checked();
    let done = recorded.done();
    let tid = number(done, "tid") as u32;
    assert!(number(done, "maj_flt") >= 100, "the pages came from the disk: {done}");
    let major: u64 = recorded.page_faults(tid).iter().map(|row| row.major).sum();
    let thread = recorded.thread(tid);
    assert_eq!(Some(major), thread.maj_flt_last.zip(thread.maj_flt_first).map(|(last, first)| last - first));
    // The thread asked before its exit, for which a page of a library may have to be read.
    let asked = number(recorded.usage("reader"), "maj_flt");
    assert!((asked..asked + 5).contains(&major), "{major} of {asked}");
    let waits = recorded.in_state(tid, State::PageFault);
    let majors = waits.iter().filter(|row| row.major).count() as u64;
    // One that is read before the thread is off its CPU is no wait: some disks are that fast.
    let switches = number(recorded.usage("reader"), "nvcsw");
    assert!(
        majors <= major && majors <= switches && switches <= majors + 5,
        "{majors} waits for {major} major faults and {switches} voluntary switches"
    );
    assert!(waits.iter().all(|row| row.syscall_nr.is_none() && row.arg0.is_none() && row.voluntary));
}

#[test]
fn minor_faults_are_as_many_as_the_kernel_counts() {
    let recorded = record(&["minor-fault", "--pages", "5000", "--threads", "2"]).checked();
    for name in ["toucher-0", "toucher-1"] {
        let usage = recorded.usage(name);
        let tid = number(usage, "tid") as u32;
        let minor: u64 = recorded.page_faults(tid).iter().map(|row| row.minor).sum();
        let thread = recorded.thread(tid);
        assert_eq!(
            Some(minor),
            thread.min_flt_last.zip(thread.min_flt_first).map(|(last, first)| last - first)
        );
        // The thread asked before its exit, which faults a little more.
        let asked = number(usage, "min_flt");
        assert!(asked >= 5000 && (asked..asked + 50).contains(&minor), "{name}: {minor} of {asked}");
    }
}

#[test]
fn signals_that_come_at_the_switch_out_are_counted_as_the_kernel_counts() {
    for arguments in [&["signals", "--count", "1000"][..], &["signals", "--count", "300", "--asleep"]] {
        let recorded = record(arguments).checked();
        let done = recorded.done();
        assert_eq!(number(done, "sent"), number(done, "handled"));
        let sleeps = recorded.in_state(number(done, "tid") as u32, State::Sleep);
        assert!(!sleeps.is_empty() && sleeps.iter().all(|row| row.voluntary));
    }
}
