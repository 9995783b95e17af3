//! Threads' states and requests on one time axis, as inline SVG.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write},
};

use super::escape::Escaped;
use crate::{
    humane::{duration, fitted},
    ledger::Part,
    report::Report,
    story::{Bar, Lane, Timeline},
};

const WIDTH: f64 = 1200.0;
/// Where the axis begins: names stand left of it.
const LEFT: f64 = 170.0;
const NAME: usize = 26;
const LANE: f64 = 16.0;
const LANE_BAR: f64 = 13.0;
const BAND: f64 = 18.0;
/// Marks on the axis, at most.
const TICKS: u64 = 10;

/// A phase to show above the threads.
pub struct Phase {
    pub name: &'static str,
    pub start_ns: u64,
    pub end_ns: u64,
}

struct Axis {
    start_ns: u64,
    end_ns: u64,
}

impl Axis {
    fn x(&self, ns: u64) -> f64 {
        let length = (self.end_ns - self.start_ns).max(1) as f64;
        let ns = ns.clamp(self.start_ns, self.end_ns) - self.start_ns;
        LEFT + ns as f64 / length * (WIDTH - LEFT)
    }
}

/// Draws a timeline.
pub fn write(out: &mut String, timeline: &Timeline, report: &Report, phases: &[Phase]) -> fmt::Result {
    let axis = Axis { start_ns: timeline.start_ns, end_ns: timeline.end_ns.max(timeline.start_ns) };
    let rows = rows(&timeline.bars);
    let bars = rows.iter().max().map_or(0, |most| most + 1);
    let top = if phases.is_empty() { BAND } else { 2.0 * BAND };
    let below = top + timeline.lanes.len() as f64 * LANE + BAND;
    let height = below + bars as f64 * LANE + 4.0;
    writeln!(
        out,
        "<svg class=\"drawing\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\" \
         aria-label=\"threads' states and requests over time\">"
    )?;
    ticks(out, &axis, height)?;
    phase_band(out, &axis, phases, height)?;
    let mut used: BTreeSet<Part> = BTreeSet::new();
    for (at, lane) in timeline.lanes.iter().enumerate() {
        let y = top + at as f64 * LANE;
        self::lane(out, &axis, lane, y, report)?;
        used.extend(lane.spans.iter().map(|(_, _, part)| *part));
    }
    writeln!(out, "<text class=\"dim\" x=\"0\" y=\"{:.0}\">requests</text>", below - 5.0)?;
    for (bar, row) in timeline.bars.iter().zip(&rows) {
        request(out, &axis, bar, below + *row as f64 * LANE)?;
    }
    writeln!(out, "</svg>")?;
    legend(out, used.into_iter(), timeline)
}

fn ticks(out: &mut String, axis: &Axis, height: f64) -> fmt::Result {
    let length = axis.end_ns - axis.start_ns;
    let step = step_ns(length);
    for at in (0..=length / step).map(|tick| tick * step) {
        let x = axis.x(axis.start_ns + at);
        writeln!(out, "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"12\" y2=\"{height:.0}\"/>")?;
        let label = if at == 0 { "0".to_owned() } else { duration(at) };
        writeln!(out, "<text class=\"dim\" x=\"{:.1}\" y=\"10\">{label}</text>", x + 2.0)?;
    }
    Ok(())
}

/// 1, 2 or 5 of a power of ten, of which a length has at most [`TICKS`].
fn step_ns(length: u64) -> u64 {
    let least = length.div_ceil(TICKS).max(1);
    let power = 10_u64.saturating_pow(least.ilog10());
    [1, 2, 5, 10].into_iter().map(|by| power.saturating_mul(by)).find(|step| *step >= least).unwrap_or(least)
}

fn phase_band(out: &mut String, axis: &Axis, phases: &[Phase], height: f64) -> fmt::Result {
    for phase in phases {
        let (x, to) = (axis.x(phase.start_ns), axis.x(phase.end_ns));
        writeln!(
            out,
            "<rect class=\"phase\" x=\"{x:.1}\" y=\"{:.0}\" width=\"{:.1}\" height=\"14\"/>",
            BAND,
            to - x
        )?;
        writeln!(
            out,
            "<line class=\"edge\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{BAND:.0}\" y2=\"{height:.0}\"/>"
        )?;
        // Room for a letter is about 6.
        if to - x > phase.name.len() as f64 * 6.0 + 4.0 {
            writeln!(out, "<text x=\"{:.1}\" y=\"{:.0}\">{}</text>", x + 3.0, BAND + 11.0, phase.name)?;
        }
    }
    Ok(())
}

