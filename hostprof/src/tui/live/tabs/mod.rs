//! The tabs: which lists each has, how it is drawn, and what its numbers mean.

mod calls;
mod engines;
mod gpu;
mod health;
mod memory;
mod overview;
pub mod parts;
mod requests;
mod summary;
mod threads;

use ratatui::{Frame, layout::Rect};

use super::{View, detail, list::List, list::Metric};

/// A tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    Overview,
    Threads,
    Calls,
    Memory,
    Gpu,
    Requests,
    Health,
}

impl Tab {
    /// All, by digit.
    pub const ALL: [Self; 7] =
        [Self::Overview, Self::Threads, Self::Calls, Self::Memory, Self::Gpu, Self::Requests, Self::Health];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Threads => "Threads",
            Self::Calls => "Calls",
            Self::Memory => "Memory",
            Self::Gpu => "GPU",
            Self::Requests => "Requests",
            Self::Health => "Health",
        }
    }

    /// Its lists.
    pub fn lists(self) -> &'static [ListId] {
        match self {
            Self::Overview => &[ListId::Roles, ListId::Processes],
            Self::Threads => &[ListId::Threads],
            Self::Calls => &[ListId::Calls],
            Self::Memory => &[ListId::ProcessMemory, ListId::MemoryCalls, ListId::Cgroups],
            Self::Gpu => &[ListId::Gpus],
            Self::Requests => &[ListId::Sources, ListId::Latencies, ListId::Engines],
            Self::Health => &[ListId::Probes],
        }
    }

    /// What it shows beside its lists.
    pub fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Overview => summary::METRICS,
            Self::Memory => memory::METRICS,
            Self::Health => health::METRICS,
            Self::Threads | Self::Calls | Self::Gpu | Self::Requests => &[],
        }
    }

    /// The tab so far to the right, around the end.
    pub fn next(self, steps: usize) -> Self {
        Self::ALL[(self as usize + steps) % Self::ALL.len()]
    }

    /// Draws it.
    pub fn draw(self, frame: &mut Frame<'_>, area: Rect, view: &mut View) {
        match self {
            Self::Overview => overview::draw(frame, area, view),
            Self::Threads => threads::draw(frame, area, view),
            Self::Calls => calls::draw(frame, area, view),
            Self::Memory => memory::draw(frame, area, view),
            Self::Gpu => gpu::draw(frame, area, view),
            Self::Requests => requests::draw(frame, area, view),
            Self::Health => health::draw(frame, area, view),
        }
    }
}

/// A list of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListId {
    Roles,
    Processes,
    Threads,
    Calls,
    ProcessMemory,
    MemoryCalls,
    Cgroups,
    Gpus,
    Sources,
    Latencies,
    Engines,
    Probes,
    DetailCalls,
    DetailWakers,
    DetailFutexes,
}

impl ListId {
    /// All, in order.
    pub const ALL: [Self; 15] = [
        Self::Roles,
        Self::Processes,
        Self::Threads,
        Self::Calls,
        Self::ProcessMemory,
        Self::MemoryCalls,
        Self::Cgroups,
        Self::Gpus,
        Self::Sources,
        Self::Latencies,
        Self::Engines,
        Self::Probes,
        Self::DetailCalls,
        Self::DetailWakers,
        Self::DetailFutexes,
    ];

    /// Those of an open thread.
    pub const DETAIL: &[Self] = &[Self::DetailFutexes, Self::DetailCalls, Self::DetailWakers];

    /// Whether Enter leads from a row to more.
    pub fn opens(self) -> bool {
        matches!(self, Self::Roles | Self::Processes | Self::Threads)
    }

    /// How its rows are shown.
    pub fn list(self) -> &'static dyn List {
        match self {
            Self::Roles => &overview::ROLES,
            Self::Processes => &overview::PROCESSES,
            Self::Threads => &threads::THREADS,
            Self::Calls => &calls::CALLS,
            Self::ProcessMemory => &memory::PROCESSES,
            Self::MemoryCalls => &memory::CALLS,
            Self::Cgroups => &memory::CGROUPS,
            Self::Gpus => &gpu::GPUS,
            Self::Sources => &requests::SOURCES,
            Self::Latencies => &requests::LATENCIES,
            Self::Engines => &engines::ENGINES,
            Self::Probes => &health::PROBES,
            Self::DetailCalls => &detail::CALLS,
            Self::DetailWakers => &detail::WAKERS,
            Self::DetailFutexes => &detail::FUTEXES,
        }
    }
}
