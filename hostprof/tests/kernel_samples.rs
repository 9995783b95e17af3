//! Samples on the real kernel: what they tell lies between what the same files told just before and just after,
//! and agrees with sysstat's tools where those are installed.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    clippy::duration_suboptimal_units,
    reason = "helpers of tests are tests"
)]

#[path = "kernel/support/mod.rs"]
mod support;
#[path = "kernel_samples/witness.rs"]
mod witness;

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use hostprof::table::{CgroupSampleRow, DiskSampleRow, HostSampleRow, ProcessSampleRow};
use support::{
    Recorder, Workload, hostprof, mono_ns, record_with,
    recorded::{Recorded, number},
};
use witness::{Tool, Witness, field};

const SECOND: u64 = 1_000_000_000;
const FAST: [&str; 2] = ["--sample-interval", "100ms"];

/// A recording of a process for a while, that has begun.
fn recorder_of(pid: u32, duration: &str) -> Recorder {
    let pid = pid.to_string();
    let recorder = Recorder::start(&[&FAST[..], &["--pid", &pid, "--duration", duration]].concat());
    // For its first sample, and until it minds signals.
    sleep(Duration::from_millis(300));
    recorder
}

/// That recording when it is over.
fn record_pid(pid: u32, duration: &str) -> Recorded {
    let recorded = recorder_of(pid, duration).finish();
    assert!(recorded.status.success(), "{}", recorded.stderr);
    recorded
}

fn rows_of(recorded: &Recorded, pid: u32) -> Vec<ProcessSampleRow> {
    let mut rows = recorded.rows::<ProcessSampleRow>();
    rows.retain(|row| row.tgid == pid);
    rows
}

/// `/proc/PID/stat`: proc_pid_stat(5) counts from 1, the state being 3.
fn stat_field(pid: u32, number: usize) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = text.rsplit(')').next().unwrap_or_default();
    rest.split_whitespace().nth(number - 3).and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[test]
fn a_process_has_what_proc_and_pidstat_tell_of_it() {
    const TICK: u64 = 10_000_000;
    let workload = Workload::start(&["storm", "--seconds", "60"]);
    let pid = workload.pid();
    let witness = Witness::start(move || {
        let text = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let (status, io) = (text("status"), text("io"));
        vec![
            stat_field(pid, 14) * TICK,
            stat_field(pid, 15) * TICK,
            stat_field(pid, 10),
            field(&status, "voluntary_ctxt_switches:"),
            field(&status, "nonvoluntary_ctxt_switches:"),
            field(&io, "wchar:"),
            field(&io, "write_bytes:"),
        ]
    });
    let recorder = recorder_of(pid, "4s");
    let tool = Tool::start("pidstat", &["-u", "-r", "-h", "-p", &pid.to_string(), "2", "1"]);
    let recorded = recorder.finish();
    let rows = rows_of(&recorded, pid);
    assert!(rows.len() >= 20, "{} rows", rows.len());
    witness.finish().brackets(
        &rows,
        |row| row.ts_mono_ns,
        |row| {
            vec![
                row.user_ns.unwrap(),
                row.system_ns.unwrap(),
                row.min_flt.unwrap(),
                row.main_nvcsw.unwrap(),
                row.main_nivcsw.unwrap(),
                row.write_call_bytes.unwrap(),
                row.disk_write_bytes.unwrap(),
            ]
        },
    );
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for row in &rows {
        assert_eq!(row.threads, Some(3), "main and two");
        // Nothing is allocated any more.
        assert_eq!(row.rss_bytes, Some(field(&status, "VmRSS:") * 1024));
        assert_eq!(row.rss_peak_bytes, Some(field(&status, "VmHWM:") * 1024));
        // The clock is ahead of the ticks by what is not accounted yet, and ticks are scaled to it.
        let ticks = row.user_ns.unwrap() + row.system_ns.unwrap();
        assert!(row.cpu_ns.unwrap().abs_diff(ticks) <= 5 * TICK, "{row:?}");
    }
    // %usr and %system of two seconds, and resident KiB.
    if let Some(told) = tool.finish() {
        let cpu_ns = ((told.number("%usr") + told.number("%system")) / 100.0 * 2e9) as u64;
        told.bounds(&rows, |row| row.ts_mono_ns, |row| row.cpu_ns.unwrap(), cpu_ns, 5 * TICK);
        // Its source, /proc/PID/stat, may lag behind status by some pages a CPU.
        let lag = rows[0].rss_bytes.unwrap().abs_diff(told.number("RSS") as u64 * 1024);
        assert!(lag <= 1 << 20, "{lag} bytes: {:?}", rows[0]);
    }
    workload.stop();
}

