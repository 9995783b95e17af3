//! System calls as spans, on the running kernel: exactly the calls that a program made, each with the time
//! off the CPU that its thread's rows within it come to.

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "helpers of tests are tests")]

#[path = "kernel/support/mod.rs"]
mod support;

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Read as _,
    os::fd::FromRawFd as _,
    process::{Child, Command},
};

use hostprof::table::{FdKind, GpuIoctlRow, HistogramRow, OffCpuRow, State, SyscallRow, ThreadRow};
use serde_json::Value;
use support::{
    Recorded, Recorder, Workload, poll, record_with,
    recorded::{number, off_cpu_ns},
    wait,
};
use tempfile::NamedTempFile;

const TCGETS: u32 = 0x5401;
const TUN_FEATURES: u32 = 0x8004_54cf;
const KVM_VERSION: u32 = 0xae00;
const FUTEX_WAIT: u64 = 0x80;
const FUTEX_WAKE: u64 = 0x81;
const EAGAIN: i64 = -11;
const NAMED: [&str; 5] = ["--probe", "sched,ioctl,memory,futex", "--futex-threshold", "0", "--ioctl-device"];

fn calls(options: &[&str], numbers: &[&str]) -> Recorded {
    let arguments: Vec<&str> = ["calls"].iter().chain(numbers).copied().collect();
    record_with(options, &arguments).checked()
}

fn tid(recorded: &Recorded, thread: &str) -> u32 {
    number(recorded.done(), thread) as u32
}

fn address(recorded: &Recorded, word: &str) -> u64 {
    number(recorded.ready(), word)
}

/// Futex calls of a thread on a word, by operation.
fn on_word(rows: &[SyscallRow], tid: u32, word: u64, operation: u64) -> Vec<&SyscallRow> {
    rows.iter()
        .filter(|row| row.name == "futex" && row.tid == tid)
        .filter(|row| row.arg0 == Some(word) && row.arg1 == Some(operation))
        .collect()
}

/// How a thread's futex waits that found another value and those that did not went, as it counted them.
fn assert_waits(rows: &[&SyscallRow], waits: &Value, refused: u64) {
    let missed = rows.iter().filter(|row| row.ret == EAGAIN).count() as u64;
    assert_eq!(missed, number(waits, "missed") + refused);
    assert_eq!(rows.len() as u64, number(waits, "woken") + number(waits, "missed") + refused);
}

fn assert_exact(recorded: &Recorded) {
    let (caller, partner) = (tid(recorded, "caller_tid"), tid(recorded, "partner_tid"));
    let made = &recorded.done()["caller"];
    let answered = &recorded.done()["partner"];
    assert_eq!(recorded.dropped(), 0);

    let rows = recorded.rows::<SyscallRow>();
    let map_bytes = number(recorded.ready(), "map_bytes");
    let of_size = |name: &str| {
        let rows = rows.iter().filter(|row| row.tid == caller && row.name == name);
        rows.filter(|row| row.arg1 == Some(map_bytes)).collect::<Vec<_>>()
    };
    let (maps, unmaps) = (of_size("mmap"), of_size("munmap"));
    assert_eq!(maps.len() as u64, number(made, "maps"));
    assert_eq!(unmaps.len() as u64, number(made, "maps"));
    for (map, unmap) in maps.iter().zip(&unmaps) {
        assert_eq!(unmap.arg0, Some(map.ret as u64), "what was mapped is unmapped");
        assert_eq!((map.arg0, map.arg2, unmap.arg2, unmap.ret), (Some(0), Some(1), None, 0));
    }

    let [there, back, idle] =
        ["there_address", "back_address", "idle_address"].map(|word| address(recorded, word));
    let refused = number(made, "refused_waits");
    let idle_waits = on_word(&rows, caller, idle, FUTEX_WAIT);
    assert_eq!(idle_waits.len() as u64, refused);
    assert!(idle_waits.iter().all(|row| row.ret == EAGAIN));
    assert_waits(&on_word(&rows, caller, back, FUTEX_WAIT), &made["waits"], 0);
    assert_waits(&on_word(&rows, partner, there, FUTEX_WAIT), answered, 0);
    assert_eq!(on_word(&rows, caller, there, FUTEX_WAKE).len() as u64, number(made, "wakes"));
}

