//! Folds beside each other, each with a share of the threads, tell together what one fold of all tells.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use hostprof::{
    probe::{Devices, Event, Fold, FoldCounts, Life, Placement, Rows, Seed, Share},
    table::{
        CudaCallRow, GpuIoctlRow, OffCpuCountRow, OffCpuRow, PageFaultRow, RequestRow, StepRow, SyscallRow,
        ThreadRow, TokenRow,
    },
    units::{MonoNs, Tgid, Tid},
};
use hostprof_common::{
    episode::{Blocked, Head, flag},
    shed::Tallies,
    slot::{Slot, presence},
    span::Span,
    thread::{Begin, Counters, EXEC_PATH_BYTES, End, Exec, Rename, cause},
};

/// What folds tell.
#[derive(Debug, Default, PartialEq)]
struct Told {
    threads: Vec<ThreadRow>,
    off_cpu: Vec<OffCpuRow>,
    syscalls: Vec<SyscallRow>,
    page_faults: Vec<PageFaultRow>,
}

impl Rows for Told {
    fn off_cpu(&mut self, row: OffCpuRow) {
        self.off_cpu.push(row);
    }
    fn off_cpu_count(&mut self, row: OffCpuCountRow) {
        panic!("{row:?}");
    }
    fn page_fault(&mut self, row: PageFaultRow) {
        self.page_faults.push(row);
    }
    fn syscall(&mut self, row: SyscallRow) {
        self.syscalls.push(row);
    }
    fn cuda_call(&mut self, row: CudaCallRow) {
        panic!("{row:?}");
    }
    fn step(&mut self, row: StepRow) {
        panic!("{row:?}");
    }
    fn gpu_ioctl(&mut self, row: GpuIoctlRow) {
        panic!("{row:?}");
    }
    fn request(&mut self, row: RequestRow) {
        panic!("{row:?}");
    }
    fn token(&mut self, row: TokenRow) {
        panic!("{row:?}");
    }
    fn thread(&mut self, life: &Life) {
        self.threads.push(life.row.clone());
    }
}

fn text<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    bytes
}

fn begin(cause: u16, utid: u32, at_ns: u64, (tid, tgid): (u32, u32), parent_utid: u32) -> Event {
    let comm = if cause == cause::FORK { text("forked") } else { text("") };
    Event::Begin(Begin {
        cause,
        utid,
        at_ns,
        start_ns: at_ns,
        tid,
        tgid,
        ns_tid: tid,
        parent_utid,
        comm,
        ..Begin::default()
    })
}

fn end(utid: u32, at_ns: u64) -> Event {
    let counters = Counters { at_ns, nvcsw: 3, min_flt: 9, ..Counters::ZERO };
    Event::End(Box::new(End { cause: cause::EXIT, utid, at_ns, counters, ..End::default() }))
}

fn exec(utid: u32, at_ns: u64, path: &str) -> Event {
    let path = text::<EXEC_PATH_BYTES>(path);
    Event::Exec(Box::new(Exec { kind: 0, _pad: 0, utid, at_ns, comm: text("other"), path }))
}

fn sleep(utid: u32, seq: u32, out_ns: u64) -> Event {
    let head = Head {
        utid,
        in_ns: out_ns + 30,
        out_ns,
        seq,
        min_flt: seq,
        task_state: 1,
        syscall: 230,
        flags: flag::BLOCKED | flag::VOLUNTARY | flag::WAKE_IRQ,
        ..Head::default()
    };
    Event::Blocked(Blocked { head, wake_ns: out_ns + 20, ..Blocked::default() })
}

fn call(utid: u32, enter_ns: u64) -> Event {
    Event::Span(Span { utid, nr: 230, enter_ns, exit_ns: enter_ns + 5, ..Span::default() })
}

