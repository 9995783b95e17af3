//! `hostprof record`.

use std::{
    ffi::OsString, fmt::Write as _, ops::RangeInclusive, path::PathBuf, process::ExitCode, time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    also::Tool,
    bpf::DrainPriority,
    collector::{self, Metrics, Options, Outcome, Wanted},
    cupti::{PmSettings, PmUnit},
    humane::{bytes, count},
    probe::{Auto, PROBES, Selection},
    target::{Proc, Selector, TreeMode, resolve_container},
};

/// Samples closer together would cost more than a hundredth of a CPU on a large target.
const LEAST_SAMPLE_INTERVAL: Duration = Duration::from_millis(100);
/// What PM sampling is good for: shorter ones take more than a CPU by far, longer ones GPM has.
const PM_INTERVALS: RangeInclusive<Duration> = Duration::from_micros(100)..=Duration::from_millis(10);

/// What remains when all is shed (samples, looking at the cost, files) costs nearly as much of a CPU.
const LEAST_OVERHEAD: f64 = 0.005;

/// What to record, how, and for how long.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help())]
pub struct Args {
    #[command(flatten)]
    target: Target,

    /// Folder of runs; the recording becomes run_NNN in it
    #[arg(
        short,
        long,
        env = "HOSTPROF_OUT",
        hide_env_values = true,
        default_value = "runs",
        value_name = "DIR"
    )]
    out: PathBuf,

    /// End after this long: 500ms, 30s, 5m, 2h
    #[arg(
        long,
        env = "HOSTPROF_DURATION",
        hide_env_values = true,
        value_parser = duration,
        value_name = "TIME"
    )]
    duration: Option<Duration>,

    /// End when the tables have this size: 500MiB, 10GiB
    #[arg(
        long,
        env = "HOSTPROF_MAX_SIZE",
        hide_env_values = true,
        value_parser = size,
        default_value = "10GiB",
        value_name = "SIZE"
    )]
    max_size: u64,

    /// End when less than this share of the disk is free
    #[arg(
        long,
        env = "HOSTPROF_MIN_FREE",
        hide_env_values = true,
        value_parser = percent,
        default_value = "5%",
        value_name = "SHARE"
    )]
    min_free: f64,

    /// Probes: auto, or names, or -NAME to leave one out (see the list below)
    #[arg(
        long,
        env = "HOSTPROF_PROBE",
        hide_env_values = true,
        value_delimiter = ',',
        default_value = "auto",
        allow_hyphen_values = true,
        value_name = "PROBES"
    )]
    probe: Vec<String>,

    /// Devices whose ioctls probe ioctl tells apart, and which make auto add the probes of system calls:
    /// names below /dev or of /proc/devices, as nvidia*, tty, kvm, dri, kfd
    #[arg(
        long,
        env = "HOSTPROF_IOCTL_DEVICE",
        hide_env_values = true,
        value_delimiter = ',',
        default_value = "nvidia*",
        value_name = "NAMES"
    )]
    ioctl_device: Vec<String>,

    /// Takes selected devices for the NVIDIA driver's, of that version: tty=nvidia@580.65.06, kvm=nvidia-uvm
    #[arg(long, hide = true, value_delimiter = ',', value_name = "NAME=KIND")]
    stand_in: Vec<String>,

    /// Keeps the bytes read of the NVIDIA driver's structures in table gpu_ioctl
    #[arg(long, hide = true)]
    keep_ioctl_bytes: bool,

    /// Probe futex leaves out shorter calls: 100us, 1ms, 0 for all
    #[arg(
        long,
        env = "HOSTPROF_FUTEX_THRESHOLD",
        hide_env_values = true,
        value_parser = duration_or_none,
        default_value = "100us",
        value_name = "TIME"
    )]
    futex_threshold: Duration,

    /// The most threads recorded at a time
    #[arg(
        long,
        env = "HOSTPROF_MAX_THREADS",
        hide_env_values = true,
        default_value_t = 65_536,
        value_parser = clap::value_parser!(u32).range(1..=1_048_576),
        value_name = "N"
    )]
    max_threads: u32,

    /// Size of each CPU's ring between the kernel and hostprof, 4KiB to 256MiB [default: 8MiB; less on more than 32 CPUs]
    #[arg(
        long,
        env = "HOSTPROF_RING_SIZE",
        hide_env_values = true,
        value_parser = size,
        value_name = "SIZE"
    )]
    ring_size: Option<u64>,

    /// Priority of the threads that empty the rings, fold and encode: real-time (or nice -20), or none
    #[arg(long, env = "HOSTPROF_DRAIN_PRIORITY", hide_env_values = true, value_enum, default_value_t)]
    drain_priority: DrainPriority,

    /// Threads that put records in order and fold them [default: one for each 4 CPUs, 8 at most]
    #[arg(long, hide = true, env = "HOSTPROF_FOLDS", value_parser = clap::value_parser!(u16).range(1..=64), value_name = "N")]
    folds: Option<u16>,

    /// Time between two samples of processes, cgroups, disks and the machine, 100ms at least; 0 for none
    #[arg(
        long,
        env = "HOSTPROF_SAMPLE_INTERVAL",
        hide_env_values = true,
        value_parser = sample_interval,
        default_value = "1s",
        value_name = "TIME"
    )]
    sample_interval: Duration,

    /// Length of an interval of probe gpu_pm, 100us to 10ms
    #[arg(
        long,
        env = "HOSTPROF_GPU_PM_INTERVAL",
        hide_env_values = true,
        value_parser = pm_interval,
        default_value = "500us",
        value_name = "TIME"
    )]
    gpu_pm_interval: Duration,

    /// Leave these out of probe gpu_pm, by comma: to read tensor keeps a CPU half busy while the GPU works
    #[arg(
        long,
        env = "HOSTPROF_GPU_PM_WITHOUT",
        hide_env_values = true,
        value_enum,
        value_delimiter = ',',
        value_name = "UNIT"
    )]
    gpu_pm_without: Vec<PmUnit>,

    /// Keep what recording costs below this share of the target's CPU time: 1%, 0.5%. Leaves out spans, then short
    /// off-CPU episodes (they are counted), in the end all but samples; table shed tells when
    #[arg(
        long,
        env = "HOSTPROF_MAX_OVERHEAD",
        hide_env_values = true,
        value_parser = overhead,
        value_name = "SHARE"
    )]
    max_overhead: Option<f64>,

    /// Run these tools on the same target meanwhile, their files kept in the run folder
    #[arg(
        long,
        env = "HOSTPROF_ALSO",
        hide_env_values = true,
        value_enum,
        value_delimiter = ',',
        value_name = "TOOLS"
    )]
    also: Vec<Tool>,

    /// Take no samples
    #[arg(long, overrides_with = "sample_interval")]
    no_samples: bool,

    /// Sample the engine's metrics from these pages: http://HOST:PORT, with /metrics understood; auto for the port that
    /// the target's engine (vLLM, SGLang, llama.cpp) listens on, none for none
    #[arg(
        long,
        env = "HOSTPROF_METRICS",
        hide_env_values = true,
        value_delimiter = ',',
        default_value = "auto",
        value_name = "URLS"
    )]
    metrics: Vec<String>,
}

