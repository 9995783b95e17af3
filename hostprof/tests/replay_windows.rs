//! Windows of a replay against sums over the rows: every thread of random runs, in any order of windows.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod sink_support;

use std::collections::HashMap;

use hostprof::{
    ledger::{Ledger, Part, Piece},
    live::{Picture, Replay, Share},
    recording::{EndReason, Moment, config::Ended},
    sink::Settings,
    table::{LossRow, OffCpuRow, PageFaultRow, State, SyscallRow, ThreadRow, WakeSource, Word as _},
    units::{MonoNs, Tid, WallNs},
};
use sink_support::{Run, config};

const SECOND: u64 = 1_000_000_000;
const LENGTH: u64 = 40 * SECOND;

struct Rows {
    begin: u64,
    threads: Vec<ThreadRow>,
    off_cpu: Vec<OffCpuRow>,
    calls: Vec<SyscallRow>,
    faults: Vec<PageFaultRow>,
}

fn end(row: &OffCpuRow) -> u64 {
    row.ts_mono_ns + row.blocked_ns + row.runqueue_ns
}

/// Threads that wait in all ways, some of them for long; a tid that has two lives.
fn random_rows(seed: u64) -> Rows {
    let mut random = fastrand::Rng::with_seed(seed);
    let begin = config().started.mono_ns.0 + 37_000_001;
    let mut rows = Rows { begin, threads: vec![], off_cpu: vec![], calls: vec![], faults: vec![] };
    let lives = (1..=8).map(|tid| (100 + tid, 0, LENGTH));
    let lives = lives.chain([(150, 0, 11 * SECOND), (150, 11 * SECOND + 5, LENGTH)]);
    for (tid, from, to) in lives {
        let role = ["decode", "http"].get(random.usize(0..3)).map(|role| (*role).to_owned());
        let exits = (to < LENGTH).then_some(begin + to);
        rows.threads.push(ThreadRow {
            tid,
            tgid: 100 + tid % 2,
            comm: format!("thread {tid}"),
            role,
            begin_mono_ns: begin + from,
            end_mono_ns: begin + to,
            exit_mono_ns: exits,
            ..ThreadRow::default()
        });
        let mut at = begin + from;
        loop {
            at += random.u64(1..30_000_000);
            let state = State::ALL[random.usize(1..State::ALL.len() - 1)];
            let blocked_ns = match random.u8(0..200) {
                0 => random.u64(5 * SECOND..12 * SECOND),
                1..20 => random.u64(1..SECOND),
                _ => random.u64(1..20_000_000),
            };
            let mut row = OffCpuRow {
                ts_mono_ns: at,
                tid,
                tgid: 100 + tid % 2,
                state,
                blocked_ns: if state.is_runnable() { 0 } else { blocked_ns },
                runqueue_ns: random.u64(0..3_000_000),
                syscall_nr: (state == State::Futex).then_some(202),
                arg0: (state == State::Futex).then(|| 0x7000 + random.u64(0..3) * 64),
                voluntary: random.bool(),
                wake_source: (!state.is_runnable()).then_some(WakeSource::Task),
                waker_tid: (!state.is_runnable()).then(|| random.u32(101..109)),
                cpu_out: Some(random.u16(0..4)),
                cpu_in: Some(random.u16(0..4)),
                ..OffCpuRow::default()
            };
            if end(&row) >= begin + to {
                // What is open when recording ends is cut there.
                (row.open_end, row.cpu_in, row.wake_source, row.waker_tid) = (true, None, None, None);
                row.blocked_ns = row.blocked_ns.min((begin + to).saturating_sub(at));
                row.runqueue_ns = (begin + to).saturating_sub(at + row.blocked_ns);
                if exits.is_none() && at < begin + to {
                    rows.off_cpu.push(row);
                }
                break;
            }
            at = end(&row);
            if random.u8(0..10) == 0 {
                let dur_ns = random.u64(1..SECOND);
                let ret = if random.bool() { -11 } else { 0 };
                rows.calls.push(SyscallRow {
                    ts_mono_ns: at,
                    tid,
                    name: "read".into(),
                    dur_ns,
                    ret,
                    ..SyscallRow::default()
                });
                let (minor, major) = (random.u64(1..100), random.u64(0..2));
                rows.faults.push(PageFaultRow {
                    ts_mono_ns: at,
                    dur_ns,
                    tid,
                    tgid: 100 + tid % 2,
                    minor,
                    major,
                });
            }
            rows.off_cpu.push(row);
        }
    }
    rows.off_cpu.sort_by_key(end);
    rows.calls.sort_by_key(|row| row.ts_mono_ns + row.dur_ns);
    rows.faults.sort_by_key(|row| row.ts_mono_ns + row.dur_ns);
    rows
}

