//! hostprof: where the threads of a program wait, and why.
//!
//! The layers, each using only those to its left: `units, hash, clock, humane, nvml ← table ← probe, sampler, ledger, sink ←
//! bpf ← collector ← cli`; `sink, request ← load ← cli`. `docs/architecture.md` draws them.

pub mod also;
pub mod bpf;
pub mod check;
pub mod cli;
pub mod clock;
pub mod collector;
pub mod cupti;
pub mod docs;
pub mod doctor;
pub mod export;
mod hash;
pub mod humane;
pub mod import;
pub mod ledger;
pub mod lengths;
pub mod live;
pub mod load;
pub mod nvml;
pub mod order;
pub mod privilege;
pub mod probe;
pub mod recording;
pub mod report;
pub mod request;
pub mod sampler;
pub mod sink;
pub mod story;
pub mod table;
pub mod target;
pub mod tui;
pub mod units;
pub mod usage;
mod variable;
