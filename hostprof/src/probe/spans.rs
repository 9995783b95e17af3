//! A call that returned, as a row.

use std::{borrow::Cow, fmt::Write as _};

use hostprof_common::{
    nvidia::{Ioctl, flag},
    span::{OFF_CPU_UNKNOWN, Span},
};

use super::{
    Devices,
    nvidia::{self, NvidiaCounts},
    syscalls,
};
use crate::table::{GpuIoctlRow, SyscallRow, ThreadRow};

/// `_IOC_DIRSHIFT`, `_IOC_SIZESHIFT` and `_IOC_SIZEMASK` of `uapi/asm-generic/ioctl.h`.
const DIRECTION_SHIFT: u32 = 30;
const SIZE_SHIFT: u32 = 16;
const SIZE_MASK: u32 = 0x3fff;

/// A row of `gpu_ioctl`.
pub fn gpu_ioctl(span: &Span, thread: &ThreadRow, devices: &Devices) -> GpuIoctlRow {
    let request = span.args[1] as u32;
    GpuIoctlRow {
        ts_mono_ns: span.enter_ns,
        tid: thread.tid,
        tgid: thread.tgid,
        device: devices.name(span.rdev),
        fd: span.args[0] as i32,
        request,
        size_bytes: (request >> DIRECTION_SHIFT != 0).then_some(request >> SIZE_SHIFT & SIZE_MASK),
        arg: span.args[2],
        dur_ns: span.exit_ns.saturating_sub(span.enter_ns),
        off_cpu_ns: off_cpu_ns(span),
        ret: span.ret,
        ..GpuIoctlRow::default()
    }
}