#[test]
fn each_process_of_a_tree_is_sampled_while_it_lives() {
    let tree = ["fork-tree", "--depth", "1", "--width", "3", "--sleeps", "80"];
    let recorded = record_with(&FAST, &tree).checked();
    let processes = recorded.lines.iter().filter_map(|line| line["process"].as_object());
    let mut found = 0;
    for process in processes {
        let pid = process["pid"].as_u64().unwrap() as u32;
        let (start, end) =
            (process["start_mono_ns"].as_u64().unwrap(), process["end_mono_ns"].as_u64().unwrap());
        let rows = rows_of(&recorded, pid);
        let alive: Vec<_> = rows.iter().filter(|row| (start..end).contains(&row.ts_mono_ns)).collect();
        assert!(!alive.is_empty() && alive.iter().all(|row| row.rss_bytes.is_some()), "{pid}: {rows:#?}");
        let after = rows.iter().filter(|row| row.ts_mono_ns > end + SECOND / 2);
        assert_eq!(after.count(), 0, "{pid} ended at {end}: {rows:#?}");
        found += 1;
    }
    assert_eq!(found, 4);
}

#[test]
fn what_a_process_sends_over_the_loopback_is_counted_to_the_byte() {
    const GIB: u64 = 1 << 30;
    for (arguments, bytes) in
        [(&["--bytes", "1073741824"][..], GIB), (&["--bytes", "1048577", "--ipv6"], 1_048_577)]
    {
        let recorded = record_with(&FAST, &[&["transfer"], arguments].concat());
        let done = recorded.done();
        assert_eq!((number(done, "sent"), number(done, "received")), (bytes, bytes));
        // Looked at, or of another family: not counted.
        assert!(number(done, "peeked") > 0 && number(done, "other") == 1 << 20, "{done}");
        // It ended at once, so that the last row is of its network alone.
        let rows = rows_of(&recorded, number(recorded.ready(), "pid") as u32);
        let last = rows.last().unwrap();
        assert_eq!((last.network_tx_bytes, last.network_rx_bytes), (Some(bytes), Some(bytes)), "{rows:#?}");
        assert_eq!((rows[0].network_tx_bytes, rows[0].network_rx_bytes), (Some(0), Some(0)));
        let process = &recorded.report()["host"]["processes"][0];
        assert_eq!(number(process, "network_tx_bytes"), bytes);
    }
}

#[test]
fn a_bystanders_bytes_are_nobodys() {
    let workload = Workload::start(&["deadlock"]);
    let recorder = recorder_of(workload.pid(), "60s");
    let mut bystander = Workload::start(&["transfer"]);
    bystander.go();
    bystander.finish();
    let rows = recorder.interrupt().rows::<ProcessSampleRow>();
    assert!(!rows.is_empty());
    for row in rows {
        assert_eq!(
            (row.tgid, row.network_tx_bytes, row.network_rx_bytes),
            (workload.pid(), Some(0), Some(0))
        );
    }
    workload.kill();
}

#[test]
fn the_machine_is_as_proc_tells_it() {
    const TICK: u64 = 10_000_000;
    let witness = Witness::start(|| {
        let text = |name: &str| fs::read_to_string(Path::new("/proc").join(name)).unwrap_or_default();
        let stat = text("stat");
        let ticks: Vec<u64> =
            stat.lines().next().unwrap().split_whitespace().skip(1).map(|w| w.parse().unwrap()).collect();
        let mut values: Vec<u64> = [0, 1, 2, 6, 7].iter().map(|at| ticks[*at] * TICK).collect();
        values.extend(["ctxt", "processes"].map(|name| field(&stat, &format!("{name} "))));
        for name in ["cpu", "memory", "io"] {
            let line = text(&format!("pressure/{name}"));
            let some = line.lines().next().unwrap_or_default().rsplit('=').next().unwrap_or_default();
            values.push(some.parse::<u64>().unwrap_or(0) * 1000);
        }
        values
    });
    let workload = Workload::start(&["spin", "--seconds", "60", "--threads", "3"]);
    let recorded = record_pid(workload.pid(), "2s");
    let rows = recorded.rows::<HostSampleRow>();
    assert!(rows.len() >= 12, "{} rows", rows.len());
    witness.finish().brackets(
        &rows,
        |row| row.ts_mono_ns,
        |row| {
            vec![
                row.user_ns,
                row.nice_ns,
                row.system_ns,
                row.softirq_ns,
                row.steal_ns,
                row.switches,
                row.forks,
                row.cpu_some_ns.unwrap_or(0),
                row.memory_some_ns.unwrap_or(0),
                row.io_some_ns.unwrap_or(0),
            ]
        },
    );
    let memory = field(&fs::read_to_string("/proc/meminfo").unwrap(), "MemTotal:") * 1024;
    let online = std::thread::available_parallelism().unwrap().get() as u32;
    for row in &rows {
        // Three threads spin.
        assert!(row.runnable >= 3 && row.cpus >= online, "{row:?}");
        assert!(
            row.memory_available_bytes.unwrap() < memory && row.memory_free_bytes.unwrap() < memory,
            "{row:?}"
        );
    }
    assert!(recorded.report_text().contains("\nHOST  "), "{}", recorded.report_text());
    workload.stop();
}

