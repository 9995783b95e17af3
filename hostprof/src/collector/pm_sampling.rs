//! PM sampling of GPUs, on a thread of its own: the library takes most of a second to start, and decodes for as long as
//! it likes.

use std::{
    io,
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel},
    time::{Duration, Instant},
};

use super::{aside::Aside, describe, pipeline::Message};
use crate::{
    cupti::{self, Cupti, Metric, PmSample, PmSampler, PmSettings, Taken, devices},
    probe::GPU_PM,
    recording::Gpus,
    table::{GpuPmRow, LossRow},
    units::Tgid,
};

/// How often samples are taken out of the hardware's buffer.
const ROUND: Duration = Duration::from_millis(200);
/// The longest wait for the library to start, and to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Two clocks are read one after the other: differences of their difference below this are of the reading.
const CLOCK_NOISE_NS: u64 = 5_000;

/// Sampling under way.
pub struct PmSampling {
    begun: Receiver<Result<Vec<String>, String>>,
    aside: Aside<Vec<String>>,
}

impl PmSampling {
    /// Starts the library, and samples all GPUs that CUDA shows.
    ///
    /// # Errors
    ///
    /// A thread cannot be started.
    pub fn start(
        settings: PmSettings,
        target: &[Tgid],
        gpus: &Gpus,
        sender: SyncSender<Message>,
    ) -> io::Result<Self> {
        let (tell_begun, begun) = channel();
        let (target, gpus) = (target.to_vec(), gpus.clone());
        let aside = Aside::start("hostprof-pm", move |ended| {
            run(&settings, &target, &gpus, &sender, ended, &tell_begun).unwrap_or_else(|why| {
                // Nobody listens any more where the recording did not begin.
                let _ = tell_begun.send(Err(why));
                Vec::new()
            })
        })?;
        Ok(Self { begun, aside })
    }

    /// Waits until it samples. Returns what it samples, and of what it does not, why.
    ///
    /// # Errors
    ///
    /// It cannot; why, and the remedy.
    pub fn begun(&self) -> Result<Vec<String>, String> {
        self.begun.recv_timeout(PATIENCE).unwrap_or_else(|error| match error {
            RecvTimeoutError::Timeout => {
                Err(format!("the library did not start within {} s", PATIENCE.as_secs()))
            }
            RecvTimeoutError::Disconnected => Err("the library's thread panicked".to_owned()),
        })
    }

    /// Takes what is left, and gives the counters back. Returns what went wrong meanwhile.
    pub fn finish(self) -> Vec<String> {
        match self.aside.finish(PATIENCE) {
            Ok(notes) => notes,
            Err(RecvTimeoutError::Timeout) => {
                vec![format!("the library did not end within {} s", PATIENCE.as_secs())]
            }
            Err(RecvTimeoutError::Disconnected) => Vec::new(),
        }
    }
}

/// A GPU and its samples.
struct Gpu<'a> {
    /// CUDA's number.
    device: usize,
    /// NVML's number.
    number: u32,
    sampler: PmSampler<'a>,
    rows: Rows,
}

fn run(
    settings: &PmSettings,
    target: &[Tgid],
    gpus: &Gpus,
    sender: &SyncSender<Message>,
    ended: &Receiver<()>,
    begun: &Sender<Result<Vec<String>, String>>,
) -> Result<Vec<String>, String> {
    let devices = devices()?;
    let cupti = Cupti::load(Path::new("/"), target)?;
    let (mut sampled, mut notes, mut refused) = (Vec::new(), Vec::new(), None);
    for device in devices {
        let told = gpus.devices.iter().find(|gpu| gpu.pci == device.pci);
        let gpu = told.and_then(|gpu| gpu.index).unwrap_or(device.index as u32);
        match cupti.sample(device.index, settings, ROUND) {
            Ok(sampler) => {
                notes.push(format!(
                    "GPU {gpu}: {} every {} µs, by CUPTI {} ({})",
                    sampler.metrics().iter().copied().map(column).collect::<Vec<_>>().join(", "),
                    settings.interval.as_micros(),
                    cupti.version,
                    cupti.path.display()
                ));
                sampled.push(Gpu {
                    device: device.index,
                    number: gpu,
                    sampler,
                    rows: Rows::new(gpu, settings.interval),
                });
            }
            Err(why) => {
                notes.push(format!("GPU {gpu}: {why}"));
                refused = Some(why);
            }
        }
    }
    if sampled.is_empty() {
        return Err(refused.unwrap_or_else(|| "CUDA shows no GPU".to_owned()));
    }
    if begun.send(Ok(notes)).is_err() {
        return Ok(Vec::new());
    }
    Ok(follow(&cupti, settings, sampled, sender, ended))
}

