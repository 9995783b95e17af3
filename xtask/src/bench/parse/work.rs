//! How much work a workload did and how long it took, by its own account: that leaves out the start and the
//! end of whatever traces it.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::bench::parse::number_before;

/// What a workload did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    pub seconds: f64,
    /// Operations, or 1 where the workload as a whole is one.
    pub units: f64,
}

/// How a workload tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// `perf bench` of a number of operations: `Executed N …` and `Total time: S [sec]`.
    PerfTotal,
    /// `perf bench futex hash`, which runs for a time: `Averaged R operations/sec … total secs = S`.
    PerfHash,
    /// `perf bench futex wake`: `Wokeup N of N threads in M ms`, the mean of its runs.
    PerfWake,
    /// The JSON object of `calibration`.
    Calibration,
    /// The JSON lines of `workload calls`: from `ready` to `done`.
    Calls,
    /// Says nothing that is read: timed from outside, for so many units.
    FromOutside(u32),
}

impl Account {
    /// Reads what the workload printed; `outside_s` is how long it took from its start to its end.
    pub fn read(self, stdout: &str, outside_s: f64) -> Result<Work> {
        let work = match self {
            Self::PerfTotal => perf_total(stdout),
            Self::PerfHash => perf_hash(stdout),
            Self::PerfWake => perf_wake(stdout),
            Self::Calibration => calibration(stdout),
            Self::Calls => calls(stdout),
            Self::FromOutside(units) => Some(Work { seconds: outside_s, units: f64::from(units) }),
        };
        let work = work.with_context(|| {
            format!("read a workload's account: not in {:?}", stdout.trim_end().lines().last())
        })?;
        if !(work.seconds > 0.0 && work.units > 0.0) {
            bail!("read a workload's account: {} units in {} s", work.units, work.seconds);
        }
        Ok(work)
    }
}

fn perf_total(stdout: &str) -> Option<Work> {
    let seconds = stdout
        .lines()
        .find(|line| line.contains("Total time:"))
        .and_then(|line| number_before(line, "[sec]"))?;
    let executed = stdout.lines().find_map(|line| line.split_once("Executed ")).map(|(_, rest)| rest);
    let units =
        executed.and_then(|rest| rest.split(' ').next()?.replace(',', "").parse().ok()).unwrap_or(1.0);
    Some(Work { seconds, units })
}

fn perf_hash(stdout: &str) -> Option<Work> {
    let line = stdout.lines().find(|line| line.starts_with("Averaged "))?;
    let rate = number_before(line, "operations/sec")?;
    let seconds: f64 = line.rsplit_once("total secs = ")?.1.trim().parse().ok()?;
    Some(Work { seconds, units: rate * seconds })
}

fn perf_wake(stdout: &str) -> Option<Work> {
    let line = stdout.lines().find(|line| line.starts_with("Wokeup "))?;
    Some(Work { seconds: number_before(line, "ms")? / 1e3, units: 1.0 })
}

fn calibration(stdout: &str) -> Option<Work> {
    let object = objects(stdout).find(|object| object.get("run_ns").is_some())?;
    Some(Work { seconds: object["run_ns"].as_f64()? / 1e9, units: object["operations"].as_f64()? })
}

fn calls(stdout: &str) -> Option<Work> {
    let ready_ns = ready_ns(stdout)?;
    let done = objects(stdout).find(|object| object["done"] == true)?;
    let done_ns = done["mono_ns"].as_u64()?;
    Some(Work {
        seconds: done_ns.saturating_sub(ready_ns) as f64 / 1e9,
        units: done["caller"]["ioctls"].as_f64()?,
    })
}

/// When a `workload` said that it was ready, by CLOCK_MONOTONIC.
pub fn ready_ns(stdout: &str) -> Option<u64> {
    objects(stdout).find(|object| object["ready"] == true)?["mono_ns"].as_u64()
}

/// The JSON objects among the lines.
fn objects(stdout: &str) -> impl Iterator<Item = Value> {
    stdout.lines().filter_map(|line| serde_json::from_str(line).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(account: Account, stdout: &str) -> (f64, f64) {
        let work = account.read(stdout, 9.0).unwrap();
        (work.seconds, work.units)
    }

    #[test]
    fn perf_bench_is_read_by_total_time_and_operations() {
        let pipe = "# Running 'sched/pipe' benchmark:\n# Executed 50000 pipe operations between two processes\n\n     Total time: 0.400 [sec]\n\n       8.012220 usecs/op\n         124809 ops/sec\n";
        assert_eq!(work(Account::PerfTotal, pipe), (0.4, 50_000.0));
        let messaging = "# 20 sender and receiver processes per group\n# 4 groups == 160 processes run\n\n     Total time: 1.393 [sec]\n";
        assert_eq!(work(Account::PerfTotal, messaging), (1.393, 1.0));
        let newer = "# Executed 1,000,000 getppid() calls\n     Total time: 0.272 [sec]\n";
        assert_eq!(work(Account::PerfTotal, newer), (0.272, 1e6));
    }

    #[test]
    fn the_futex_benchmarks_are_read_by_their_averages() {
        let hash = "[thread  0] futexes: 0x55 ... 0x56 [ 1555456 ops/sec ]\n\nAveraged 1627648 operations/sec (+- 4.44%), total secs = 2\n";
        assert_eq!(work(Account::PerfHash, hash), (2.0, 3_255_296.0));
        let wake =
            "[Run 1]: Wokeup 2 of 2 threads in 0.3600 ms\nWokeup 2 of 2 threads in 0.1500 ms (+-22.19%)\n";
        assert_eq!(work(Account::PerfWake, wake), (0.15 / 1e3, 1.0));
    }

    #[test]
    fn our_own_programs_are_read_by_their_json() {
        let alloc = "{\"pattern\":\"alloc-heavy\",\"run_ns\":311000000,\"operations\":2000}\n/runs/run_001\n";
        assert_eq!(work(Account::Calibration, alloc), (0.311, 2000.0));
        let calls = "{\"mono_ns\":1000000000,\"ready\":true}\n{\"usage\":{\"name\":\"caller\"}}\n{\"caller\":{\"ioctls\":100},\"done\":true,\"mono_ns\":1500000000}\n";
        assert_eq!(work(Account::Calls, calls), (0.5, 100.0));
        assert_eq!(ready_ns(calls), Some(1_000_000_000));
    }

    #[test]
    fn a_workload_without_an_account_is_timed_from_outside_or_refused() {
        assert_eq!(work(Account::FromOutside(64), ""), (9.0, 64.0));
        let err = Account::PerfTotal.read("{\"unsupported\":\"no pty\"}\n", 1.0).unwrap_err().to_string();
        assert!(err.contains("no pty"), "{err}");
        assert!(Account::PerfTotal.read("Total time: 0.000 [sec]", 1.0).is_err());
    }
}