/// What to record, and what to add to it.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help())]
pub struct RecordArgs {
    #[command(flatten)]
    pub args: Args,

    /// At the end, add the requests in this file: what a load generator, a server or a tracer wrote meanwhile (hostprof
    /// import tells which are known)
    #[arg(long, value_name = "FILE")]
    requests: Vec<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  sudo hostprof record --pid 4711 --duration 30s     a server that is running
  sudo hostprof record -- python3 bench.py           a command, from its first instruction
  hostprof report runs/run_001                       what was found

Ends at --duration, --max-size, --min-free, Ctrl-C, SIGTERM or when the target is gone; the files are
complete in each case. With a command, Ctrl-C goes to the command alone, and its exit status is hostprof's;
the command finds the run folder in HOSTPROF_RUN.
Prints the run folder on stdout.";

/// Examples, then what each probe asks and what it costs others.
fn after_help() -> String {
    let mut help = format!("{EXAMPLES}\n\nProbes, and what programs that are not recorded pay for them:\n");
    for probe in PROBES {
        let auto = match probe.auto {
            Auto::Always => "",
            Auto::WithDevice => " (auto: where the target has a selected device open)",
            Auto::Never => " (not in auto)",
        };
        let _ = writeln!(
            help,
            "  {}{auto}\n      {}\n      pays: {}",
            probe.name, probe.question, probe.bystander_cost
        );
    }
    help
}

/// What to record.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Target {
    /// A process, or a thread of it; with it all processes below, and for a process of a known engine the
    /// whole engine
    #[arg(long, value_name = "PID", group = "target")]
    pid: Option<u32>,

    /// Every process of this name, and all below
    #[arg(long, value_name = "NAME", group = "target")]
    comm: Option<String>,

    /// Every process in this cgroup, and all below
    #[arg(long, value_name = "PATH", group = "target")]
    cgroup: Option<String>,

    /// Every process in this container, and all below: its id, part of it, or its name (POD/CONTAINER in
    /// Kubernetes)
    #[arg(long, value_name = "ID", group = "target")]
    container: Option<String>,

