//! A view's end of a recording under way: it asks for pictures, and never makes the recorder wait.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use super::{
    gauges::Gauges,
    pipeline::Message,
    tap::{Look, Tap},
};
use crate::{
    bpf::{Haste, LoadError, Slots},
    clock,
    live::{About, Parts, Picture, Recorder, Target, Window, complete},
    recording::{Config, Gpus},
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

/// A picture that a view wishes for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// The length of its window.
    pub length: Duration,
    /// The window itself, where it is not the newest.
    pub window: Option<Window>,
    /// The thread to show in depth.
    pub detail: Option<Tid>,
    /// What is shown.
    pub parts: Parts,
}

/// What is known of a recording when a view begins to look.
pub struct Viewer {
    slots: Slots,
    messages: SyncSender<Message>,
    pictures: Receiver<Picture>,
    tables: Vec<(&'static str, Arc<Progress>)>,
    run: PathBuf,
    target: Target,
    about: About,
    gauges: Arc<Gauges>,
    gpus: Arc<OnceLock<Gpus>>,
    haste: Option<Haste>,
    ring_bytes: u64,
    begun: MonoNs,
    stop: Arc<AtomicU8>,
    ended: Arc<AtomicBool>,
    /// When looked at: CPU time of hostprof, bytes written.
    used: VecDeque<(u64, u64, u64)>,
}

/// What a view needs of a recording that begins.
pub(super) struct Begun {
    pub slots: Slots,
    pub messages: SyncSender<Message>,
    pub tables: Vec<(&'static str, Arc<Progress>)>,
    pub run: PathBuf,
    pub gauges: Arc<Gauges>,
    /// The machine's, once they are known.
    pub gpus: Arc<OnceLock<Gpus>>,
    /// Until the first picture.
    pub haste: Option<Haste>,
    pub stop: Arc<AtomicU8>,
    pub ended: Arc<AtomicBool>,
}

/// The two ends of pictures: one for the pipeline, one for a viewer.
pub(super) fn ends(begun: MonoNs, proc: Proc, http: bool) -> (Tap, Receiver<Picture>) {
    let (sender, receiver) = sync_channel(1);
    (Tap::new(begun, sender, proc, http), receiver)
}

impl Viewer {
    pub(super) fn new(parts: Begun, pictures: Receiver<Picture>, config: &Config) -> Self {
        let begun = config.started.mono_ns;
        Self {
            slots: parts.slots,
            messages: parts.messages,
            pictures,
            tables: parts.tables,
            run: parts.run,
            target: Target::of(config),
            about: About::of(config),
            gauges: parts.gauges,
            gpus: parts.gpus,
            haste: parts.haste,
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

    /// Asks for a picture; false where there is none yet, the recorder has too much to do, or has ended.
    ///
    /// # Errors
    ///
    /// The kernel half cannot be read.
    pub fn ask(&self, wish: &Wish) -> Result<bool, LoadError> {
        let now = clock::mono();
        if wish.window.is_none() && Window::before(now.0, 0, self.begun.0).is_empty() {
            return Ok(false);
        }
        let slots = self.slots.read()?;
        let Wish { length, window, detail, parts } = *wish;
        let look =
            Look { at: clock::mono(), slots, length_ns: length.as_nanos() as u64, window, detail, parts };
        Ok(self.messages.try_send(Message::Look(Box::new(look))).is_ok())
    }

    /// The picture asked for, where it comes in that time. `kept` is whether what is written is to be kept.
    pub fn picture(&mut self, wait: Duration, kept: bool) -> Option<Picture> {
        let mut picture = self.pictures.recv_timeout(wait).ok()?;
        drop(self.haste.take());
        if let Some(gpus) = self.gpus.get() {
            self.about.knows(gpus);
        }
        complete(&mut picture, &self.about);
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
        if health.ceiling.limit_ratio.is_some() {
            health.ceiling.cost_ratio = self.gauges.overhead_ratio();
        }
        health.recorder = Some(Recorder {
            run: self.run.display().to_string(),
            kept,
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
