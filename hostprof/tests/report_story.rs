//! The report tells what the rows say, to the nanosecond in JSON and readably in text.

mod ledger_simulator;

use hostprof::{
    report::{Detail, Fold, ProbeOff, Report, RunHeader, render},
    table::{HistogramRow, LossRow, OffCpuRow, State, ThreadRow},
};
use ledger_simulator::{BEGIN_NS, FIRST_TID, Machine, Recording, simulate};

const MACHINE: Machine = Machine { seed: 3, cpus: 2, threads: 8, recorded_ns: 500_000_000 };
const SECOND_NS: u64 = 1_000_000_000;

fn header(recorded_ns: u64) -> RunHeader {
    RunHeader {
        name: "run_001".into(),
        target: "--pid 4711 (llama-server)".into(),
        engine: Some("llama.cpp".into()),
        host: "serving-3".into(),
        kernel: "6.18.5".into(),
        driver: None,
        cpus: Some(2),
        started: "2026-01-01 13:00:00 +01:00".into(),
        started_mono_ns: Some(BEGIN_NS),
        ended_mono_ns: Some(BEGIN_NS + recorded_ns),
        end_reason: Some("duration".into()),
        probes_off: vec![ProbeOff { name: "gpu_ioctl".into(), reason: "no NVIDIA device".into() }],
        own_cpu_ns: Some(7_100_000),
        own_max_rss_bytes: Some(47_316_992),
    }
}

fn host_histogram() -> Vec<HistogramRow> {
    [(10, 1_402), (11, 2_811), (12, 960), (13, 333), (14, 90), (20, 4)]
        .map(|(power, count)| HistogramRow {
            name: "host_runqueue".into(),
            key: "cpu0".into(),
            bucket_low_ns: 1 << power,
            bucket_high_ns: 2 << power,
            count,
            ..HistogramRow::default()
        })
        .into()
}

fn fold(recording: &Recording, run: RunHeader, histogram: &[HistogramRow]) -> Report {
    let mut fold = Fold::new(&recording.threads, &recording.loss);
    recording.off_cpu.iter().for_each(|row| fold.off_cpu(row));
    recording.page_faults.iter().for_each(|row| fold.page_fault(row));
    fold.finish(run, histogram)
}

/// A server as llama.cpp's: threads of one name, told apart by their roles.
fn serving() -> Recording {
    let mut recording = simulate(MACHINE);
    let roles = [Some("decode"), Some("compute_pool"), Some("http"), Some("http"), Some("http"), None];
    for (thread, role) in recording.threads.iter_mut().zip(roles.into_iter().chain(std::iter::repeat(None))) {
        thread.role = role.map(str::to_owned);
    }
    recording
}

/// A process whose threads all wait for one another since before they were met.
fn deadlocked() -> Recording {
    let threads: Vec<ThreadRow> = (0..3)
        .map(|at| ThreadRow {
            tid: 900 + at,
            tgid: 900,
            comm: if at == 0 { "server".into() } else { format!("worker-{at}") },
            begin_mono_ns: BEGIN_NS,
            end_mono_ns: BEGIN_NS + 10 * SECOND_NS,
            ..ThreadRow::default()
        })
        .collect();
    let off_cpu = threads
        .iter()
        .map(|thread| OffCpuRow {
            ts_mono_ns: BEGIN_NS,
            tid: thread.tid,
            tgid: thread.tgid,
            state: State::Futex,
            syscall_nr: Some(202),
            arg0: Some(if thread.tid == 900 { 0x7f2a_3c00_0a10 } else { 0x7f2a_3c00_0a50 }),
            blocked_ns: 10 * SECOND_NS,
            open_start: true,
            open_end: true,
            ..OffCpuRow::default()
        })
        .collect();
    Recording { threads, off_cpu, ..Recording::default() }
}