/// Each call's time off the CPU is its thread's rows within, and a refused wait is a row and no episode.
fn assert_off_cpu(recorded: &Recorded) {
    let mut episodes: HashMap<u32, Vec<OffCpuRow>> = HashMap::new();
    for row in recorded.rows::<OffCpuRow>() {
        episodes.entry(row.tid).or_default().push(row);
    }
    let (mut compared, mut blocked, mut untold) = (0_u64, 0, 0);
    for call in recorded.rows::<SyscallRow>() {
        let exit_ns = call.ts_mono_ns + call.dur_ns;
        let rows = episodes.get(&call.tid).map_or(&[][..], Vec::as_slice);
        let first = rows.partition_point(|row| row.ts_mono_ns < call.ts_mono_ns);
        let last = rows.partition_point(|row| row.ts_mono_ns < exit_ns);
        let within = &rows[first..last];
        let Some(told_ns) = call.off_cpu_ns else {
            untold += 1;
            continue;
        };
        assert_eq!(told_ns, off_cpu_ns(within), "{call:?}: {within:#?}");
        let waits = within.iter().filter(|row| row.state == State::Futex).count();
        if call.name == "futex" && call.ret == EAGAIN {
            assert_eq!(waits, 0, "{call:?} did not wait");
        }
        compared += 1;
        blocked += u64::from(waits > 0);
    }
    // Some kernels trace nothing in the context of some threads of init: a switch-in there is told to nobody.
    assert!(untold * 1000 <= compared, "{untold} of {compared}");
    let made = &recorded.done()["caller"];
    assert!(compared > 3 * number(made, "maps"), "{compared}");
    assert!(blocked > number(&made["waits"], "woken") / 2, "{blocked} calls waited");
}

#[test]
fn every_call_of_a_thread_is_a_row_and_its_time_off_the_cpu_that_of_its_episodes() {
    let recorded = calls(&[&NAMED[..], &["tty"]].concat(), &[]);
    assert_exact(&recorded);
    assert_off_cpu(&recorded);

    let caller = tid(&recorded, "caller_tid");
    let made = &recorded.done()["caller"];
    let ioctls = recorded.rows::<GpuIoctlRow>();
    let reads: Vec<_> = ioctls.iter().filter(|row| row.tid == caller && row.request == TCGETS).collect();
    assert_eq!(reads.len() as u64, number(made, "ioctls"));
    let fd = number(recorded.ready(), "terminal_fd") as i32;
    for row in &reads {
        assert_eq!((row.fd, row.ret, row.name.as_deref(), row.size_bytes), (fd, 0, None, None));
        assert!(row.device.starts_with("pts/"), "{}", row.device);
    }
    // Those on other devices are counted, and no rows.
    assert!(ioctls.iter().all(|row| ![TUN_FEATURES, KVM_VERSION].contains(&row.request)));
    let others: u64 = ["tun_ioctls", "kvm_ioctls"].iter().filter_map(|name| made[*name].as_u64()).sum();
    let notes = recorded.notes("ioctl");
    assert!(others == 0 || notes.contains("left out"), "{notes}");

    let report = recorded.report();
    let told = report["system_calls"].as_array().expect("a list");
    let of = |name: &str| told.iter().find(|call| call["name"] == name).expect("the call");
    assert_eq!(number(of("0x5401"), "count"), number(made, "ioctls"));
    assert!(number(of("munmap"), "count") >= number(made, "maps"));
    assert!(recorded.report_text().contains("SYSTEM CALLS"));
}

#[test]
fn a_device_that_shares_its_major_with_others_is_told_from_them() {
    let numbers = ["--ioctls", "10", "--maps", "0", "--futexes", "0", "--others", "500"];
    for (device, request, made) in
        [("kvm", KVM_VERSION, "kvm_ioctls"), ("net/tun", TUN_FEATURES, "tun_ioctls")]
    {
        let recorded = calls(&[&NAMED[..], &[device]].concat(), &numbers);
        let rows = recorded.rows::<GpuIoctlRow>();
        let made = recorded.done()["caller"][made].as_u64();
        assert!(rows.iter().all(|row| row.request == request && row.device == device), "{device}: {rows:#?}");
        // Where the machine has no such device there is nothing to tell apart.
        assert_eq!(rows.len() as u64, made.unwrap_or(0), "{device}");
    }
}

#[test]
fn a_futex_call_shorter_than_the_threshold_is_counted_and_no_row() {
    let options = ["--probe", "sched,futex", "--futex-threshold", "10ms"];
    let recorded = record_with(&options, &["syscall-wait", "futex", "--count", "20"]).checked();
    let rows = recorded.rows::<SyscallRow>();
    assert!(rows.iter().all(|row| row.name == "futex" && row.dur_ns >= 10_000_000), "{rows:#?}");
    let notes = recorded.notes("futex");
    assert!(notes.contains("left out") && notes.contains("10.0 ms"), "{notes}");
    assert!(recorded.rows::<GpuIoctlRow>().is_empty());
}

