//! A recording as a trace in the JSON trace-event format, for ui.perfetto.dev and chrome://tracing: threads' states and
//! requests as slices, GPU counters as counters.
//!
//! Rows are read a batch at a time and written at once. Times are microseconds of CLOCK_MONOTONIC with three decimals:
//! to the nanosecond.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::{self, Write},
};

use serde_json::json;

use super::ExportError;
use crate::{
    ledger::{Lives, Piece, Replay},
    recording::{Recording, RecordingError},
    table::{GpuPmRow, GpuSampleRow, LossRow, OffCpuRow, RequestRow, ThreadRow, Word as _},
};

/// Beyond every process id: the processes that requests and GPUs are shown as.
const REQUESTS: u32 = 5_000_000;
const GPUS: u32 = 5_000_001;

/// Nanoseconds, as the format has them.
struct Micros(u64);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// Writes the trace; yields the number of its events.
///
/// # Errors
///
/// A table cannot be read, or what it is written to takes no more.
pub fn perfetto(recording: &Recording, to: impl Write) -> Result<u64, ExportError> {
    let threads: Vec<ThreadRow> = recording.all()?;
    let loss: Vec<LossRow> = recording.all()?;
    let mut trace = Trace { to, events: 0, failed: None };
    trace.begin();
    names(&mut trace, &threads);
    let mut replay = Replay::new(&threads, &loss);
    for batch in recording.rows::<OffCpuRow>()? {
        for row in &batch? {
            replay.off_cpu(row, |piece| slice(&mut trace, &threads, piece));
        }
        trace.check()?;
    }
    replay.finish(|piece| slice(&mut trace, &threads, piece));
    let lives = Lives::new(&threads);
    for batch in recording.rows::<RequestRow>()? {
        batch?.iter().for_each(|row| request(&mut trace, row, &lives, &threads));
        trace.check()?;
    }
    gpus(&mut trace, recording)?;
    let mut units = Units::default();
    for batch in recording.rows::<GpuPmRow>()? {
        batch?.iter().for_each(|row| units.sample(&mut trace, row));
        trace.check()?;
    }
    trace.end()?;
    Ok(trace.events)
}

/// Events under way. Holds the first failure, since stretches are handed out where none can be returned.
struct Trace<W> {
    to: W,
    events: u64,
    failed: Option<io::Error>,
}

impl<W: Write> Trace<W> {
    fn begin(&mut self) {
        self.put(format_args!("{{\"displayTimeUnit\":\"ns\",\"traceEvents\":["));
    }

    /// Adds an event: an object in JSON.
    fn event(&mut self, event: fmt::Arguments<'_>) {
        let comma = if self.events == 0 { "" } else { "," };
        self.put(format_args!("{comma}\n{event}"));
        self.events += 1;
    }

    fn put(&mut self, text: fmt::Arguments<'_>) {
        if self.failed.is_none() {
            self.failed = self.to.write_fmt(text).err();
        }
    }

    fn check(&mut self) -> Result<(), ExportError> {
        match self.failed.take() {
            None => Ok(()),
            Some(source) => Err(ExportError::Write { table: "perfetto".to_owned(), source }),
        }
    }

    fn end(&mut self) -> Result<(), ExportError> {
        self.put(format_args!("\n]}}\n"));
        if self.failed.is_none() {
            self.failed = self.to.flush().err();
        }
        self.check()
    }

    /// The name of a process, or of a thread of it.
    fn name(&mut self, what: &str, pid: u32, tid: u32, name: &str) {
        let event = json!({"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": name}});
        self.event(format_args!("{event}"));
    }
}

fn names<W: Write>(trace: &mut Trace<W>, threads: &[ThreadRow]) {
    let mut processes = BTreeSet::new();
    for row in threads {
        let role = row.role.as_ref().map(|role| format!(" ({role})")).unwrap_or_default();
        trace.name("thread_name", row.tgid, row.tid, &format!("{}{role}", row.comm));
        if row.tid == row.tgid && processes.insert(row.tgid) {
            trace.name("process_name", row.tgid, row.tid, &row.comm);
        }
    }
    trace.name("process_name", REQUESTS, 0, "requests");
    trace.name("process_name", GPUS, 0, "GPUs");
}

