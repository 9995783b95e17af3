//! Rows whose bubble ledger is known to the nanosecond.

use super::*;
use crate::{
    ledger::{Ledger, Window},
    table::{CudaCallRow, CudaKind, GpuPmRow, LossRow, State, WakeSource},
};

/// The launching thread, the one that wakes it, and one of the same process that does nothing.
fn threads() -> [ThreadRow; 3] {
    let row = |tid, role: Option<&str>| ThreadRow {
        tid,
        tgid: 1,
        comm: format!("t{tid}"),
        role: role.map(str::to_owned),
        end_mono_ns: 1_000_000,
        ..ThreadRow::default()
    };
    [row(1, Some("engine_core")), row(2, Some("api_server")), row(3, None)]
}

fn wait(tid: u32, state: State, nr: i32, times: [u64; 3], waker: Option<u32>) -> OffCpuRow {
    OffCpuRow {
        ts_mono_ns: times[0],
        tid,
        tgid: 1,
        state,
        syscall_nr: Some(nr),
        blocked_ns: times[1] - times[0],
        runqueue_ns: times[2] - times[1],
        wake_source: Some(if waker.is_some() { WakeSource::Task } else { WakeSource::Irq }),
        waker_tid: waker,
        ..OffCpuRow::default()
    }
}

/// A sample of 1000 ns.
fn sample(at: u64, gr_active: f64) -> GpuPmRow {
    GpuPmRow { ts_mono_ns: at, dur_ns: 1_000, gr_active: Some(gr_active), ..GpuPmRow::default() }
}

/// Samples of 1000 ns from an instant on.
fn samples(from: u64, active: &[f64]) -> Vec<GpuPmRow> {
    active.iter().zip(0..).map(|(active, at)| sample(from + at * 1_000, *active)).collect()
}

#[derive(Default)]
struct Made {
    samples: Vec<GpuPmRow>,
    off_cpu: Vec<OffCpuRow>,
    calls: Vec<CudaCallRow>,
    loss: Vec<LossRow>,
    withheld: Vec<(u64, u64)>,
    lost_switches: u64,
}

fn told(made: &Made, in_flight: &[(u64, u64)]) -> GpuBubbles {
    let mut threads = threads();
    threads[0].lost_switches = made.lost_switches;
    let scope = match in_flight {
        [] => Scope::recording(Window { start_ns: 0, end_ns: 1_000_000 }),
        spans => Scope { by_requests: true, whole: Spans::new(spans.iter().copied()), ..Scope::default() },
    };
    let streams = |_: u32, thread: &ThreadRow| {
        let of = |waits: bool| -> Box<dyn Iterator<Item = CudaCallRow>> {
            let tid = thread.tid;
            let calls: Vec<CudaCallRow> = made
                .calls
                .iter()
                .filter(|row| row.tid == tid && (row.kind == CudaKind::Sync) == waits)
                .cloned()
                .collect();
            Box::new(calls.into_iter())
        };
        Ok::<_, ()>(Streams {
            samples: Box::new(made.samples.clone().into_iter()),
            waits: Calls::new(of(true)),
            others: Calls::new(of(false)),
        })
    };
    let withheld = Spans::new(made.withheld.clone());
    let mut bubbles = Bubbles::new(&threads, &[0], &scope, withheld, &Evidence::default(), streams).unwrap();
    let mut ledger = Ledger::new(&threads, &made.loss);
    for row in &made.off_cpu {
        let thread = ledger.off_cpu_with(row, |piece| bubbles.piece(piece)).unwrap();
        bubbles.off_cpu(row, thread, ledger.lives());
    }
    ledger.finish_with(|piece| bubbles.piece(piece));
    let mut all = bubbles.finish();
    assert_eq!(all.len(), 1);
    let told = all.remove(0);
    let account = &told.account;
    assert_eq!(account.residue_ns, 0);
    assert_eq!(
        account.outside_ns + account.withheld_ns + account.not_recorded_ns + account.blamed_ns,
        account.idle_ns
    );
    assert_eq!(told.blame.iter().map(|of| of.idle_ns).sum::<u64>(), account.blamed_ns);
    for of in &told.blame {
        assert!(of.least_ns <= of.idle_ns && of.idle_ns <= of.most_ns, "{of:?}");
    }
    told
}

fn blamed(told: &GpuBubbles) -> Vec<(&'static str, Option<&str>, u64)> {
    told.blame.iter().map(|of| (of.state, of.call.as_deref(), of.idle_ns)).collect()
}

