//! What the kernel's files and sysstat's tools tell while hostprof records.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, sleep},
    time::Duration,
};

use super::support::mono_ns;

/// Between two readings of a witness.
const PERIOD: Duration = Duration::from_millis(20);
/// How far a tool's interval may lie from its start and its end: starting a process, and printing.
const TOOL_SLACK_NS: u64 = 400_000_000;

/// The number behind a name at the start of a line; 0 where there is none.
pub fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Counters read again and again, each reading with the times before and after it.
pub struct Witness {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Reading>>,
}

struct Reading {
    before: u64,
    values: Vec<u64>,
    after: u64,
}

/// What a witness saw.
pub struct Testimony(Vec<Reading>);

impl Witness {
    pub fn start(mut read: impl FnMut() -> Vec<u64> + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (send, first) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let mut readings = Vec::new();
            loop {
                let last = stopped.load(Ordering::Acquire);
                let before = mono_ns();
                let values = read();
                readings.push(Reading { before, values, after: mono_ns() });
                let _ = send.send(());
                if last {
                    return readings;
                }
                sleep(PERIOD);
            }
        });
        first.recv().expect("a first reading");
        Self { stop, thread }
    }

    /// Reads once more.
    pub fn finish(self) -> Testimony {
        self.stop.store(true, Ordering::Release);
        Testimony(self.thread.join().expect("a witness"))
    }
}

impl Testimony {
    /// Each row's counters lie between the last reading before it and the first after the next row began, by when
    /// the row was made.
    pub fn brackets<R: std::fmt::Debug>(&self, rows: &[R], at: fn(&R) -> u64, values: fn(&R) -> Vec<u64>) {
        let mut compared = 0;
        for (index, row) in rows.iter().enumerate() {
            let made = rows.get(index + 1).map_or(u64::MAX, at);
            let low = self.0.iter().rev().find(|reading| reading.after <= at(row)).expect("a reading before");
            let high = self.0.iter().find(|reading| reading.before >= made);
            let high = high.or(self.0.last()).expect("a reading after");
            let values = values(row);
            assert_eq!(values.len(), low.values.len());
            for (column, value) in values.into_iter().enumerate() {
                let (low, high) = (low.values[column], high.values[column]);
                assert!((low..=high).contains(&value), "value {column}: {low} <= {value} <= {high}: {row:?}");
            }
            compared += 1;
        }
        assert!(compared > 0);
        let (first, last) = (&self.0[0].values, &self.0[self.0.len() - 1].values);
        assert!(first.iter().zip(last).any(|(first, last)| first < last), "nothing moved: {first:?}");
    }
}

/// A tool of sysstat that reports one interval of two seconds.
pub struct Tool {
    name: &'static str,
    running: Option<(Child, u64)>,
}

/// What it reported.
pub struct Told {
    text: String,
    /// The line's first word, where there are several.
    key: Option<String>,
    start: u64,
    end: u64,
}

impl Tool {
    pub fn start(name: &'static str, arguments: &[&str]) -> Self {
        let mut command = Command::new(name);
        command.args(arguments).env("LC_ALL", "C").env("S_COLORS", "never").stdout(Stdio::piped());
        let start = mono_ns();
        Self { name, running: command.spawn().ok().map(|child| (child, start)) }
    }

    /// Its report; `None`, with a word, where it is not installed.
    pub fn finish(self) -> Option<Told> {
        let Some((child, start)) = self.running else {
            println!("{} is not installed: compared with the kernel's files alone", self.name);
            return None;
        };
        // It ended before the recording did; how long before does not matter for the two seconds.
        let output = child.wait_with_output().expect("wait for a tool");
        assert!(output.status.success(), "{}: {}", self.name, output.status);
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        Some(Told { text, key: None, start, end: start + 2_000_000_000 + TOOL_SLACK_NS })
    }
}

impl Told {
    pub fn line(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }

    /// The number under a head.
    pub fn number(&self, head: &str) -> f64 {
        let lines: Vec<Vec<&str>> =
            self.text.lines().map(|line| line.trim_start_matches('#').split_whitespace().collect()).collect();
        let heads =
            lines.iter().find(|line| line.contains(&head)).unwrap_or_else(|| panic!("{head}: {}", self.text));
        let column = heads.iter().position(|word| *word == head).unwrap();
        let values = lines
            .iter()
            .rfind(|line| line.len() == heads.len() && self.key.as_deref().is_none_or(|key| line[0] == key))
            .unwrap();
        values[column].parse().unwrap_or_else(|_| panic!("{head}: {}", self.text))
    }

    /// A counter's growth in the tool's interval is at least that of the rows well inside it, and at most that of
    /// those around it.
    pub fn bounds<R>(&self, rows: &[R], at: fn(&R) -> u64, counter: fn(&R) -> u64, told: u64, slack: u64) {
        let (start, end) = (self.start, self.end);
        let growth = |first: Option<&R>, last: Option<&R>| match (first, last) {
            (Some(first), Some(last)) => counter(last).saturating_sub(counter(first)),
            _ => panic!("no rows around the tool's interval"),
        };
        let inside = growth(
            rows.iter().find(|row| at(row) >= start + TOOL_SLACK_NS),
            rows.iter().rev().find(|row| at(row) <= end - TOOL_SLACK_NS),
        );
        let before = rows.iter().rev().find(|row| at(row) <= start);
        let around = growth(before, rows.iter().find(|row| at(row) >= end));
        assert!(
            (inside.saturating_sub(slack)..=around + slack).contains(&told),
            "{inside} <= {told} <= {around}, but for {slack}: {}",
            self.text
        );
    }
}

fn disks() -> Vec<(String, Vec<u64>)> {
    let text = fs::read_to_string("/proc/diskstats").unwrap_or_default();
    let disk = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = words.get(2)?.to_string();
        // A partition has its folder inside its disk's.
        Path::new("/sys/block").join(&name).exists().then_some(())?;
        Some((name, words.iter().map(|word| word.parse().unwrap_or(0)).collect()))
    };
    text.lines().filter_map(disk).collect()
}

/// The disk with most writes.
pub fn busiest_disk() -> String {
    let busiest = disks().into_iter().max_by_key(|(_, words)| words[7]);
    busiest.expect("a disk").0
}

/// Words of the busiest disk's line, counted from 1.
pub fn of_busiest_disk(numbers: &[usize]) -> Vec<u64> {
    let busiest = disks().into_iter().max_by_key(|(_, words)| words[7]);
    let words = busiest.expect("a disk").1;
    numbers.iter().map(|number| words[number - 1]).collect()
}