fn slice<W: Write>(trace: &mut Trace<W>, threads: &[ThreadRow], piece: Piece) {
    let row = &threads[piece.thread];
    // Words of states need no escape.
    trace.event(format_args!(
        "{{\"ph\":\"X\",\"cat\":\"thread\",\"name\":\"{}\",\"pid\":{},\"tid\":{},\"ts\":{},\"dur\":{}}}",
        piece.part.word(),
        row.tgid,
        row.tid,
        Micros(piece.start_ns),
        Micros(piece.len_ns()),
    ));
}

/// A request, with its wait for the first token and what followed within it.
fn request<W: Write>(trace: &mut Trace<W>, row: &RequestRow, lives: &Lives, threads: &[ThreadRow]) {
    let Some(end_ns) = row.end_mono_ns else { return };
    let by = row.tid.and_then(|tid| lives.at(tid, row.arrival_mono_ns, end_ns)).map(|at| &threads[at].comm);
    // Of one name, so that a viewer puts all requests of a source into one track of as many lanes as were in flight.
    let request = format!("request ({})", row.source.word());
    let mut spans = vec![(request.as_str(), row.arrival_mono_ns, end_ns)];
    if let Some(first_ns) = row.first_token_mono_ns.map(|ns| ns.clamp(row.arrival_mono_ns, end_ns)) {
        spans.push(("until first token", row.arrival_mono_ns, first_ns));
        spans.push(("tokens", first_ns, end_ns));
    }
    for (name, from, to) in spans {
        for (ph, at) in [("b", from), ("e", to)] {
            let id = format!("{} {}", row.source.word(), row.request_id);
            let args = json!({
                "request": row.request_id, "source": row.source.word(), "thread": row.tid, "name": by,
                "input_tokens": row.input_tokens, "output_tokens": row.output_tokens,
                "error": row.error.map(crate::table::Word::word),
            });
            trace.event(format_args!(
                "{{\"ph\":\"{ph}\",\"cat\":\"request\",\"pid\":{REQUESTS},\"tid\":0,\"id2\":{{\"local\":{}}},\"name\":\"{name}\",\"ts\":{},\"args\":{args}}}",
                json!(id),
                Micros(at),
            ));
        }
    }
}

/// A counter of a GPU from an instant on.
fn counter<W: Write>(trace: &mut Trace<W>, gpu: &str, name: &str, ts_mono_ns: u64, value: f64) {
    trace.event(format_args!(
        "{{\"ph\":\"C\",\"pid\":{GPUS},\"tid\":0,\"name\":\"GPU {gpu}\",\"ts\":{},\"args\":{{\"{name}\":{value}}}}}",
        Micros(ts_mono_ns),
    ));
}

