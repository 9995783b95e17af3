//! The highest rate without loss: storms of context switches on 1, 2, 4 … CPUs.

use std::time::Instant;

use anyhow::Result;

use crate::bench::{
    machine,
    pair::Bench,
    parse::work::Account,
    programs::on_path,
    results::{Better, Results},
    suite::{Suite, or_left_out, slowdown::progress},
    tracer::{DEFAULT, SCHED, Tracer},
    workload::{Size, Workload},
};

const SUITE: Suite = Suite::Collector;

pub fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    let Some(taskset) = on_path("taskset") else {
        results.leave_out("switch storm", "taskset is not installed (apt install util-linux)");
        return Ok(());
    };
    for tracer in [SCHED, DEFAULT] {
        for cpus in steps(machine::cpus()) {
            let name = format!("switch storm on {cpus} CPUs");
            if bench.wants(&name, tracer.name) {
                let storm = storm(
                    &bench.programs.workload.to_string_lossy(),
                    &taskset.to_string_lossy(),
                    cpus,
                    bench.size,
                );
                of_storm(bench, &tracer, &name, &storm, results)?;
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

/// Two threads bound to each CPU that hand a turn to and fro.
fn storm(program: &str, taskset: &str, cpus: usize, size: Size) -> Workload {
    let seconds = if size == Size::Full { 10 } else { 1 };
    let last = cpus - 1;
    let script = format!(
        "for cpu in $(seq 0 {last}); do {taskset} -c $cpu {program} storm --threads 2 --seconds {seconds} & done; wait"
    );
    let argv = ["sh", "-c", &script].map(str::to_owned).into();
    Workload { name: "switch storm", argv, account: Account::FromOutside(1), cpu: None }
}

fn of_storm(
    bench: &Bench,
    tracer: &Tracer,
    name: &str,
    storm: &Workload,
    results: &mut Results,
) -> Result<()> {
    let seconds = if bench.size == Size::Full { 10.0 } else { 1.0 };
    let (mut rates, mut rejected) = (Vec::new(), Vec::new());
    for round in 0..bench.pairs {
        let started = Instant::now();
        let what = format!("{name}, {}, recording {}", tracer.name, round + 1);
        let Some(measured) = or_left_out(bench.around(tracer, storm), results, &what)? else { continue };
        let latest = match measured {
            Ok(sample) => {
                let rate = sample.facts.map_or(0.0, |facts| facts.records as f64 / seconds);
                rates.push(rate);
                format!("{:.0} k/s, no loss ({:.0} s)", rate / 1e3, started.elapsed().as_secs_f64())
            }
            Err(reason) => {
                rejected.push(format!("recording {}: {reason}", round + 1));
                reason
            }
        };
        progress(SUITE, name, tracer.name, round, bench.pairs, &latest);
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
