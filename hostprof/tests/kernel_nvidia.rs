//! Calls of the NVIDIA driver on the running kernel, without the driver: pseudo-terminals stand in for its devices. The
//! programs in the kernel are the same; what differs is the number of the device.

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "helpers of tests are tests")]

#[path = "kernel/support/mod.rs"]
mod support;

use std::fs;

use hostprof::table::{GpuEventRow, GpuIoctlRow, ThreadRow};
use support::{Recorded, Recorder, Workload, mono_ns, record_with, recorded::number};

const DEVICES: [&str; 4] =
    ["--ioctl-device", "pts,pts/ptmx", "--stand-in", "pts=nvidia@580.159.04,pts/ptmx=nvidia-uvm"];
const ROUNDS: u64 = 200;
/// Calls of a round.
const CALLS: usize = 9;
const ENOTTY: i64 = -25;
const COMMAND: u32 = 0x2080_1303;
const UNKNOWN_COMMAND: u32 = 0x2080_a026;
const NO_MEMORY: u32 = 0x51;
const NOT_SUPPORTED: u32 = 0x56;

fn calls(probes: &str, more: &[&str]) -> Recorded {
    let options = [&["--probe", probes], &DEVICES[..], more].concat();
    record_with(&options, &["nvidia-calls", "--count", &ROUNDS.to_string()]).checked()
}

/// The rows of the calling thread.
fn called(recorded: &Recorded) -> Vec<GpuIoctlRow> {
    let tid = number(recorded.done(), "caller_tid") as u32;
    let mut rows = recorded.rows::<GpuIoctlRow>();
    rows.retain(|row| row.tid == tid);
    rows
}

/// The calls of that place in each round.
fn at(rows: &[GpuIoctlRow], place: usize) -> impl Iterator<Item = &GpuIoctlRow> {
    rows.iter().skip(place).step_by(CALLS)
}

fn assert_decoded(recorded: &Recorded) {
    let rows = called(recorded);
    assert_eq!(rows.len(), CALLS * ROUNDS as usize);
    let round = |place: usize| at(&rows, place);
    for row in round(0) {
        assert_eq!((row.name.as_deref(), row.rm_cmd), (Some("NV_ESC_RM_CONTROL"), Some(COMMAND)));
        assert_eq!(row.rm_cmd_name.as_deref(), Some("NV2080_CTRL_CMD_FB_GET_INFO_V2"));
        // It stood there before, and the call failed: it need not be the driver's.
        assert_eq!((row.size_bytes, row.nv_status), (Some(32), None));
    }
    for row in round(1) {
        assert_eq!((row.name.as_deref(), row.rm_class), (Some("NV_ESC_RM_ALLOC"), Some(0x40)));
        assert_eq!(row.rm_class_name.as_deref(), Some("NV01_MEMORY_LOCAL_USER"));
        assert_eq!((row.size_bytes, row.length_bytes), (Some(48), Some(64 << 20)));
    }
    for row in round(2) {
        assert_eq!((row.name.as_deref(), row.rm_cmd), (Some("NV_ESC_RM_CONTROL"), Some(UNKNOWN_COMMAND)));
        assert_eq!(
            (row.rm_cmd_name.as_deref(), row.size_bytes),
            (None, Some(32)),
            "its own size, not the way's"
        );
        assert_eq!(row.request, 0xc010_46d3, "as passed");
    }
    for row in round(3) {
        assert_eq!(
            (row.name.as_deref(), row.rm_cmd, row.size_bytes),
            (Some("NV_ESC_RM_CONTROL"), None, Some(40))
        );
    }
    for row in round(4) {
        assert_eq!(row.name.as_deref(), Some("UVM_CREATE_EXTERNAL_RANGE"));
        assert!(row.device.ends_with("ptmx"), "{}", row.device);
        assert_eq!((row.size_bytes, row.length_bytes), (None, Some(2 << 20)));
    }
    for row in round(5) {
        // The number of a control.
        assert_eq!((row.name.as_deref(), row.rm_cmd), (Some("UVM_SET_PREFERRED_LOCATION"), None));
    }
    for row in round(6) {
        // The call returned 0, and what its structure says is the answer.
        assert_eq!(
            (row.name.as_deref(), row.ret, row.length_bytes),
            (Some("UVM_RELEASE_VA"), 0, Some(2 << 20))
        );
        assert_eq!(row.nv_status, Some(NOT_SUPPORTED));
    }
    for row in round(7) {
        assert_eq!((row.name.as_deref(), row.rm_cmd), (Some("NV_ESC_RM_CONTROL"), None), "not in memory");
        assert_eq!((row.size_bytes, row.nv_status, row.ret), (Some(32), None, ENOTTY));
    }
    for row in round(8) {
        // At the enter there was nothing to read; the answer is of the exit.
        assert_eq!((row.name.as_deref(), row.ret, row.length_bytes), (Some("UVM_RELEASE_VA"), 0, None));
        assert_eq!(
            (row.nv_status, row.nv_status_name.as_deref()),
            (Some(NO_MEMORY), Some("NV_ERR_NO_MEMORY"))
        );
    }
    let notes = recorded.notes("ioctl");
    assert!(notes.contains(&format!("{} NVIDIA calls not decoded in full", 2 * ROUNDS)), "{notes}");
    assert!(
        notes.contains(&format!("{ROUNDS} NVIDIA calls not decoded: a structure of another size")),
        "{notes}"
    );
}

#[test]
fn a_call_is_decoded_from_its_callers_memory_whichever_hook_tells_of_it() {
    for probes in ["sched,ioctl", "sched,ioctl,syscall"] {
        let recorded = calls(probes, &[]);
        assert_eq!(recorded.dropped(), 0);
        assert_decoded(&recorded);
    }
}

