//! The bubble ledger of a run folder: sums to what the GPU's samples tell, and reads well.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod sink_support;

use hostprof::{
    ledger::idle_ns,
    recording::{Config, EndReason, Gpu, Moment, config::Ended},
    report::{Detail, Report, html, render, report},
    sink::Settings,
    story::Options,
    table::{
        GpuPmRow, GpuProcessSampleRow, LossRow, OffCpuRow, RequestRow, RequestSource, State, ThreadRow,
        TokenRow, WakeSource,
    },
    units::{MonoNs, WallNs},
};
use sink_support::{Run, config};

const BEGIN_NS: u64 = 86_400_000_000_000;
const MS: u64 = 1_000_000;
const US: u64 = 1_000;
/// Steps of the engine, of 10 ms each: the GPU works for 7, and the launching thread waits in that time.
const STEPS: u64 = 300;
const SAMPLE_NS: u64 = 500 * US;

fn threads() -> Vec<ThreadRow> {
    let row = |tid, tgid, comm: &str, role: Option<&str>| ThreadRow {
        tid,
        tgid,
        comm: comm.to_owned(),
        role: role.map(str::to_owned),
        role_confidence: role.map(|_| 0.95),
        begin_mono_ns: BEGIN_NS,
        end_mono_ns: BEGIN_NS + STEPS * 10 * MS,
        ..ThreadRow::default()
    };
    vec![
        row(700, 700, "vllm", Some("api_server")),
        row(710, 710, "VLLM::EngineCor", Some("engine_core")),
        row(711, 710, "VLLM::EngineCor", None),
    ]
}

fn off_cpu() -> Vec<OffCpuRow> {
    let row = |tid, at, blocked_ns, state, nr, waker: Option<u32>| OffCpuRow {
        ts_mono_ns: at,
        tid,
        tgid: if tid == 700 { 700 } else { 710 },
        state,
        syscall_nr: Some(nr),
        blocked_ns,
        runqueue_ns: 50 * US,
        wake_source: Some(if waker.is_some() { WakeSource::Task } else { WakeSource::Irq }),
        waker_tid: waker,
        ..OffCpuRow::default()
    };
    let mut rows = Vec::new();
    for step in 0..STEPS {
        let at = BEGIN_NS + step * 10 * MS;
        // While the GPU works it waits for an interrupt; then a millisecond for the API server, which computes.
        rows.push(row(710, at + 200 * US, 6_800 * US, State::Poll, 7, None));
        rows.push(row(700, at + MS, 6_200 * US, State::Poll, 232, None));
        rows.push(row(710, at + 7_500 * US, 1_000 * US, State::Futex, 202, Some(700)));
    }
    rows.sort_by_key(|row| row.ts_mono_ns + row.blocked_ns + row.runqueue_ns);
    rows
}

fn gpu_pm() -> Vec<GpuPmRow> {
    (0..STEPS * 20)
        .filter(|at| !(4_000..4_010).contains(at))
        .map(|at| {
            let busy = at % 20 < 14;
            GpuPmRow {
                ts_mono_ns: BEGIN_NS + at * SAMPLE_NS,
                dur_ns: SAMPLE_NS,
                gpu: 0,
                gr_active: Some(if busy { 1.0 } else { 0.0 }),
                // Requests are in their prefill in the first fifth of each second.
                sm_active: Some(if at % 2_000 < 400 { 0.8 } else { 0.3 }),
                tensor_active: None,
                dram_read: Some(0.5),
                dram_write: Some(0.1),
            }
        })
        .collect()
}

fn run() -> Run {
    let run = Run::new(Settings::default());
    let begin = Moment::new(WallNs(1_767_225_600_000_000_000), MonoNs(BEGIN_NS));
    let end_ns = BEGIN_NS + STEPS * 10 * MS;
    let mut config = Config { started: begin, ..config() };
    config.ended = Some(Ended {
        at: Moment::new(WallNs(1_767_225_603_000_000_000), MonoNs(end_ns)),
        reason: EndReason::Duration,
    });
    config.host.gpus.devices = vec![Gpu { index: Some(0), ..Gpu::default() }];
    config.write(&run.folder).unwrap();
    run.write(threads());
    run.write(off_cpu());
    run.write(gpu_pm());
    run.write([LossRow {
        start_mono_ns: BEGIN_NS + 4_000 * SAMPLE_NS,
        end_mono_ns: BEGIN_NS + 4_010 * SAMPLE_NS,
        probe: "gpu_pm".to_owned(),
        dropped: 10,
        ..LossRow::default()
    }]);
    run.write([GpuProcessSampleRow {
        ts_mono_ns: BEGIN_NS + MS,
        tgid: 710,
        in_target: true,
        ..GpuProcessSampleRow::default()
    }]);
    let arrivals = [0, 1, 2].map(|second| BEGIN_NS + second * 1_000 * MS);
    run.write(arrivals.map(|arrival_mono_ns| RequestRow {
        request_id: format!("r{arrival_mono_ns}"),
        arrival_mono_ns,
        first_token_mono_ns: Some(arrival_mono_ns + 200 * MS),
        // Nothing is in flight for a tenth of each second.
        end_mono_ns: Some(arrival_mono_ns + 900 * MS),
        source: RequestSource::Kernel,
        tid: Some(700),
        ..RequestRow::default()
    }));
    run.write(arrivals.iter().flat_map(|arrival| {
        [200, 400, 900].map(|at| TokenRow {
            request_id: format!("r{arrival}"),
            ts_mono_ns: arrival + at * MS,
            source: RequestSource::Kernel,
            ..TokenRow::default()
        })
    }));
    run
}