/// Samples until the end.
fn follow<'a>(
    cupti: &'a Cupti,
    settings: &PmSettings,
    mut gpus: Vec<Gpu<'a>>,
    sender: &SyncSender<Message>,
    ended: &Receiver<()>,
) -> Vec<String> {
    let (mut samples, mut notes) = (Vec::new(), Vec::new());
    let mut next = Instant::now() + ROUND;
    while ended.recv_timeout(next.saturating_duration_since(Instant::now())) == Err(RecvTimeoutError::Timeout)
    {
        next += ROUND;
        let mut going = Vec::new();
        for mut gpu in gpus {
            let taken = gpu.sampler.take(&mut samples).map_err(|refused| cupti::why(&refused));
            if !gpu.rows.hand_on(&mut samples, sender) {
                return notes;
            }
            match taken.and_then(|taken| gpu.went_on(taken, cupti, settings)) {
                Ok(gpu) => going.push(gpu),
                Err(why) => notes.push(why),
            }
        }
        gpus = going;
    }
    for mut gpu in gpus {
        if let Err(refused) = gpu.sampler.finish(&mut samples) {
            notes.push(format!("GPU {}: its last samples: {}", gpu.number, cupti::why(&refused)));
        }
        gpu.rows.hand_on(&mut samples, sender);
    }
    notes
}

impl<'a> Gpu<'a> {
    /// The same, sampled anew where the buffer ran over.
    fn went_on(self, taken: Taken, cupti: &'a Cupti, settings: &PmSettings) -> Result<Self, String> {
        if taken == Taken::All {
            return Ok(self);
        }
        let Self { device, number, sampler, rows } = self;
        // Only once its counters are given back they can be had again.
        drop(sampler);
        let sampler = cupti
            .sample(device, settings, ROUND)
            .map_err(|why| format!("GPU {number} was sampled no longer: {why}"))?;
        Ok(Self { device, number, sampler, rows })
    }
}

fn column(metric: Metric) -> &'static str {
    match metric {
        Metric::Gr => "gr_active",
        Metric::Sm => "sm_active",
        Metric::Tensor => "tensor_active",
        Metric::DramRead => "dram_read",
        Metric::DramWrite => "dram_write",
    }
}

/// Samples as rows, on the recording's clock.
struct Rows {
    gpu: u32,
    interval_ns: u64,
    /// CLOCK_REALTIME less CLOCK_MONOTONIC.
    offset_ns: u64,
    /// Where the last sample ended, CLOCK_REALTIME.
    end_wall_ns: Option<u64>,
}

impl Rows {
    fn new(gpu: u32, interval: Duration) -> Self {
        Self { gpu, interval_ns: interval.as_nanos() as u64, offset_ns: offset_ns(), end_wall_ns: None }
    }

    /// False where nobody takes them.
    fn hand_on(&mut self, samples: &mut Vec<PmSample>, sender: &SyncSender<Message>) -> bool {
        if samples.is_empty() {
            return true;
        }
        let offset_ns = offset_ns();
        if offset_ns.abs_diff(self.offset_ns) > CLOCK_NOISE_NS {
            self.offset_ns = offset_ns;
        }
        let lost: Vec<LossRow> = samples.iter().filter_map(|sample| self.gap(sample)).collect();
        let rows = samples.drain(..).map(|sample| self.row(&sample)).collect();
        sender.send(Message::GpuPm(rows)).is_ok()
            && lost.into_iter().all(|row| sender.send(Message::Loss(row)).is_ok())
    }

    fn row(&self, sample: &PmSample) -> GpuPmRow {
        GpuPmRow {
            ts_mono_ns: sample.start_wall_ns.saturating_sub(self.offset_ns),
            dur_ns: sample.end_wall_ns.saturating_sub(sample.start_wall_ns),
            gpu: self.gpu,
            gr_active: sample.gr_active,
            sm_active: sample.sm_active,
            tensor_active: sample.tensor_active,
            dram_read: sample.dram_read,
            dram_write: sample.dram_write,
        }
    }

    /// What is missing between the last sample and this one.
    fn gap(&mut self, sample: &PmSample) -> Option<LossRow> {
        let before = self.end_wall_ns.replace(sample.end_wall_ns)?;
        let missing = sample.start_wall_ns.saturating_sub(before);
        (missing * 2 > self.interval_ns).then(|| LossRow {
            start_mono_ns: before.saturating_sub(self.offset_ns),
            end_mono_ns: sample.start_wall_ns.saturating_sub(self.offset_ns),
            probe: GPU_PM.to_owned(),
            cpu: None,
            dropped: missing.div_ceil(self.interval_ns),
            reason: "full".to_owned(),
        })
    }
}

fn offset_ns() -> u64 {
    let anchor = describe::anchor();
    anchor.wall_ns.saturating_sub(anchor.mono_ns)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn a_gap_between_samples_is_loss_and_an_edge_is_none() {
        let mut rows = Rows::new(0, Duration::from_micros(100));
        let sample = |start, end| PmSample { start_wall_ns: start, end_wall_ns: end, ..PmSample::default() };
        let base = rows.offset_ns + 1_000_000_000;
        let (sender, receiver) = sync_channel(8);
        let mut samples = vec![
            sample(base, base + 100_000),
            sample(base + 100_020, base + 200_000),
            sample(base + 450_000, base + 550_000),
        ];
        assert!(rows.hand_on(&mut samples, &sender));
        let Ok(Message::GpuPm(told)) = receiver.try_recv() else { panic!("no rows") };
        assert_eq!(told.len(), 3);
        assert!(told[0].ts_mono_ns.abs_diff(1_000_000_000) <= CLOCK_NOISE_NS && told[0].dur_ns == 100_000);
        let Ok(Message::Loss(lost)) = receiver.try_recv() else { panic!("no loss") };
        assert_eq!((lost.dropped, lost.end_mono_ns - lost.start_mono_ns), (3, 250_000));
        assert!(receiver.try_recv().is_err());
    }
}