/// A program met alive, in a container; a thread of it makes a process that runs another program and makes one more,
/// and a thread whose beginning was lost.
fn events() -> Vec<Event> {
    vec![
        begin(cause::ADOPTED, 1, 10, (100, 100), 0),
        begin(cause::FORK, 2, 20, (101, 100), 1),
        begin(cause::FORK, 3, 30, (200, 200), 2),
        exec(3, 40, "/bin/other"),
        begin(cause::FORK, 4, 50, (300, 300), 3),
        Event::Rename(Rename { utid: 4, at_ns: 60, comm: text("renamed"), ..Rename::default() }),
        sleep(1, 8, 70),
        sleep(2, 0, 70),
        sleep(4, 0, 71),
        sleep(77, 0, 72),
        call(3, 80),
        call(2, 81),
        end(77, 90),
        end(3, 90),
        end(2, 91),
        begin(cause::FORK, 5, 100, (301, 300), 4),
        sleep(5, 0, 110),
    ]
}

fn told(folds: usize) -> (Told, FoldCounts) {
    let (mut told, mut counts) = (Told::default(), FoldCounts::default());
    for share in Share::among(folds) {
        let mut fold = Fold::of(share, Devices::default());
        fold.seed(Tid(100), Seed { comm: b"met".to_vec(), state: 'S', ..Seed::default() });
        fold.program(Tgid(100), "/bin/met".to_owned());
        fold.placement(Tgid(100), Placement { container_id: Some("c0".to_owned()), pod: None });
        for event in events() {
            // As the drains deal them out: what becomes a row of a thread is for its fold alone.
            let of = match &event {
                Event::Blocked(Blocked { head, .. }) => Some(head.utid),
                Event::Span(span) => Some(span.utid),
                _ => None,
            };
            if of.is_none_or(|utid| share.has(hostprof::units::Utid(utid))) {
                fold.event(&event, &mut told);
            }
            if let Some((utid, tgid)) = fold.executed(&event) {
                assert_eq!(tgid, Tgid(200));
                fold.moved(utid, Placement { container_id: Some("c1".to_owned()), pod: None });
            }
        }
        assert_eq!((fold.begun(), fold.live()), (5, 3));
        assert_eq!(fold.processes(), [Tgid(100), Tgid(300)]);
        let slot = Slot { utid: 1, presence: presence::OFF_CPU, out_ns: 105, ..Slot::default() };
        fold.finish(MonoNs(200), &[slot], &[] as &[Tallies], |_, _| None, &mut told);
        counts += fold.counts();
    }
    told.threads.sort_by_key(|row| row.tid);
    told.off_cpu.sort_by_key(|row| (row.tid, row.ts_mono_ns));
    told.syscalls.sort_by_key(|row| row.tid);
    told.page_faults.sort_by_key(|row| (row.tid, row.ts_mono_ns));
    (told, counts)
}

#[test]
fn however_many_folds_there_are_they_tell_the_same() {
    let (whole, counts) = told(1);
    let of = |tid| whole.threads.iter().find(|row| row.tid == tid).unwrap();
    let facts = |tid| {
        let row = of(tid);
        (row.parent_tid, row.exe.as_deref(), row.container_id.as_deref(), row.comm.as_str())
    };
    assert_eq!(whole.threads.len(), 5);
    assert_eq!(facts(100), (None, Some("/bin/met"), Some("c0"), "met"));
    assert_eq!(facts(101), (Some(100), Some("/bin/met"), Some("c0"), "forked"));
    assert_eq!(facts(200), (Some(101), Some("/bin/other"), Some("c1"), "other"));
    assert_eq!(facts(300), (Some(200), Some("/bin/other"), Some("c1"), "renamed"));
    assert_eq!(facts(301), (Some(300), Some("/bin/other"), Some("c1"), "forked"));
    assert_eq!((counts.episodes, counts.orphans), (4, 2));
    for folds in [2, 3, 4, 7] {
        let (together, counted) = told(folds);
        assert_eq!(together, whole, "{folds} folds");
        assert_eq!(counted, counts, "{folds} folds");
    }
}
