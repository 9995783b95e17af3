//! The story of requests over a made recording: its windows sum, its paths cover them, and it says nothing where records
//! were lost.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod ledger_simulator;

use hostprof::{
    ledger::{Ledger, Lives, Window},
    report::{Fold, Report, RunHeader, html},
    story::{Around, Options, Samples, ServedFold, Story, Telling},
    table::{RequestRow, RequestSource, TokenRow},
};
use ledger_simulator::{BEGIN_NS, FIRST_TID, Machine, Recording, simulate};

const MACHINE: Machine = Machine { seed: 11, cpus: 2, threads: 6, recorded_ns: 400_000_000 };
const MS: u64 = 1_000_000;

fn story(lost: Vec<(u64, u64)>) -> Story {
    story_of(&simulate(MACHINE), "r", lost)
}

/// Four requests that overlap, each with twenty tokens.
fn story_of(recording: &Recording, id: &str, lost: Vec<(u64, u64)>) -> Story {
    let mut served = ServedFold::default();
    for number in 0..4 {
        let arrival = BEGIN_NS + 20 * MS + number * 30 * MS;
        let request_id = format!("{id}{number}");
        for index in 0..20 {
            let ts_mono_ns = arrival + 50 * MS + u64::from(index) * (4 + number) * MS;
            let row =
                TokenRow { request_id: request_id.clone(), index, ts_mono_ns, source: RequestSource::Kernel };
            served.token(row);
        }
        served.request(RequestRow {
            request_id,
            arrival_mono_ns: arrival,
            send_mono_ns: Some(arrival + MS),
            first_token_mono_ns: Some(arrival + 50 * MS),
            end_mono_ns: Some(arrival + 50 * MS + 20 * (4 + number) * MS),
            source: RequestSource::Kernel,
            tid: Some(FIRST_TID + 1),
            ..RequestRow::default()
        });
    }
    let whole = Window { start_ns: BEGIN_NS, end_ns: BEGIN_NS + MACHINE.recorded_ns };
    let served = served.finish(None, whole.end_ns).unwrap();
    let mut telling = Telling::new(&recording.threads, served, whole, &Options::default());
    let mut ledger = Ledger::new(&recording.threads, &recording.loss);
    for row in &recording.off_cpu {
        let thread = ledger.off_cpu_with(row, |piece| telling.piece(piece)).unwrap();
        telling.off_cpu(row, thread, ledger.lives());
    }
    ledger.finish_with(|piece| telling.piece(piece));
    let around = Around { samples: Samples::default(), lost, ..Around::default() };
    telling.finish(&Lives::new(&recording.threads), &around)
}

#[test]
fn every_window_of_every_request_sums_to_its_threads_time() {
    let recording = simulate(MACHINE);
    let story = story(Vec::new());
    assert_eq!(story.ledger.len(), 4);
    for window in story.ledger.iter().flat_map(|request| &request.windows) {
        let lived: u64 = recording
            .threads
            .iter()
            .map(|row| {
                let (from, to) =
                    (row.begin_mono_ns.max(window.start_mono_ns), row.end_mono_ns.min(window.end_mono_ns));
                to.saturating_sub(from)
            })
            .sum();
        let told: u64 = window.roles.iter().flat_map(|role| role.states_ns.values()).sum();
        assert_eq!(told, lived, "{}", window.kind);
        assert_eq!(window.roles.iter().map(|role| role.wall_ns).sum::<u64>(), lived);
    }
    for request in &story.ledger {
        let (whole, phases) = request.windows.split_first().unwrap();
        assert_eq!(phases.iter().map(hostprof::story::WindowAccount::len_ns).sum::<u64>(), whole.len_ns());
    }
}

