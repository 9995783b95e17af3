//! Which calibration pattern a recording resembles most: by what its threads asked of the kernel for each second of
//! CPU time, since how long they were kept waiting is the machine's matter and not theirs.
//!
//! Rates are compared by their logarithms: a step of 1 is a factor of ten. A rate far below its floor counts as none, so
//! that what a program does at its start does not make a pattern.

use std::fmt::{self, Write};

use serde::Serialize;

use super::{model::Report, text::join};

/// A recording farther than this from every pattern resembles none: a factor of six in one rate.
const FARTHEST: f64 = 0.8;
/// With less of a CPU than this there is nothing to divide by.
const LEAST_CPU_NS: u64 = 50_000_000;

/// Rates for each second of CPU time: voluntary switches, waits for futexes, minor faults, ioctls on the GPU's devices.
type Rates = [f64; 4];

/// What is none, of each.
const FLOORS: Rates = [5.0, 5.0, 1000.0, 300.0];

struct Known {
    name: &'static str,
    backend: &'static str,
    /// Whether the target must use a GPU: else the CPU's pattern of the same rates is meant.
    needs_gpu: bool,
    rates: Rates,
    /// What else has these rates, and what tells them apart.
    note: &'static str,
}

/// The CPU's were measured on a virtual machine with 2 CPUs (see the signatures in `calibration`), the GPU's on an H100
/// with driver 580.
const KNOWN: &[Known] = &[
    Known {
        name: "compute-heavy",
        backend: "cpu",
        needs_gpu: false,
        rates: [21.0, 21.0, 0.0, 0.0],
        note: "",
    },
    Known { name: "launch-heavy", backend: "cpu", needs_gpu: false, rates: [0.0, 0.0, 0.0, 0.0], note: "" },
    Known { name: "sync-heavy", backend: "cpu", needs_gpu: false, rates: [57e3, 57e3, 0.0, 0.0], note: "" },
    Known { name: "alloc-heavy", backend: "cpu", needs_gpu: false, rates: [0.0, 0.0, 330e3, 0.0], note: "" },
    Known {
        name: "launch-heavy",
        backend: "cuda",
        needs_gpu: true,
        rates: [0.0, 0.0, 0.0, 0.0],
        note: "a launch and a spinning wait ask nothing of the kernel: compute-heavy and sync-heavy look the same to it",
    },
    Known {
        name: "sync-heavy (blocking)",
        backend: "cuda",
        needs_gpu: true,
        rates: [130e3, 130e3, 0.0, 0.0],
        note: "",
    },
    Known {
        name: "alloc-heavy (device)",
        backend: "cuda",
        needs_gpu: true,
        rates: [0.0, 0.0, 0.0, 50e3],
        note: "",
    },
];

/// The nearest pattern.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Resemblance {
    /// The pattern; null where none is near.
    pub pattern: Option<&'static str>,
    /// The nearest, near or not.
    pub nearest: &'static str,
    /// `cpu` or `cuda`.
    pub backend: &'static str,
    /// How far it is: 1 is a factor of ten in one rate.
    pub distance: f64,
    /// What else looks like it; empty for nothing.
    pub note: &'static str,
}

/// Of a report; `None` where its threads hardly ran.
pub fn of(report: &Report) -> Option<Resemblance> {
    let time = |state: &str| report.totals.states_ns.get(state).copied().unwrap_or(0);
    let cpu_ns = time("on_cpu") + time("gpu_sync");
    if cpu_ns < LEAST_CPU_NS {
        return None;
    }
    let each_second = |count: u64| count as f64 * 1e9 / cpu_ns as f64;
    let of_threads = |count: fn(&super::ThreadShare) -> Option<u64>| -> u64 {
        report.threads.iter().filter_map(count).sum()
    };
    let of_gpu =
        |call: &&super::SystemCall| call.device.as_deref().is_some_and(|device| device.starts_with("nvidia"));
    let ioctls: u64 = report.system_calls.iter().filter(of_gpu).map(|call| call.latency.count).sum();
    let uses_gpu = ioctls > 0
        || report.gpus.as_ref().is_some_and(|gpus| gpus.devices.iter().any(|gpu| gpu.target_by.is_some()));
    let rates = [
        each_second(of_threads(|thread| thread.nvcsw)),
        each_second(report.totals.episodes.get("futex").copied().unwrap_or(0)),
        each_second(of_threads(|thread| thread.min_flt)),
        each_second(ioctls),
    ];
    nearest(rates, uses_gpu)
}

fn nearest(rates: Rates, uses_gpu: bool) -> Option<Resemblance> {
    let candidates = KNOWN.iter().filter(|known| known.needs_gpu == uses_gpu);
    let (distance, known) = candidates
        .map(|known| (distance(rates, known.rates), known))
        .min_by(|(one, _), (other, _)| one.total_cmp(other))?;
    Some(Resemblance {
        pattern: (distance <= FARTHEST).then_some(known.name),
        nearest: known.name,
        backend: known.backend,
        distance,
        note: known.note,
    })
}

fn distance(one: Rates, other: Rates) -> f64 {
    let level = |rate: f64, floor: f64| (1.0 + rate / floor).log10();
    let squares = FLOORS.iter().zip(one.iter().zip(other)).map(|(floor, (one, other))| {
        let apart = level(*one, *floor) - level(other, *floor);
        apart * apart
    });
    squares.sum::<f64>().sqrt()
}

/// Sets it as a line.
pub fn write(out: &mut String, resemblance: Option<&Resemblance>) -> fmt::Result {
    let Some(resemblance) = resemblance else { return Ok(()) };
    let far = format!("at a distance of {:.2} (1 is a factor of ten)", resemblance.distance);
    let of = |name: &str| format!("{name} of the calibration patterns on {}", resemblance.backend);
    match resemblance.pattern {
        Some(name) => {
            join(out, "resembles", vec![format!(" {}, {far}", of(name)), resemblance.note.to_owned()])
        }
        None => writeln!(
            out,
            "resembles none of the calibration patterns: {} is nearest, {far}",
            resemblance.nearest
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pattern_is_nearest_to_itself_and_far_from_the_others() {
        for known in KNOWN {
            let found = nearest(known.rates, known.needs_gpu).unwrap();
            assert_eq!((found.pattern, found.backend), (Some(known.name), known.backend));
            assert!(found.distance < 1e-9);
            for other in KNOWN.iter().filter(|other| other.needs_gpu == known.needs_gpu) {
                let apart = distance(known.rates, other.rates);
                assert!(
                    other.name == known.name || apart > FARTHEST,
                    "{} {}: {apart}",
                    known.name,
                    other.name
                );
            }
        }
    }

    #[test]
    fn a_program_is_known_by_its_pattern_beside_what_its_start_does() {
        assert_eq!(nearest([20.0, 17.0, 150.0, 0.0], false).unwrap().pattern, Some("compute-heavy"));
        assert_eq!(nearest([1.0, 0.2, 180.0, 0.0], false).unwrap().pattern, Some("launch-heavy"));
        // 467 ioctls and some thousand faults of CUDA's start, in three seconds.
        let found = nearest([25.0, 10.0, 3000.0, 160.0], true).unwrap();
        assert_eq!(found.nearest, "launch-heavy");
    }

    #[test]
    fn a_server_that_does_something_of_each_resembles_none() {
        let found = nearest([5000.0, 3000.0, 2000.0, 0.0], false).unwrap();
        assert_eq!((found.pattern, found.nearest), (None, "sync-heavy"));
        assert!(found.distance > FARTHEST);
    }
}