fn written(rows: &Rows, whole: bool) -> Run {
    // Many parts, so that reading a window leaves some out.
    let run = Run::new(Settings { part_bytes: 1 << 14, ..Settings::default() });
    let started = Moment::new(WallNs(1), MonoNs(rows.begin));
    let at = Moment::new(WallNs(2), MonoNs(rows.begin + LENGTH));
    let ended = whole.then_some(Ended { at, reason: EndReason::Duration });
    hostprof::recording::Config { started, ended, ..config() }.write(&run.folder).unwrap();
    if whole {
        run.write(rows.threads.clone());
    }
    run.write(rows.off_cpu.clone());
    run.write(rows.calls.clone());
    run.write(rows.faults.clone());
    run
}

fn overlap(from: u64, to: u64, picture: &Picture) -> u64 {
    to.min(picture.to.0).saturating_sub(from.max(picture.from.0))
}

/// What a thread's rows come to, by the definition of each number.
fn compare(rows: &Rows, life: &ThreadRow, share: &Share, picture: &Picture) {
    let of_life = |tid: u32, at: u64| tid == life.tid && (life.begin_mono_ns..life.end_mono_ns).contains(&at);
    let window = picture.from.0..picture.to.0;
    let mut times: HashMap<State, u64> = HashMap::new();
    let (mut switches, mut involuntary, mut waits) = (0, 0, Vec::new());
    for row in rows.off_cpu.iter().filter(|row| of_life(row.tid, row.ts_mono_ns)) {
        let wake = row.ts_mono_ns + row.blocked_ns;
        let waits_as = if row.state.is_runnable() { row.state } else { State::Runqueue };
        *times.entry(row.state).or_default() += overlap(row.ts_mono_ns, wake, picture);
        *times.entry(waits_as).or_default() += overlap(wake, end(row), picture);
        if window.contains(&end(row)) && !row.open_end {
            switches += 1;
            involuntary += u64::from(!row.voluntary);
            if !row.state.is_runnable() {
                waits.push(row.runqueue_ns);
            }
        }
    }
    for state in State::ALL {
        assert_eq!(
            share.times.off(*state),
            times.get(state).copied().unwrap_or(0),
            "{state} of {}",
            life.tid
        );
    }
    let wall = overlap(life.begin_mono_ns, life.end_mono_ns, picture);
    assert_eq!(share.wall_ns, wall);
    assert_eq!(share.times.total_ns(), wall, "states sum to the wall clock");
    assert_eq!((share.switches, share.involuntary), (switches, involuntary));
    waits.sort_unstable();
    assert_eq!((share.runqueue.count, share.runqueue.max_ns), (waits.len() as u64, waits.last().copied()));
    if let Some(p99) = share.runqueue.p99_ns {
        let exact = waits[(waits.len() * 99).div_ceil(100) - 1];
        assert!(p99.abs_diff(exact) as f64 <= exact as f64 / 256.0, "{p99} {exact}");
    }
    let minor: f64 = rows
        .faults
        .iter()
        .filter(|row| of_life(row.tid, row.ts_mono_ns))
        .map(|row| {
            row.minor as f64 * overlap(row.ts_mono_ns, row.ts_mono_ns + row.dur_ns, picture) as f64
                / row.dur_ns as f64
        })
        .sum();
    assert!((share.minor_faults - minor).abs() < 1e-6, "{} {minor}", share.minor_faults);
}

