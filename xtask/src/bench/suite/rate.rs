//! The highest rate without loss: storms of context switches, and of system calls, on 1, 2, 4 … CPUs.

use anyhow::Result;

use crate::bench::{
    machine,
    pair::Bench,
    parse::work::Account,
    programs::on_path,
    results::{Better, Results},
    suite::{Suite, or_left_out},
    tracer::{DEFAULT, SCHED, SYSCALL, Tracer},
    workload::Workload,
};

const SUITE: Suite = Suite::Collector;

/// What makes records as fast as a CPU can.
#[derive(Clone, Copy)]
enum Storm {
    /// Two threads of a CPU hand a turn to and fro.
    Switches,
    /// A thread of a CPU makes system calls and nothing else.
    Calls,
}

impl Storm {
    fn name(self) -> &'static str {
        match self {
            Self::Switches => "switch storm",
            Self::Calls => "call storm",
        }
    }

    fn arguments(self) -> &'static str {
        match self {
            Self::Switches => "storm --threads 2",
            Self::Calls => "yield-spin",
        }
    }
}

pub fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    let Some(taskset) = on_path("taskset") else {
        results.leave_out("records_per_s_without_loss", "taskset is not installed (apt install util-linux)");
        return Ok(());
    };
    for (tracer, storm) in [(SCHED, Storm::Switches), (DEFAULT, Storm::Switches), (SYSCALL, Storm::Calls)] {
        for cpus in steps(machine::cpus()) {
            let name = format!("{} on {cpus} CPUs", storm.name());
            if bench.wants(&name, tracer.name) {
                let program = bench.programs.workload.to_string_lossy();
                let workload = on_cpus(storm, &program, &taskset.to_string_lossy(), cpus, bench.storm_s);
                of_storm(bench, &tracer, &name, &workload, results)?;
            }
        }
    }
    Ok(())
}

/// 1, 2, 4 … and all.
fn steps(cpus: usize) -> Vec<usize> {
    let mut steps: Vec<_> =
        std::iter::successors(Some(1), |step| Some(step * 2)).take_while(|step| *step < cpus).collect();
    steps.push(cpus);
    steps
}

/// The storm once on each CPU, bound to it. They leave no CPU for the recorder.
fn on_cpus(storm: Storm, program: &str, taskset: &str, cpus: usize, seconds: u32) -> Workload {
    let (last, arguments) = (cpus - 1, storm.arguments());
    let script = format!(
        "for cpu in $(seq 0 {last}); do {taskset} -c $cpu {program} {arguments} --seconds {seconds} & done; wait"
    );
    let argv = ["sh", "-c", &script].map(str::to_owned).into();
    Workload { name: storm.name(), argv, account: Account::FromOutside(1), cpu: None }
}

fn of_storm(
    bench: &Bench,
    tracer: &Tracer,
    name: &str,
    storm: &Workload,
    results: &mut Results,
) -> Result<()> {
    let seconds = f64::from(bench.storm_s);
    let (mut rates, mut rejected) = (Vec::new(), Vec::new());
    for round in 0..bench.pairs {
        let what = format!("{name}, {}, recording {}", tracer.name, round + 1);
        let Some(measured) = or_left_out(bench.around(tracer, storm), results, &what)? else { continue };
        let latest = match measured {
            Ok(sample) => {
                let rate = sample.facts.map_or(0.0, |facts| facts.records as f64 / seconds);
                rates.push(rate);
                format!("{:.0} k/s, no loss", rate / 1e3)
            }
            Err(reason) => {
                rejected.push(format!("recording {}: {reason}", round + 1));
                reason
            }
        };
        SUITE.progress(name, tracer.name, round, bench.pairs, &latest);
    }
    let of = [SUITE.name(), name, tracer.name, "records_per_s_without_loss"];
    results.add_line(of, Better::Higher, &rates, &rejected, "as many as the CPUs made");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_storm_grows_by_doubling_up_to_all_cpus() {
        assert_eq!(steps(1), [1]);
        assert_eq!(steps(2), [1, 2]);
        assert_eq!(steps(6), [1, 2, 4, 6]);
        assert_eq!(steps(16), [1, 2, 4, 8, 16]);
    }
}
