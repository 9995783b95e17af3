//! A call that returned, as a row.

use std::borrow::Cow;

use hostprof_common::span::{OFF_CPU_UNKNOWN, Span};

use super::{Devices, syscalls};
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
        name: devices.request_name(span.rdev, request).map(Cow::Borrowed),
        size_bytes: (!devices.has_plain_requests(span.rdev) && request >> DIRECTION_SHIFT != 0)
            .then_some(request >> SIZE_SHIFT & SIZE_MASK),
        arg: span.args[2],
        dur_ns: span.exit_ns.saturating_sub(span.enter_ns),
        off_cpu_ns: off_cpu_ns(span),
        ret: span.ret,
        ..GpuIoctlRow::default()
    }
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
    fn a_request_tells_its_size_unless_the_device_takes_plain_numbers() {
        let devices = Devices::for_tests(&[(195 << 20 | 255, "nvidiactl"), (238 << 20, "nvidia-uvm")]);
        let control = Span { rdev: 195 << 20 | 255, ..span(16, [7, 0xc020_462a, 0xbeef, 0]) };
        let row = gpu_ioctl(&control, &ThreadRow::default(), &devices);
        assert_eq!((row.device.as_str(), row.fd, row.arg), ("nvidiactl", 7, 0xbeef));
        assert_eq!((row.name.as_deref(), row.size_bytes), (Some("NV_ESC_RM_CONTROL"), Some(32)));
        let unified = Span { rdev: 238 << 20, ..span(16, [8, 39, 0, 0]) };
        let row = gpu_ioctl(&unified, &ThreadRow::default(), &devices);
        assert_eq!((row.name.as_deref(), row.size_bytes), (Some("UVM_PAGEABLE_MEM_ACCESS"), None));
        let other = Span { rdev: 136 << 20 | 3, ..span(16, [0, 0x5401, 0, 0]) };
        let row = gpu_ioctl(&other, &ThreadRow::default(), &devices);
        assert_eq!((row.device.as_str(), row.name, row.size_bytes), ("pts/3", None, None));
    }
}
