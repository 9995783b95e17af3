//! Engines, by what they tell of themselves.

use std::borrow::Cow;

use super::{
    super::list::{Cell, Column, Sheet, SortKey, Width},
    parts::{key, maybe, name, word},
};
use crate::{
    humane::{count, percent, rate},
    live::Engine,
};

const SOURCE: &str = "engine_sample (the engine's /metrics)";

/// A column of a count, in a second.
macro_rules! rate_column {
    ($title:literal, $priority:literal, $field:ident, $help:literal) => {
        Column {
            title: $title,
            width: Width::Number(8),
            priority: $priority,
            cell: |row, _| maybe(per_second(row, row.$field), rate),
            key: |row| SortKey::maybe(per_second(row, row.$field)),
            help: $help,
            source: SOURCE,
        }
    };
}

pub static ENGINES: Sheet<Engine> = Sheet {
    title: "engines",
    columns: &[
        Column {
            title: "engine",
            width: Width::Words(9),
            priority: 0,
            cell: |row, _| name(&row.engine),
            key: |row| word(&row.engine),
            help: "the engine, told by the names of its metrics",
            source: SOURCE,
        },
        Column {
            title: "server",
            width: Width::Words(16),
            priority: 2,
            cell: |row, _| name(&row.server),
            key: |row| word(&row.server),
            help: "the host and port that were asked",
            source: SOURCE,
        },
        Column {
            title: "running",
            width: Width::Number(7),
            priority: 0,
            cell: |row, _| maybe(row.running, count),
            key: |row| key(row.running),
            help: "requests that are worked on, at the last sample",
            source: SOURCE,
        },
        Column {
            title: "waiting",
            width: Width::Number(7),
            priority: 0,
            cell: |row, _| match row.waiting {
                Some(waiting) if waiting > 0 => Cell::Warn(count(waiting)),
                waiting => maybe(waiting, count),
            },
            key: |row| key(row.waiting),
            help: "requests that wait for that, at the last sample",
            source: SOURCE,
        },
        Column {
            title: "KV used",
            width: Width::Number(7),
            priority: 0,
            cell: |row, _| maybe(row.kv_used_ratio, percent),
            key: |row| SortKey::maybe(row.kv_used_ratio),
            help: "share of the KV cache in use; llama.cpp does not tell it",
            source: SOURCE,
        },
        rate_column!(
            "in tok/s",
            0,
            input_tokens,
            "tokens of prompts in a second, those from the cache included"
        ),
        rate_column!("out tok/s", 0, output_tokens, "tokens of responses in a second"),
        Column {
            title: "cache hits",
            width: Width::Number(10),
            priority: 1,
            cell: |row, _| maybe(hit_ratio(row), percent),
            key: |row| SortKey::maybe(hit_ratio(row)),
            help: "of the prompts' tokens those that the prefix cache had",
            source: SOURCE,
        },
        rate_column!("preempted/s", 1, preemptions, "requests put back to make room, in a second"),
    ],
    order: None,
    id: |row| row.server.clone(),
    text: |row| format!("{} {}", row.engine, row.server),
    rows: |picture| Cow::Borrowed(&picture.engines),
    empty: "no engine tells of itself",
};

fn per_second(engine: &Engine, count: Option<u64>) -> Option<f64> {
    let seconds = engine.counted_ns as f64 / 1e9;
    count.filter(|_| seconds > 0.0).map(|count| count as f64 / seconds)
}

fn hit_ratio(engine: &Engine) -> Option<f64> {
    let queries = engine.prefix_queries.filter(|queries| *queries > 0)?;
    engine.prefix_hits.map(|hits| hits as f64 / queries as f64)
}
