//! The bubble ledger and the activity of phases, set as text.

use std::fmt::{self, Write};

use super::{
    columns::{
        Align::{Left, Right},
        Columns,
    },
    gpu::Timeline,
    text::{heading, join},
};
use crate::{
    humane::{count, duration, percent, plural, printable, share},
    story::{Activity, BlamedOn, Change, GpuBubbles, Launcher, PhaseActivity, WaitedOn, Who},
};

/// States and calls told; JSON has all.
const BLAMED: usize = 12;
/// The longest gaps told.
const LONGEST: usize = 3;
/// What was waited for, told of each state and call.
const WAITED_FOR: usize = 3;
/// States and calls of which it is told.
const WAITS: usize = 3;

/// Sets the ledgers.
pub fn write(out: &mut String, bubbles: &[GpuBubbles], started_mono_ns: Option<u64>) -> fmt::Result {
    bubbles.iter().try_for_each(|bubbles| one(out, bubbles, started_mono_ns))
}

fn one(out: &mut String, bubbles: &GpuBubbles, started_mono_ns: Option<u64>) -> fmt::Result {
    let when = match bubbles.scope {
        "requests" => "while a request was in flight",
        _ => "over the recording, which has no requests",
    };
    heading(
        out,
        "GPU BUBBLES",
        &format!("GPU {}: idle time {when}, by what the launching thread did then", bubbles.gpu),
    )?;
    launcher(out, &bubbles.launcher)?;
    account(out, bubbles)?;
    if bubbles.blame.is_empty() {
        return Ok(());
    }
    let blamed_ns = bubbles.account.blamed_ns;
    let mut columns = Columns::new(&[
        ("STATE", Left),
        ("CALL", Left),
        ("IDLE", Right),
        ("", Right),
        ("AT LEAST", Right),
        ("AT MOST", Right),
        ("GAPS", Right),
        ("P50", Right),
        ("P99", Right),
        ("MAX", Right),
    ]);
    let told = &bubbles.blame[..bubbles.blame.len().min(BLAMED)];
    for of in told {
        columns.row(cells(of, blamed_ns));
    }
    write!(out, "{columns}")?;
    if let Some(more) = bubbles.blame.get(BLAMED..).filter(|more| !more.is_empty()) {
        let ns = more.iter().map(|of| of.idle_ns).sum();
        writeln!(out, "and {} more, {} together (--json lists them)", more.len(), duration(ns))?;
    }
    told.iter().filter(|of| !of.waited_for.is_empty()).take(WAITS).try_for_each(|of| waited_for(out, of))?;
    gaps(out, bubbles, started_mono_ns)
}

fn launcher(out: &mut String, launcher: &Launcher) -> fmt::Result {
    let led = match (launcher.led_ratio, launcher.chance_ratio) {
        (Some(led), chance) => {
            let chance = chance.map(|chance| format!(", by chance {}", percent(chance))).unwrap_or_default();
            format!(
                "on a CPU just before {} of {} of the GPU{chance}",
                percent(led),
                plural(launcher.starts, "start")
            )
        }
        (None, _) => {
            format!("{} of the GPU, too few to tell whether it led them", plural(launcher.starts, "start"))
        }
    };
    writeln!(
        out,
        "launching thread  {} · by {}: {} · confidence {:.2}",
        who(&launcher.who),
        launcher.rule.replace('_', " "),
        launcher.why,
        launcher.confidence,
    )?;
    writeln!(out, "                  {led}")
}

fn account(out: &mut String, bubbles: &GpuBubbles) -> fmt::Result {
    let account = &bubbles.account;
    let parts = [
        ("blamed", Some(account.blamed_ns)),
        ("outside requests", (bubbles.scope == "requests").then_some(account.outside_ns)),
        ("withheld", Some(account.withheld_ns).filter(|ns| *ns > 0)),
        ("thread not recorded", Some(account.not_recorded_ns).filter(|ns| *ns > 0)),
    ];
    let part = |(what, ns): (&str, Option<u64>)| {
        ns.map(|ns| format!("{what} {} {}", duration(ns), share(ns, account.idle_ns)))
    };
    let mut told = vec![format!(
        "{} of {} sampled ({})",
        duration(account.idle_ns),
        duration(account.sampled_ns),
        share(account.idle_ns, account.sampled_ns)
    )];
    told.extend(parts.into_iter().filter_map(part));
    told.push(format!("residue {} ns", account.residue_ns));
    join(out, "idle  ", told)?;
    if bubbles.other_processes > 0 {
        writeln!(
            out,
            "{} outside the target used this GPU: what it did for them counts as busy",
            match bubbles.other_processes {
                1 => "1 process".to_owned(),
                more => format!("{} processes", count(more)),
            }
        )?;
    }
    let missing_ns = bubbles.scope_ns.saturating_sub(account.scope_sampled_ns);
    let of = if bubbles.scope == "requests" { "in flight" } else { "recorded" };
    if missing_ns * 1_000 > bubbles.scope_ns {
        writeln!(
            out,
            "not sampled: {} of {} {of} ({}); the GPU's idle time then is not known",
            duration(missing_ns),
            duration(bubbles.scope_ns),
            share(missing_ns, bubbles.scope_ns)
        )?;
    }
    Ok(())
}

