//! What was left out to keep hostprof's cost below a ceiling: when, and what that hides.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::{
    columns::{
        Align::{Left, Right},
        Columns,
    },
    model::Report,
    text::heading,
};
use crate::{
    humane::{duration, plural, printable, share},
    probe::{FUTEX, IOCTL, MEMORY, SYSCALL, SYSCALL_COUNT},
    recording::{CeilingConfig, Config},
    table::{self, ShedRow, Word as _},
};

/// Those that need the hooks of system calls.
const SPAN_PROBES: [&str; 5] = [IOCTL, MEMORY, FUTEX, SYSCALL, SYSCALL_COUNT];

/// A ceiling and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Shed {
    /// The ceiling, over the target's CPU time.
    pub max_overhead_ratio: f64,
    /// The whole recording's cost over the target's CPU time; null until the end.
    pub overhead_ratio: Option<f64>,
    /// The most that any second cost, over the target's CPU time in it or a second; null until the end.
    pub greatest_overhead_ratio: Option<f64>,
    /// Off-CPU episodes that were counted and not recorded.
    pub counted: u64,
    /// The steps, the first of which is what recording began with.
    pub steps: Vec<ShedStep>,
    /// What cannot be told any more, in sentences.
    pub hides: Vec<String>,
}

/// What was recorded from some time on.
#[derive(Clone, Debug, Serialize)]
pub struct ShedStep {
    /// From then.
    pub ts_mono_ns: u64,
    /// For so long.
    pub dur_ns: u64,
    /// What, as table `shed` names it.
    pub step: &'static str,
    /// From which length on episodes are recorded; null where all are, or none.
    pub threshold_ns: Option<u64>,
    /// Whether the programs took the step by themselves.
    pub by_kernel: bool,
    /// The cost in the second up to then.
    pub overhead_ratio: f64,
    /// In words.
    pub what: String,
}

/// From the rows of table `shed`; `None` where no ceiling was set.
pub(super) fn shed(rows: &[ShedRow], config: &Config, report: &Report) -> Option<Shed> {
    let max_overhead_ratio = rows.first()?.max_overhead_ratio;
    let end_ns = report.run.ended_mono_ns.or_else(|| Some(report.run.started_mono_ns? + report.wall_ns));
    let ends = rows.iter().skip(1).map(|row| row.ts_mono_ns).chain(end_ns);
    let steps = rows.iter().zip(ends).map(|(row, end_ns)| ShedStep {
        ts_mono_ns: row.ts_mono_ns,
        dur_ns: end_ns.saturating_sub(row.ts_mono_ns),
        step: row.step.word(),
        threshold_ns: row.threshold_ns,
        by_kernel: row.by_kernel,
        overhead_ratio: row.overhead_ratio,
        what: row.what.clone(),
    });
    let ceiling = config.ceiling.as_ref();
    let counted = report.waits.iter().map(|wait| wait.counted).sum();
    Some(Shed {
        max_overhead_ratio,
        overhead_ratio: ceiling.and_then(whole),
        greatest_overhead_ratio: ceiling.map(|ceiling| ceiling.greatest_overhead_ratio),
        counted,
        steps: steps.collect(),
        hides: hides(rows, config, counted),
    })
}

/// What cannot be told any more.
fn hides(rows: &[ShedRow], config: &Config, counted: u64) -> Vec<String> {
    let spans = config.probes.iter().any(|probe| probe.on && SPAN_PROBES.contains(&probe.name.as_str()));
    let stepped = rows.iter().any(|row| row.step != table::ShedStep::Everything);
    let mut hides = Vec::new();
    if spans && stepped {
        hides.push("system calls one by one, after the first step".to_owned());
    }
    if counted > 0 {
        hides.push(format!(
            "when each of {} was, how long, who ended it, which futex; sums, states and switches hold them, percentiles, \
             stays on a CPU, wakers and futexes do not",
            plural(counted, "counted episode")
        ));
    }
    if rows.iter().any(|row| row.step == table::ShedStep::Ended) {
        hides.push(
            "all that threads did after the last step, where each one's account ends; processes made later are not \
             known, samples of the others go on"
                .to_owned(),
        );
    }
    hides
}