fn compare_all(rows: &Rows, picture: &Picture) {
    let mut lives: Vec<&ThreadRow> =
        rows.threads.iter().filter(|row| overlap(row.begin_mono_ns, row.end_mono_ns, picture) > 0).collect();
    lives.sort_by_key(|row| (row.tid, row.begin_mono_ns));
    let mut shown: Vec<_> = picture.threads.iter().collect();
    // Of one tid's two lives the earlier is in the window for as long as it lived.
    shown.sort_by_key(|thread| thread.tid);
    assert_eq!(
        shown.iter().map(|thread| thread.tid.0).collect::<Vec<_>>(),
        lives.iter().map(|row| row.tid).collect::<Vec<_>>()
    );
    for (thread, life) in shown.iter().zip(&lives) {
        compare(rows, life, &thread.share, picture);
    }
    let sum =
        |number: fn(&Share) -> u64| picture.threads.iter().map(|thread| number(&thread.share)).sum::<u64>();
    assert_eq!(picture.all.wall_ns, sum(|share| share.wall_ns));
    assert_eq!(picture.all.switches, sum(|share| share.switches));
    for role in &picture.roles {
        let slices: u64 = role.slices.iter().map(|slice| slice.times.total_ns()).sum();
        assert_eq!(slices, role.share.wall_ns, "slices of {:?}", role.name);
    }
    let ended = |row: &&SyscallRow| (picture.from.0..picture.to.0).contains(&(row.ts_mono_ns + row.dur_ns));
    let calls: Vec<_> = rows.calls.iter().filter(ended).collect();
    let time: u64 =
        rows.calls.iter().map(|row| overlap(row.ts_mono_ns, row.ts_mono_ns + row.dur_ns, picture)).sum();
    let told = picture.calls.iter().find(|call| call.name == "read");
    assert_eq!(told.map_or(0, |call| call.latency.count), calls.len() as u64);
    assert_eq!(told.map_or(0, |call| call.total_ns), time);
    let errors = calls.iter().filter(|row| row.ret < 0).count() as u64;
    assert_eq!(told.and_then(|call| call.errors).unwrap_or(0), errors);
}

#[test]
fn every_window_has_what_the_rows_come_to_whatever_was_looked_at_before() {
    for seed in 1..=3 {
        let rows = random_rows(seed);
        let run = written(&rows, true);
        let mut replay = Replay::open(run.path()).unwrap();
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..40 {
            let at = rows.begin + random.u64(1..LENGTH);
            let length = [1, 5, 10, 50, 100, 300][random.usize(0..6)] * SECOND / 10;
            let picture = replay.picture(MonoNs(at), length, None, (false, 1.0)).unwrap();
            assert!(picture.to.0 - picture.from.0 <= length && picture.to > picture.from);
            compare_all(&rows, &picture);
        }
    }
}

#[test]
fn time_that_goes_on_shows_the_same_as_a_jump() {
    let rows = random_rows(9);
    let run = written(&rows, true);
    let mut replay = Replay::open(run.path()).unwrap();
    for tenth in 1..=(LENGTH / SECOND * 10 / 3) {
        let at = rows.begin + tenth * 3 * SECOND / 10;
        compare_all(&rows, &replay.picture(MonoNs(at), 2 * SECOND, None, (true, 3.0)).unwrap());
    }
}

