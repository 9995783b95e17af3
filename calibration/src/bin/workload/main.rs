//! `workload`: small programs whose scheduling is known, for the tests of hostprof on a real kernel.

#![allow(clippy::doc_markdown, reason = "the doc comments here are help texts, read on a terminal")]

mod calls;
mod cpu_time;
mod faults;
mod int80;
mod nvidia;
mod processes;
mod report;
mod stop;
mod syscall_wait;
mod thread;
mod threads;
mod transfer;
mod waits;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use report::Report;
use syscall_wait::Kind;

/// Run a small program whose scheduling is known
///
/// Standard output is JSON, one object a line, each flushed. First {"ready":true,"workload":…,"pid":…,
/// "mono_ns":…, …}; then what happens, where the workload tells it; at the end, for each thread,
/// {"usage":{"name":…,"tid":…,"nvcsw":…,"nivcsw":…,"min_flt":…,"maj_flt":…,"cpu_ns":…}}, read by the
/// thread itself when its work was done (its exit comes after), and last {"done":true,"mono_ns":…, …}.
/// {"unsupported":"reason"} instead means that this kernel or these privileges do not allow it; the exit
/// status is then 0 as well. All times are CLOCK_MONOTONIC nanoseconds. A workload runs until its count
/// is done or until SIGTERM, which the main thread takes, and reports in both cases.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// After the ready line, wait for a line (or the end) of standard input before starting
    #[arg(long, global = true)]
    hold: bool,
    /// After the work, stay until SIGTERM; the done line comes before that
    #[arg(long, global = true)]
    linger: bool,
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Debug, Subcommand)]
enum Workload {
    /// Threads block for ever in FUTEX_WAIT on one word, the main thread in joining them
    ///
    /// `ready` comes when all are asleep and holds "futex_address" (hex) and "tids".
    Deadlock {
        #[arg(long, default_value_t = 4)]
        threads: usize,
    },
    /// A thread spins on sched_yield; `done` holds "calls"
    YieldSpin {
        #[arg(long, default_value_t = 1.0)]
        seconds: f64,
    },
    /// Threads burn CPU with no system call; usage holds the CPU time of each
    Spin {
        #[arg(long, default_value_t = 1.0)]
        seconds: f64,
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
    /// Pairs of threads hand a token through a futex at full speed, for load; `done` holds "operations"
    Storm {
        /// Threads, an even number
        #[arg(long, default_value_t = 2)]
        threads: usize,
        #[arg(long, default_value_t = 1.0)]
        seconds: f64,
    },
    /// A thread sleeps N times in clock_nanosleep; `done` holds "sleeps" and "slept_ns"
    Sleeps {
        #[arg(long, default_value_t = 100)]
        count: u64,
        /// Microseconds of each sleep
        #[arg(long, default_value_t = 1000)]
        us: u64,
        /// More threads that do the same, until the first has done
        #[arg(long, default_value_t = 0)]
        more: usize,
    },
    /// A thread `caller` makes known system calls and counts them; a thread `partner` answers its futexes
    ///
    /// TCGETS on a pseudo-terminal; ioctls on /dev/net/tun and /dev/kvm, where they open; mmap and munmap of
    /// "map_bytes"; 1000 futex waits that find another value; then turns handed to and fro, until the caller
    /// was woken N times. `ready` holds the futexes' addresses; `done` holds "caller" and "partner" with the
    /// calls each made, "caller_tid" and "partner_tid".
    Calls {
        #[arg(long, default_value_t = 100_000)]
        ioctls: u64,
        #[arg(long, default_value_t = 50_000)]
        maps: u64,
        #[arg(long, default_value_t = 50_000)]
        futexes: u64,
        /// Ioctls on each of the other devices
        #[arg(long, default_value_t = 1000)]
        others: u64,
    },
    /// A thread `caller` calls a pseudo-terminal as if it were the NVIDIA driver's devices; it refuses each call
    ///
    /// Each of N rounds has nine calls. On the terminal's slave, as on /dev/nvidiactl: a control (0x20801303), an
    /// allocation (class 0x40, 64 MiB), a control by way of NV_ESC_IOCTL_XFER_CMD (0x2080a026) and one of another size. On
    /// its master, as on /dev/nvidia-uvm: 73 and 42, and 2, which the kernel takes, of 2 MiB each, with status 0x56 after
    /// the last. Then a control and 2 again whose structures are not in memory at the enter; 0x51 is the status of the
    /// second at the exit. `done` holds "rounds" and "caller_tid".
    NvidiaCalls {
        #[arg(long, default_value_t = 100)]
        count: u64,
    },
    /// Two threads send a byte to and fro through two pipes; `done` holds "round_trips"
    PipePing {
        #[arg(long, default_value_t = 1000)]
        count: u64,
    },
    /// The same as `syscall-wait futex`
    FutexWaits {
        #[arg(long, default_value_t = 100)]
        count: u64,
    },
    /// The same as `syscall-wait poll`
    Polls {
        #[arg(long, default_value_t = 100)]
        count: u64,
    },
    /// The same as `syscall-wait epoll_wait`
    Epoll {
        #[arg(long, default_value_t = 100)]
        count: u64,
    },
    /// The same as `syscall-wait eventfd`
    Eventfd {
        #[arg(long, default_value_t = 100)]
        count: u64,
    },
    /// A thread `waiter` blocks N times in one system call, each time until it is really asleep
    ///
    /// A thread `waker` ends each wait once the kernel shows the waiter asleep in it. `done` holds "kind",
    /// "syscall" (its number), "waits" (calls made), "blocked" (calls in which the waiter's own nvcsw
    /// moved), "switches" (by how much, in all), "call_ns" (time in the calls) and "waiter_tid",
    /// "waker_tid". fsync and fdatasync end by themselves and need not block; nanosleep and
    /// clock_nanosleep are ended by their timer.
    SyscallWait {
        kind: Kind,
        #[arg(long, default_value_t = 100)]
        count: u64,
        /// Microseconds of each nanosleep and clock_nanosleep
        #[arg(long, default_value_t = 1000)]
        us: u64,
        /// The file for fsync and fdatasync, overwritten and removed; tmpfs does not block
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// A 64-bit thread sleeps N times through the 32-bit entry: int 0x80, i386 nanosleep (162)
    Int80Sleep {
        #[arg(long, default_value_t = 100)]
        count: u64,
        /// Microseconds of each sleep
        #[arg(long, default_value_t = 1000)]
        us: u64,
    },
    /// A second thread executes this program again as `exec-target`; its tid becomes the pid
    ///
    /// `ready` holds "main_tid" and "exec_tid"; then come the lines of `exec-target`.
    ExecFromThread {
        #[arg(long, default_value_t = 0.5)]
        seconds: f64,
    },
    /// Sleeps 5 ms at a time, seconds / 5 ms times; `done` holds "sleeps"
    ExecTarget {
        #[arg(long, default_value_t = 0.5)]
        seconds: f64,
    },
    /// A tree of processes; each sleeps, forks its children, waits for them and exits
    ///
    /// Each prints {"process":{"pid","ppid","depth","sleeps","start_mono_ns","end_mono_ns","usage"}}.
    ForkTree {
        /// Levels below the first process
        #[arg(long, default_value_t = 2)]
        depth: u32,
        /// Children of each process that is not at the bottom
        #[arg(long, default_value_t = 2)]
        width: u32,
        /// Sleeps of 5 ms of each process
        #[arg(long, default_value_t = 3)]
        sleeps: u64,
    },
    /// Children one after the other that all get the same pid (clone3 with set_tid)
    ///
    /// Prints {"child":{"n","pid","fork_mono_ns","reaped_mono_ns"}} for each.
    PidReuse {
        #[arg(long, default_value_t = 20)]
        count: u64,
        /// Microseconds that each child sleeps before it exits; 0: it exits at once
        #[arg(long, default_value_t = 0)]
        us: u64,
    },
    /// Creates and joins N threads, one after the other, that each sleep 1 ms; `done` holds "tids"
    ThreadChurn {
        #[arg(long, default_value_t = 100)]
        count: u64,
    },
    /// A thread blocks in nanosleep while the main thread sends it SIGUSR1 N times
    ///
    /// Each signal is sent from 0 to some microseconds after the last one was handled, so that some are
    /// pending when the thread is about to switch out. `done` holds "sent", "handled" and "interrupted" (sleeps cut short).
    Signals {
        #[arg(long, default_value_t = 1000)]
        count: u64,
        /// Send only when the thread is asleep
        #[arg(long)]
        asleep: bool,
    },
    /// Reads N pages of a file that is not in the page cache; `done` holds "min_flt" and "maj_flt"
    MajorFault {
        /// The file, overwritten and removed; it must not be on tmpfs
        #[arg(long)]
        file: PathBuf,
        #[arg(long, default_value_t = 256)]
        pages: usize,
    },
    /// Each thread touches N fresh pages and prints {"faults":{"tid","pages","min_flt","maj_flt"}}
    MinorFault {
        #[arg(long, default_value_t = 10_000)]
        pages: usize,
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
    /// A thread takes one name after the other; prints {"rename":{"tid","name","hex","mono_ns"}} for each
    Rename {
        /// Names with commas between; \xHH is a byte. Cut to 15 bytes by the kernel
        #[arg(long, default_value = r"first,second,\x1b[31m\xff,a-name-far-too-long")]
        names: String,
        /// Microseconds of sleep after each
        #[arg(long, default_value_t = 20_000)]
        us: u64,
    },
    /// A thread sends bytes to another over TCP on the loopback, which looks at the first before it takes them
    ///
    /// Then others go through a pair of Unix sockets. `done` holds "sent", "received", "peeked" and "other".
    Transfer {
        #[arg(long, default_value_t = 1 << 20)]
        bytes: u64,
        #[arg(long)]
        ipv6: bool,
        /// Bytes through the Unix sockets
        #[arg(long, default_value_t = 1 << 20)]
        other_bytes: u64,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    stop::install();
    let report = Report::new(arguments.hold);
    match run(&report, arguments.workload) {
        Ok(()) => {}
        Err(err) if report::is_unsupported(&err) => report.unsupported(&format!("{err:#}")),
        Err(err) => {
            eprintln!("workload: {err:#}");
            return ExitCode::FAILURE;
        }
    }
    if arguments.linger {
        stop::wait();
    }
    ExitCode::SUCCESS
}

fn run(report: &Report, workload: Workload) -> anyhow::Result<()> {
    let waits = |kind, count| syscall_wait::run(report, kind, count, 1000, None);
    match workload {
        Workload::Deadlock { threads } => waits::deadlock(report, threads),
        Workload::YieldSpin { seconds } => cpu_time::yield_spin(report, seconds),
        Workload::Spin { seconds, threads } => cpu_time::spin(report, seconds, threads),
        Workload::Storm { threads, seconds } => cpu_time::storm(report, threads, seconds),
        Workload::Sleeps { count, us, more } => waits::sleeps(report, "sleeps", count, us, more),
        Workload::Calls { ioctls, maps, futexes, others } => {
            calls::run(report, calls::Numbers { ioctls, maps, futexes, others })
        }
        Workload::NvidiaCalls { count } => nvidia::run(report, count),
        Workload::PipePing { count } => waits::pipe_ping(report, count),
        Workload::FutexWaits { count } => waits(Kind::Futex, count),
        Workload::Polls { count } => waits(Kind::Poll, count),
        Workload::Epoll { count } => waits(Kind::EpollWait, count),
        Workload::Eventfd { count } => waits(Kind::Eventfd, count),
        Workload::SyscallWait { kind, count, us, file } => syscall_wait::run(report, kind, count, us, file),
        Workload::Int80Sleep { count, us } => int80::sleeps(report, count, us),
        Workload::ExecFromThread { seconds } => processes::exec_from_thread(report, seconds),
        Workload::ExecTarget { seconds } => {
            waits::sleeps(report, "exec-target", (seconds * 200.0).round() as u64, 5000, 0)
        }
        Workload::ForkTree { depth, width, sleeps } => processes::fork_tree(report, depth, width, sleeps),
        Workload::PidReuse { count, us } => processes::pid_reuse(report, count, us),
        Workload::ThreadChurn { count } => threads::churn(report, count),
        Workload::Signals { count, asleep } => waits::signals(report, count, asleep),
        Workload::MajorFault { file, pages } => faults::major(report, &file, pages),
        Workload::MinorFault { pages, threads } => faults::minor(report, pages, threads),
        Workload::Rename { names, us } => threads::rename(report, &names, us),
        Workload::Transfer { bytes, ipv6, other_bytes } => transfer::run(report, bytes, ipv6, other_bytes),
    }
}
