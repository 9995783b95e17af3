//! When requests were in flight, and in which of their phases: what samples of a GPU are set beside.

use super::{phases::phases, served::Served};
use crate::ledger::{Spans, Window};

/// Times in which some request was in flight.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Whether requests tell it; else it is all of the recording.
    pub by_requests: bool,
    pub whole: Spans,
    /// In which some request was in its prefill; empty where phases are not known.
    pub prefill: Spans,
    /// In which some was in its decode.
    pub decode: Spans,
}

impl Scope {
    /// Of a recording without requests.
    pub fn recording(whole: Window) -> Self {
        Self { whole: Spans::new([(whole.start_ns, whole.end_ns)]), ..Self::default() }
    }

    /// Of requests, of a recording.
    pub(super) fn of(served: &Served, whole: Window) -> Self {
        let clipped = |window: Window| (window.start_ns.max(whole.start_ns), window.end_ns.min(whole.end_ns));
        let phase = |of: &str| {
            let all = served.requests.iter().flat_map(phases);
            Spans::new(all.filter(|(kind, _)| *kind == of).map(|(_, window)| clipped(window)))
        };
        Self {
            by_requests: true,
            whole: Spans::new(served.requests.iter().map(|request| clipped(request.window()))),
            prefill: phase("prefill"),
            decode: phase("decode"),
        }
    }
}
