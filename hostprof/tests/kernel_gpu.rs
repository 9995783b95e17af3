//! Samples of GPUs: the real binary loads a library that stands in for the driver's, and its rows, its config and its
//! report tell what that told. What a real driver tells is another matter: `scenarios/gpu/nvml.sh`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "kernel/support/mod.rs"]
mod support;

use std::{fs, path::PathBuf, process::Command, time::Duration};

use hostprof::{
    recording::Config,
    table::{GpuProcessSampleRow, GpuSampleRow, HostSampleRow, TargetBy},
};
use serde_json::Value;
use support::{Workload, example, hostprof, recorded::Recorded};

/// The library: cargo builds it with the tests, beside them.
fn fake_nvml() -> PathBuf {
    example("libfake_nvml.so")
}

fn command(words: &str, library: &std::path::Path) -> Command {
    let mut command = hostprof();
    command.env("HOSTPROF_NVML", library).env("FAKE_NVML", words);
    command
}

/// Records a process that sleeps and spins, under a library that says this, with ten samples a second.
fn record(words: &str, library: &std::path::Path, seconds: f64) -> (Recorded, u32) {
    record_at("100ms", words, library, seconds)
}

fn record_at(interval: &str, words: &str, library: &std::path::Path, seconds: f64) -> (Recorded, u32) {
    let workload = Workload::start(&["storm", "--seconds", "60"]);
    let pid = workload.pid();
    let words = words.replace("PID", &pid.to_string());
    let out = tempfile::tempdir().unwrap();
    let output = command(&words, library)
        .args(["record", "--sample-interval", interval, "--pid", &pid.to_string()])
        .args(["--duration", &format!("{}ms", (seconds * 1e3) as u64), "-o"])
        .arg(out.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (Recorded::new(&output, out), pid)
}

fn report(recorded: &Recorded, json: bool) -> String {
    let mut command = hostprof();
    command.arg("report").arg(&recorded.run);
    if json {
        command.arg("--json");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn of_gpu(recorded: &Recorded, gpu: u32) -> Vec<GpuSampleRow> {
    let mut rows = recorded.rows::<GpuSampleRow>();
    rows.retain(|row| row.gpu == gpu);
    rows
}

/// Why a column of a GPU is absent.
fn reason(config: &Config, gpu: u32, column: &str) -> Option<String> {
    let has = |absent: &&hostprof::recording::Absent| {
        absent.gpu == gpu && absent.columns.iter().any(|name| name == column)
    };
    config.samples.absent.iter().find(has).map(|absent| absent.reason.clone())
}

#[test]
fn rows_hold_what_the_library_told_and_gpm_is_never_faster_than_a_tenth_of_a_second() {
    let (recorded, pid) = record("pid=PID", &fake_nvml(), 1.5);
    let rows = of_gpu(&recorded, 0);
    assert!(rows.len() >= 5, "{} rows", rows.len());
    assert_eq!(rows[0].gpm_window_ns, None, "there is nothing before the first");
    for row in &rows {
        assert_eq!((row.util_gpu, row.util_mem), (Some(0.99), Some(0.45)));
        assert_eq!((row.mem_used_bytes, row.mem_total_bytes), (Some(60 << 30), Some(80 << 30)));
        assert_eq!((row.power_mw, row.power_limit_mw), (Some(650_000), Some(700_000)));
        assert_eq!((row.sm_clock_mhz, row.mem_clock_mhz), (Some(1755), Some(2619)));
        assert_eq!((row.temperature_c, row.mem_temperature_c), (Some(61), Some(48)));
        assert_eq!((row.ecc_corrected, row.ecc_uncorrected), (Some(1), Some(0)));
        assert_eq!((row.nvlink_rx_bytes, row.nvlink_tx_bytes), (Some(8 << 10), Some(4 << 10)));
        assert_eq!(row.throttle_reasons.as_deref(), Some("sw_power_cap"));
        assert_eq!(row.target_by, Some(TargetBy::Process));
    }
    for pair in rows.windows(2) {
        if let Some(window_ns) = pair[1].gpm_window_ns {
            assert!(window_ns >= 100_000_000, "{window_ns} ns");
            assert_eq!(window_ns, pair[1].ts_mono_ns - pair[0].ts_mono_ns);
            let close = |value: Option<f64>, to: f64| (value.unwrap() - to).abs() < 1e-9;
            assert!(close(pair[1].sm_util, 0.956) && close(pair[1].tensor_util, 0.928), "{:?}", pair[1]);
            assert!(close(pair[1].sm_occupancy, 0.141) && close(pair[1].dram_util, 0.238), "{:?}", pair[1]);
            assert_eq!(pair[1].gpm_pcie_rx_bytes_per_second, Some(15.0 * f64::from(1 << 20)));
        }
    }
    assert!(rows.iter().filter(|row| row.gpm_window_ns.is_some()).count() >= 3);
    assert!(of_gpu(&recorded, 1).iter().all(|row| row.util_gpu == Some(0.0) && row.target_by.is_none()));
    let config = recorded.config();
    assert_eq!(
        reason(config, 0, "gpm_nvlink_rx_bytes_per_second").as_deref(),
        Some("not offered by this GPU")
    );
    assert!(reason(config, 1, "nvlink_rx_bytes").is_some() && reason(config, 0, "power_mw").is_none());

    let processes = recorded.rows::<GpuProcessSampleRow>();
    let (own, others): (Vec<_>, Vec<_>) = processes.iter().partition(|row| row.tgid == pid);
    assert!(!own.is_empty() && own.len() == others.len());
    assert!(own.iter().all(|row| row.in_target && row.comm.is_some() && row.sm_util == Some(0.7)), "{own:?}");
    assert!(own.iter().all(|row| row.mem_used_bytes == Some(40 << 30)));
    assert!(
        others.iter().all(|row| !row.in_target && row.sm_util.is_none()),
        "10000 % is no share: {others:?}"
    );
}

#[test]
fn the_report_tells_each_gpu_with_a_drawing_and_json_has_the_numbers() {
    let (recorded, pid) = record("pid=PID", &fake_nvml(), 1.5);
    let text = report(&recorded, false);
    let section = text.split("\nGPU").nth(1).unwrap_or_else(|| panic!("no section: {text}"));
    for part in
        ["Fake H100 0", "the target computes on it", "tensor", "92.8%", "█", "sw_power_cap", "60.0 GiB"]
    {
        assert!(text.contains(part), "{part:?} is not in {section}");
    }
    assert!(text.contains(&format!("process {pid} ")), "{section}");
    let json: Value = serde_json::from_str(&report(&recorded, true)).unwrap();
    let [first, second] = json["gpus"]["devices"].as_array().unwrap().as_slice() else { panic!("{json}") };
    assert_eq!((first["gpu"].as_u64(), first["target_by"].as_str()), (Some(0), Some("process")));
    assert_eq!(first["tensor_util"]["is"], "value");
    assert!((first["tensor_util"]["mean"].as_f64().unwrap() - 0.928).abs() < 1e-9);
    assert_eq!(second["tensor_util"]["mean"].as_f64(), Some(0.0));
    assert_eq!(
        first["history"]["util_gpu"].as_array().unwrap().len() as u64,
        first["samples"].as_u64().unwrap()
    );
}

#[test]
fn a_recording_of_one_interval_of_gpm_and_a_piece_is_not_resolvable() {
    // Samples at its begin, a second later, and at its end, which the last interval reaches over.
    let (recorded, _) = record_at("1s", "", &fake_nvml(), 1.3);
    let rows = of_gpu(&recorded, 0);
    assert_eq!(rows.iter().filter(|row| row.gpm_window_ns.is_some()).count(), 2, "{rows:?}");
    let json: Value = serde_json::from_str(&report(&recorded, true)).unwrap();
    assert_eq!(json["gpus"]["devices"][0]["sm_util"]["is"], "not_resolvable");
    assert_eq!(
        json["gpus"]["devices"][0]["util_gpu"]["mean"].as_f64(),
        Some(0.99),
        "NVML's own is not GPM's"
    );
    assert!(report(&recorded, false).contains("not resolvable"));
}

#[test]
fn what_a_gpu_does_not_offer_is_null_with_its_reason() {
    let (recorded, _) = record("unsupported,nan,pid=PID", &fake_nvml(), 0.8);
    let rows = of_gpu(&recorded, 0);
    assert!(!rows.is_empty());
    assert!(rows.iter().all(|row| row.power_mw.is_none() && row.ecc_corrected.is_none()), "{rows:?}");
    assert!(rows.iter().all(|row| row.tensor_util.is_none()), "a NaN is null: {rows:?}");
    assert!(rows.iter().any(|row| row.sm_util.is_some()) && rows.iter().all(|row| row.util_gpu.is_some()));
    let config = recorded.config();
    for column in ["power_mw", "power_limit_mw", "ecc_corrected", "gpu_process_sample.sm_util"] {
        assert_eq!(reason(config, 0, column).as_deref(), Some("not offered by this GPU"), "{column}");
    }
    assert!(config.samples.notes.iter().any(|note| note.contains("no number")), "{:?}", config.samples.notes);
}

#[test]
fn a_gpu_without_gpm_keeps_what_nvml_tells() {
    let (recorded, _) = record("no-gpm", &fake_nvml(), 0.5);
    let rows = of_gpu(&recorded, 0);
    assert!(rows.iter().all(|row| row.gpm_window_ns.is_none() && row.sm_util.is_none()));
    assert!(!rows.is_empty() && rows.iter().all(|row| row.util_gpu == Some(0.99)));
    assert!(reason(recorded.config(), 0, "sm_util").is_some());
}

#[test]
fn an_old_library_without_gpm_and_newer_calls_still_gives_what_it_has() {
    let old = tempfile::tempdir().unwrap();
    let library = old.path().join("libnvidia-ml.so.1");
    let mut bytes = fs::read(fake_nvml()).unwrap();
    for (name, other) in [
        (&b"nvmlGpm"[..], &b"oldnGpm"[..]),
        (b"nvmlDeviceGetMemoryInfo_v2", b"oldnDeviceGetMemoryInfo_v2"),
        (b"nvmlDeviceGetComputeRunningProcesses_v3", b"oldnDeviceGetComputeRunningProcesses_v3"),
    ] {
        let places: Vec<usize> = bytes
            .windows(name.len())
            .enumerate()
            .filter(|(_, window)| *window == name)
            .map(|(at, _)| at)
            .collect();
        assert!(!places.is_empty(), "{}", String::from_utf8_lossy(name));
        for at in places {
            bytes[at..at + name.len()].copy_from_slice(other);
        }
    }
    fs::write(&library, bytes).unwrap();
    let (recorded, _) = record("pid=PID", &library, 0.5);
    let rows = of_gpu(&recorded, 0);
    assert!(!rows.is_empty() && rows.iter().all(|row| row.gpm_window_ns.is_none()));
    assert!(rows.iter().all(|row| row.mem_used_bytes == Some(60 << 30)), "by the call before");
    assert!(recorded.rows::<GpuProcessSampleRow>().is_empty());
    let config = recorded.config();
    for column in ["sm_util", "gpu_process_sample (compute)"] {
        let why = reason(config, 0, column).unwrap_or_default();
        assert!(why.contains("not in this version of NVML"), "{column}: {why:?}");
    }
}

#[test]
fn a_gpu_that_is_lost_ends_its_rows_and_no_other_gpus() {
    let (recorded, _) = record("lost=3", &fake_nvml(), 1.0);
    let (one, other) = (of_gpu(&recorded, 1), of_gpu(&recorded, 0));
    assert_eq!(one.len(), 2, "it was lost at the third reading");
    assert!(other.len() > 4, "{} rows", other.len());
    let notes = &recorded.config().samples.notes;
    assert!(notes.iter().any(|note| note.starts_with("GPU 1: not read from")), "{notes:?}");
}

#[test]
fn a_slow_library_holds_up_no_other_sample_and_not_the_end() {
    let (recorded, _) = record("slow=5000", &fake_nvml(), 1.2);
    assert!(recorded.rows::<HostSampleRow>().len() >= 8, "{} rows", recorded.rows::<HostSampleRow>().len());
    let config = recorded.config();
    let length = Duration::from_nanos(config.ended.as_ref().unwrap().at.mono_ns.0 - config.started.mono_ns.0);
    assert!(length < Duration::from_secs(2), "{length:?}");
    let notes = &config.samples.notes;
    assert!(notes.iter().any(|note| note.starts_with("NVML did not answer")), "{notes:?}");
}

#[test]
fn instances_of_a_divided_gpu_have_rows_of_their_own() {
    let (recorded, _) = record("mig,pid=PID", &fake_nvml(), 0.8);
    let rows = of_gpu(&recorded, 0);
    let of = |instance| rows.iter().filter(move |row| row.gpu_instance == instance);
    assert!(of(Some(3)).count() > 2 && of(Some(4)).count() > 2 && of(None).count() > 2);
    assert!(
        of(Some(4)).all(|row| row.target_by == Some(TargetBy::Process) && row.compute_instance == Some(0))
    );
    assert!(of(Some(3)).all(|row| row.target_by.is_none()), "the process is on the other");
    assert!(of(Some(3)).all(|row| row.mem_total_bytes == Some(40 << 30)));
    assert!(of(Some(3)).any(|row| row.sm_util.is_some_and(|share| (share - 0.478).abs() < 1e-9)));
}

#[test]
fn doctor_names_the_library_and_what_it_lacks_and_why_there_is_none() {
    let seen = |words: &str, library: &std::path::Path| -> Value {
        let output = command(words, library).args(["doctor", "--json"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let find = |json: &Value, name: &str| -> Value {
        let lists = ["checks", "samplers"];
        let mut all = lists.iter().filter_map(|list| json[list].as_array()).flatten();
        all.find(|check| check["name"] == name).cloned().unwrap_or_else(|| panic!("{name}: {json}"))
    };
    let whole = seen("", &fake_nvml());
    assert!(find(&whole, "NVML")["seen"].as_str().unwrap().contains("13.580.159.04"));
    assert_eq!(find(&whole, "GPM")["verdict"], "ok");
    assert_eq!(find(&seen("no-gpm", &fake_nvml()), "GPM")["verdict"], "limited");
}

#[test]
fn a_live_picture_has_the_gpus_and_what_they_do() {
    let workload = Workload::start(&["storm", "--seconds", "60"]);
    let pid = workload.pid();
    let out = tempfile::tempdir().unwrap();
    let output = command(&format!("pid={pid}"), &fake_nvml())
        .args(["live", "--once", "--json", "--window", "1s", "--sample-interval", "100ms"])
        .args(["--pid", &pid.to_string(), "--record", "-o"])
        .arg(out.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let picture: Value = serde_json::from_slice(&output.stdout).unwrap();
    let [run] = hostprof::recording::Recording::list(out.path()).unwrap().try_into().unwrap();
    let run = hostprof::recording::Recording::open(&run).unwrap();
    let rows: Vec<GpuSampleRow> = run.all().unwrap();
    let shown = picture["gpus"].as_array().unwrap();
    assert!(!shown.is_empty(), "{picture}");
    assert!(picture["gpus_missing"].is_null());
    for gpu in shown {
        let index = gpu["index"].as_u64().unwrap() as u32;
        let of_it = rows.iter().filter(|row| {
            row.gpu == index
                && row.ts_mono_ns < picture["to"].as_u64().unwrap()
                && row.gpu_instance.map(|instance| instance.to_string())
                    == gpu["instance"].as_str().map(|text| text.split('/').next().unwrap().to_owned())
        });
        let last = of_it.max_by_key(|row| row.ts_mono_ns).unwrap();
        assert_eq!(gpu["util_ratio"].as_f64(), last.util_gpu.or(last.gr_util), "{gpu}");
        assert_eq!(gpu["power_mw"].as_u64(), last.power_mw.map(u64::from), "{gpu}");
        assert_eq!(gpu["memory_used_bytes"].as_u64(), last.mem_used_bytes, "{gpu}");
        assert_eq!(gpu["sm_ratio"].as_f64(), last.sm_util, "{gpu}");
        assert_eq!(gpu["throttle_reasons"].as_str(), last.throttle_reasons.as_deref(), "{gpu}");
        let name = run.config().host.gpus.devices.iter().find(|device| device.index == Some(index));
        assert_eq!(gpu["name"].as_str(), name.and_then(|device| device.name.as_deref()), "{gpu}");
    }
}