#[test]
fn a_disk_is_as_diskstats_and_iostat_tell_it() {
    const CHUNK: usize = 1 << 20;
    let workload = Workload::start(&["deadlock"]);
    let witness = Witness::start(|| witness::of_busiest_disk(&[4, 6, 8, 10, 11]));
    let recorder = recorder_of(workload.pid(), "4s");
    let tool = Tool::start("iostat", &["-d", "-x", "-k", "-y", "2", "1"]);
    let recording = std::thread::spawn(move || recorder.finish());
    // On the file system of the build, which is on a disk where any is.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut file = File::create(dir.path().join("written")).unwrap();
    let mut written = 0;
    while !recording.is_finished() {
        file.write_all(&vec![7; CHUNK]).unwrap();
        file.sync_all().unwrap();
        written += CHUNK as u64;
        sleep(Duration::from_millis(50));
    }
    let recorded = recording.join().unwrap();
    let mut rows = recorded.rows::<DiskSampleRow>();
    assert!(!rows.is_empty(), "no disk here: nothing to compare");
    let device = witness::busiest_disk();
    rows.retain(|row| row.device == device);
    let grown = rows.last().unwrap().write_bytes - rows[0].write_bytes;
    assert!(grown > written / 2, "{grown} bytes of {written}");
    witness.finish().brackets(
        &rows,
        |row| row.ts_mono_ns,
        |row| {
            vec![row.reads, row.read_bytes / 512, row.writes, row.write_bytes / 512, row.write_ns / 1_000_000]
        },
    );
    for pair in rows.windows(2) {
        let (row, last) = (&pair[1], &pair[0]);
        assert_eq!(row.interval_ns, Some(row.ts_mono_ns - last.ts_mono_ns));
        let util = (row.busy_ns - last.busy_ns) as f64 / row.interval_ns.unwrap() as f64;
        assert!((row.util_ratio.unwrap() - util.min(1.0)).abs() < 1e-9, "{row:?}");
        let writes = row.writes - last.writes;
        assert_eq!(row.write_await_ns, (row.write_ns - last.write_ns).checked_div(writes));
    }
    if let Some(told) = tool.finish() {
        let told = told.line(&device);
        let busy = (told.number("%util") / 100.0 * 2e9) as u64;
        told.bounds(&rows, |row| row.ts_mono_ns, |row| row.busy_ns, busy, SECOND / 50);
        let kib = (told.number("wkB/s") * 2.0) as u64;
        told.bounds(&rows, |row| row.ts_mono_ns, |row| row.write_bytes / 1024, kib, 64);
    }
    workload.kill();
}

/// A cgroup with a CPU quota, of whichever version has the controller; removed at the end.
struct QuotaGroup {
    dir: PathBuf,
    name: String,
    version: u16,
}

impl QuotaGroup {
    fn new(quota_us: u64) -> Self {
        let name = format!("hostprof-samples-{}", std::process::id());
        let v1 = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"].map(Path::new);
        let v1 = v1.into_iter().find(|root| root.join("cpu.cfs_quota_us").exists());
        let root = v1.unwrap_or(Path::new("/sys/fs/cgroup"));
        let version = if v1.is_some() { 1 } else { 2 };
        let dir = root.join(&name);
        if version == 2 {
            fs::write(root.join("cgroup.subtree_control"), "+cpu").expect("enable the cpu controller");
        }
        fs::create_dir(&dir).expect("make a cgroup");
        let group = Self { dir, name: format!("/{name}"), version };
        match version {
            1 => {
                fs::write(group.dir.join("cpu.cfs_period_us"), "100000").unwrap();
                fs::write(group.dir.join("cpu.cfs_quota_us"), quota_us.to_string()).unwrap();
            }
            _ => fs::write(group.dir.join("cpu.max"), format!("{quota_us} 100000")).unwrap(),
        }
        group
    }