#[test]
fn idle_time_is_blamed_on_what_the_launching_thread_did_to_the_nanosecond() {
    let made = Made {
        samples: samples(10_000, &[1.0, 0.0, 0.0, 0.25, 1.0]),
        // Blocked from 11.4 to 12.6, runnable up to 12.8; then on a CPU.
        off_cpu: vec![wait(1, State::Poll, 232, [11_400, 12_600, 12_800], None)],
        ..Made::default()
    };
    let told = told(&made, &[]);
    assert_eq!((told.scope, told.launcher.who.tid, told.launcher.rule), ("recording", 1, "role"));
    assert_eq!(told.account.idle_ns, 2_750);
    assert_eq!(
        blamed(&told),
        [("on_cpu", None, 400 + 200 + 750), ("poll", Some("epoll_wait"), 1_200), ("runqueue", None, 200)]
    );
    // Samples that were idle throughout, or in which the thread did one thing, leave no doubt.
    assert!(told.blame.iter().all(|of| of.least_ns == of.idle_ns && of.most_ns == of.idle_ns));
    // The sample that was idle for three quarters belongs to the gap.
    assert_eq!((told.gaps.count, told.gaps.max_ns), (1, Some(2_750)));
    assert_eq!((told.blame[0].gaps.count, told.blame[0].in_gaps_ns), (1, 1_350));
    let longest = &told.longest[0];
    assert_eq!((longest.start_mono_ns, longest.end_mono_ns, longest.most_ns), (11_000, 14_000, 1_350));
    let overlap = told.overlap;
    assert_eq!((overlap.both_ns, overlap.cpu_only_ns, overlap.gpu_only_ns), (1_000 + 250 + 1_000, 1_350, 0));
    assert_eq!((overlap.neither_ns, overlap.total_ns()), (1_400, 5_000));
}

#[test]
fn where_in_a_sample_the_gpu_was_idle_is_not_known_and_bounds_say_so() {
    let made = Made {
        samples: samples(10_000, &[0.3]),
        off_cpu: vec![wait(1, State::Futex, 202, [10_400, 11_100, 11_100], None)],
        ..Made::default()
    };
    let told = told(&made, &[]);
    assert_eq!(blamed(&told), [("futex", Some("futex"), 420), ("on_cpu", None, 280)]);
    // Of 700 idle and 600 in futex: at least 300, at most 600.
    assert_eq!((told.blame[0].least_ns, told.blame[0].most_ns), (300, 600));
    assert_eq!((told.blame[1].least_ns, told.blame[1].most_ns), (100, 400));
}

#[test]
fn what_is_idle_while_no_request_is_in_flight_is_outside() {
    let made = Made { samples: samples(10_000, &[0.0, 0.0, 0.0]), ..Made::default() };
    let told = told(&made, &[(10_300, 10_700), (10_600, 11_001), (12_900, 20_000)]);
    assert_eq!((told.account.blamed_ns, told.account.outside_ns), (801, 2_199));
    assert_eq!((told.account.scope_sampled_ns, told.scope_ns, told.scope), (801, 7_801, "requests"));
    assert_eq!(blamed(&told), [("on_cpu", None, 801)]);
}

#[test]
fn rounding_loses_no_nanosecond() {
    let rows: Vec<OffCpuRow> = (0..400)
        .map(|at| wait(1, State::Sleep, 230, [10_000 + at * 37, 10_011 + at * 37, 10_013 + at * 37], None))
        .collect();
    let active: Vec<f64> = (0..15).map(|at| f64::from(at) / 17.0).collect();
    let made = Made { samples: samples(10_000, &active), off_cpu: rows, ..Made::default() };
    let spans: Vec<(u64, u64)> = (0..100).map(|at| (10_000 + at * 153, 10_100 + at * 153)).collect();
    let whole = told(&Made { samples: made.samples.clone(), ..Made::default() }, &[]).account.idle_ns;
    let told = told(&made, &spans);
    assert_eq!(told.account.idle_ns, whole);
    assert!(told.account.blamed_ns > 0 && told.account.outside_ns > 0);
}

#[test]
fn a_wait_names_the_thread_that_was_waited_for_and_what_it_did() {
    let made = Made {
        samples: samples(10_000, &[0.0, 0.0]),
        off_cpu: vec![
            wait(2, State::Network, 45, [9_000, 10_500, 10_600], None),
            wait(1, State::Futex, 202, [10_100, 11_500, 11_500], Some(2)),
        ],
        ..Made::default()
    };
    let told = told(&made, &[]);
    assert_eq!(blamed(&told), [("futex", Some("futex"), 1_400), ("on_cpu", None, 600)]);
    let waited: Vec<_> = told.blame[0]
        .waited_for
        .iter()
        .map(|of| (of.by, of.who.as_ref().map(|who| who.tid), of.state, of.idle_ns))
        .collect();
    assert_eq!(
        waited,
        [
            ("thread", Some(2), Some("on_cpu"), 900),
            ("thread", Some(2), Some("network"), 400),
            ("thread", Some(2), Some("runqueue"), 100),
        ]
    );
    assert!(told.blame[1].waited_for.is_empty());
}