#[test]
fn a_serving_process_reads_well() {
    let report = fold(&serving(), header(MACHINE.recorded_ns), &host_histogram());
    let text = render(&report, Detail { threads: 8, others: 6 });
    for line in text.lines() {
        assert!(line.chars().count() <= 120, "{} wide: {line}", line.chars().count());
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_process_deadlocked_before_attach_is_not_empty() {
    let recording = deadlocked();
    let run = RunHeader { target: "--pid 900 (server)".into(), engine: None, ..header(10 * SECOND_NS) };
    let report = fold(&recording, run, &[]);
    for thread in &report.threads {
        assert_eq!(thread.states_ns["futex"], 10 * SECOND_NS);
        assert_eq!(thread.states_ns["on_cpu"], 0);
    }
    assert_eq!(report.futexes.iter().map(|futex| futex.waits).sum::<u64>(), 3);
    insta::assert_snapshot!(render(&report, Detail::default()));
}

#[test]
fn a_recording_with_loss_says_so_first() {
    let mut recording = deadlocked();
    recording.loss = vec![LossRow {
        probe: "off_cpu".into(),
        dropped: 1_203,
        reason: "full".into(),
        ..LossRow::default()
    }];
    let text = render(&fold(&recording, header(10 * SECOND_NS), &[]), Detail::default());
    let (quality, roles) = (text.find("RECORDS WERE LOST").unwrap(), text.find("THREADS").unwrap());
    assert!(quality < roles);
    assert!(text.contains("off_cpu  full      1,203"), "{text}");
}

#[test]
fn an_empty_recording_and_one_that_was_killed_still_report() {
    let text = render(&fold(&Recording::default(), RunHeader::default(), &[]), Detail::default());
    assert!(text.contains("0 threads") && text.contains("not ended: killed, or goes on"), "{text}");
}

#[test]
fn names_that_hold_control_characters_do_not_reach_the_terminal() {
    let mut recording = deadlocked();
    recording.threads[1].comm = "a\x1b]0;x\x07".into();
    let text = render(&fold(&recording, header(10 * SECOND_NS), &[]), Detail::default());
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
}

#[test]
fn json_totals_are_what_sql_gives() {
    let recording = serving();
    let report = fold(&recording, header(MACHINE.recorded_ns), &host_histogram());
    let json = serde_json::to_value(&report).unwrap();
    let rows = &recording.off_cpu;
    let blocked = |state| rows.iter().filter(|row| row.state == state).map(|row| row.blocked_ns).sum::<u64>();
    let runnable: u64 = rows.iter().filter(|row| row.state == State::Yield).map(|row| row.runqueue_ns).sum();
    let runqueue: u64 = rows.iter().filter(|row| !row.state.is_runnable()).map(|row| row.runqueue_ns).sum();
    let states = &json["totals"]["states_ns"];
    assert_eq!(states["futex"], blocked(State::Futex));
    assert_eq!(states["poll"], blocked(State::Poll));
    assert_eq!(states["yield"], runnable);
    assert_eq!(states["runqueue"], runqueue);
    assert_eq!(
        json["totals"]["episodes"]["futex"],
        rows.iter().filter(|row| row.state == State::Futex).count()
    );
    assert_eq!(json["page_faults"]["minor"], recording.page_faults.iter().map(|row| row.minor).sum::<u64>());

    let per_thread: u64 =
        json["threads"].as_array().unwrap().iter().map(|t| t["states_ns"]["on_cpu"].as_u64().unwrap()).sum();
    assert_eq!(states["on_cpu"], per_thread);
    assert!(json["threads"][0]["states_ns"].get("frozen").is_none(), "only states that were seen");
}

#[test]
fn json_keeps_its_shape() {
    let report = fold(&deadlocked(), header(10 * SECOND_NS), &host_histogram());
    insta::assert_snapshot!(serde_json::to_string_pretty(&report).unwrap());
}

#[test]
fn a_thread_made_late_is_told_by_its_wall_clock() {
    let mut recording = deadlocked();
    recording.threads[2].begin_mono_ns += 4 * SECOND_NS;
    recording.off_cpu[2].ts_mono_ns += 4 * SECOND_NS;
    recording.off_cpu[2].blocked_ns -= 4 * SECOND_NS;
    let text = render(&fold(&recording, header(10 * SECOND_NS), &[]), Detail::default());
    assert!(text.contains("WALL") && text.contains("6.00 s"), "{text}");
}

#[test]
fn the_simulator_has_a_main_thread() {
    assert_eq!(serving().threads[0].tid, FIRST_TID);
}
