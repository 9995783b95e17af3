//! Samples of GPUs, on a thread of their own: NVML may take its time, and what it holds up must not be the other
//! samples, nor the end.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    time::{Duration, Instant},
};

use super::{aside::Aside, gauges::Gauges, pipeline::Message};
use crate::{
    nvml, recording,
    sampler::{Absent, Gpus, LEAST_GPM_WINDOW},
};

/// The longest wait for a library that does not answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Samples under way.
pub struct GpuSampling(Aside<Told>);

/// What is known at the end.
#[derive(Debug, Default)]
pub struct Told {
    /// What could not be read, and why.
    pub notes: Vec<String>,
    /// Columns that GPUs do not offer.
    pub absent: Vec<recording::Absent>,
}

impl Told {
    /// Into `config.json`.
    pub fn put(self, samples: &mut recording::Samples) {
        (samples.notes, samples.absent) = (self.notes, self.absent);
    }
}

impl GpuSampling {
    /// Takes a sample at once and then one at each interval, or as often as GPM allows.
    ///
    /// # Errors
    ///
    /// A thread cannot be started.
    pub fn start(interval: Duration, gauges: Arc<Gauges>, sender: SyncSender<Message>) -> io::Result<Self> {
        let interval = interval.max(LEAST_GPM_WINDOW);
        Aside::start("hostprof-gpu", move |ended| run(interval, &gauges, &sender, ended)).map(Self)
    }

    /// Takes a last sample; tells what could not be read.
    pub fn finish(self) -> Told {
        match self.0.finish(PATIENCE) {
            Ok(told) => told,
            Err(_) => Told {
                notes: vec![format!("NVML did not answer within {} s at the end", PATIENCE.as_secs())],
                absent: Vec::new(),
            },
        }
    }
}

fn run(interval: Duration, gauges: &Gauges, sender: &SyncSender<Message>, ended: &Receiver<()>) -> Told {
    let nvml = match nvml::start() {
        Ok(nvml) => nvml,
        Err(error) => return Told { notes: vec![nvml::why(&error)], absent: Vec::new() },
    };
    let mut gpus = Gpus::new(&nvml);
    loop {
        let begun = Instant::now();
        let samples = gpus.sample(&gauges.processes());
        if sender.send(Message::Gpus(Box::new(samples))).is_err() {
            break;
        }
        // From its beginning, not on a grid: a sample that was late must not come close to the next.
        let next = begun + interval;
        if ended.recv_timeout(next.saturating_duration_since(Instant::now()))
            != Err(RecvTimeoutError::Timeout)
        {
            // What pipelines no longer take is no loss: the last sample is of the end.
            let _ = sender.send(Message::Gpus(Box::new(gpus.sample(&gauges.processes()))));
            break;
        }
    }
    Told { notes: gpus.notes(), absent: gpus.absent().into_iter().map(absent).collect() }
}

fn absent(absent: Absent) -> recording::Absent {
    recording::Absent {
        gpu: absent.gpu,
        gpu_instance: absent.gpu_instance,
        columns: absent.columns.into_iter().map(str::to_owned).collect(),
        reason: absent.reason,
    }
}