fn lane(out: &mut String, axis: &Axis, lane: &Lane, y: f64, report: &Report) -> fmt::Result {
    writeln!(out, "<text x=\"0\" y=\"{:.0}\">{}</text>", y + 10.0, Escaped(&name(report, lane)))?;
    let mut paths: BTreeMap<Part, String> = BTreeMap::new();
    for &(start_ns, end_ns, part) in &lane.spans {
        let (x, to) = (axis.x(start_ns), axis.x(end_ns));
        let path = paths.entry(part).or_default();
        write!(path, "M{x:.1} {y:.0}h{:.1}v{LANE_BAR:.0}H{x:.1}z", to - x)?;
    }
    for (part, path) in paths {
        writeln!(out, "<path class=\"s-{}\" d=\"{path}\"><title>{0}</title></path>", part.word())?;
    }
    Ok(())
}

fn name(report: &Report, lane: &Lane) -> String {
    let Some(who) = report.story.as_ref().and_then(|story| story.threads.get(lane.thread)) else {
        return String::new();
    };
    let role = who.role.as_ref().map(|role| format!(" {role}")).unwrap_or_default();
    fitted(&format!("{} {}{role}", who.tid, who.comm), NAME)
}

fn request(out: &mut String, axis: &Axis, bar: &Bar, y: f64) -> fmt::Result {
    let (from, to) = (axis.x(bar.start_ns), axis.x(bar.end_ns));
    let first = axis.x(bar.first_token_ns.unwrap_or(bar.end_ns));
    let id = Escaped(&bar.id);
    let told = if bar.told { " told" } else { "" };
    for (class, x, to) in [("wait", from, first), ("answer", first, to)] {
        if to > x {
            writeln!(
                out,
                "<rect class=\"{class}{told}\" x=\"{x:.1}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"{LANE_BAR:.0}\">\
                 <title>{id}</title></rect>",
                to - x
            )?;
        }
    }
    if bar.told {
        writeln!(out, "<text x=\"{:.1}\" y=\"{:.0}\">{id}</text>", from + 3.0, y + 10.0)?;
    }
    Ok(())
}

/// In which row each bar stands, so that none hides another.
fn rows(bars: &[Bar]) -> Vec<usize> {
    let mut ends: Vec<u64> = Vec::new();
    bars.iter()
        .map(|bar| {
            let row = ends.iter().position(|end| *end <= bar.start_ns).unwrap_or(ends.len());
            match ends.get_mut(row) {
                Some(end) => *end = bar.end_ns,
                None => ends.push(bar.end_ns),
            }
            row
        })
        .collect()
}

fn legend(out: &mut String, used: impl Iterator<Item = Part>, timeline: &Timeline) -> fmt::Result {
    write!(out, "<p class=\"legend note\">")?;
    let mut entry = |class: &str, text: &str| {
        write!(
            out,
            "<span><svg width=\"10\" height=\"10\"><rect class=\"{class}\" width=\"10\" height=\"10\"/></svg>{text}</span>"
        )
    };
    for part in used {
        entry(&format!("s-{}", part.word()), part.word())?;
    }
    entry("wait", "request, until its first token")?;
    entry("answer", "after it")?;
    if timeline.more_threads + timeline.more_requests > 0 {
        write!(
            out,
            " Not drawn: {} threads that did least, {} requests.",
            timeline.more_threads, timeline.more_requests
        )?;
    }
    writeln!(out, " Each step of the axis has the state that took most of it.</p>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        for (length, step) in
            [(1, 1), (95, 10), (101, 20), (1_000_000_000, 100_000_000), (3_100_000, 500_000)]
        {
            assert_eq!(step_ns(length), step, "{length}");
        }
    }

    #[test]
    fn bars_that_overlap_stand_in_rows_of_their_own() {
        let bar =
            |start_ns, end_ns| Bar { id: String::new(), start_ns, first_token_ns: None, end_ns, told: false };
        assert_eq!(rows(&[bar(0, 10), bar(5, 20), bar(10, 30), bar(15, 16), bar(20, 40)]), [0, 1, 0, 2, 1]);
    }
}
