//! A view's end of a recording under way: it asks for pictures, and never makes the recorder wait.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use super::{
    pipeline::Message,
    tap::{Look, Tap},
};
use crate::{
    bpf::{LoadError, Slots},
    clock,
    live::{Picture, Recorder, Target, complete},
    recording::{Config, ProbeStatus},
    sink::Progress,
    target::Proc,
    units::{MonoNs, Tid},
    usage,
};

/// How long what hostprof used is remembered.
const REMEMBERED: usize = 1024;

/// What whoever looks on asks for.
pub mod asked {
    /// The end of the recording.
    pub const END: u8 = 1;
    /// The end of all, the command's too.
    pub const LEAVE: u8 = 2;
}

/// What is known of a recording when a view begins to look.
pub struct Viewer {
    slots: Slots,
    messages: SyncSender<Message>,
    pictures: Receiver<Picture>,
    tables: Vec<(&'static str, Arc<Progress>)>,
    run: PathBuf,
    target: Target,
    probes: Vec<ProbeStatus>,
    sampled: bool,
    ring_bytes: u64,
    begun: MonoNs,
    stop: Arc<AtomicU8>,
    ended: Arc<AtomicBool>,
    /// When looked at: CPU time of hostprof, bytes written.
    used: VecDeque<(u64, u64, u64)>,
}

/// What a view needs of a recording that begins.
pub(super) struct Parts {
    pub slots: Slots,
    pub messages: SyncSender<Message>,
    pub tables: Vec<(&'static str, Arc<Progress>)>,
    pub run: PathBuf,
    pub stop: Arc<AtomicU8>,
    pub ended: Arc<AtomicBool>,
}

/// The two ends of pictures: one for the pipeline, one for a viewer.
pub(super) fn ends(begun: MonoNs, proc: Proc, http: bool) -> (Tap, Receiver<Picture>) {
    let (sender, receiver) = sync_channel(1);
    (Tap::new(begun, sender, proc, http), receiver)
}

impl Viewer {
    pub(super) fn new(parts: Parts, pictures: Receiver<Picture>, config: &Config) -> Self {
        let begun = config.started.mono_ns;
        Self {
            slots: parts.slots,
            messages: parts.messages,
            pictures,
            tables: parts.tables,
            run: parts.run,
            target: Target::of(config),
            probes: config.probes.clone(),
            sampled: config.samples.interval_ns.is_some(),
            ring_bytes: u64::from(config.rings.count) * config.rings.bytes,
            begun,
            stop: parts.stop,
            ended: parts.ended,
            used: VecDeque::from([(begun.0, 0, 0)]),
        }
    }

    /// The run folder.
    pub fn run(&self) -> &PathBuf {
        &self.run
    }

    /// Whether the recording has ended, or is about to.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Ends the recording, and not the command that is recorded.
    pub fn stop(&self) {
        self.stop.fetch_max(asked::END, Ordering::Release);
    }

    /// Asks for a picture of the newest window, with the percentiles of every thread where `exact`; false where the recorder has too much to do, or has ended.
    ///
    /// # Errors
    ///
    /// The kernel half cannot be read.
    pub fn ask(&self, length: Duration, detail: Option<Tid>, exact: bool) -> Result<bool, LoadError> {
        let slots = self.slots.read()?;
        let look = Look { at: clock::mono(), slots, length_ns: length.as_nanos() as u64, detail, exact };
        Ok(self.messages.try_send(Message::Look(Box::new(look))).is_ok())
    }

    /// The picture asked for, where it comes in that time. `kept` is whether what is written is to be kept.
    pub fn picture(&mut self, wait: Duration, kept: bool) -> Option<Picture> {
        let mut picture = self.pictures.recv_timeout(wait).ok()?;
        complete(&mut picture, &self.probes, self.sampled);
        picture.target =
            Target { elapsed_ns: picture.to.0.saturating_sub(self.begun.0), ..self.target.clone() };
        self.health(&mut picture, kept);
        Some(picture)
    }

    fn health(&mut self, picture: &mut Picture, kept: bool) {
        let bytes = self.tables.iter().map(|(_, progress)| progress.bytes()).sum();
        if self.used.len() >= REMEMBERED {
            self.used.pop_front();
        }
        let now = (clock::mono().0, usage::own_cpu().as_nanos() as u64, bytes);
        self.used.push_back(now);
        let first = self.used.iter().rfind(|used| used.0 <= picture.from.0).or(self.used.front());
        let (at, cpu, written) = first.copied().unwrap_or(now);
        let window = picture.to.0.saturating_sub(picture.from.0) as f64;
        let part = window / now.0.saturating_sub(at).max(1) as f64;
        let health = &mut picture.health;
        health.own_cpu_ns = Some(((now.1 - cpu) as f64 * part) as u64);
        health.own_rss_bytes = usage::own_rss();
        health.ring_bytes = self.ring_bytes;
        health.recorder = kept.then(|| Recorder {
            run: self.run.display().to_string(),
            bytes,
            window_bytes: ((bytes - written) as f64 * part) as u64,
            elapsed_ns: picture.target.elapsed_ns,
        });
    }
}

impl Drop for Viewer {
    /// Whoever looked on is gone.
    fn drop(&mut self) {
        self.stop.fetch_max(asked::LEAVE, Ordering::Release);
    }
}
