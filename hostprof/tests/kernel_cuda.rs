//! Calls of CUDA's driver library: the real binary probes a library that stands in for the driver's, and its rows, counts
//! and ledger tell what the program that calls it counted. What a real driver does is another matter:
//! `scenarios/gpu/cuda.sh`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "kernel/support/mod.rs"]
mod support;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use hostprof::table::{CudaCallRow, CudaKind, HistogramRow, State};
use nix::sys::signal::Signal;
use object::{Object as _, ObjectSymbol as _};
use serde_json::Value;
use support::{Recorded, Recorder, example, hostprof, poll, recorded::line};
use tempfile::TempDir;

/// A folder that has the library by the name that programs load it by.
struct Driver(TempDir);

impl Driver {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(example("libfake_cuda.so"), folder.path().join("libcuda.so.1")).unwrap();
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("libcuda.so.1")
    }

    fn open(&self) -> String {
        format!("open:{}", self.path().display())
    }
}

/// Records the program from its start; the library is found by its variable before it is loaded.
fn record(probes: &str, driver: &Driver, steps: &[&str]) -> Recorded {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("runs");
    let mut command = hostprof();
    command.env("LD_LIBRARY_PATH", driver.0.path());
    let open = driver.open();
    let mut arguments: Vec<String> = ["--probe", probes, "--"].map(str::to_owned).to_vec();
    arguments.push(example("fake_cuda_user").display().to_string());
    arguments.push(open);
    arguments.extend(steps.iter().map(|step| (*step).to_owned()));
    let recorded = Recorder::spawn_command(command, scratch, &out, &arguments).finish();
    assert!(recorded.status.success(), "{}: {}", recorded.status, recorded.stderr);
    recorded
}

/// Calls of a name by the in-kernel count.
fn counted(recorded: &Recorded, name: &str) -> u64 {
    let rows = recorded.rows::<HistogramRow>();
    let of = |row: &&HistogramRow| row.name == "cuda" && row.key.ends_with(&format!(" {name}"));
    rows.iter().filter(of).map(|row| row.count).sum()
}

fn calls(recorded: &Recorded, name: &str) -> Vec<CudaCallRow> {
    let mut rows = recorded.rows::<CudaCallRow>();
    rows.retain(|row| row.name == name);
    rows
}

/// What the program's own clock said of a step.
fn own_ns(recorded: &Recorded, step: &str) -> u64 {
    let of = |line: &&Value| line["step"].as_str().is_some_and(|text| text.starts_with(step));
    recorded.lines.iter().find(of).unwrap()["ns"].as_u64().unwrap()
}

/// Time of the program's main thread in a state, as the report's ledger has it.
fn state_ns(recorded: &Recorded, state: &str) -> u64 {
    let pid = line(&recorded.lines, "pid")["pid"].as_u64().unwrap();
    let report = recorded.report();
    let threads = report["threads"].as_array().unwrap();
    let main = threads.iter().find(|thread| thread["tid"].as_u64() == Some(pid)).unwrap();
    let states = main["states_ns"].as_object().unwrap();
    let sum: u64 = states.values().filter_map(Value::as_u64).sum();
    let unattributed = main["unattributed_ns"].as_u64().unwrap();
    assert_eq!(sum + unattributed, main["wall_ns"].as_u64().unwrap(), "states sum to the wall clock: {main}");
    states.get(state).and_then(Value::as_u64).unwrap_or(0)
}

/// The program under way, which waits where it is told to.
struct User {
    child: Child,
    lines: ChildStdin,
}

