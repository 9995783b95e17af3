//! One GPU's counters over time: what every unit of it did in each short interval, whichever process it ran.

use std::{
    ffi::{CStr, c_char, c_int},
    ptr::null_mut,
    time::Duration,
};

use super::api::{self, Api, Refused, code};

/// `CUPTI_PROFILER_TYPE_PM_SAMPLING`.
const PM_SAMPLING: c_int = 1;
/// The interval is of a clock of its own, in nanoseconds; GA100 and Turing do not offer that.
const BY_TIME: c_int = 1;
/// The interval is of the GPU's system clock, in cycles of somewhat under a nanosecond.
const BY_CYCLES: c_int = 0;
/// What is full keeps its oldest. Where it is to keep its newest, samples come twice and others not at all (CUDA 13.0).
const KEEP_OLDEST: c_int = 0;
/// The image of decoded samples was full before all had been decoded.
const IMAGE_FULL: c_int = 1;

/// Memory of this process that the GPU writes samples to: those of some seconds.
const BUFFER_BYTES: usize = 128 << 20;

/// What is sampled of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// The graphics and compute engine: any work at all.
    Gr,
    /// The multiprocessors, mean of all.
    Sm,
    /// Their tensor cores.
    Tensor,
    /// Reads of device memory.
    DramRead,
    /// Writes of device memory.
    DramWrite,
}

impl Metric {
    const ALL: [Self; 5] = [Self::Gr, Self::Sm, Self::Tensor, Self::DramRead, Self::DramWrite];

    /// CUPTI's name; each is in percent of what the unit could do in the interval.
    fn name(self) -> &'static CStr {
        match self {
            Self::Gr => c"gr__cycles_active.avg.pct_of_peak_sustained_elapsed",
            Self::Sm => c"sm__cycles_active.avg.pct_of_peak_sustained_elapsed",
            Self::Tensor => c"sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed",
            Self::DramRead => c"dram__read_throughput.avg.pct_of_peak_sustained_elapsed",
            Self::DramWrite => c"dram__write_throughput.avg.pct_of_peak_sustained_elapsed",
        }
    }

    /// From what is wanted to what any GPU counts in one pass.
    fn sets(unwanted: &[PmUnit]) -> [Vec<Self>; 3] {
        let is_wanted = |metric: &Self| metric.unit().is_none_or(|unit| !unwanted.contains(&unit));
        let without = |left_out: &[Self]| {
            let metrics = Self::ALL.into_iter().filter(is_wanted);
            metrics.filter(|metric| !left_out.contains(metric)).collect::<Vec<_>>()
        };
        [without(&[]), without(&[Self::Tensor]), without(&[Self::Tensor, Self::DramRead, Self::DramWrite])]
    }

    /// What it is left out with.
    fn unit(self) -> Option<PmUnit> {
        match self {
            Self::Gr => None,
            Self::Sm => Some(PmUnit::Sm),
            Self::Tensor => Some(PmUnit::Tensor),
            Self::DramRead | Self::DramWrite => Some(PmUnit::Dram),
        }
    }
}

/// Units of a GPU that need not be sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PmUnit {
    /// `sm_active`: how busy the multiprocessors were
    Sm,
    /// `tensor_active`: how busy the tensor cores were
    Tensor,
    /// `dram_read` and `dram_write`: what went to and from device memory
    Dram,
}

/// How samples are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PmSettings {
    /// The length of a sample's interval.
    pub interval: Duration,
    /// What is left out.
    pub without: Vec<PmUnit>,
}

/// What the GPU did in an interval. A share is of what the unit could do, 0 to 1; `None` where the GPU does not count it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PmSample {
    /// Its start, CLOCK_REALTIME.
    pub start_wall_ns: u64,
    /// Its end.
    pub end_wall_ns: u64,
    /// [`Metric::Gr`].
    pub gr_active: Option<f64>,
    /// [`Metric::Sm`].
    pub sm_active: Option<f64>,
    /// [`Metric::Tensor`].
    pub tensor_active: Option<f64>,
    /// [`Metric::DramRead`].
    pub dram_read: Option<f64>,
    /// [`Metric::DramWrite`].
    pub dram_write: Option<f64>,
}

impl PmSample {
    fn set(&mut self, metric: Metric, percent: f64) {
        let share = percent.is_finite().then_some(percent / 100.0);
        match metric {
            Metric::Gr => self.gr_active = share,
            Metric::Sm => self.sm_active = share,
            Metric::Tensor => self.tensor_active = share,
            Metric::DramRead => self.dram_read = share,
            Metric::DramWrite => self.dram_write = share,
        }
    }
}

/// What of the samples was had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// All.
    All,
    /// Those before the buffer ran over.
    RanOver,
}