    /// How far around the target: engine, down (the processes below it), exact
    #[arg(
        long,
        env = "HOSTPROF_TREE",
        hide_env_values = true,
        value_enum,
        default_value_t,
        value_name = "MODE"
    )]
    tree: TreeMode,

    /// Run the command as the user that called sudo, not as root
    #[arg(long, requires = "command")]
    user: bool,

    /// A command to run and record from its start
    #[arg(last = true, value_name = "COMMAND", group = "target")]
    command: Vec<OsString>,
}

impl Args {
    /// Whether a command is to be run.
    pub fn runs_command(&self) -> bool {
        !self.target.command.is_empty()
    }

    /// What they ask of the collector.
    pub(super) fn options(self) -> Result<Options> {
        let tree = self.target.tree;
        let wanted = self.target.wanted()?;
        let ring_bytes = self.ring_size.map(ring_bytes).transpose()?;
        Ok(Options {
            wanted,
            tree,
            out: self.out,
            duration: self.duration,
            max_bytes: Some(self.max_size),
            min_free: self.min_free,
            probes: Selection::parse(&self.probe)?,
            ioctl_devices: self.ioctl_device,
            stand_ins: self.stand_in,
            keep_ioctl_bytes: self.keep_ioctl_bytes,
            futex_threshold: self.futex_threshold,
            max_threads: self.max_threads,
            ring_bytes,
            folds: self.folds.map(usize::from),
            drain_priority: self.drain_priority,
            sample_interval: Some(self.sample_interval).filter(|time| !self.no_samples && !time.is_zero()),
            metrics: metrics(&self.metrics)?,
            gpu_pm: PmSettings { interval: self.gpu_pm_interval, without: self.gpu_pm_without },
            max_overhead: self.max_overhead,
            also: self.also,
        })
    }
}

impl Target {
    fn wanted(self) -> Result<Wanted> {
        let container = self.container.map(|named| resolve_container(&Proc::new(), &named)).transpose()?;
        let mut running = [
            self.pid.map(Selector::Pid),
            self.comm.map(Selector::Comm),
            self.cgroup.map(Selector::Cgroup),
            container.map(Selector::Container),
        ]
        .into_iter()
        .flatten();
        match (running.next(), running.next(), self.command.is_empty()) {
            (Some(selector), None, true) => Ok(Wanted::Running(selector)),
            (None, None, false) => Ok(Wanted::Command { command: self.command, as_user: self.user }),
            _ => bail!(
                "choose a target: more than one is given (one of --pid, --container, --comm, --cgroup, -- COMMAND)"
            ),
        }
    }
}

fn ring_bytes(bytes: u64) -> Result<u32> {
    u32::try_from(bytes)
        .ok()
        .filter(|bytes| (4 << 10..=256 << 20).contains(bytes))
        .with_context(|| format!("set the ring size: {bytes} bytes are not from 4KiB to 256MiB"))
}

/// Records.
///
/// # Errors
///
/// Nothing, or not all, could be recorded.
pub fn run(args: RecordArgs) -> Result<ExitCode> {
    let options = args.args.options()?;
    let outcome = collector::record(&options)?;
    summary(&outcome);
    println!("{}", outcome.run.display());
    for file in &args.requests {
        super::import::add(&outcome.run, file)?;
    }
    Ok(match outcome.status {
        Some(status) => ExitCode::from(collector::shell_status(status) as u8),
        None => ExitCode::SUCCESS,
    })
}

pub(super) fn summary(outcome: &Outcome) {
    for note in &outcome.notes {
        eprintln!("hostprof: {note}");
    }
    let totals = &outcome.totals;
    let dropped: u64 = totals.dropped.iter().map(|dropped| dropped.records).sum();
    let length = outcome.length.as_secs_f64();
    eprintln!(
        "hostprof: {length:.1} s ({}) · {} threads · {} records · {dropped} lost · {} · own CPU {:.2} s ({:.1} %), {}",
        outcome.reason,
        totals.threads,
        count(totals.records),
        bytes(totals.bytes),
        totals.own_cpu_ns as f64 / 1e9,
        totals.own_cpu_ns as f64 / 1e7 / length.max(1e-3),
        bytes(totals.own_max_rss_bytes),
    );
}

/// Which engines are asked for their metrics.
fn metrics(words: &[String]) -> Result<Metrics> {
    match words {
        [word] if word == "auto" => Ok(Metrics::Auto),
        [word] if word == "none" => Ok(Metrics::Off),
        words if words.iter().any(|word| word == "auto" || word == "none") => {
            bail!("read --metrics: auto and none stand alone (or name URLs)")
        }
        urls => {
            let page = |url: &String| url.parse().with_context(|| format!("read --metrics {url:?}"));
            Ok(Metrics::Pages(urls.iter().map(page).collect::<Result<_>>()?))
        }
    }
}