fn whole(ceiling: &CeilingConfig) -> Option<f64> {
    let target_ns = ceiling.target_ns.checked_sub(ceiling.bpf_ns).filter(|ns| *ns > 0)?;
    Some((ceiling.bpf_ns + ceiling.own_ns) as f64 / target_ns as f64)
}

/// Sets it as text.
pub(super) fn write(out: &mut String, report: &Report) -> fmt::Result {
    let Some(shed) = &report.shed else { return Ok(()) };
    let percent = |ratio: f64| format!("{:.2} %", ratio * 100.0);
    let mut note = format!("at most {} of the target's CPU time", percent(shed.max_overhead_ratio));
    if let Some(ratio) = shed.overhead_ratio {
        let _ = write!(note, "; it was {}", percent(ratio));
    }
    if let Some(ratio) = shed.greatest_overhead_ratio {
        let _ = write!(note, ", {} in the worst second", percent(ratio));
    }
    heading(out, "COST OF RECORDING", &note)?;
    let start_ns = report.run.started_mono_ns.unwrap_or(0);
    let mut columns = Columns::new(&[
        ("AFTER", Right),
        ("FOR", Right),
        ("", Right),
        ("COST THEN", Right),
        ("RECORDED", Left),
    ]);
    for step in &shed.steps {
        let by = if step.by_kernel { " (at once, in the kernel)" } else { "" };
        columns.row(vec![
            duration(step.ts_mono_ns.saturating_sub(start_ns)),
            duration(step.dur_ns),
            share(step.dur_ns, report.wall_ns),
            percent(step.overhead_ratio),
            format!("{}{by}", printable(&step.what)),
        ]);
    }
    write!(out, "{columns}")?;
    shed.hides.iter().try_for_each(|hidden| writeln!(out, "Hidden: {hidden}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        recording::ProbeStatus,
        report::{Fold, RunHeader},
        table::{OffCpuCountRow, State, ThreadRow},
    };

    fn row(ts_mono_ns: u64, step: table::ShedStep, what: &str) -> ShedRow {
        ShedRow { ts_mono_ns, step, max_overhead_ratio: 0.01, what: what.to_owned(), ..ShedRow::default() }
    }

    #[test]
    fn each_step_is_told_with_its_length_and_what_it_hides() {
        let threads = [ThreadRow { tid: 7, end_mono_ns: 10_000_000_000, ..ThreadRow::default() }];
        let mut fold = Fold::new(&threads, &[]);
        fold.off_cpu_count(&OffCpuCountRow {
            ts_mono_ns: 10,
            dur_ns: 1_000,
            tid: 7,
            state: State::Futex,
            voluntary: true,
            episodes: 40,
            blocked_ns: 600,
            ..OffCpuCountRow::default()
        });
        let run = RunHeader {
            started_mono_ns: Some(0),
            ended_mono_ns: Some(10_000_000_000),
            ..RunHeader::default()
        };
        let mut report = fold.finish(run, &[]);
        let config = Config {
            probes: vec![ProbeStatus { name: FUTEX.to_owned(), on: true, ..ProbeStatus::default() }],
            ..Config::default()
        };
        assert!(shed(&[], &config, &report).is_none(), "no ceiling, nothing to tell");
        let rows = [
            row(0, table::ShedStep::Everything, "all"),
            row(2_000_000_000, table::ShedStep::AllCounted, "counted"),
            row(3_000_000_000, table::ShedStep::Ended, "only samples"),
        ];
        let told = shed(&rows, &config, &report).unwrap();
        let lengths: Vec<u64> = told.steps.iter().map(|step| step.dur_ns / 1_000_000_000).collect();
        assert_eq!((lengths, told.counted, told.hides.len()), (vec![2, 1, 7], 40, 3));
        assert_eq!(report.totals.states_ns["futex"], 600);
        assert_eq!(report.switches.voluntary, 40);
        report.shed = Some(told);
        let mut text = String::new();
        write(&mut text, &report).unwrap();
        assert!(text.contains("at most 1.00 % of the target's CPU time"), "{text}");
        assert!(text.contains("3.00 s") && text.contains("only samples"), "{text}");
        assert!(text.contains("Hidden: when each of 40 counted episodes was"), "{text}");
    }
}
