//! The four patterns, by name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A pattern of work whose cause of waiting is known by construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// Threads of long arithmetic that meet at a barrier every few tens of milliseconds
    ComputeHeavy,
    /// A launcher hands tiny items to a spinning worker, with no system call
    LaunchHeavy,
    /// Two threads hand a token to each other through a futex
    SyncHeavy,
    /// Memory is mapped, touched page by page and unmapped
    AllocHeavy,
}

impl Pattern {
    /// All patterns, in the order they are shown.
    pub const ALL: [Self; 4] = [Self::ComputeHeavy, Self::LaunchHeavy, Self::SyncHeavy, Self::AllocHeavy];

    /// The name on the command line and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ComputeHeavy => "compute-heavy",
            Self::LaunchHeavy => "launch-heavy",
            Self::SyncHeavy => "sync-heavy",
            Self::AllocHeavy => "alloc-heavy",
        }
    }

    /// What the program does, in a few words.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::ComputeHeavy => "arithmetic in parallel, a barrier every few tens of ms",
            Self::LaunchHeavy => "tiny items to a spinning worker, no system call",
            Self::SyncHeavy => "a token handed to and fro through a futex",
            Self::AllocHeavy => "memory mapped, touched and unmapped",
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