#[test]
fn every_system_call_is_a_row_and_counted_when_both_are_asked_for() {
    let options = ["--probe", "sched,ioctl,syscall,syscall_count", "--ioctl-device", "tty"];
    let recorded = calls(&options, &["--ioctls", "3000", "--maps", "2000", "--futexes", "2000"]);
    assert_exact(&recorded);
    assert_off_cpu(&recorded);
    let caller = tid(&recorded, "caller_tid");
    let made = &recorded.done()["caller"];
    let ioctls = recorded.rows::<GpuIoctlRow>();
    assert_eq!(
        ioctls.iter().filter(|row| row.tid == caller && row.request == TCGETS).count() as u64,
        number(made, "ioctls")
    );

    // What the kernel half counted is what it told one by one.
    let mut told: HashMap<(u32, String), (u64, u64)> = HashMap::new();
    let mut tell = |tgid: u32, call: String, dur_ns: u64| {
        let (count, total_ns) = told.entry((tgid, call)).or_default();
        *count += 1;
        *total_ns += dur_ns;
    };
    for row in recorded.rows::<SyscallRow>() {
        tell(row.tgid, format!("{} {}", row.syscall_nr, row.name), row.dur_ns);
    }
    for row in &ioctls {
        tell(row.tgid, "16 ioctl".to_owned(), row.dur_ns);
    }
    let mut counted: HashMap<(u32, String), (u64, u64)> = HashMap::new();
    for row in recorded.rows::<HistogramRow>().iter().filter(|row| row.name == "syscall") {
        let (tgid, call) = row.key.split_once(':').expect("process and call");
        let entry = counted.entry((tgid.parse().expect("a number"), call.to_owned())).or_default();
        entry.0 += row.count;
        entry.1 += row.total_ns.expect("a total");
        let mean_ns = row.total_ns.expect("a total") / row.count;
        assert!((row.bucket_low_ns..row.bucket_high_ns).contains(&mean_ns), "{row:?}");
    }
    assert_eq!(counted, told);
}

/// System calls entered by a process and all threads it makes, to its end, as perf counts them.
struct PerfStat {
    child: Child,
    out: NamedTempFile,
}

impl PerfStat {
    fn start(pid: u32) -> Self {
        let out = NamedTempFile::new().unwrap();
        let mut command = Command::new("perf");
        command.args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", &pid.to_string(), "-o"]);
        let child = command.arg(out.path()).spawn().expect("start perf (package linux-perf, and tracefs)");
        let counts = |fd: fs::DirEntry| {
            fs::read_link(fd.path()).is_ok_and(|to| to.ends_with("anon_inode:[perf_event]"))
        };
        poll("perf's events", || {
            let fds = fs::read_dir(format!("/proc/{}/fd", child.id())).ok()?;
            fds.flatten().any(counts).then_some(())
        });
        Self { child, out }
    }

    fn finish(mut self) -> u64 {
        wait("perf", &mut self.child);
        let text = fs::read_to_string(self.out.path()).unwrap();
        let line = text.lines().find(|line| line.contains("raw_syscalls:sys_enter")).expect("perf's count");
        line.split(',').next().unwrap().parse().unwrap_or_else(|_| panic!("{text}"))
    }
}

#[test]
fn the_counted_calls_of_many_threads_are_as_many_as_perf_counts() {
    let mut workload = Workload::start(&["--hold", "storm", "--threads", "64", "--seconds", "1"]);
    let options = ["--pid", &workload.pid().to_string(), "--probe", "sched,syscall_count"];
    let recorder = Recorder::start(&options);
    let perf = PerfStat::start(workload.pid());
    workload.go();
    workload.finish();
    let entered = perf.finish();
    let recorded = recorder.finish().checked();
    let rows = recorded.rows::<HistogramRow>();
    let counted: u64 = rows.iter().filter(|row| row.name == "syscall").map(|row| row.count).sum();
    // Of those that are entered, each thread's last does not return.
    let threads = recorded.rows::<ThreadRow>().len() as u64;
    assert_eq!(threads, 65);
    assert_eq!(counted, entered - threads, "{}", recorded.notes("syscall_count"));
    assert_eq!(recorded.dropped(), 0);
}

#[test]
fn auto_traces_calls_only_where_the_target_has_a_selected_device_open() {
    for (device, expected) in [("tty", true), ("dri", false)] {
        let mut workload = Workload::start(&["--hold", "calls", "--ioctls", "100", "--futexes", "0"]);
        let recorder = Recorder::start(&["--pid", &workload.pid().to_string(), "--ioctl-device", device]);
        workload.go();
        let done = workload.until("done");
        workload.finish();
        let recorded = recorder.finish().checked();
        let rows = recorded.rows::<GpuIoctlRow>();
        let on = |name: &str| recorded.config().probes.iter().any(|probe| probe.on && probe.name == name);
        assert_eq!(
            [on("ioctl"), on("memory"), on("futex"), on("syscall")],
            [expected, expected, expected, false]
        );
        assert_eq!(recorded.stderr.contains("not recorded pay"), expected, "{}", recorded.stderr);
        let caller = number(&done, "caller_tid") as u32;
        let reads = rows.iter().filter(|row| row.tid == caller && row.request == TCGETS).count();
        assert_eq!(reads, if expected { 100 } else { 0 });
        if expected {
            assert!(recorded.notes("futex").contains("by "), "{}", recorded.notes("futex"));
        }
    }
}

