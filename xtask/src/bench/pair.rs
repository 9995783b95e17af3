//! One measurement, and pairs of them: the same workload with and without a tracer, one right after the
//! other, so that what changes on the machine changes both.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result};

use crate::bench::{
    job::Job,
    machine,
    parse::work::Work,
    programs::Programs,
    recording::Facts,
    tracer::{Target, Traced, Tracer, UNTRACED, last_line},
    workload::{Size, Workload},
};

/// What all measurements share.
pub struct Bench {
    pub programs: Programs,
    /// For the files of one measurement; emptied before each.
    pub scratch: PathBuf,
    pub pairs: usize,
    pub size: Size,
    /// Only lines that have each of these in the name of their workload or tracer.
    pub only: Vec<String>,
    /// No lines that have one of these in them.
    pub without: Vec<String>,
    /// Of recordings that are read back; none: as the size has it.
    pub records: Vec<u64>,
    /// How long a storm lasts, seconds.
    pub storm_s: u32,
}

/// One measurement that counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    pub work: Work,
    /// Of the whole machine, meanwhile.
    pub cpu_s: f64,
    pub facts: Option<Facts>,
    /// What a peer says that it lost.
    pub lost: u64,
}

/// A measurement, or why it does not count.
pub type Measured = Result<Sample, String>;

impl Bench {
    /// The CPU that bound workloads run on.
    pub fn cpu() -> usize {
        machine::cpus() - 1
    }

    /// Whether a line of these names is asked for.
    pub fn wants(&self, workload: &str, tracer: &str) -> bool {
        let has = |text: &String| workload.contains(text) || tracer.contains(text);
        self.only.iter().all(has) && !self.without.iter().any(has)
    }

    /// An empty folder for the files of a measurement.
    pub fn empty_scratch(&self) -> Result<&Path> {
        let dir = &self.scratch;
        if dir.exists() {
            fs::remove_dir_all(dir).with_context(|| format!("empty {}", dir.display()))?;
        }
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        Ok(dir)
    }

    /// The workload started by the tracer. The machine's CPU time includes the tracer's start and end.
    pub fn around(&self, tracer: &Tracer, workload: &Workload) -> Result<Measured> {
        let dir = self.empty_scratch()?;
        let mut command =
            tracer.command(&self.programs, dir, Target::Command(&workload.argv), workload.cpu)?;
        let (cpu_s, started) = (machine::cpu_s()?, Instant::now());
        let mut job = Job::start(&mut command, dir, "workload")?;
        let status = job.wait()?;
        let (cpu_s, outside_s) = (machine::cpu_s()? - cpu_s, started.elapsed().as_secs_f64());
        let stderr = job.stderr();
        if !status.success() {
            return Ok(Err(format!("{status}: {}", last_line(&stderr))));
        }
        let work = match workload.account.read(&job.stdout(), outside_s) {
            Ok(work) => work,
            Err(err) => return Ok(Err(format!("{err:#}"))),
        };
        Ok(tracer.judge(&self.programs, dir, &stderr)?.map(|traced| Sample::new(work, cpu_s, traced)))
    }

    /// The workload while the tracer observes a process. The machine's CPU time is that of the workload's
    /// run alone.
    pub fn beside(&self, tracer: &Tracer, pid: u32, workload: &Workload) -> Result<Measured> {
        let dir = self.empty_scratch()?;
        let mut observer = None;
        if !tracer.is_untraced() {
            let mut command = tracer.command(&self.programs, dir, Target::Pid(pid), workload.cpu)?;
            let mut job = Job::start(&mut command, dir, "tracer")?;
            job.until("it observed", |job| tracer.has_begun(dir, &job.stderr()).then_some(()))?;
            observer = Some(job);
        }
        let (cpu_s, started) = (machine::cpu_s()?, Instant::now());
        let mut job = Job::start(&mut command_of(workload)?, dir, "workload")?;
        job.finish()?;
        let (cpu_s, outside_s) = (machine::cpu_s()? - cpu_s, started.elapsed().as_secs_f64());
        let work = workload.account.read(&job.stdout(), outside_s)?;
        let Some(mut observer) = observer else {
            return Ok(Ok(Sample::new(work, cpu_s, Traced::default())));
        };
        observer.interrupt();
        observer.wait()?;
        let judged = tracer.judge(&self.programs, dir, &observer.stderr())?;
        Ok(judged.map(|traced| Sample::new(work, cpu_s, traced)))
    }
}