fn told(options: &Options) -> Report {
    report(&run().open(), options).unwrap()
}

#[test]
fn what_is_blamed_sums_to_the_gpus_idle_time() {
    let report = told(&Options::default());
    let bubbles = &report.bubbles[0];
    let launcher = &bubbles.launcher;
    assert_eq!((launcher.who.tid, launcher.rule), (710, "role"));
    assert!(launcher.led_ratio.unwrap() > 0.99 && launcher.confidence > 0.94, "{launcher:?}");
    let account = &bubbles.account;
    let all: u64 = gpu_pm().iter().map(idle_ns).sum();
    assert_eq!((account.idle_ns, account.residue_ns), (all, 0));
    assert_eq!(report.gpus.as_ref().unwrap().timelines[0].idle_ns, all);
    // Of every 10 ms 3 are idle, of every second 0.9 are of requests, and 5 ms were not sampled.
    assert_eq!((bubbles.scope_ns, bubbles.scope_ns - account.scope_sampled_ns), (2_700 * MS, 5 * MS));
    let step = |ns: u64| ns * 3 * 90;
    let of = |state| bubbles.blame.iter().filter(|of| of.state == state).map(|of| of.idle_ns).sum::<u64>();
    // In the 5 ms the GPU was busy.
    assert_eq!(account.blamed_ns, step(3 * MS));
    assert_eq!(of("futex"), step(1_000 * US));
    assert_eq!(of("runqueue"), step(100 * US));
    assert_eq!(of("on_cpu"), step(1_900 * US));
    let futex = bubbles.blame.iter().find(|of| of.state == "futex").unwrap();
    let waited = &futex.waited_for[0];
    assert_eq!((waited.who.as_ref().unwrap().tid, waited.state), (700, Some("on_cpu")));
    assert_eq!(waited.idle_ns, futex.idle_ns, "it ran all the while");
    assert_eq!(bubbles.gaps.count, 3 * 90);
    let overlap = &bubbles.overlap;
    assert_eq!(overlap.total_ns(), account.scope_sampled_ns);
    assert_eq!((overlap.cpu_only_ns, overlap.neither_ns), (step(1_900 * US), step(1_100 * US)));
}

#[test]
fn phases_are_told_by_the_samples_within_and_their_change() {
    let report = told(&Options::default());
    let phases = report.gpus.as_ref().unwrap().timelines[0].phases.as_ref().unwrap();
    let (prefill, decode) = (&phases.prefill_alone, &phases.decode_alone);
    assert_eq!((prefill.samples, decode.samples), (1_190, 4_200));
    assert!(
        (prefill.sm_active.unwrap() - 0.8).abs() < 1e-9 && (decode.sm_active.unwrap() - 0.3).abs() < 1e-9
    );
    let change = phases.change_alone.unwrap();
    assert!((change.sm_active.unwrap() + 0.5).abs() < 1e-9 && change.tensor_active.is_none());
    // Lost samples of the GPU withhold nothing of the threads.
    let told = &report.story.as_ref().unwrap().told;
    let prefill = told[0].phases.iter().find(|phase| phase.account.kind == "prefill").unwrap();
    assert!((390..=400).contains(&prefill.gpu_pm[0].activity.samples), "{:?}", prefill.gpu_pm);
    assert_eq!(prefill.account.withheld, None);
}

#[test]
fn it_reads_well_as_text_and_as_a_page() {
    let report = told(&Options::default());
    let text = render(&report, Detail::default());
    for part in [
        "engine_core 710 · by role",
        "futex",
        "waited for in futex: api_server 700 on_cpu 100%",
        "only prefill → only decode",
        "-50.0 pp",
        "CPU–GPU overlap",
        "residue 0 ns",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let page = html(&report);
    assert!(page.contains("<h2>GPU 0: idle 810 ms while a request was in flight</h2>"));
}

#[test]
fn another_thread_can_be_named() {
    let options = Options { launcher: Some(711), ..Options::default() };
    let report = told(&options);
    let bubbles = &report.bubbles[0];
    assert_eq!((bubbles.launcher.who.tid, bubbles.launcher.rule), (711, "named"));
    assert_eq!(bubbles.blame.len(), 1, "it has no row: on a CPU all along");
    assert!(told(&Options { launcher: Some(9), ..Options::default() }).bubbles.is_empty());
}
