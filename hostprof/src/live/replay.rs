//! A recording through the same pictures: rows of a window, and around it, into bins.

use std::{collections::HashMap, ops::Range, path::Path};

use super::{
    about::{About, complete},
    bins::{BIN_NS, Window},
    index::{Index, LONG_NS},
    picture::{End, Mode, Parts, Picture, Playback, Recorder, Target},
    rolling::Rolling,
    track::Life,
};
use crate::{
    hash::IntMap,
    recording::{Config, Recording, RecordingError},
    table::{
        CgroupSampleRow, CudaCallRow, EngineSampleRow, GpuIoctlRow, GpuSampleRow, HistogramRow,
        HostSampleRow, LossRow, OffCpuCountRow, OffCpuRow, PageFaultRow, ProcessSampleRow, RequestRow,
        ShedRow, SyscallRow, ThreadRow, TokenRow,
    },
    units::{MonoNs, Tid},
};

/// How much more than a window is read: time goes on.
const AHEAD_NS: u64 = 5_000_000_000;

/// The longest stretch that is held.
const MOST_NS: u64 = 120_000_000_000;

/// What a replay can jump to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Worst {
    /// The longest waits for a CPU.
    Runqueue,
    /// The longest blocked episodes.
    Blocked,
    /// The slowest requests.
    Request,
}

/// A recording that is looked at.
pub struct Replay {
    recording: Recording,
    about: About,
    index: Index,
    rolling: Rolling,
    /// The stretch that `rolling` has whole.
    held: Range<u64>,
    begin: u64,
    end: u64,
    /// Which of the worst was jumped to last.
    jumped: HashMap<Worst, usize>,
}

impl Replay {
    /// Opens a run folder.
    ///
    /// # Errors
    ///
    /// It is none, or damaged.
    pub fn open(run: &Path) -> Result<Self, RecordingError> {
        let recording = Recording::open(run)?;
        let mut threads: Vec<ThreadRow> = recording.all()?;
        let mut index = Index::of(&recording, &mut threads)?;
        let config = recording.config();
        let begin = config.started.mono_ns.0;
        let last = threads.iter().map(|row| row.end_mono_ns).max().unwrap_or(begin);
        let end = config.ended.as_ref().map_or(last, |ended| ended.at.mono_ns.0).max(begin);
        let mut rolling = Rolling::new(0..0);
        threads.sort_by_key(|row| row.begin_mono_ns);
        begin_all(&mut rolling, &threads);
        for row in recording.all::<RequestRow>()? {
            rolling.request(&row);
        }
        let mut tokens: Vec<TokenRow> = recording.all()?;
        tokens.sort_by_key(|row| row.ts_mono_ns);
        for row in &tokens {
            rolling.token(row);
        }
        rolling.served.whole = true;
        recording.all::<HostSampleRow>()?.into_iter().for_each(|row| rolling.host(row));
        recording.all::<ProcessSampleRow>()?.into_iter().for_each(|row| rolling.process(row));
        recording.all::<CgroupSampleRow>()?.into_iter().for_each(|row| rolling.cgroup(row));
        recording.all::<GpuSampleRow>()?.into_iter().for_each(|row| rolling.gpu(row));
        recording.all::<EngineSampleRow>()?.into_iter().for_each(|row| rolling.engine(row));
        recording.all::<ShedRow>()?.into_iter().for_each(|row| rolling.shed(row));
        recording.all::<HistogramRow>()?.into_iter().for_each(|row| rolling.histogram(row));
        recording.all::<LossRow>()?.into_iter().for_each(|row| rolling.loss(row));
        for (tid, gap) in std::mem::take(&mut index.lost) {
            rolling.lost(tid, gap);
        }
        let mut about = About::of(recording.config());
        about.knows(&recording.config().host.gpus);
        Ok(Self { recording, about, index, rolling, held: 0..0, begin, end, jumped: HashMap::new() })
    }

    /// The recording's first and last instant.
    pub fn span(&self) -> (MonoNs, MonoNs) {
        (MonoNs(self.begin), MonoNs(self.end))
    }

    /// The picture of the window of that length that ends at an instant.
    ///
    /// # Errors
    ///
    /// A part cannot be read.
    pub fn picture(
        &mut self,
        at: MonoNs,
        length_ns: u64,
        detail: Option<Tid>,
        playback: (bool, f64),
    ) -> Result<Picture, RecordingError> {
        // The last bin is shown although it is not whole.
        let last = self.end.div_ceil(BIN_NS) * BIN_NS;
        let at = if at.0 >= self.end { last } else { at.0.max((self.begin / BIN_NS + 1) * BIN_NS) };
        let window = Window::before(at.min(last), length_ns, self.begin);
        self.hold(&window)?;
        let mut picture = self.rolling.picture(&window, detail, Parts::ALL);
        let config = self.recording.config();
        complete(&mut picture, &self.about);
        let (playing, speed) = playback;
        picture.mode = Mode::Replay(Playback {
            begin: MonoNs(self.begin),
            end: MonoNs(self.end),
            playing,
            speed,
            unsaved: false,
        });
        picture.target = Target {
            elapsed_ns: window.to.min(self.end).saturating_sub(self.begin),
            end: (window.to >= self.end).then(|| End { at: MonoNs(self.end), reason: reason(config) }),
            ..Target::of(config)
        };
        self.health(&mut picture);
        Ok(picture)
    }

