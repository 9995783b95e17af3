use hostprof_common::{
    nvidia::{HEAD, NO_STATUS},
    span::Span,
};
use proptest::prelude::*;

use super::*;

/// A call as the kernel half tells it of a structure that was read whole.
fn record(device: u32, nr: u32, size: u32, bytes: &[(usize, &[u8])], status: Option<u32>) -> Ioctl {
    let mut head = [0; HEAD];
    for (at, bytes) in bytes {
        head[*at..*at + bytes.len()].copy_from_slice(bytes);
    }
    let read = flag::SHAPE | flag::HEAD | if status.is_some() { flag::STATUS } else { 0 };
    Ioctl {
        span: Span::default(),
        call: Call {
            address: 0x7000,
            memory_bytes: 0,
            nr,
            size,
            device,
            flags: read,
            status: status.unwrap_or(0),
            status_at: NO_STATUS,
            head_bytes: size.min(HEAD as u32),
            _pad: 0,
            head,
        },
        exit: [0; HEAD],
    }
}

fn frontend(nr: u32, size: u32, bytes: &[(usize, &[u8])], status: u32) -> Ioctl {
    record(device::FRONTEND, nr, size, bytes, Some(status))
}

fn h100() -> Option<DriverVersion> {
    DriverVersion::parse("580.159.04")
}

fn told(record: &Ioctl) -> Told {
    decode(record, h100().as_ref())
}

const MIB: u64 = 1 << 20;

#[test]
fn a_control_has_its_command_and_status() {
    let control = frontend(42, 32, &[(8, &0x2080_1303_u32.to_le_bytes()), (28, &[9; 4])], 0x56);
    let told = told(&control);
    assert_eq!((told.name, told.rm_cmd), (Some("NV_ESC_RM_CONTROL"), Some(0x2080_1303)));
    assert_eq!((told.nv_status, told.size_bytes, told.length_bytes), (Some(0x56), Some(32), None));
    assert_eq!(told.counts, NvidiaCounts { calls: 1, ..NvidiaCounts::default() });
}

#[test]
fn an_allocation_has_its_class_and_the_size_where_its_parameters_have_one() {
    for (size, params_bytes_at) in [(48, 32), (32, 24)] {
        for (params_bytes, expected) in [(0_u32, Some(64 * MIB)), (128, Some(64 * MIB)), (24, None)] {
            let class = 0x40_u32.to_le_bytes();
            let params = params_bytes.to_le_bytes();
            let mut alloc = frontend(43, size, &[(12, &class), (params_bytes_at, &params)], 0);
            (alloc.call.memory_bytes, alloc.call.flags) = (64 * MIB, alloc.call.flags | flag::PARAMS);
            let told = told(&alloc);
            assert_eq!((told.rm_class, told.length_bytes, told.nv_status), (Some(0x40), expected, Some(0)));
        }
    }
    let channel = told(&frontend(43, 48, &[(12, &0xc86f_u32.to_le_bytes())], 0));
    assert_eq!((channel.rm_class, channel.length_bytes), (Some(0xc86f), None));
}

#[test]
fn each_call_about_memory_has_its_length() {
    let length = (4 * MIB).to_le_bytes();
    let limit = (4 * MIB - 1).to_le_bytes();
    let function = |number: u32| number.to_le_bytes();
    for (nr, size, at, bytes) in [
        (39, 56, 32, &limit),
        (78, 56, 24, &length),
        (84, 56, 40, &limit),
        (87, 64, 24, &length),
        (87, 56, 24, &length),
        (88, 48, 32, &length),
        (217, 2608, 24, &length),
    ] {
        let told = told(&frontend(nr, size, &[(at, bytes)], 0));
        assert_eq!((told.length_bytes, told.size_bytes), (Some(4 * MIB), Some(size)), "{nr}");
    }
    for (number, at, bytes) in [(2, 88, &length), (14, 80, &length), (27, 72, &limit)] {
        let heap = frontend(74, 184, &[(8, &function(number)), (at, bytes)], 0);
        assert_eq!(told(&heap).length_bytes, Some(4 * MIB), "function {number}");
    }
    assert_eq!(told(&frontend(74, 184, &[(8, &function(3)), (88, &length)], 0)).length_bytes, None, "a free");
    // An unmapping of the whole of a mapping before 550, and a limit of nothing.
    assert_eq!(told(&frontend(88, 40, &[], 0)).length_bytes, None);
    assert_eq!(told(&frontend(39, 56, &[], 0)).length_bytes, None);
}