impl User {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        Self { lines: child.stdin.take().unwrap(), child }
    }

    fn go_on(&mut self) {
        writeln!(self.lines).unwrap();
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn attach(pid: u32) -> Recorder {
    Recorder::start(&["--probe".to_owned(), "auto,cuda".to_owned(), "--pid".to_owned(), pid.to_string()])
}

#[test]
fn launches_are_counted_exactly_and_every_wait_is_a_row() {
    let driver = Driver::new();
    let recorded =
        record("auto,cuda", &driver, &["launch:200000", "graph:1000", "sync:50000:2000:0"]).checked();
    assert_eq!(counted(&recorded, "cuLaunchKernel"), 200_000);
    assert_eq!(counted(&recorded, "cuGraphLaunch"), 1000);
    assert_eq!(counted(&recorded, "cuStreamSynchronize"), 50_000);
    assert!(calls(&recorded, "cuLaunchKernel").is_empty(), "launches are rows only where they are asked for");
    let waits = calls(&recorded, "cuStreamSynchronize");
    assert_eq!(waits.len(), 50_000);
    assert!(waits.iter().all(|row| row.kind == CudaKind::Sync && row.ret == Some(0) && !row.open_end));
    let odd: Vec<_> = waits.iter().filter(|row| row.dur_ns < 2000 || row.off_cpu_ns.is_none()).collect();
    assert!(odd.is_empty(), "{odd:?}");
    assert_eq!(recorded.dropped(), 0);
    let report = recorded.report();
    let launches =
        report["cuda_calls"].as_array().unwrap().iter().find(|call| call["name"] == "cuLaunchKernel");
    assert_eq!(launches.unwrap()["calls"], 200_000);
    assert!(recorded.report_text().contains("CUDA CALLS"));
}

#[test]
fn launches_of_several_threads_are_counted_exactly() {
    let driver = Driver::new();
    let recorded = record("sched,cuda", &driver, &["threads:8", "launch:25000", "ptsz:1000"]).checked();
    assert_eq!(counted(&recorded, "cuLaunchKernel"), 8 * 26_000);
}

#[test]
fn a_spinning_wait_is_waiting_for_the_gpu_and_not_on_a_cpu() {
    let driver = Driver::new();
    let recorded = record("auto,cuda", &driver, &["sync:1500:1000000:0"]).checked();
    let told: u64 = calls(&recorded, "cuStreamSynchronize").iter().map(|row| row.dur_ns).sum();
    let own = own_ns(&recorded, "sync");
    assert!(told.abs_diff(own) * 50 <= own, "the rows tell {told} ns, the program {own} ns");
    let rows = calls(&recorded, "cuStreamSynchronize");
    let gpu_sync = state_ns(&recorded, "gpu_sync");
    let left: u64 = rows.iter().filter_map(CudaCallRow::gpu_sync_ns).sum();
    assert_eq!(gpu_sync, left, "the ledger's is what the rows leave on a CPU");
    // What the machine took from the program meanwhile is in other states. Where the kernel told nobody that the thread
    // came back, a row does not know it.
    let off_cpu: u64 = rows.iter().filter_map(|row| row.off_cpu_ns).sum();
    let unknown: u64 = rows.iter().filter(|row| row.off_cpu_ns.is_none()).map(|row| row.dur_ns).sum();
    assert_eq!(gpu_sync + off_cpu + unknown, told);
    assert!(unknown * 10 <= told, "{unknown} of {told} ns");
    let on_cpu = state_ns(&recorded, "on_cpu");
    assert!(on_cpu * 5 < gpu_sync, "on a CPU {on_cpu} ns, waiting {gpu_sync} ns");
}

#[test]
fn a_wait_that_sleeps_is_off_the_cpu_as_long_as_it_sleeps() {
    let driver = Driver::new();
    let recorded = record("auto,cuda", &driver, &["sync:200:300000:2000000"]).checked();
    let rows = calls(&recorded, "cuStreamSynchronize");
    assert_eq!(rows.len(), 200);
    // A thread may lose time between setting its timer and leaving its CPU.
    assert!(rows.iter().all(|row| row.off_cpu_ns.is_some_and(|ns| ns >= 1_000_000)), "{rows:?}");
    let off_cpu: u64 = rows.iter().filter_map(|row| row.off_cpu_ns).sum();
    assert!(off_cpu >= 200 * 1_900_000, "{off_cpu}");
    assert!(rows.iter().all(|row| row.dur_ns >= 2_300_000 && row.gpu_sync_ns().is_some_and(|ns| ns > 0)));
    let pid = line(&recorded.lines, "pid")["pid"].as_u64().unwrap() as u32;
    assert_eq!(recorded.in_state(pid, State::Sleep).len(), 200);
}

#[test]
fn a_wait_within_a_wait_is_one_row() {
    let driver = Driver::new();
    let recorded = record("auto,cuda", &driver, &["nested:100:20000", "sync:10:1000:0"]).checked();
    assert_eq!(calls(&recorded, "cuEventSynchronize").len(), 100);
    assert_eq!(calls(&recorded, "cuStreamSynchronize").len(), 10);
}

#[test]
fn bytes_and_results_are_told() {
    let driver = Driver::new();
    let steps =
        ["copy:3:4096", "copy2d:2:100", "fill:2:25", "alloc:1:65536", "alloc:1:9000000000000", "free:2"];
    let recorded = record("auto,cuda", &driver, &steps).checked();
    let bytes = |name| calls(&recorded, name).iter().map(|row| row.bytes).collect::<Vec<_>>();
    assert_eq!(bytes("cuMemcpyHtoD"), [Some(4096); 3]);
    assert_eq!(bytes("cuMemcpy2D"), [Some(300); 2]);
    assert_eq!(bytes("cuMemsetD32"), [Some(100); 2]);
    assert_eq!(bytes("cuMemAlloc"), [Some(65_536), Some(9_000_000_000_000)]);
    assert_eq!(bytes("cuMemFree"), [None; 2]);
    let results: Vec<_> = calls(&recorded, "cuMemAlloc").iter().map(|row| row.ret).collect();
    assert_eq!(results, [Some(0), Some(2)]);
    assert!(calls(&recorded, "cuMemFree").iter().all(|row| row.kind == CudaKind::Free));
}

#[test]
fn launches_are_rows_where_they_are_asked_for() {
    let driver = Driver::new();
    let recorded = record("auto,cuda_launch", &driver, &["launch:5000", "sync:10:1000:0"]).checked();
    let rows = calls(&recorded, "cuLaunchKernel");
    assert_eq!((rows.len(), counted(&recorded, "cuLaunchKernel")), (5000, 5000));
    assert!(rows.iter().all(|row| row.kind == CudaKind::Launch && row.dur_ns > 0));
}

#[test]
fn functions_that_share_a_place_are_counted_once_and_a_stripped_library_is_probed() {
    let driver = Driver::new();
    share_place(&driver.path(), "cuLaunchKernel", "cuLaunchKernel_ptsz");
    let stripped = Command::new("strip").arg("--strip-all").arg(driver.path()).status().expect("run strip");
    assert!(stripped.success());
    let recorded = record("sched,cuda", &driver, &["launch:100", "ptsz:10", "sync:5:1000:0"]).checked();
    assert_eq!(counted(&recorded, "cuLaunchKernel"), 110);
    assert_eq!(calls(&recorded, "cuStreamSynchronize").len(), 5);
}

#[test]
fn a_missing_library_is_named_with_its_remedy_and_the_rest_is_recorded() {
    let recorded = support::record_with(&["--probe", "auto,cuda"], &["storm", "--seconds", "0.2"]).checked();
    assert!(recorded.stderr.contains("no libcuda.so.1 is mapped"), "{}", recorded.stderr);
    assert!(recorded.stderr.contains("install NVIDIA's driver"), "{}", recorded.stderr);
    assert!(recorded.notes("cuda").contains("no libcuda.so.1"));
    assert!(recorded.rows::<CudaCallRow>().is_empty());
}

#[test]
fn a_program_with_two_copies_has_the_calls_of_both() {
    let (one, other) = (Driver::new(), Driver::new());
    let mut command = Command::new(example("fake_cuda_user"));
    command.args([&one.open(), "launch:1", &other.open(), "launch:1", "wait"]);
    command.args([
        &one.open(),
        "launch:100",
        "sync:10:1000:0",
        &other.open(),
        "launch:100",
        "sync:10:1000:0",
    ]);
    let mut user = User::start(&mut command);
    // Both are mapped when it waits.
    poll("two copies", || {
        let maps = fs::read_to_string(format!("/proc/{}/maps", user.pid())).ok()?;
        (maps.contains(&*one.path().to_string_lossy()) && maps.contains(&*other.path().to_string_lossy()))
            .then_some(())
    });
    let recorder = attach(user.pid());
    user.go_on();
    let recorded = recorder.finish().checked();
    assert_eq!(counted(&recorded, "cuLaunchKernel"), 200);
    assert_eq!(calls(&recorded, "cuStreamSynchronize").len(), 20);
}

#[test]
fn a_library_that_comes_later_is_probed_and_the_time_before_is_told() {
    let driver = Driver::new();
    let mut command = Command::new(example("fake_cuda_user"));
    command.args(["wait", &driver.open(), "wait", "launch:100", "sync:10:1000:0"]);
    let mut user = User::start(&mut command);
    let recorder = attach(user.pid());
    user.go_on();
    poll("the library to be probed", || {
        recorder.stderr().contains("mapped it after the start; its calls until then").then_some(())
    });
    user.go_on();
    let recorded = recorder.finish().checked();
    assert_eq!(counted(&recorded, "cuLaunchKernel"), 100);
    assert_eq!(calls(&recorded, "cuStreamSynchronize").len(), 10);
    assert!(recorded.notes("cuda").contains("mapped it after the start"));
}

#[test]
fn a_library_in_another_root_is_probed_before_it_is_mapped() {
    let script = format!(
        "mount -t tmpfs none /usr/local && mkdir -p /usr/local/nvidia/lib64 && cp {} /usr/local/nvidia/lib64/libcuda.so.1 && \
         exec {} wait open:/usr/local/nvidia/lib64/libcuda.so.1 launch:100 sync:10:1000:0",
        example("libfake_cuda.so").display(),
        example("fake_cuda_user").display(),
    );
    let mut user = User::start(Command::new("unshare").args(["--mount", "sh", "-c", &script]));
    poll("the program to wait", || {
        let comm = fs::read_to_string(format!("/proc/{}/comm", user.pid())).ok()?;
        comm.starts_with("fake_cuda_user").then_some(())
    });
    let recorder = attach(user.pid());
    user.go_on();
    let recorded = recorder.finish().checked();
    assert_eq!(counted(&recorded, "cuLaunchKernel"), 100);
    assert_eq!(calls(&recorded, "cuStreamSynchronize").len(), 10);
    let notes = recorded.notes("cuda");
    assert!(
        notes.contains("/usr/local/nvidia/lib64/libcuda.so.1: ") && !notes.contains("after the start"),
        "{notes}"
    );
}

/// A program that has its library, is recorded, and waits for a minute.
fn in_a_long_wait(driver: &Driver) -> (User, Recorder) {
    let mut command = Command::new(example("fake_cuda_user"));
    command.args([&driver.open(), "launch:1", "wait", "sync:1:60000000000:0"]);
    let mut user = User::start(&mut command);
    poll("the library", || {
        fs::read_to_string(format!("/proc/{}/maps", user.pid())).ok()?.contains("libcuda.so.1").then_some(())
    });
    let recorder = attach(user.pid());
    user.go_on();
    (user, recorder)
}

#[test]
fn a_wait_that_is_open_at_the_end_is_a_row_with_what_is_known() {
    let driver = Driver::new();
    let (user, recorder) = in_a_long_wait(&driver);
    std::thread::sleep(std::time::Duration::from_secs(1));
    let recorded = recorder.interrupt().checked();
    let rows = calls(&recorded, "cuStreamSynchronize");
    assert_eq!(rows.len(), 1);
    assert!(rows[0].open_end && rows[0].ret.is_none());
    assert!((500_000_000..20_000_000_000).contains(&rows[0].dur_ns), "{:?}", rows[0]);
    let pid = u64::from(user.pid());
    let report = recorded.report();
    let thread =
        report["threads"].as_array().unwrap().iter().find(|thread| thread["tid"].as_u64() == Some(pid));
    let gpu_sync = thread.unwrap()["states_ns"]["gpu_sync"].as_u64().unwrap();
    assert_eq!(Some(gpu_sync), rows[0].gpu_sync_ns());
}

#[test]
fn a_wait_that_its_thread_ends_in_is_a_row_up_to_there() {
    let driver = Driver::new();
    let (user, recorder) = in_a_long_wait(&driver);
    std::thread::sleep(std::time::Duration::from_millis(500));
    support::send(user.pid(), Signal::SIGKILL);
    let recorded = recorder.finish().checked();
    let rows = calls(&recorded, "cuStreamSynchronize");
    assert_eq!(rows.len(), 1);
    assert!(rows[0].open_end && rows[0].dur_ns >= 200_000_000, "{:?}", rows[0]);
}

/// Has a name of a library stand for the place of another.
fn share_place(path: &Path, of: &str, name: &str) {
    let mut bytes = fs::read(path).unwrap();
    let (from, to) = {
        let elf = object::read::elf::ElfFile64::<object::Endianness>::parse(bytes.as_slice()).unwrap();
        let at =
            |name: &str| elf.dynamic_symbols().find(|symbol| symbol.name() == Ok(name)).unwrap().address();
        (at(name), at(of))
    };
    let mut changed = 0;
    // An entry of the table of symbols: name, info (a global function), other, section, then the address.
    for at in (0..bytes.len() - 24).step_by(8) {
        let is_function = bytes[at + 4] == 0x12 && bytes[at + 8..at + 16] == from.to_le_bytes();
        if is_function {
            bytes[at + 8..at + 16].copy_from_slice(&to.to_le_bytes());
            changed += 1;
        }
    }
    assert!(changed > 0, "find {name}");
    fs::write(path, bytes).unwrap();
}