#[test]
fn a_call_that_was_open_at_the_start_or_the_end_is_counted_and_no_row() {
    let workload = Workload::start(&["deadlock", "--threads", "3"]);
    let pid = workload.pid().to_string();
    let options = ["--pid", &pid, "--probe", "syscall", "--duration", "500ms"];
    let recorded = Recorder::spawn(&options).finish().checked();
    assert!(recorded.rows::<SyscallRow>().is_empty());
    // None of them returned.
    assert!(!recorded.notes("syscall").contains("returned"), "{}", recorded.notes("syscall"));
    let recorder = Recorder::start(&["--pid", &pid, "--probe", "syscall"]);
    workload.kill();
    let recorded = recorder.finish();
    assert!(recorded.rows::<SyscallRow>().is_empty(), "killed in a call");

    let recorded = record_with(&["--probe", "syscall", "--duration", "500ms"], &["spin", "--seconds", "2"]);
    let notes = recorded.notes("syscall");
    assert!(notes.contains("never returned, or not before the recording's end"), "{notes}");
}

#[test]
fn the_fd_of_a_wait_is_told_by_what_it_stands_for() {
    for (kind, state, expected) in [
        ("read", State::Read, FdKind::Pipe),
        ("eventfd", State::Read, FdKind::Eventfd),
        ("epoll_wait", State::Poll, FdKind::Epoll),
        ("recvfrom", State::Network, FdKind::Socket),
        ("futex", State::Futex, FdKind::Other),
    ] {
        let mut workload = Workload::start(&["--hold", "syscall-wait", kind, "--count", "3000"]);
        let recorder = Recorder::attach(workload.pid());
        workload.go();
        let done = workload.until("done");
        workload.finish();
        let recorded = recorder.finish();
        let rows = recorded.in_state(number(&done, "waiter_tid") as u32, state);
        assert!(rows.len() >= 3000, "{kind}: {}", rows.len());
        if state == State::Futex {
            assert!(rows.iter().all(|row| row.fd_kind.is_none()));
            continue;
        }
        // The last waits are looked at when the workload has closed the fd.
        let mut told: Vec<FdKind> = rows.iter().filter_map(|row| row.fd_kind).collect();
        assert!(told.len() > rows.len() / 2, "{kind}: {} of {}", told.len(), rows.len());
        told.dedup();
        assert_eq!(told, [expected], "{kind}");
    }
}

/// A counter of the calling thread's `mmap` calls, as perf has it.
fn mmap_counter() -> File {
    const PERF_TYPE_TRACEPOINT: u64 = 2;
    const ATTRIBUTE_BYTES: u64 = 64;
    let id = fs::read_to_string("/sys/kernel/tracing/events/syscalls/sys_enter_mmap/id").expect("tracefs");
    let mut attribute = [0_u64; (ATTRIBUTE_BYTES / 8) as usize];
    attribute[0] = PERF_TYPE_TRACEPOINT | ATTRIBUTE_BYTES << 32;
    attribute[1] = id.trim().parse().expect("a number");
    // SAFETY: the attribute is alive and as long as it says; the call opens a descriptor that nobody else owns.
    unsafe {
        let fd = libc::syscall(libc::SYS_perf_event_open, attribute.as_ptr(), 0, -1, -1, 0);
        assert!(fd >= 0, "open a perf event: {}", std::io::Error::last_os_error());
        File::from_raw_fd(fd as i32)
    }
}

#[test]
fn other_tracers_of_the_same_calls_still_see_them() {
    let workload = Workload::start(&["deadlock"]);
    let pid = workload.pid().to_string();
    let recorder = Recorder::start(&["--pid", &pid, "--probe", "memory"]);
    let mut counter = mmap_counter();
    for _ in 0..100 {
        // SAFETY: a new mapping that nothing points into, and its end.
        unsafe {
            let (read, private) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let at = libc::mmap(std::ptr::null_mut(), 4096, read, private, -1, 0);
            assert_eq!(libc::munmap(at, 4096), 0);
        }
    }
    let mut count = [0; 8];
    counter.read_exact(&mut count).expect("read the counter");
    let recorded = recorder.interrupt();
    assert!(u64::from_ne_bytes(count) >= 100, "{}", u64::from_ne_bytes(count));
    assert!(recorded.rows::<SyscallRow>().is_empty(), "rows of a program that is not recorded");
    workload.kill();
}