/// A GPU being sampled.
pub struct PmSampler<'a> {
    api: &'a Api,
    host: api::Host,
    sampling: api::Sampling,
    metrics: Vec<Metric>,
    names: Vec<*const c_char>,
    image: Vec<u8>,
    /// Which counters were free, and the configuration: the library may look at them again.
    kept: [Vec<u8>; 2],
    running: bool,
    /// The first sample reaches back to the start.
    first: bool,
}

impl<'a> PmSampler<'a> {
    /// Takes the counters of the GPU that CUDA counts as `device` and begins to sample; samples will be taken out once a
    /// round.
    ///
    /// # Errors
    ///
    /// The library refuses: another has the counters, the caller may not count, or the GPU is older than Turing.
    pub fn start(
        api: &'a Api,
        device: usize,
        settings: &PmSettings,
        round: Duration,
    ) -> Result<Self, Refused> {
        let interval = settings.interval;
        // To clear room for a sample takes 8 µs, and where the image is full the rest is lost: room for two rounds.
        let at_once = (round.as_nanos() * 2 / interval.as_nanos().max(1)).clamp(64, 100_000) as u32;
        let available = availability(api, device)?;
        let mut chip = api::ChipName::of(device, std::ptr::null());
        // SAFETY: it writes an address of a text that lasts.
        unsafe { api.call(&mut chip) }?;
        let mut refused = None;
        for metrics in Metric::sets(&settings.without) {
            match Configured::new(api, chip.chip, &available, metrics) {
                Ok(Some(configured)) => {
                    return Self::run(api, (device, interval, at_once), configured, available);
                }
                Ok(None) => {}
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or(Refused {
            call: "cuptiProfilerHostGetNumOfPasses",
            code: code::NOT_SUPPORTED,
            name: "no metrics fit one pass".to_owned(),
        }))
    }

    fn run(
        api: &'a Api,
        (device, interval, at_once): (usize, Duration, u32),
        configured: Configured<'a>,
        available: Vec<u8>,
    ) -> Result<Self, Refused> {
        let mut enable = api::Enable::of(device, null_mut());
        // SAFETY: it writes an object's address.
        unsafe { api.call(&mut enable) }?;
        let names = configured.metrics.iter().map(|metric| metric.name().as_ptr()).collect();
        // Owned from here on, so that whatever fails gives the counters back.
        let (host, metrics, config) = configured.into_parts();
        let mut sampler = Self {
            api,
            host,
            sampling: enable.sampling,
            metrics,
            names,
            image: Vec::new(),
            kept: [available, config],
            running: false,
            first: true,
        };
        let configure = |trigger| {
            let mut set = api::SetConfig::of(
                sampler.sampling,
                sampler.kept[1].len(),
                sampler.kept[1].as_ptr(),
                BUFFER_BYTES,
                interval.as_nanos() as u64,
                trigger,
                KEEP_OLDEST,
            );
            // SAFETY: the configuration is as long as it says.
            unsafe { api.call(&mut set) }
        };
        match configure(BY_TIME) {
            Err(refused) if refused.code == code::NOT_SUPPORTED => configure(BY_CYCLES)?,
            result => result?,
        }
        let mut bytes =
            api::DataBytes::of(sampler.sampling, sampler.names.as_ptr(), sampler.names.len(), at_once, 0);
        // SAFETY: the names are of this program and last.
        unsafe { api.call(&mut bytes) }?;
        sampler.image = vec![0; bytes.bytes];
        sampler.clear()?;
        // SAFETY: it reads its parameters alone.
        unsafe { api.call(&mut api::Start::of(sampler.sampling)) }?;
        sampler.running = true;
        Ok(sampler)
    }

    /// What is sampled.
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// Appends what was sampled since the last time. Where the buffer ran over, the library gives no more: sampling must
    /// begin anew.
    ///
    /// # Errors
    ///
    /// The library refuses.
    pub fn take(&mut self, samples: &mut Vec<PmSample>) -> Result<Taken, Refused> {
        let mut overflow = false;
        loop {
            let mut decode = api::Decode::of(self.sampling, self.image.as_mut_ptr(), self.image.len(), 0, 0);
            // SAFETY: the image is as long as it says.
            let decoded = unsafe { self.api.call(&mut decode) };
            overflow |= decode.overflow != 0;
            // Where the buffer ran over, what it does hold is still to be had.
            if !overflow {
                decoded?;
            }
            self.read(samples)?;
            self.clear()?;
            if decode.stopped_by != IMAGE_FULL {
                return Ok(if overflow { Taken::RanOver } else { Taken::All });
            }
        }
    }

    /// The samples of the image.
    fn read(&mut self, samples: &mut Vec<PmSample>) -> Result<(), Refused> {
        let (image, bytes) = (self.image.as_ptr(), self.image.len());
        let mut info = api::DataInfo::of(image, bytes, 0, 0, 0);
        // SAFETY: as above.
        unsafe { self.api.call(&mut info) }?;
        let mut values = [0.0; Metric::ALL.len()];
        for index in 0..info.completed {
            let mut when = api::SampleInfo::of(self.sampling, image, bytes, index, 0, 0);
            let mut evaluate = api::Evaluate::of(
                self.host,
                image,
                bytes,
                index,
                self.names.as_ptr(),
                self.names.len(),
                values.as_mut_ptr(),
            );
            // SAFETY: as above; there is room for as many values as there are names.
            unsafe {
                self.api.call(&mut when)?;
                self.api.call(&mut evaluate)?;
            }
            if std::mem::take(&mut self.first) {
                continue;
            }
            let mut sample =
                PmSample { start_wall_ns: when.start_ns, end_wall_ns: when.end_ns, ..PmSample::default() };
            for (metric, percent) in self.metrics.iter().zip(values) {
                sample.set(*metric, percent);
            }
            samples.push(sample);
        }
        Ok(())
    }

    fn clear(&mut self) -> Result<(), Refused> {
        let mut clear = api::DataInitialize::of(self.sampling, self.image.len(), self.image.as_mut_ptr());
        // SAFETY: the image is as long as it says.
        unsafe { self.api.call(&mut clear) }
    }

    /// Ends sampling and appends what is left.
    ///
    /// # Errors
    ///
    /// The library refuses.
    pub fn finish(mut self, samples: &mut Vec<PmSample>) -> Result<Taken, Refused> {
        self.running = false;
        // SAFETY: it reads its parameters alone.
        unsafe { self.api.call(&mut api::Stop::of(self.sampling)) }?;
        self.take(samples)
    }
}

impl Drop for PmSampler<'_> {
    fn drop(&mut self) {
        // What cannot be given back goes with the process.
        // SAFETY: they read their parameters alone, and the objects are this one's.
        unsafe {
            if self.running {
                let _ = self.api.call(&mut api::Stop::of(self.sampling));
            }
            let _ = self.api.call(&mut api::Disable::of(self.sampling));
            let _ = self.api.call(&mut api::HostDeinitialize::of(self.host));
        }
    }
}