    /// The next of the worst, or the one before; `None` where there is none. A window that ends there has all
    /// of it that fits.
    pub fn jump(&mut self, worst: Worst, next: bool) -> Option<(MonoNs, Tid)> {
        let targets = self.index.worst(worst);
        let last = self.jumped.get(&worst);
        let place = match (last, next) {
            (None, _) => 0,
            (Some(last), true) => last + 1,
            (Some(last), false) => last.saturating_sub(1),
        };
        let (_, end, tid) = *targets.get(place)?;
        self.jumped.insert(worst, place);
        Some((MonoNs((end / BIN_NS + 1) * BIN_NS), Tid(tid)))
    }

    fn health(&self, picture: &mut Picture) {
        let config = self.recording.config();
        let health = &mut picture.health;
        health.ring_bytes = u64::from(config.rings.count) * config.rings.bytes;
        let Some(totals) = &config.totals else { return };
        let part = (picture.to.0 - picture.from.0) as f64 / self.end.saturating_sub(self.begin).max(1) as f64;
        health.own_cpu_ns = Some((totals.own_cpu_ns as f64 * part) as u64);
        health.own_rss_bytes = Some(totals.own_max_rss_bytes);
        health.recorder = Some(Recorder {
            run: self.recording.path().display().to_string(),
            kept: true,
            bytes: totals.bytes,
            window_bytes: (totals.bytes as f64 * part) as u64,
            elapsed_ns: self.end - self.begin,
        });
    }

    /// Reads what a window needs, and a little more.
    fn hold(&mut self, window: &Window) -> Result<(), RecordingError> {
        let held = self.held.clone();
        if held.start <= window.from && window.to <= held.end {
            return Ok(());
        }
        let to = window.to + AHEAD_NS;
        let follows = held.start <= window.from && window.from <= held.end && to - held.start <= MOST_NS;
        let from = if follows { held.end } else { window.from / BIN_NS * BIN_NS };
        if !follows {
            self.rolling.clear();
        }
        // A failure in the middle leaves nothing that is said to be whole.
        self.held = 0..0;
        self.rolling.take_of(from..to);
        self.read(from, to, follows)?;
        self.held = if follows { held.start } else { from }..to;
        Ok(())
    }

    fn read(&mut self, from: u64, to: u64, follows: bool) -> Result<(), RecordingError> {
        let by = to + LONG_NS;
        let stretch = from..=to - 1;
        for rows in self.recording.rows_ended::<OffCpuRow>(stretch.clone(), by)? {
            rows?.iter().for_each(|row| self.rolling.off_cpu(row));
        }
        for row in self.index.long_after(by).filter(|row| row.ts_mono_ns < to) {
            self.rolling.off_cpu(row);
        }
        for rows in self.recording.rows_within::<OffCpuCountRow>(stretch.clone())? {
            rows?.iter().for_each(|row| self.rolling.off_cpu_count(row));
        }
        for rows in self.recording.rows_within::<PageFaultRow>(stretch.clone())? {
            // One that reaches back into the stretch before was taken with it.
            rows?
                .iter()
                .filter(|row| !follows || row.ts_mono_ns >= from)
                .for_each(|row| self.rolling.page_fault(row));
        }
        for rows in self.recording.rows_within::<SyscallRow>(stretch.clone())? {
            rows?.iter().for_each(|row| self.rolling.syscall(row));
        }
        for rows in self.recording.rows_within::<CudaCallRow>(stretch.clone())? {
            rows?.iter().for_each(|row| self.rolling.cuda_call(row));
        }
        for rows in self.recording.rows_within::<GpuIoctlRow>(stretch)? {
            rows?.iter().for_each(|row| self.rolling.gpu_ioctl(row));
        }
        Ok(())
    }
}

/// Rows of threads as lives, and what they tell of processes' parents.
fn begin_all(rolling: &mut Rolling, threads: &[ThreadRow]) {
    let processes: IntMap<u32, u32> = threads.iter().map(|row| (row.tid, row.tgid)).collect();
    for row in threads {
        if row.tid == row.tgid
            && let Some(parent) = row.parent_tid.and_then(|tid| processes.get(&tid))
        {
            rolling.parent(row.tgid, *parent);
        }
        rolling.begin(Life {
            tid: row.tid,
            tgid: row.tgid,
            comm: row.comm.clone(),
            role: row.role.clone().unwrap_or_default(),
            begin_ns: row.begin_mono_ns,
            end_ns: Some(row.end_mono_ns),
            exited: row.exit_mono_ns.is_some(),
        });
    }
}

fn reason(config: &Config) -> String {
    match &config.ended {
        Some(ended) => format!("recording ended ({})", ended.reason),
        None => "recording was cut short".to_owned(),
    }
}