#[test]
fn what_is_lost_or_contradicts_itself_is_unattributed_as_in_the_ledger() {
    let mut rows = random_rows(6);
    for row in rows.threads.iter_mut().filter(|row| row.tid % 2 == 1) {
        row.lost_switches = 3;
    }
    // A row in eight begins before the last one of its thread has ended; another says that it was blocked and runnable.
    let mut begins: HashMap<u32, (u64, u64)> = HashMap::new();
    let begin_of = |row: &OffCpuRow| (row.tid, row.ts_mono_ns);
    let mut order: Vec<usize> = (0..rows.off_cpu.len()).collect();
    order.sort_by_key(|&at| begin_of(&rows.off_cpu[at]));
    for (count, at) in order.into_iter().enumerate() {
        let row = &mut rows.off_cpu[at];
        let last = begins.insert(row.tid, (row.ts_mono_ns, end(row)));
        let Some((begin, end_of_last)) = last.filter(|_| !row.open_end) else { continue };
        match count % 8 {
            0 if end_of_last > begin + 2 && end_of_last <= row.ts_mono_ns => {
                let earlier = row.ts_mono_ns - (begin + 1 + (end_of_last - begin) / 2);
                row.ts_mono_ns -= earlier;
                if row.state.is_runnable() { row.runqueue_ns += earlier } else { row.blocked_ns += earlier }
            }
            4 if row.state.is_runnable() => row.blocked_ns = 1_000.min(row.runqueue_ns),
            _ => {}
        }
    }
    rows.off_cpu.sort_by_key(end);
    let loss: Vec<LossRow> = (0..4)
        .map(|count| LossRow {
            start_mono_ns: rows.begin + (3 + count * 9) * SECOND,
            end_mono_ns: rows.begin + (4 + count * 9) * SECOND,
            probe: "sched".into(),
            dropped: count % 3,
            ..LossRow::default()
        })
        .collect();
    let run = written(&rows, true);
    run.write(loss.clone());
    let mut ledger = Ledger::new(&rows.threads, &loss);
    let mut pieces: Vec<Piece> = Vec::new();
    for row in &rows.off_cpu {
        ledger.off_cpu_with(row, |piece| pieces.push(piece));
    }
    ledger.finish_with(|piece| pieces.push(piece));
    assert!(pieces.iter().any(|piece| piece.part == Part::Unattributed));
    let mut replay = Replay::open(run.path()).unwrap();
    let mut random = fastrand::Rng::with_seed(6);
    for _ in 0..30 {
        let at = rows.begin + random.u64(1..LENGTH);
        let picture =
            replay.picture(MonoNs(at), random.u64(1..60) * SECOND / 10, None, (false, 1.0)).unwrap();
        let mut unattributed = 0;
        for (at, life) in rows.threads.iter().enumerate() {
            let of_life = pieces.iter().filter(|piece| piece.thread == at);
            let mut times: HashMap<Part, u64> = HashMap::new();
            for piece in of_life {
                *times.entry(piece.part).or_default() += overlap(piece.start_ns, piece.end_ns, &picture);
            }
            let wall = overlap(life.begin_mono_ns, life.end_mono_ns, &picture);
            let shown = picture
                .threads
                .iter()
                .find(|thread| thread.tid.0 == life.tid && thread.share.wall_ns == wall);
            let Some(shown) = shown.map(|thread| thread.share.times) else {
                assert_eq!(wall, 0, "{} is missing", life.tid);
                continue;
            };
            let of = |part: Part| times.get(&part).copied().unwrap_or(0);
            assert_eq!(shown.unattributed_ns, of(Part::Unattributed), "unattributed of {}", life.tid);
            assert_eq!(shown.on_cpu_ns, of(Part::OnCpu), "on a CPU of {}", life.tid);
            for state in State::ALL {
                assert_eq!(shown.off(*state), of(Part::Off(*state)), "{state} of {}", life.tid);
            }
            unattributed += shown.unattributed_ns;
        }
        assert_eq!(picture.all.times.unattributed_ns, unattributed);
        for role in &picture.roles {
            let slices: u64 = role.slices.iter().map(|slice| slice.times.unattributed_ns).sum();
            assert_eq!(slices, role.share.times.unattributed_ns, "slices of {:?}", role.name);
        }
    }
}