#[test]
fn the_report_names_calls_by_their_commands_and_lists_those_without_a_name() {
    let recorded = calls("sched,ioctl", &[]);
    let report = recorded.report();
    let told = report["system_calls"].as_array().expect("a list");
    let of = |name: &str| told.iter().find(|call| call["name"] == name).unwrap_or_else(|| panic!("{name}"));
    assert!(number(of("NV2080_CTRL_CMD_FB_GET_INFO_V2"), "count") >= ROUNDS);
    assert_eq!(number(of("NV_ESC_RM_CONTROL 0x2080a026"), "count"), ROUNDS);
    let nvidia = &report["nvidia"];
    let unknown = nvidia["unknown"].as_array().expect("a list");
    let legacy = unknown.iter().find(|one| one["number"] == "0x2080a026").expect("the command");
    assert_eq!((number(legacy, "calls"), legacy["legacy"].as_bool()), (ROUNDS, Some(true)));
    let failures = nvidia["failures"].as_array().expect("a list");
    let mut statuses: Vec<u64> = failures.iter().map(|failure| number(failure, "nv_status")).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [u64::from(NO_MEMORY), u64::from(NOT_SUPPORTED)]);
    assert!(failures.iter().all(|failure| number(failure, "calls") == ROUNDS));
    assert_eq!(number(&nvidia["other_layouts"][0], "calls"), ROUNDS);
    let text = recorded.report_text();
    assert!(text.contains("NVIDIA DRIVER") && text.contains("NV_ERR_NO_MEMORY"), "{text}");
}

#[test]
fn the_bytes_of_a_structure_are_kept_only_where_that_was_asked_for() {
    let recorded = calls("sched,ioctl", &["--keep-ioctl-bytes"]);
    let rows = called(&recorded);
    let word = |bytes: Option<&str>, from: usize| bytes.map(|bytes| bytes[2 * from..2 * from + 8].to_owned());
    for row in at(&rows, 0) {
        assert_eq!(
            word(row.enter_bytes.as_deref(), 8),
            Some("03138020".to_owned()),
            "the command, as it lies in memory"
        );
    }
    for row in at(&rows, 6) {
        // What the kernel wrote in between: the size of a block.
        assert_eq!(word(row.enter_bytes.as_deref(), 0), Some("00000000".to_owned()));
        assert!(word(row.exit_bytes.as_deref(), 0).is_some_and(|word| word != "00000000"), "{row:?}");
        assert_eq!(word(row.exit_bytes.as_deref(), 16), Some("56000000".to_owned()));
    }
    assert!(at(&rows, 8).all(|row| row.enter_bytes.is_none() && row.exit_bytes.is_some()));
    let usual = calls("sched,ioctl", &[]);
    assert!(called(&usual).iter().all(|row| row.enter_bytes.is_none() && row.exit_bytes.is_none()));
}

#[test]
fn a_device_that_stands_for_nothing_is_not_decoded() {
    let options = ["--probe", "sched,ioctl", "--ioctl-device", "pts,pts/ptmx"];
    let recorded = record_with(&options, &["nvidia-calls", "--count", "10"]).checked();
    let rows = called(&recorded);
    assert_eq!(rows.len(), 10 * CALLS);
    assert!(rows.iter().all(|row| row.name.is_none() && row.rm_cmd.is_none() && row.nv_status.is_none()));
    assert!(recorded.report()["nvidia"].is_null());
}

#[test]
fn hostprofs_own_process_is_no_part_of_a_target_that_it_belongs_to() {
    let workload = Workload::start(&["deadlock"]);
    let other = Recorder::start(&["--pid", &workload.pid().to_string(), "--probe", "sched"]);
    let own = Recorder::start(&["--comm", "hostprof", "--probe", "sched,ioctl", "--ioctl-device", "tty"]);
    let own_pid = own.pid();
    let other_pid = other.pid();
    let recorded = own.interrupt();
    let threads = recorded.rows::<ThreadRow>();
    assert!(threads.iter().any(|thread| thread.tgid == other_pid), "the other is recorded");
    assert!(threads.iter().all(|thread| thread.tgid != own_pid), "{threads:#?}");
    other.interrupt();
    workload.kill();
}

#[test]
fn an_error_that_the_driver_writes_to_the_kernels_log_is_an_event() {
    let workload = Workload::start(&["deadlock"]);
    let recorder = Recorder::start(&["--pid", &workload.pid().to_string()]);
    let pid = recorder.pid();
    let write = |text: String| fs::write("/dev/kmsg", text).expect("write to the kernel's log");
    let before = mono_ns();
    write("<3>another driver: Xid (PCI:0000:01:00): 13, not this one\n".to_owned());
    write(format!("<3>NVRM: Xid (PCI:0000:01:00): 31, pid={pid}, name=python, Ch 00000008, MMU Fault\n"));
    let after = mono_ns();
    let recorded = recorder.interrupt();
    let mut rows = recorded.rows::<GpuEventRow>();
    rows.retain(|row| row.pid == Some(pid));
    let [row] = rows.as_slice() else { panic!("one event: {rows:#?}") };
    assert_eq!((row.gpu.as_str(), row.xid), ("0000:01:00", 31));
    assert_eq!(row.name.as_deref(), Some("ROBUST_CHANNEL_FIFO_ERROR_MMU_ERR_FLT"));
    // Read after it was written, and soon.
    assert!((before..after + 1_000_000_000).contains(&row.ts_mono_ns), "{before} {} {after}", row.ts_mono_ns);
    assert!(recorded.report_text().contains("MMU Fault"));
    workload.kill();
}
