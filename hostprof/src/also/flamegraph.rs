//! `perf-flamegraph.svg`: where the target was on the CPU, from `perf.data`.

use std::fs;

use super::{
    perf::{self, FREQUENCY_HZ},
    stacks::Stacks,
    svg,
};
use crate::recording::RunFolder;

/// What is made.
pub const FILE: &str = "perf-flamegraph.svg";

/// Makes it. What the user should know of it; or why there is none.
pub fn make(folder: &RunFolder) -> Result<Option<String>, String> {
    let recorded = folder.path().join("perf.data");
    let recorded = recorded.to_string_lossy();
    let mut stacks = Stacks::default();
    let fields = "comm,tid,ip,sym,dso";
    let script = perf::reader(&["script", "--no-inline", "-F", fields, "-i", &recorded]);
    perf::read_lines(script, |line| stacks.line(line)).map_err(|error| format!("make {FILE}: {error}"))?;
    let root = stacks.finish();
    let run = folder.path().file_name().unwrap_or_default().to_string_lossy();
    let title = format!("{run} · on the CPU, {} samples of perf at {FREQUENCY_HZ} Hz", root.samples);
    folder.write_file(FILE, svg::draw(&title, &root).as_bytes()).map_err(|error| error.to_string())?;
    Ok((root.samples > 0 && kernel_names_hidden()).then(|| {
        "functions of the kernel have no names (sysctl kernel.kptr_restrict=0 shows them)".to_owned()
    }))
}

/// Whether this user sees no addresses of the kernel's functions.
fn kernel_names_hidden() -> bool {
    let first = |text: String| text.lines().next().map(|line| line.starts_with("0000000000000000"));
    // A line is enough; the file is large.
    let mut start = vec![0; 64];
    let read =
        fs::File::open("/proc/kallsyms").and_then(|mut file| std::io::Read::read(&mut file, &mut start));
    read.is_ok_and(|bytes| first(String::from_utf8_lossy(&start[..bytes]).into_owned()).unwrap_or(true))
}