#[test]
fn a_thread_in_depth_has_its_futexes_and_their_other_waiters() {
    let rows = random_rows(4);
    let run = written(&rows, true);
    let mut replay = Replay::open(run.path()).unwrap();
    let at = MonoNs(rows.begin + 30 * SECOND);
    let picture = replay.picture(at, 20 * SECOND, Some(Tid(103)), (false, 1.0)).unwrap();
    let detail = picture.detail.as_ref().unwrap();
    let futexes: HashMap<u64, u64> =
        rows.off_cpu.iter().filter(|row| row.tid == 103).fold(HashMap::new(), |mut sums, row| {
            if let Some(address) = row.arg0 {
                *sums.entry(address).or_default() +=
                    overlap(row.ts_mono_ns, row.ts_mono_ns + row.blocked_ns, &picture);
            }
            sums
        });
    let told: HashMap<u64, u64> =
        detail.futexes.iter().map(|futex| (futex.address, futex.waited_ns)).collect();
    assert_eq!(told, futexes.into_iter().filter(|(_, ns)| *ns > 0).collect());
    for futex in &detail.futexes {
        let mut others: Vec<u32> = rows
            .off_cpu
            .iter()
            .filter(|row| row.tid != 103 && row.tgid == 101 && row.arg0 == Some(futex.address))
            .filter(|row| overlap(row.ts_mono_ns, row.ts_mono_ns + row.blocked_ns, &picture) > 0)
            .map(|row| row.tid)
            .collect();
        others.sort_unstable();
        others.dedup();
        let mut told: Vec<u32> = futex.others.iter().map(|tid| tid.0).collect();
        told.sort_unstable();
        told.dedup();
        assert_eq!(told, others);
    }
    let slices: u64 = detail.slices.iter().map(|slice| slice.times.total_ns()).sum();
    assert_eq!(slices, picture.threads.iter().find(|thread| thread.tid.0 == 103).unwrap().share.wall_ns);
}

#[test]
fn a_recording_cut_short_has_the_threads_that_its_rows_tell_of() {
    let rows = random_rows(5);
    let run = written(&rows, false);
    let mut replay = Replay::open(run.path()).unwrap();
    let picture = replay.picture(MonoNs(rows.begin + 20 * SECOND), 5 * SECOND, None, (false, 1.0)).unwrap();
    assert_eq!(picture.threads.len(), 9, "a tid's two lives cannot be told apart without their rows");
    let futex: u64 = rows
        .off_cpu
        .iter()
        .filter(|row| row.state == State::Futex)
        .map(|row| overlap(row.ts_mono_ns, row.ts_mono_ns + row.blocked_ns, &picture))
        .sum();
    assert_eq!(picture.all.times.off(State::Futex), futex);
}

#[test]
fn jumps_go_to_the_longest_waits_one_after_another() {
    let rows = random_rows(6);
    let run = written(&rows, true);
    let mut replay = Replay::open(run.path()).unwrap();
    let mut blocked: Vec<(u64, u32)> = rows.off_cpu.iter().map(|row| (row.blocked_ns, row.tid)).collect();
    blocked.sort_unstable_by(|a, b| b.cmp(a));
    let first = replay.jump(hostprof::live::Worst::Blocked, true).unwrap();
    let second = replay.jump(hostprof::live::Worst::Blocked, true).unwrap();
    let again = replay.jump(hostprof::live::Worst::Blocked, false).unwrap();
    assert_eq!((first.1.0, second.1.0, again), (blocked[0].1, blocked[1].1, first));
    assert_eq!(replay.jump(hostprof::live::Worst::Request, true), None);
}
