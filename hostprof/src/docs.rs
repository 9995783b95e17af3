//! Pages that are made from the code: `docs/schema.md` from the tables, `docs/probes.md` from the probes.

use std::fmt::Write as _;

use crate::{
    for_each_table,
    probe::{Auto, PROBES, syscalls},
    sampler::SAMPLES,
    table::{
        CgroupSampleRow, CudaCallRow, DiskSampleRow, EngineSampleRow, GpuEventRow, GpuIoctlRow, GpuPmRow,
        GpuProcessSampleRow, GpuSampleRow, HistogramRow, HostSampleRow, LossRow, OffCpuCountRow, OffCpuRow,
        PageFaultRow, ProcessSampleRow, RequestRow, SCHEMA_VERSION, ShedRow, State, StepRow, SyscallRow,
        Table, ThreadRow, TokenRow, Word as _,
    },
};

const MADE: &str = "<!-- Made by `cargo xtask docs` from the code: edit that. -->\n";

/// The pages, by file name.
pub fn pages() -> Vec<(&'static str, String)> {
    vec![("schema.md", schema()), ("probes.md", probes())]
}

fn schema() -> String {
    let mut page = format!(
        "# Tables\n\n{MADE}\nSchema version {SCHEMA_VERSION}. Every table is a folder of Parquet parts in the run folder; `SELECT` \
         works on them unchanged, as `'runs/run_001/off_cpu/*.parquet'` in DuckDB. Each column's unit and meaning \
         are in the file too, in its field metadata. Times are CLOCK_MONOTONIC nanoseconds; absent is null, never \
         zero. The rows of a part are in the order of their ends; the parts of a table overlap where several threads \
         wrote them, as on 8 CPUs and more.\n"
    );
    macro_rules! each {
        ($($row:ty),+ $(,)?) => { $( table::<$row>(&mut page); )+ };
    }
    for_each_table!(each);
    page
}

fn table<T: Table>(page: &mut String) {
    let _ = write!(page, "\n## `{}`\n\n{}\n\n", T::NAME, T::TEXT.trim());
    let _ = writeln!(page, "| column | type | unit | meaning |\n|---|---|---|---|");
    for column in T::columns() {
        let null = if column.nullable { ", null" } else { "" };
        let _ = writeln!(
            page,
            "| `{}` | {}{null} | {} | {} |",
            column.name,
            format!("{:?}", column.data_type).to_lowercase(),
            column.unit,
            column.text.replace('|', "\\|").replace('\n', " "),
        );
    }
}

fn probes() -> String {
    let mut page = format!(
        "# Probes\n\n{MADE}\n`--probe auto` (the default) has the probes marked so; `--probe a,b` chooses, `--probe auto,-c` leaves \
         one out. A probe asked for by name must run, or the recording does not begin.\n\n\
         | probe | auto | question | programs | tables | what bystanders pay |\n|---|---|---|---|---|---|\n"
    );
    for probe in PROBES {
        let programs = if probe.programs.is_empty() { "–".to_owned() } else { code(probe.programs) };
        let required = if probe.required { " (always)" } else { "" };
        let _ = writeln!(
            page,
            "| `{}`{required} | {} | {} | {programs} | {} | {} |",
            probe.name,
            match probe.auto {
                Auto::Always => "yes",
                Auto::WithDevice => "where the target has a selected device open",
                Auto::Never => "no",
            },
            probe.question,
            code(probe.tables),
            probe.bystander_cost,
        );
    }
    page.push_str(
        "\nAll programs but `fentry_*`, `fexit_*`, `sys_*_named` and `function_*` are attached as `tp_btf`, which needs neither \
         tracefs nor perf events; `function_*` are uprobes and return probes, which need the latter, and serve `cuda`, `cuda_launch` and `engine`. `adopt` is attached to nothing: it is run once for each thread that a scan \
         finds.\n\nThe probes of system calls share one hook, the first of three that the kernel allows: `fentry` and \
         `fexit` of the calls' functions; else the calls' own tracepoints (`sys_enter_named`, `sys_exit_named`, \
         attached to each), which need tracefs; else `sys_enter` and `sys_exit`, which `syscall` and \
         `syscall_count` always use and the others then share. `config.json` tells which it was and why, and counts \
         what is no row: calls left out by device or length, enters without exit, exits without enter.\n\n\
         ## Samples\n\nRead in user space every second, or at `--sample-interval`; `--no-samples` leaves them out. \
         `config.json` tells what could not be read, and why.\n\n\
         | table | question | files |\n|---|---|---|\n",
    );
    for sample in SAMPLES {
        let _ = writeln!(page, "| `{}` | {} | {} |", sample.table, sample.question, code(sample.files));
    }
    page.push_str(
        "\n## States\n\nWhy a thread was off the CPU, decided in this order at the switch-out.\n\n\
         | state | system calls |\n|---|---|\n",
    );
    for &state in State::ALL {
        let calls = syscalls::calls(state);
        let calls = if calls.is_empty() { "–".to_owned() } else { code(&calls) };
        let _ = writeln!(page, "| `{state}` | {calls} |");
    }
    page.push_str(
        "\nOn the CPU a thread is in `on_cpu`, or, where probe `cuda` saw a call of CUDA's driver library that waits for \
         the GPU, in `gpu_sync`.\n",
    );
    page
}

fn code(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_every_table_has_a_meaning() {
        macro_rules! each {
            ($($row:ty),+ $(,)?) => { $(
                for column in <$row>::columns() {
                    assert!(column.text.len() > 10, "{}.{} has no text", <$row>::NAME, column.name);
                }
            )+ };
        }
        for_each_table!(each);
    }

    #[test]
    fn every_table_is_filled_by_a_probe_or_a_sample() {
        macro_rules! each {
            ($($row:ty),+ $(,)?) => { $(
                let probe = PROBES.iter().any(|probe| probe.tables.contains(&<$row>::NAME));
                assert!(probe || SAMPLES.iter().any(|sample| sample.table == <$row>::NAME), "{}", <$row>::NAME);
            )+ };
        }
        for_each_table!(each);
    }
}