/// A row of `gpu_ioctl` for a call of the NVIDIA driver, and what of it could not be told.
pub fn nvidia_ioctl(ioctl: &Ioctl, thread: &ThreadRow, devices: &Devices) -> (GpuIoctlRow, NvidiaCounts) {
    let told = nvidia::decode(ioctl, devices.driver());
    let call = &ioctl.call;
    let kept = call.flags & flag::EXIT != 0;
    let bytes = |bytes: &[u8]| {
        bytes.iter().take(call.head_bytes as usize).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    let row = GpuIoctlRow {
        name: told.name.map(Cow::Borrowed),
        rm_cmd: told.rm_cmd,
        rm_cmd_name: told.rm_cmd.and_then(nvidia::command).map(Cow::Borrowed),
        rm_class: told.rm_class,
        rm_class_name: told.rm_class.and_then(nvidia::class).map(Cow::Borrowed),
        size_bytes: told.size_bytes,
        length_bytes: told.length_bytes,
        nv_status: told.nv_status,
        nv_status_name: told.nv_status.and_then(nvidia::status).map(Cow::Borrowed),
        enter_bytes: (kept && call.flags & flag::HEAD != 0).then(|| bytes(&call.head)),
        exit_bytes: kept.then(|| bytes(&ioctl.exit)),
        ..gpu_ioctl(&ioctl.span, thread, devices)
    };
    (row, told.counts)
}

/// A row of `syscall`.
pub fn syscall(span: &Span, thread: &ThreadRow) -> SyscallRow {
    let has = syscalls::arguments(span.nr);
    let arg = |at: usize| (at < has).then(|| span.args[at]);
    SyscallRow {
        ts_mono_ns: span.enter_ns,
        tid: thread.tid,
        tgid: thread.tgid,
        name: syscalls::name(span.nr),
        syscall_nr: span.nr,
        dur_ns: span.exit_ns.saturating_sub(span.enter_ns),
        off_cpu_ns: off_cpu_ns(span),
        ret: span.ret,
        arg0: arg(0),
        arg1: arg(1),
        arg2: arg(2),
        arg3: arg(3),
    }
}

fn off_cpu_ns(span: &Span) -> Option<u64> {
    (span.off_cpu_ns != OFF_CPU_UNKNOWN).then_some(span.off_cpu_ns)
}

#[cfg(test)]
mod tests {
    use hostprof_common::nvidia::{Call, HEAD, device};

    use super::*;

    fn span(nr: i32, args: [u64; 4]) -> Span {
        Span { nr, args, enter_ns: 100, exit_ns: 350, off_cpu_ns: 40, ret: -11, ..Span::default() }
    }

    #[test]
    fn a_call_has_its_own_arguments_and_no_others() {
        let row = syscall(&span(11, [0x7000, 4096, 77, 88]), &ThreadRow::default());
        assert_eq!((row.name.as_ref(), row.dur_ns, row.off_cpu_ns, row.ret), ("munmap", 250, Some(40), -11));
        assert_eq!((row.arg0, row.arg1, row.arg2, row.arg3), (Some(0x7000), Some(4096), None, None));
        let unknown = Span { off_cpu_ns: OFF_CPU_UNKNOWN, ..span(9999, [0; 4]) };
        let row = syscall(&unknown, &ThreadRow::default());
        assert_eq!((row.name.as_ref(), row.off_cpu_ns, row.arg3), ("syscall_9999", None, Some(0)));
    }

    #[test]
    fn a_request_tells_its_size_and_a_plain_number_none() {
        let devices = Devices::for_tests(&[((10 << 20) + 232, "kvm")]);
        let row = gpu_ioctl(
            &Span { rdev: (10 << 20) + 232, ..span(16, [7, 0x8004_54cf, 0xbeef, 0]) },
            &ThreadRow::default(),
            &devices,
        );
        assert_eq!((row.device.as_str(), row.fd, row.arg, row.size_bytes), ("kvm", 7, 0xbeef, Some(4)));
        let other = Span { rdev: 136 << 20 | 3, ..span(16, [0, 0x5401, 0, 0]) };
        let row = gpu_ioctl(&other, &ThreadRow::default(), &devices);
        assert_eq!((row.device.as_str(), row.name, row.size_bytes), ("pts/3", None, None));
    }

    #[test]
    fn a_call_of_the_driver_has_what_its_structure_says_beside_what_every_ioctl_has() {
        let mut head = [0; HEAD];
        head[8..12].copy_from_slice(&0x2080_1303_u32.to_le_bytes());
        let ioctl = Ioctl {
            span: Span { rdev: 195 << 20 | 255, ret: 0, ..span(16, [7, 0xc010_46d3, 0xbeef, 0]) },
            call: Call {
                address: 0xf00,
                memory_bytes: 0,
                nr: 42,
                size: 32,
                device: device::FRONTEND,
                flags: flag::XFER | flag::SHAPE | flag::HEAD | flag::STATUS | flag::EXIT,
                status: 0x51,
                status_at: 28,
                head_bytes: 32,
                _pad: 0,
                head,
            },
            exit: [0xab; HEAD],
        };
        let devices = Devices::for_tests(&[(195 << 20 | 255, "nvidiactl")]);
        let (row, counts) = nvidia_ioctl(&ioctl, &ThreadRow::default(), &devices);
        assert_eq!((row.device.as_str(), row.request, row.size_bytes), ("nvidiactl", 0xc010_46d3, Some(32)));
        assert_eq!(row.name.as_deref(), Some("NV_ESC_RM_CONTROL"));
        assert_eq!(row.rm_cmd_name.as_deref(), Some("NV2080_CTRL_CMD_FB_GET_INFO_V2"));
        assert_eq!((row.nv_status, row.nv_status_name.as_deref()), (Some(0x51), Some("NV_ERR_NO_MEMORY")));
        assert_eq!((row.dur_ns, row.off_cpu_ns, counts.calls), (250, Some(40), 1));
        assert_eq!(row.exit_bytes, Some("ab".repeat(32)));
        assert!(row.enter_bytes.is_some_and(|bytes| bytes.len() == 64 && bytes[16..24] == *"03138020"));
    }
}
