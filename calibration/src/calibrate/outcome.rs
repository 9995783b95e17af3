//! A recording beside what was intended.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::{Bounds, Case, Measure};
use crate::{
    demo::recording::Recording,
    signature::observed::{CudaCall, Report},
    truth::Truth,
};

/// Waits that are not the pattern's: the program waits once more, after its clock, for the count that the GPU kept.
const OWN_WAITS: u64 = 1;

/// What a program asked of the kernel, and where its time went, CUDA's start included.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fingerprint {
    /// ioctls on the driver's devices.
    pub ioctls: u64,
    /// Every system call by name.
    pub calls: BTreeMap<String, u64>,
    pub voluntary_switches: u64,
    pub involuntary_switches: u64,
    /// Time of all threads by state, nanoseconds.
    pub states_ns: BTreeMap<String, u64>,
}

impl Fingerprint {
    /// Of a recording.
    pub fn of(report: &Report) -> Self {
        let mut fingerprint = Self::default();
        for call in &report.system_calls {
            if call.device.as_deref().is_some_and(|device| device.starts_with("nvidia")) {
                fingerprint.ioctls += call.count;
            } else if call.counted {
                *fingerprint.calls.entry(call.name.clone()).or_default() += call.count;
            }
        }
        for thread in &report.threads {
            fingerprint.voluntary_switches += thread.nvcsw;
            fingerprint.involuntary_switches += thread.nivcsw;
            for (state, ns) in &thread.states_ns {
                *fingerprint.states_ns.entry(state.clone()).or_default() += ns.unwrap_or(0);
            }
        }
        fingerprint
    }

    /// Calls of a name.
    pub fn calls(&self, name: &str) -> u64 {
        self.calls.get(name).copied().unwrap_or(0)
    }

    /// Time in a state.
    pub fn state_ns(&self, state: &str) -> u64 {
        self.states_ns.get(state).copied().unwrap_or(0)
    }

    fn on_cpu_ns(&self) -> u64 {
        self.state_ns("on_cpu") + self.state_ns("gpu_sync")
    }
}

/// One number, intended and observed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    #[serde(serialize_with = "text")]
    pub measure: Measure,
    /// The least and the most; null where it is told and not judged.
    pub intended: Bounds,
    /// Null where the recording has nothing to tell it by.
    pub observed: Option<f64>,
    pub ok: bool,
}

fn text<S: Serializer>(measure: &Measure, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&measure.text())
}

/// A case that was recorded.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub name: &'static str,
    pub run: String,
    pub truth: Truth,
    pub findings: Vec<Finding>,
    pub fingerprint: Fingerprint,
    /// Records that were lost: with any, no count is exact.
    pub lost: u64,
}

impl Outcome {
    /// A recording of a case; `start` is what CUDA's start alone showed.
    pub(super) fn of(case: &Case, recording: &Recording, start: &Fingerprint) -> Self {
        let fingerprint = Fingerprint::of(&recording.report);
        let findings = case
            .expected
            .iter()
            .map(|&(measure, intended)| {
                let observed = observe(measure, recording, &fingerprint, start);
                let ok = match (intended, observed) {
                    (None, _) => true,
                    (Some((least, most)), Some(observed)) => (least..=most).contains(&observed),
                    (Some(_), None) => false,
                };
                Finding { measure, intended, observed, ok }
            })
            .collect();
        Self {
            name: case.name,
            run: recording.run.display().to_string(),
            truth: recording.truth.clone(),
            findings,
            fingerprint,
            lost: recording.report.loss.dropped,
        }
    }

    /// Whether all was as intended.
    pub fn passed(&self) -> bool {
        self.lost == 0 && self.findings.iter().all(|finding| finding.ok)
    }
}

/// Calls of CUDA's driver library: how many, their time, and what of that was on a CPU and waiting for the GPU.
fn cuda_calls(report: &Report, of: impl Fn(&CudaCall) -> bool) -> (u64, u64, u64) {
    let calls = report.cuda_calls.iter().filter(|call| of(call));
    calls.fold((0, 0, 0), |(calls, total_ns, gpu_sync_ns), call| {
        let more = |ns: Option<u64>| ns.unwrap_or(0);
        (calls + call.calls, total_ns + more(call.total_ns), gpu_sync_ns + more(call.gpu_sync_ns))
    })
}