/// A number and the unit behind it.
fn split_unit(text: &str) -> Result<(f64, &str), String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].parse::<f64>().map_err(|_| format!("{text:?} does not begin with a number"))?;
    Ok((number, text[end..].trim()))
}

/// A length of time that is more than nothing.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match duration_or_none(text)? {
        Duration::ZERO => Err("must be more than nothing".to_owned()),
        time => Ok(time),
    }
}

pub(super) fn duration_or_none(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text)?;
    let seconds = match unit {
        "ns" => number / 1e9,
        "us" | "µs" => number / 1e6,
        "ms" => number / 1e3,
        "" | "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(format!("unknown unit {unit:?} (ns, us, ms, s, m, h)")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn sample_interval(text: &str) -> Result<Duration, String> {
    if text.trim() == "0" {
        return Ok(Duration::ZERO);
    }
    let interval = duration(text)?;
    if interval < LEAST_SAMPLE_INTERVAL {
        return Err(format!("must be {} ms or more, or 0 for none", LEAST_SAMPLE_INTERVAL.as_millis()));
    }
    Ok(interval)
}

fn pm_interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if !PM_INTERVALS.contains(&interval) {
        return Err("must be 100 µs to 10 ms".to_owned());
    }
    Ok(interval)
}

fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text)?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "K" | "k" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(format!("unknown unit {unit:?} (B, KiB, MiB, GiB, kB, MB, GB)")),
    };
    Ok((number * factor as f64) as u64)
}

/// A share that is more than nothing: a ceiling that nothing fits below.
fn overhead(text: &str) -> Result<f64, String> {
    match percent(text)? {
        share if share < LEAST_OVERHEAD => Err(format!("must be {} % or more", LEAST_OVERHEAD * 100.0)),
        share => Ok(share),
    }
}

/// A share of less than all.
fn percent(text: &str) -> Result<f64, String> {
    let (number, unit) = split_unit(text)?;
    match unit {
        "%" if number < 100.0 => Ok(number / 100.0),
        "%" => Err("must be less than 100%".to_owned()),
        _ => Err("must be a percentage, as 5%".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn what_is_not_asked_for_is_as_the_documentation_says() {
        let of = |words: &[&str]| Command::try_parse_from([&["record"], words].concat()).unwrap().args;
        let args = of(&["--pid", "1"]);
        let page = include_str!("../../../docs/gpu.md");
        let interval =
            format!("each interval of {} µs (`--gpu-pm-interval`", args.gpu_pm_interval.as_micros());
        assert!(page.contains(&interval), "docs/gpu.md: {interval}");
        assert_eq!(args.futex_threshold, Duration::from_micros(100));
        assert_eq!(args.gpu_pm_without, []);
        let without = of(&["--pid", "1", "--gpu-pm-without", "tensor,dram"]).gpu_pm_without;
        assert_eq!(without, [PmUnit::Tensor, PmUnit::Dram]);
    }

    #[test]
    fn pages_of_metrics_are_urls_or_a_word() {
        let read = |words: &[&str]| metrics(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(read(&["auto"]).unwrap(), Metrics::Auto);
        assert_eq!(read(&["none"]).unwrap(), Metrics::Off);
        assert!(matches!(read(&["http://h:1", "h:2"]).unwrap(), Metrics::Pages(pages) if pages.len() == 2));
        assert!(read(&["auto", "http://h:1"]).is_err() && read(&["https://h:1"]).is_err());
    }

    #[test]
    fn times_sizes_and_shares_are_read_with_their_units() {
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert!(duration("0s").is_err() && duration("soon").is_err() && duration("3d").is_err());
        assert_eq!(sample_interval("0"), Ok(Duration::ZERO));
        assert_eq!(sample_interval("100ms"), Ok(Duration::from_millis(100)));
        assert!(sample_interval("99ms").is_err() && sample_interval("-1s").is_err());
        assert_eq!(duration_or_none("100us"), Ok(Duration::from_micros(100)));
        assert_eq!(duration_or_none("0"), Ok(Duration::ZERO));
        assert_eq!(size("8MiB"), Ok(8 << 20));
        assert_eq!(size("10GB"), Ok(10_000_000_000));
        assert!(size("-1").is_err());
        assert_eq!(percent("5%"), Ok(0.05));
        assert!(percent("0.05").is_err());
        assert_eq!(overhead("0.5%"), Ok(0.005));
        assert!(overhead("0.4%").is_err() && overhead("0%").is_err() && overhead("1").is_err());
    }
}