    fn add(&self, pid: u32) {
        fs::write(self.dir.join("cgroup.procs"), pid.to_string()).expect("move a process into the cgroup");
    }
}

impl Drop for QuotaGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.dir);
    }
}

#[test]
fn a_throttled_cgroup_is_as_its_cpu_stat_tells_it() {
    let group = QuotaGroup::new(20_000);
    let mut workload = Workload::start(&["--hold", "spin", "--seconds", "60", "--threads", "2"]);
    group.add(workload.pid());
    workload.go();
    let stat = group.dir.join("cpu.stat");
    let (throttled, unit) = if group.version == 1 { ("throttled_time", 1) } else { ("throttled_usec", 1000) };
    let witness = Witness::start(move || {
        let text = fs::read_to_string(&stat).unwrap_or_default();
        let value = |name: &str| field(&text, &format!("{name} "));
        vec![value("nr_periods"), value("nr_throttled"), value(throttled) * unit]
    });
    let recorded = record_pid(workload.pid(), "2s");
    let mut rows = recorded.rows::<CgroupSampleRow>();
    rows.retain(|row| row.path == group.name && row.periods.is_some());
    assert!(rows.len() >= 12, "{} rows", rows.len());
    witness.finish().brackets(
        &rows,
        |row| row.ts_mono_ns,
        |row| vec![row.periods.unwrap(), row.throttled_periods.unwrap(), row.throttled_ns.unwrap()],
    );
    let (first, last) = (&rows[0], rows.last().unwrap());
    assert_eq!(
        (last.version, last.quota_ns, last.period_ns),
        (group.version, Some(20_000_000), Some(100_000_000))
    );
    assert!(last.throttled_periods.unwrap() >= first.throttled_periods.unwrap() + 10, "{last:?}");
    let text = recorded.report_text();
    assert!(text.contains(&format!("{} · throttled in ", group.name)), "{text}");
    workload.kill();
}

#[test]
fn without_samples_there_are_none_and_what_needs_them_is_off() {
    let recorded = record_with(&["--no-samples"], &["sleeps"]).checked();
    assert!(recorded.rows::<HostSampleRow>().is_empty() && recorded.rows::<ProcessSampleRow>().is_empty());
    assert_eq!(recorded.config().samples.interval_ns, None);
    let network = recorded.config().probes.iter().find(|probe| probe.name == "network").unwrap();
    assert!(!network.on && network.reason.contains("no samples"), "{network:?}");
    assert!(recorded.report()["host"].is_null());

    let refused =
        hostprof().args(["record", "--sample-interval", "0", "--probe", "network", "--", "true"]).output();
    let stderr = String::from_utf8_lossy(&refused.unwrap().stderr).into_owned();
    assert!(stderr.contains("run probe network") && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn without_the_network_probe_its_bytes_are_null() {
    let recorded = record_with(&["--probe", "auto,-network"], &["transfer"]).checked();
    let rows = recorded.rows::<ProcessSampleRow>();
    assert!(rows.iter().any(|row| row.rss_bytes.is_some()), "a first sample at least");
    assert!(rows.iter().all(|row| row.network_tx_bytes.is_none() && row.network_rx_bytes.is_none()));
}

#[test]
fn what_a_user_may_not_see_of_another_is_null_with_a_note() {
    const USER: u32 = 1000;
    let workload = Workload::start(&["deadlock"]);
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(USER), Some(USER)).unwrap();
    let mut command = hostprof();
    command.env("SUDO_UID", USER.to_string()).env("SUDO_GID", USER.to_string());
    let arguments =
        ["--pid".to_owned(), workload.pid().to_string(), "--duration".to_owned(), "1500ms".to_owned()];
    let scratch = tempfile::tempdir().unwrap();
    let before = mono_ns();
    let recorded = Recorder::spawn_command(command, scratch, &dir.path().join("runs"), &arguments).finish();
    assert!(recorded.status.success(), "{}", recorded.stderr);
    let rows = recorded.rows::<ProcessSampleRow>();
    // At the start, after a second, at the end.
    assert!(rows.len() >= 3 && rows[0].ts_mono_ns > before, "{rows:#?}");
    for row in rows {
        assert_eq!((row.read_call_bytes, row.disk_read_bytes), (None, None));
        assert!(row.rss_bytes.is_some() && row.cpu_ns.is_some() && row.main_nvcsw.is_some(), "{row:?}");
    }
    let notes = &recorded.config().samples.notes;
    assert_eq!(notes.iter().filter(|note| note.contains("/proc/PID/io")).count(), 1, "{notes:?}");
    workload.kill();
}