fn observe(measure: Measure, recording: &Recording, seen: &Fingerprint, start: &Fingerprint) -> Option<f64> {
    let truth = &recording.truth;
    let more = |with: u64, without: u64| with as f64 - without as f64;
    let ratio = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    let each = |more: f64| (truth.operations > 0).then(|| more / truth.operations as f64);
    match measure {
        Measure::Ioctls => each(more(seen.ioctls, start.ioctls)),
        Measure::Calls(name) => each(more(seen.calls(name), start.calls(name))),
        Measure::Switches => each(more(seen.voluntary_switches, start.voluntary_switches)),
        Measure::OnCpu => {
            let on_cpu_ns = more(seen.on_cpu_ns(), start.on_cpu_ns());
            (truth.run_ns > 0).then(|| on_cpu_ns / truth.run_ns as f64)
        }
        Measure::GpuBusy => {
            let devices = &recording.report.gpus.as_ref()?.devices;
            devices.iter().filter_map(|gpu| gpu.gr_util.max).reduce(f64::max)
        }
        Measure::Kernels => {
            let cuda = truth.cuda.as_ref()?;
            ratio(cuda.kernels, cuda.counts.kernels)
        }
        Measure::Launches => {
            let (calls, ..) = cuda_calls(&recording.report, |call| call.name == "cuLaunchKernel");
            ratio(calls, truth.cuda.as_ref()?.counts.launches)
        }
        Measure::GraphLaunches => {
            let (calls, ..) = cuda_calls(&recording.report, |call| call.name == "cuGraphLaunch");
            ratio(calls, truth.cuda.as_ref()?.counts.graph_launches)
        }
        Measure::Waits => {
            let (calls, ..) = cuda_calls(&recording.report, |call| call.kind == "sync");
            ratio(calls, truth.cuda.as_ref()?.counts.syncs + OWN_WAITS)
        }
        Measure::WaitTime => {
            let (_, total_ns, _) = cuda_calls(&recording.report, |call| call.kind == "sync");
            ratio(total_ns, truth.cuda.as_ref()?.counts.sync_ns)
        }
        Measure::GpuSync => {
            let (.., gpu_sync_ns) = cuda_calls(&recording.report, |call| call.kind == "sync");
            ratio(gpu_sync_ns, truth.cuda.as_ref()?.counts.sync_ns)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{calibrate::cases, cuda::CudaTruth};

    fn report(ioctls: u64, futexes: u64, on_cpu_ns: u64, nvcsw: u64) -> Report {
        serde_json::from_value(serde_json::json!({
            "threads": [{"comm": "calibration", "wall_ns": on_cpu_ns, "nvcsw": nvcsw,
                         "states_ns": {"on_cpu": on_cpu_ns}}],
            "system_calls": [
                {"name": "NV_ESC_RM_CONTROL", "device": "nvidiactl", "count": ioctls, "counted": false},
                {"name": "futex", "device": null, "count": futexes, "counted": true},
                {"name": "futex", "device": null, "count": futexes, "counted": false},
            ],
            "cuda_calls": [
                {"name": "cuLaunchKernel", "kind": "launch", "calls": 200_000},
                {"name": "cuCtxSynchronize", "kind": "sync", "calls": 20_001, "total_ns": 100, "gpu_sync_ns": 90},
            ],
            "gpus": {"devices": [{"gr_util": {"is": "value", "mean": 0.8, "max": 0.99}}]}
        }))
        .unwrap()
    }

    fn recording(name: &str, report: Report) -> Recording {
        let case = cases().into_iter().find(|case| case.name == name).unwrap();
        let mut truth: Truth = serde_json::from_value(serde_json::json!({
            "pattern": case.pattern, "backend": "cuda", "pid": 1, "start_mono_ns": 0, "run_ns": 1_000_000_000,
            "parameters": {"threads": 1, "size": 0, "ops": case.ops, "seconds": null},
            "operations": case.ops, "barriers": 0, "threads": []
        }))
        .unwrap();
        let mut cuda = CudaTruth { kernels: case.ops, ..CudaTruth::default() };
        cuda.counts.kernels = case.ops;
        cuda.counts.launches = case.ops;
        cuda.counts.syncs = case.ops;
        truth.cuda = Some(cuda);
        Recording { run: "runs/run_001".into(), report, truth }
    }

    fn outcome(name: &str, seen: Report) -> Outcome {
        let case = cases().into_iter().find(|case| case.name == name).unwrap();
        let start = Fingerprint::of(&report(467, 29, 300_000_000, 70));
        Outcome::of(&case, &recording(name, seen), &start)
    }

    #[test]
    fn launches_that_enter_no_kernel_pass_and_an_ioctl_a_launch_does_not() {
        let seen = outcome("launch-heavy", report(467, 30, 1_290_000_000, 75));
        assert!(seen.passed(), "{:?}", seen.findings);
        let seen = outcome("launch-heavy", report(200_467, 30, 1_290_000_000, 75));
        let missed: Vec<_> = seen.findings.iter().filter(|finding| !finding.ok).collect();
        assert_eq!(missed.len(), 1, "{missed:?}");
        assert_eq!((missed[0].measure, missed[0].observed), (Measure::Ioctls, Some(1.0)));
    }

    #[test]
    fn cudas_start_is_taken_off_and_what_is_lost_is_no_pass() {
        let mut blocked = report(467, 29 + 40_274, 600_000_000, 70 + 40_262);
        let seen = outcome("sync-heavy, blocking", blocked.clone());
        let futex = seen.findings.iter().find(|finding| finding.measure == Measure::Calls("futex")).unwrap();
        assert!(futex.ok && futex.observed.is_some_and(|each| (each - 2.0137).abs() < 1e-9), "{futex:?}");
        let poll = seen.findings.iter().find(|finding| finding.measure == Measure::Calls("poll")).unwrap();
        assert!(!poll.ok, "none was seen: {poll:?}");
        blocked.loss.dropped = 1;
        assert!(!outcome("launch-heavy", blocked).passed());
    }

    #[test]
    fn a_gpu_that_was_not_measured_is_a_miss_and_no_number() {
        let mut seen = report(467, 29, 1_300_000_000, 70);
        assert_eq!(outcome("compute-heavy", seen.clone()).findings[2].observed, Some(0.99));
        seen.gpus = None;
        let finding = &outcome("compute-heavy", seen).findings[2];
        assert!(finding.observed.is_none() && !finding.ok, "{finding:?}");
    }
}