/// The workload by itself.
pub fn command_of(workload: &Workload) -> Result<Command> {
    let (program, arguments) = workload.argv.split_first().context("start a workload: it has no command")?;
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

impl Sample {
    fn new(work: Work, cpu_s: f64, Traced { facts, lost }: Traced) -> Self {
        Self { work, cpu_s, facts, lost }
    }

    fn s_per_unit(&self) -> f64 {
        self.work.seconds / self.work.units
    }

    fn cpu_s_per_unit(&self) -> f64 {
        self.cpu_s / self.work.units
    }
}

/// What the pairs of one workload and one tracer have told.
#[derive(Debug, Default)]
pub struct Pairs {
    /// Time for a unit of work, traced ÷ untraced.
    pub time_ratio: Vec<f64>,
    /// CPU time of the whole machine for a unit of work, traced ÷ untraced.
    pub cpu_ratio: Vec<f64>,
    /// CPU-seconds of the whole machine in the traced half.
    pub cpu_s: Vec<f64>,
    /// Time for a unit of work, traced − untraced; none where the workload as a whole is the unit.
    pub added_ns: Vec<f64>,
    pub rejected: Vec<String>,
    /// Pairs in which a peer lost something.
    pub lossy: usize,
}

impl Pairs {
    /// Measures one pair, with the untraced half first in every other one.
    pub fn measure(
        &mut self,
        round: usize,
        tracer: &Tracer,
        mut measure: impl FnMut(&Tracer) -> Result<Measured>,
    ) -> Result<()> {
        let (untraced, traced) = if round.is_multiple_of(2) {
            let untraced = measure(&UNTRACED)?;
            (untraced, measure(tracer)?)
        } else {
            let traced = measure(tracer)?;
            (measure(&UNTRACED)?, traced)
        };
        match (untraced, traced) {
            (Ok(untraced), Ok(traced)) => self.add(&untraced, &traced),
            (Err(reason), _) => self.rejected.push(format!("pair {}, untraced: {reason}", round + 1)),
            (_, Err(reason)) => self.rejected.push(format!("pair {}: {reason}", round + 1)),
        }
        Ok(())
    }

    fn add(&mut self, untraced: &Sample, traced: &Sample) {
        self.time_ratio.push(traced.s_per_unit() / untraced.s_per_unit());
        self.cpu_s.push(traced.cpu_s);
        if untraced.work.units > 1.0 {
            self.added_ns.push((traced.s_per_unit() - untraced.s_per_unit()) * 1e9);
        }
        // A short workload may take less than the kernel counts in.
        if untraced.cpu_s > 0.0 {
            self.cpu_ratio.push(traced.cpu_s_per_unit() / untraced.cpu_s_per_unit());
        }
        self.lossy += usize::from(traced.lost > 0);
    }

    /// How the latest pair went, for people.
    pub fn latest(&self) -> String {
        let ratio = self.time_ratio.last().map(|ratio| format!("{ratio:.3}×")).unwrap_or_default();
        match self.rejected.last() {
            Some(rejected) if self.time_ratio.is_empty() => rejected.clone(),
            Some(_) => format!("{ratio} ({} rejected)", self.rejected.len()),
            None => ratio,
        }
    }

    /// What has to be said beside the figures.
    pub fn note(&self) -> String {
        if self.lossy == 0 { String::new() } else { format!("lost events in {} pairs", self.lossy) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::tracer::DEFAULT;

    fn sample(seconds: f64, units: f64, cpu_s: f64) -> Sample {
        Sample { work: Work { seconds, units }, cpu_s, facts: None, lost: 0 }
    }

    #[test]
    fn a_ratio_is_of_the_time_for_the_same_work() {
        let mut pairs = Pairs::default();
        // Half the work in the same time is twice as slow.
        pairs.add(&sample(2.0, 100.0, 4.0), &sample(2.0, 50.0, 3.0));
        assert_eq!((pairs.time_ratio[0], pairs.cpu_ratio[0]), (2.0, 1.5));
        assert!((pairs.added_ns[0] - 2e7).abs() < 1.0);
    }

    #[test]
    fn the_order_within_pairs_alternates() {
        let mut pairs = Pairs::default();
        let mut order = Vec::new();
        for round in 0..2 {
            pairs
                .measure(round, &DEFAULT, |tracer| {
                    order.push(tracer.is_untraced());
                    Ok(Ok(sample(if tracer.is_untraced() { 1.0 } else { 1.5 }, 1.0, 1.0)))
                })
                .unwrap();
        }
        assert_eq!(order, [true, false, false, true]);
        assert_eq!(pairs.time_ratio, [1.5, 1.5]);
    }

    #[test]
    fn a_rejected_half_rejects_its_pair_with_the_reason() {
        let mut pairs = Pairs::default();
        pairs
            .measure(1, &DEFAULT, |tracer| {
                let lost = Err("lost 3 records".to_owned());
                Ok(if tracer.is_untraced() { Ok(sample(1.0, 1.0, 1.0)) } else { lost })
            })
            .unwrap();
        assert_eq!(pairs.rejected, ["pair 2: lost 3 records"]);
        assert!(pairs.time_ratio.is_empty());
    }
}