#[test]
fn the_critical_path_of_a_phase_covers_it() {
    let story = story(Vec::new());
    assert!(story.path_missing.is_none());
    assert_eq!(story.told.iter().map(|told| told.which).collect::<Vec<_>>(), ["typical", "slowest"]);
    for phase in story.told.iter().flat_map(|told| &told.phases) {
        let path: u64 = phase.path.iter().map(|part| part.ns).sum();
        assert_eq!(path, phase.account.len_ns(), "{}", phase.account.kind);
        for thread in &phase.threads {
            assert!(thread.wall_ns <= phase.account.len_ns());
        }
    }
}

#[test]
fn what_carried_the_tail_sums_to_its_excess() {
    let tail = story(Vec::new()).tail.unwrap();
    assert_eq!((tail.gaps, tail.slow), (76, 1));
    let carried: i64 = tail.carried.iter().map(|part| part.excess_ns).sum();
    let excess = tail.slow_ns as i64 - tail.typical_ns as i64;
    // A nanosecond for each mean that was cut.
    assert!((carried - excess).unsigned_abs() <= tail.carried.len() as u64 * 2, "{carried} {excess}");
}

#[test]
fn nothing_is_said_of_windows_in_which_records_were_lost() {
    let story = story(vec![(BEGIN_NS, BEGIN_NS + 400 * MS)]);
    let windows: Vec<_> = story.ledger.iter().flat_map(|request| &request.windows).collect();
    assert!(windows.iter().all(|window| window.withheld.is_some() && window.roles.is_empty()));
    assert!(story.findings.is_empty() && story.tail.is_none());
    assert!(story.told.iter().flat_map(|told| &told.phases).all(|phase| phase.path.is_empty()));
    let [first_tokens, gaps, stretches] = &story.compared[..] else { panic!("{:?}", story.compared) };
    assert!(first_tokens.contains("withheld") && gaps.contains("withheld"), "{:?}", story.compared);
    assert!(stretches.contains("4 windows are too few"), "lost or not: {stretches}");
}

const SCRIPT: &str = "<script>alert('1')</script>\"&";

/// A report on threads, a run and requests that are all named to break out of a page.
fn hostile() -> Report {
    let mut recording = simulate(MACHINE);
    for thread in &mut recording.threads {
        SCRIPT.clone_into(&mut thread.comm);
        thread.role = Some(SCRIPT.to_owned());
    }
    let mut fold = Fold::new(&recording.threads, &recording.loss);
    recording.off_cpu.iter().for_each(|row| fold.off_cpu(row));
    let run = RunHeader {
        name: SCRIPT.to_owned(),
        target: SCRIPT.to_owned(),
        engine: Some(SCRIPT.to_owned()),
        host: SCRIPT.to_owned(),
        ..RunHeader::default()
    };
    let mut report = fold.finish(run, &[]);
    report.story = Some(story_of(&recording, SCRIPT, Vec::new()));
    report
}

#[test]
fn a_page_holds_names_as_text_alone_and_loads_nothing() {
    let page = html(&hostile());
    assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;"));
    for refused in
        ["<script", "javascript:", "http://", "https://", "url(", "src=", "href=", "@import", "onload"]
    {
        assert!(!page.contains(refused), "{refused}");
    }
    // Every quote in a tag closes what it opened.
    for tag in page.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
        assert!(tag.matches('"').count().is_multiple_of(2), "{tag}");
    }
}

#[test]
fn a_page_draws_every_thread_and_every_request() {
    let story = story(Vec::new());
    assert_eq!(story.timeline.bars.len(), 4);
    assert_eq!(story.timeline.lanes.len() + story.timeline.more_threads, simulate(MACHINE).threads.len());
    for lane in &story.timeline.lanes {
        assert!(lane.spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "in the order of time");
    }
    let page = html(&hostile());
    assert_eq!(page.matches("<svg class=\"drawing\"").count(), 1 + story.told.len());
    for of in ["Findings", "Threads and requests", "The typical request", "The slowest request"] {
        assert!(page.contains(of), "{of}");
    }
}