#[test]
fn a_unified_memory_call_is_never_taken_for_an_escape() {
    let length = (2 * MIB).to_le_bytes();
    let bytes: &[(usize, &[u8])] = &[(8, &length), (8, &length)];
    let call = record(device::UVM, 73, 0, bytes, Some(0));
    let told_of = told(&call);
    assert_eq!((told_of.name, told_of.length_bytes), (Some("UVM_CREATE_EXTERNAL_RANGE"), Some(2 * MIB)));
    assert_eq!((told_of.size_bytes, told_of.rm_cmd, told_of.nv_status), (None, None, Some(0)));
    let number_of_control = told(&record(device::UVM, 42, 0, bytes, Some(0)));
    assert_eq!(
        (number_of_control.name, number_of_control.rm_cmd),
        (Some("UVM_SET_PREFERRED_LOCATION"), None)
    );
}

#[test]
fn what_could_not_be_read_is_null_and_counted() {
    let mut control = frontend(42, 32, &[(8, &[1; 4])], 0);
    control.call.flags = flag::SHAPE | flag::UNREAD;
    let told_of = told(&control);
    assert_eq!((told_of.name, told_of.rm_cmd, told_of.nv_status), (Some("NV_ESC_RM_CONTROL"), None, None));
    assert_eq!(told_of.counts.unread, 1);
    // Not even which call it is: the structure that tells it was not in memory.
    let mut opaque = frontend(XFER, XFER_BYTES, &[], 0);
    opaque.call.flags = flag::UNREAD;
    assert_eq!((told(&opaque).name, told(&opaque).size_bytes), (Some("NV_ESC_IOCTL_XFER_CMD"), None));
}

#[test]
fn another_layout_yields_the_name_and_nothing_else() {
    let mut control = frontend(42, 40, &[(8, &[1; 4])], 0);
    control.call.flags = 0;
    let told_of = told(&control);
    assert_eq!(
        (told_of.name, told_of.rm_cmd, told_of.counts.other_layout),
        (Some("NV_ESC_RM_CONTROL"), None, 1)
    );
    let mut free = record(device::UVM, 34, 0, &[], None);
    free.call.flags = 0;
    let newer = DriverVersion::parse("700.10");
    assert_eq!(decode(&free, newer.as_ref()).counts.other_driver, 1);
    assert_eq!(decode(&free, h100().as_ref()).counts.other_driver, 0);
    let mut beyond = frontend(0x142, 32, &[], 0);
    beyond.call.flags = flag::XFER;
    assert_eq!(told(&beyond).name, None, "an escape's number is a byte");
}

#[test]
fn a_failed_call_has_a_status_only_where_the_driver_wrote_one() {
    let mut control = frontend(42, 32, &[(28, &0_u32.to_le_bytes())], 0x1f);
    control.span.ret = -22;
    assert_eq!(told(&control).nv_status, Some(0x1f));
    control.call.status = 0;
    assert_eq!((told(&control).nv_status, told(&control).counts.status_uncertain), (None, 1));
    // Beyond the bytes that were read before it there is nothing to compare with.
    let mut export = frontend(217, 2608, &[], 0x1f);
    export.span.ret = -22;
    assert_eq!(told(&export).nv_status, None);
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(
        device in 0_u32..4,
        nr in 0_u32..300,
        size in prop_oneof![0_u32..4096, any::<u32>()],
        flags in any::<u32>(),
        head in proptest::collection::vec(any::<u8>(), HEAD),
        status in any::<u32>(),
        ret in any::<i64>(),
        driver in prop_oneof![Just("515.43.04"), Just("580.159.04"), Just("700.1"), Just("")],
    ) {
        let mut call = record(device, nr, size, &[(0, &head)], Some(status));
        (call.call.flags, call.span.ret) = (flags, ret);
        let told = decode(&call, DriverVersion::parse(driver).as_ref());
        prop_assert!(flags & flag::HEAD != 0 || (told.rm_cmd.is_none() && told.rm_class.is_none()));
        prop_assert!(flags & flag::STATUS != 0 || told.nv_status.is_none());
    }
}
