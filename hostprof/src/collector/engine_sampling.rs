//! Samples of inference engines, on a thread of their own: an engine that is busy may take its time to answer, and what
//! it holds up must not be the other samples, nor the end.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    time::{Duration, Instant},
};

use super::{aside::Aside, gauges::Gauges, pipeline::Message};
use crate::{
    humane::plural,
    sampler::engine::{self, Page},
    target::{Proc, Served},
    units::Tgid,
};

/// The longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The least time between two looks for engines that began later.
const LOOK: Duration = Duration::from_secs(5);

/// Which engines are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// Those of the target, as its listening sockets tell.
    Auto,
    /// These.
    Pages(Vec<Page>),
    /// None.
    Off,
}

/// Samples under way.
pub struct EngineSampling(Aside<Vec<String>>);

/// Where the target's engines serve, found while other users' processes may be looked at.
pub fn served(metrics: &Metrics, proc: &Proc, processes: &[Tgid]) -> Vec<Served> {
    if *metrics == Metrics::Auto { proc.served(processes) } else { Vec::new() }
}

impl EngineSampling {
    /// Takes a sample of each engine at once and then one at each interval. `None` where none is asked for.
    ///
    /// # Errors
    ///
    /// A thread cannot be started.
    pub fn start(
        metrics: &Metrics,
        served: Vec<Served>,
        interval: Duration,
        gauges: &Arc<Gauges>,
        sender: &SyncSender<Message>,
    ) -> io::Result<Option<Self>> {
        let mut round =
            Round { pages: BTreeMap::new(), notes: Vec::new(), is_auto: false, looked: Instant::now() };
        match metrics {
            Metrics::Off => return Ok(None),
            Metrics::Pages(pages) => pages.iter().for_each(|page| round.begin(page.clone(), true)),
            Metrics::Auto => {
                round.is_auto = true;
                round.found(served);
            }
        }
        let (gauges, sender) = (Arc::clone(gauges), sender.clone());
        Aside::start("hostprof-engine", move |ended| run(round, interval, &gauges, &sender, ended))
            .map(|aside| Some(Self(aside)))
    }

    /// Takes a last sample; tells which engines were not read, and why.
    pub fn finish(self) -> Vec<String> {
        self.0.finish(2 * PATIENCE).unwrap_or_default()
    }
}

fn run(
    mut round: Round,
    interval: Duration,
    gauges: &Gauges,
    sender: &SyncSender<Message>,
    ended: &Receiver<()>,
) -> Vec<String> {
    let proc = Proc::new();
    let mut next = Instant::now();
    loop {
        let is_over = match ended.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => false,
            Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
        };
        if round.is_auto && round.pages.is_empty() && round.looked.elapsed() >= LOOK {
            round.looked = Instant::now();
            round.found(proc.served(&gauges.processes()));
        }
        if !round.take(sender) || is_over {
            return round.told();
        }
        next = (next + interval).max(Instant::now() + interval / 2);
    }
}

/// What is known of a page.
#[derive(Debug, Default)]
struct Asked {
    answered: u64,
    missed: u64,
    /// Why it was missed last.
    reason: String,
    /// Whether it is asked again though it never answered: it was named, and may begin later.
    is_named: bool,
}

struct Round {
    pages: BTreeMap<Page, Asked>,
    notes: Vec<String>,
    is_auto: bool,
    looked: Instant,
}

impl Round {
    fn begin(&mut self, page: Page, is_named: bool) {
        self.pages.entry(page).or_insert(Asked { is_named, ..Asked::default() });
    }

    fn found(&mut self, served: Vec<Served>) {
        for Served { port, engine, is_here } in served {
            if is_here {
                self.begin(Page::at_port(port), false);
                continue;
            }
            let note = format!(
                "{engine} serves port {port} in another network namespace: its metrics are not read (name them with --metrics URL)"
            );
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }

    /// Asks each page once; false where nobody takes the rows.
    fn take(&mut self, sender: &SyncSender<Message>) -> bool {
        for (page, asked) in &mut self.pages {
            // A server that was found listening and has no such page has none later.
            if !asked.is_named && asked.answered == 0 && asked.missed > 2 {
                continue;
            }
            match engine::sample(page, PATIENCE) {
                Ok(row) => {
                    asked.answered += 1;
                    if sender.send(Message::Engine(Box::new(row))).is_err() {
                        return false;
                    }
                }
                Err(error) => {
                    asked.missed += 1;
                    asked.reason = error.to_string();
                }
            }
        }
        true
    }

    fn told(mut self) -> Vec<String> {
        for asked in self.pages.into_values().filter(|asked| asked.missed > 0) {
            let reason = &asked.reason;
            self.notes.push(match asked.answered {
                0 => format!("engine metrics: {reason}"),
                _ => format!(
                    "engine metrics: {} of {} missed: {reason}",
                    asked.missed,
                    plural(asked.answered + asked.missed, "sample")
                ),
            });
        }
        self.notes
    }
}