/// Which counters of a GPU are free.
fn availability(api: &Api, device: usize) -> Result<Vec<u8>, Refused> {
    let mut ask = api::Availability::of(device, 0, null_mut());
    // SAFETY: without room it writes its length alone, with room as much as it said.
    unsafe {
        api.call(&mut ask)?;
        let mut image = vec![0; ask.image_bytes];
        ask.image = image.as_mut_ptr();
        api.call(&mut ask)?;
        Ok(image)
    }
}

/// A configuration that one pass can count.
struct Configured<'a> {
    api: &'a Api,
    host: api::Host,
    metrics: Vec<Metric>,
    image: Vec<u8>,
}

impl<'a> Configured<'a> {
    /// `None` where the metrics take more than a pass.
    fn new(
        api: &'a Api,
        chip: *const c_char,
        available: &[u8],
        metrics: Vec<Metric>,
    ) -> Result<Option<Self>, Refused> {
        let mut begin = api::HostInitialize::of(PM_SAMPLING, chip, available.as_ptr(), null_mut());
        // SAFETY: it writes an object's address.
        unsafe { api.call(&mut begin) }?;
        let mut made = Self { api, host: begin.host, metrics, image: Vec::new() };
        let names: Vec<*const c_char> = made.metrics.iter().map(|metric| metric.name().as_ptr()).collect();
        let mut bytes = api::ConfigBytes::of(made.host, 0);
        // SAFETY: the names are of this program and last; the image is made as long as it is to be.
        let passes = unsafe {
            api.call(&mut api::AddMetrics::of(made.host, names.as_ptr(), names.len()))?;
            api.call(&mut bytes)?;
            made.image = vec![0; bytes.bytes];
            api.call(&mut api::Config::of(made.host, made.image.len(), made.image.as_mut_ptr()))?;
            let mut passes = api::Passes::of(made.image.len(), made.image.as_ptr(), 0);
            api.call(&mut passes)?;
            passes.passes
        };
        Ok((passes == 1).then_some(made))
    }

    /// What turns counters into metrics is the caller's from here on.
    fn into_parts(mut self) -> (api::Host, Vec<Metric>, Vec<u8>) {
        let host = std::mem::replace(&mut self.host, null_mut());
        (host, std::mem::take(&mut self.metrics), std::mem::take(&mut self.image))
    }
}

impl Drop for Configured<'_> {
    fn drop(&mut self) {
        if !self.host.is_null() {
            // SAFETY: the object is this one's.
            let _ = unsafe { self.api.call(&mut api::HostDeinitialize::of(self.host)) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unwanted_is_in_no_set_and_work_at_all_in_each() {
        assert_eq!(Metric::sets(&[])[0], Metric::ALL);
        let sets = Metric::sets(&[PmUnit::Tensor, PmUnit::Dram]);
        assert!(sets.iter().all(|set| *set == [Metric::Gr, Metric::Sm]));
        assert_eq!(Metric::sets(&[PmUnit::Sm, PmUnit::Tensor, PmUnit::Dram])[0], [Metric::Gr]);
    }
}