fn cells(of: &BlamedOn, blamed_ns: u64) -> Vec<String> {
    let call = of.call.as_ref().filter(|call| *call != of.state);
    let length = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), duration);
    vec![
        of.state.to_owned(),
        call.map_or_else(|| "-".to_owned(), |call| printable(call)),
        duration(of.idle_ns),
        share(of.idle_ns, blamed_ns),
        duration(of.least_ns),
        duration(of.most_ns),
        count(of.gaps.count),
        length(of.gaps.p50_ns),
        length(of.gaps.p99_ns),
        length(of.gaps.max_ns),
    ]
}

fn waited_for(out: &mut String, of: &BlamedOn) -> fmt::Result {
    let told = of.waited_for.iter().take(WAITED_FOR).map(|waited| waited_on(waited, of.idle_ns));
    writeln!(
        out,
        "waited for in {}: {}",
        printable(of.call.as_deref().unwrap_or(of.state)),
        told.collect::<Vec<_>>().join(" · ")
    )
}

fn waited_on(waited: &WaitedOn, idle_ns: u64) -> String {
    let whom = match (&waited.who, waited.state, waited.by) {
        (Some(thread), Some(state), _) => format!("{} {state}", who(thread)),
        (_, _, "interrupt") => "an interrupt (timer, device, packet)".to_owned(),
        (_, _, "not_recorded") => "a thread not recorded".to_owned(),
        _ => "not seen".to_owned(),
    };
    format!("{whom} {}", share(waited.idle_ns, idle_ns))
}

fn gaps(out: &mut String, bubbles: &GpuBubbles, started_mono_ns: Option<u64>) -> fmt::Result {
    let gaps = &bubbles.gaps;
    let (Some(p50), Some(p99), Some(max)) = (gaps.p50_ns, gaps.p99_ns, gaps.max_ns) else { return Ok(()) };
    let in_gaps_ns: u64 = bubbles.blame.iter().map(|of| of.in_gaps_ns).sum();
    writeln!(
        out,
        "{} of half a sample or more: {} of what is blamed, p50 {}, p99 {}, longest {}; each counts where most of it is",
        plural(gaps.count, "gap"),
        share(in_gaps_ns, bubbles.account.blamed_ns),
        duration(p50),
        duration(p99),
        duration(max)
    )?;
    let start_ns = started_mono_ns.unwrap_or(0);
    for bubble in bubbles.longest.iter().take(LONGEST) {
        let call = bubble.call.as_deref().filter(|call| *call != bubble.state);
        let call = call.map(|call| format!(" in {}", printable(call))).unwrap_or_default();
        writeln!(
            out,
            "  after {} idle {}: {}{call} {}",
            duration(bubble.start_mono_ns.saturating_sub(start_ns)),
            duration(bubble.idle_ns),
            bubble.state,
            share(bubble.most_ns, bubble.idle_ns),
        )?;
    }
    Ok(())
}

fn who(who: &Who) -> String {
    match &who.role {
        Some(role) => format!("{} {}", printable(role), who.tid),
        None => format!("{} {}", printable(&who.comm), who.tid),
    }
}

/// Sets what GPUs did in phases of requests.
pub fn phases(out: &mut String, timelines: &[Timeline]) -> fmt::Result {
    for timeline in timelines {
        if let Some(phases) = &timeline.phases {
            of_phases(out, timeline.gpu, phases)?;
        }
    }
    Ok(())
}

fn of_phases(out: &mut String, gpu: u32, phases: &PhaseActivity) -> fmt::Result {
    heading(
        out,
        "GPU BY PHASE",
        &format!(
            "GPU {gpu}: samples that lie within whole; {} over an edge left out",
            plural(phases.straddling, "sample")
        ),
    )?;
    let mut columns = Columns::new(&[
        ("IN FLIGHT", Left),
        ("SAMPLES", Right),
        ("TIME", Right),
        ("ACTIVE", Right),
        ("SM", Right),
        ("TENSOR", Right),
        ("DRAM READ", Right),
        ("WRITTEN", Right),
    ]);
    let mut row = |what: &str, of: &Activity| {
        let mut cells = vec![what.to_owned(), count(of.samples), duration(of.sampled_ns)];
        let told = [of.gr_active, of.sm_active, of.tensor_active, of.dram_read, of.dram_write];
        if of.is_resolvable() {
            cells.extend(told.map(|value| value.map_or_else(|| "-".to_owned(), percent)));
        } else {
            cells.push("not resolvable".to_owned());
        }
        columns.row(cells);
    };
    row("only prefill", &phases.prefill_alone);
    row("only decode", &phases.decode_alone);
    if phases.both.samples > 0 {
        row("both", &phases.both);
    }
    // Where no sample had both these say nothing new.
    for (what, of, alone) in [
        ("prefill, with any other", &phases.prefill, &phases.prefill_alone),
        ("decode, with any other", &phases.decode, &phases.decode_alone),
    ] {
        if of.samples > alone.samples {
            row(what, of);
        }
    }
    let mut change = |what: &str, of: Option<Change>| {
        let Some(of) = of else { return };
        let told = [of.gr_active, of.sm_active, of.tensor_active, of.dram_read, of.dram_write];
        let points = |value: Option<f64>| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{:+.1} pp", value * 100.0))
        };
        let mut cells = vec![what.to_owned(), String::new(), String::new()];
        cells.extend(told.map(points));
        columns.row(cells);
    };
    change("only prefill → only decode", phases.change_alone);
    if phases.change_alone.is_none() {
        change("prefill → decode", phases.change);
    }
    write!(out, "{columns}")
}