#[test]
fn calls_of_cuda_tell_what_the_time_on_a_cpu_was() {
    let call = |ts_mono_ns, dur_ns, name: &'static str, kind| CudaCallRow {
        ts_mono_ns,
        dur_ns,
        tid: 1,
        name: name.into(),
        kind,
        ..CudaCallRow::default()
    };
    let made = Made {
        samples: samples(10_000, &[0.0, 0.0, 0.0]),
        off_cpu: vec![wait(1, State::Poll, 7, [12_200, 12_500, 12_500], None)],
        calls: vec![
            call(10_100, 200, "cuMemcpyHtoDAsync", CudaKind::Copy),
            // A wait within a copy.
            call(11_200, 300, "cuStreamSynchronize", CudaKind::Sync),
            call(11_000, 600, "cuMemcpyDtoH", CudaKind::Copy),
            call(12_000, 700, "cuStreamSynchronize", CudaKind::Sync),
            CudaCallRow { tid: 3, ..call(10_000, 3_000, "cuMemFree", CudaKind::Free) },
        ],
        ..Made::default()
    };
    let told = told(&made, &[]);
    assert_eq!(
        blamed(&told),
        [
            ("on_cpu", None, 100 + 700 + 400 + 300),
            ("gpu_sync", Some("cuStreamSynchronize"), 300 + 400),
            ("on_cpu", Some("cuMemcpyDtoH"), 300),
            ("poll", Some("poll in cuStreamSynchronize"), 300),
            ("on_cpu", Some("cuMemcpyHtoDAsync"), 200),
        ]
    );
    assert_eq!((told.overlap.cpu_only_ns, told.overlap.neither_ns), (2_000, 1_000), "a spin is no work");
}

#[test]
fn what_is_not_known_of_the_thread_is_withheld() {
    let loss = LossRow { start_mono_ns: 11_000, end_mono_ns: 11_500, dropped: 3, ..LossRow::default() };
    let made = Made {
        samples: samples(10_000, &[0.0, 0.0, 0.0]),
        off_cpu: vec![
            wait(1, State::Sleep, 230, [10_000, 10_400, 10_400], None),
            wait(1, State::Sleep, 230, [11_600, 11_800, 11_800], None),
        ],
        loss: vec![loss],
        lost_switches: 3,
        withheld: vec![(12_500, 12_600)],
        ..Made::default()
    };
    let told = told(&made, &[]);
    // On the CPU or not between the rows about the loss: not known.
    assert_eq!(told.account.withheld_ns, 1_200 + 100);
    assert_eq!(blamed(&told), [("on_cpu", None, 1_100), ("sleep", Some("clock_nanosleep"), 600)]);
    assert_eq!(told.account.scope_sampled_ns, 3_000);
}

#[test]
fn samples_beyond_the_threads_life_are_told_apart_and_missing_ones_are_not_idle() {
    let made = Made {
        samples: [samples(999_500, &[0.0, 0.0]), samples(1_010_000, &[0.0])].concat(),
        ..Made::default()
    };
    let told = told(&made, &[(0, 2_000_000)]);
    assert_eq!((told.account.blamed_ns, told.account.not_recorded_ns), (500, 2_500));
    assert_eq!((told.account.sampled_ns, told.gaps.count), (3_000, 1));
    // The one after the hole is a gap of its own, of which nothing is blamed.
    assert_eq!(told.longest[0].idle_ns, 500);
}

#[test]
fn the_launching_thread_is_the_one_that_ran_before_the_gpu_did() {
    // Of each ten samples four are idle; role or not, t3 runs in the last of these, and t1 in the first two.
    let active: Vec<f64> = (0..600).map(|at| if at % 10 < 4 { 0.0 } else { 1.0 }).collect();
    let mut rows = Vec::new();
    for at in 0..60 {
        let from = 10_000 + at * 10_000;
        rows.push(wait(1, State::Futex, 202, [from + 1_500, from + 10_000, from + 10_000], None));
        rows.push(wait(3, State::Futex, 202, [from + 5_500, from + 13_500, from + 13_500], None));
    }
    rows.sort_by_key(|row| row.ts_mono_ns + row.blocked_ns);
    let mut threads = threads();
    for thread in &mut threads {
        (thread.sum_exec_ns_first, thread.sum_exec_ns_last) = (Some(0), Some(u64::from(thread.tid)));
    }
    let stream = |_: u32, _: &ThreadRow| {
        Ok::<_, ()>(Streams {
            samples: Box::new(samples(10_000, &active).into_iter()),
            waits: Calls::new(Box::new(std::iter::empty())),
            others: Calls::new(Box::new(std::iter::empty())),
        })
    };
    let scope = Scope::recording(Window { start_ns: 0, end_ns: 1_000_000 });
    let evidence = Evidence::default();
    let mut bubbles = Bubbles::new(&threads, &[0], &scope, Spans::default(), &evidence, stream).unwrap();
    let mut ledger = Ledger::new(&threads, &[]);
    for row in &rows {
        let thread = ledger.off_cpu_with(row, |piece| bubbles.piece(piece)).unwrap();
        bubbles.off_cpu(row, thread, ledger.lives());
    }
    // What follows is on a CPU, and after the samples.
    ledger.finish_with(|piece| bubbles.piece(piece));
    let told = bubbles.finish().remove(0);
    let launcher = &told.launcher;
    assert_eq!((launcher.who.tid, launcher.candidates, launcher.rule), (3, 3, "cpu_time"), "{launcher:?}");
    assert!(launcher.led_ratio.unwrap() > 0.99, "{launcher:?}");
    assert!(launcher.why.contains("a likelier one was not on a CPU"), "{launcher:?}");
}