fn gpus<W: Write>(trace: &mut Trace<W>, recording: &Recording) -> Result<(), RecordingError> {
    type Column = (&'static str, fn(&GpuSampleRow) -> Option<f64>);
    let columns: [Column; 6] = [
        ("sm_util", |row| row.sm_util),
        ("tensor_util", |row| row.tensor_util),
        ("dram_util", |row| row.dram_util),
        ("util_gpu", |row| row.util_gpu),
        ("power_w", |row| row.power_mw.map(|mw| f64::from(mw) / 1e3)),
        ("sm_clock_mhz", |row| row.sm_clock_mhz.map(f64::from)),
    ];
    for batch in recording.rows::<GpuSampleRow>()? {
        for row in &batch? {
            let unit = row.gpu_instance.map(|instance| format!("/{instance}")).unwrap_or_default();
            let gpu = format!("{}{unit}", row.gpu);
            for (name, column) in columns {
                let Some(value) = column(row) else { continue };
                // GPM's values are of the time up to the sample: shown from when that began.
                let of_gpm = matches!(name, "sm_util" | "tensor_util" | "dram_util");
                let since_ns = row.gpm_window_ns.filter(|_| of_gpm).unwrap_or(0);
                counter(trace, &gpu, name, row.ts_mono_ns.saturating_sub(since_ns), value);
            }
        }
    }
    Ok(())
}

/// What a GPU's units did by PM sampling. What stays as it was is not told again: a viewer draws it on.
#[derive(Default)]
struct Units {
    /// Thousandths, by GPU and column.
    last: BTreeMap<(u32, &'static str), u64>,
    /// Where a GPU's last sample ended.
    end_ns: BTreeMap<u32, u64>,
}

impl Units {
    fn sample<W: Write>(&mut self, trace: &mut Trace<W>, row: &GpuPmRow) {
        let gpu = row.gpu.to_string();
        let end_ns = self.end_ns.insert(row.gpu, row.ts_mono_ns + row.dur_ns);
        // Samples are missing: what units did then is not known, and drawn as nothing.
        let lost_ns = end_ns.filter(|end| *end < row.ts_mono_ns);
        let columns = [
            ("gr_active", row.gr_active),
            ("sm_active", row.sm_active),
            ("tensor_active", row.tensor_active),
            ("dram_read", row.dram_read),
            ("dram_write", row.dram_write),
        ];
        for (name, value) in columns {
            let Some(thousandths) = value.map(|share| (share * 1e3).round() as u64) else { continue };
            let last = self.last.entry((row.gpu, name)).or_insert(u64::MAX);
            if let Some(end_ns) = lost_ns.filter(|_| *last != 0) {
                counter(trace, &gpu, name, end_ns, 0.0);
                *last = 0;
            }
            if *last != thousandths {
                counter(trace, &gpu, name, row.ts_mono_ns, thousandths as f64 / 1e3);
                *last = thousandths;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        ledger::Part,
        table::{RequestSource, State},
    };

    fn trace(write: impl FnOnce(&mut Trace<&mut Vec<u8>>)) -> Vec<Value> {
        let mut bytes = Vec::new();
        let mut trace = Trace { to: &mut bytes, events: 0, failed: None };
        trace.begin();
        write(&mut trace);
        trace.end().unwrap();
        let mut value: Value = serde_json::from_slice(&bytes).unwrap();
        value["traceEvents"].take().as_array().unwrap().clone()
    }

    #[test]
    fn names_are_escaped_and_times_are_to_the_nanosecond() {
        let threads = [ThreadRow { tid: 7, tgid: 7, comm: "a\"b\\<x>".into(), ..ThreadRow::default() }];
        let events = trace(|trace| {
            names(trace, &threads);
            let piece =
                Piece { thread: 0, part: Part::Off(State::Futex), start_ns: 1_234_567, end_ns: 1_235_001 };
            slice(trace, &threads, piece);
        });
        assert_eq!(events[0]["args"]["name"], "a\"b\\<x>");
        let slice = events.last().unwrap();
        assert_eq!((slice["name"].as_str(), slice["ts"].as_f64()), (Some("futex"), Some(1234.567)));
        assert_eq!(slice["dur"].as_f64(), Some(0.434));
    }

    #[test]
    fn a_request_is_a_slice_with_its_wait_within() {
        let row = RequestRow {
            request_id: "x\"1".into(),
            arrival_mono_ns: 1_000,
            first_token_mono_ns: Some(3_000),
            end_mono_ns: Some(9_000),
            source: RequestSource::Kernel,
            ..RequestRow::default()
        };
        let events = trace(|trace| request(trace, &row, &Lives::new(&[]), &[]));
        let told: Vec<_> = events
            .iter()
            .map(|event| {
                (
                    event["ph"].as_str().unwrap(),
                    event["name"].as_str().unwrap(),
                    event["ts"].as_f64().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("b", "request (kernel)", 1.0),
                ("e", "request (kernel)", 9.0),
                ("b", "until first token", 1.0),
                ("e", "until first token", 3.0),
                ("b", "tokens", 3.0),
                ("e", "tokens", 9.0),
            ]
        );
        assert!(
            events
                .iter()
                .all(|event| event["args"]["request"] == "x\"1" && event["id2"]["local"] == "kernel x\"1")
        );
    }

    #[test]
    fn what_units_do_is_told_where_it_changes_and_as_nothing_where_samples_are_missing() {
        let samples = [(0, 0.5), (10, 0.5), (20, 0.75), (40, 0.75), (50, 0.0)];
        let events = trace(|trace| {
            let mut units = Units::default();
            for (ts_mono_ns, share) in samples {
                let row = GpuPmRow { ts_mono_ns, dur_ns: 10, gr_active: Some(share), ..GpuPmRow::default() };
                units.sample(trace, &row);
            }
        });
        let told: Vec<_> = events
            .iter()
            .map(|event| (event["ts"].as_f64().unwrap(), event["args"]["gr_active"].as_f64().unwrap()))
            .collect();
        assert_eq!(told, [(0.0, 0.5), (0.02, 0.75), (0.03, 0.0), (0.04, 0.75), (0.05, 0.0)]);
    }
}
