//! The processes of GPU 0.

use std::ffi::c_uint;

use nvml_wrapper_sys::bindings::{nvmlProcessInfo_t, nvmlProcessUtilizationSample_t, nvmlReturn_t};

use crate::{Device, INSUFFICIENT_SIZE, NOT_FOUND, NOT_SUPPORTED, SUCCESS, script};

/// The process that shares GPU 0 with the one that `pid=N` tells: no process has so high a number.
const ANOTHER: u32 = 4_194_305;
const NO_INSTANCE: u32 = u32::MAX;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: Device,
    count: *mut c_uint,
    room: *mut nvmlProcessInfo_t,
) -> nvmlReturn_t {
    let pid = script::number("pid").filter(|_| device == 1);
    let instance = if script::has("mig") { script::gpu_instance(101) } else { NO_INSTANCE };
    let process = |pid, bytes| nvmlProcessInfo_t {
        pid,
        usedGpuMemory: bytes,
        gpuInstanceId: instance,
        computeInstanceId: if instance == NO_INSTANCE { NO_INSTANCE } else { 0 },
    };
    let all: Vec<_> =
        pid.into_iter().flat_map(|pid| [process(pid as u32, 40 << 30), process(ANOTHER, 18 << 30)]).collect();
    unsafe { list(&all, count, room) }
}

unsafe fn list<T: Copy>(all: &[T], count: *mut c_uint, room: *mut T) -> nvmlReturn_t {
    let space = unsafe { *count } as usize;
    unsafe { *count = all.len() as c_uint };
    if space < all.len() {
        return INSUFFICIENT_SIZE;
    }
    if !all.is_empty() {
        unsafe { room.copy_from_nonoverlapping(all.as_ptr(), all.len()) };
    }
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    _: Device,
    count: *mut c_uint,
    room: *mut nvmlProcessInfo_t,
) -> nvmlReturn_t {
    unsafe { list(&[], count, room) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetProcessUtilization(
    device: Device,
    room: *mut nvmlProcessUtilizationSample_t,
    count: *mut c_uint,
    seen: u64,
) -> nvmlReturn_t {
    if script::has("unsupported") {
        return NOT_SUPPORTED;
    }
    let Some(pid) = script::number("pid").filter(|_| device == 1) else { return NOT_FOUND };
    let period = |pid, at: u64, share| nvmlProcessUtilizationSample_t {
        pid,
        timeStamp: seen + at,
        smUtil: share,
        memUtil: 30,
        encUtil: 0,
        decUtil: 0,
    };
    // An older period, a newer one, and a number that is none.
    let all = [period(pid as u32, 1, 10), period(pid as u32, 2, 70), period(ANOTHER, 2, 10_000)];
    unsafe { list(&all, count, room) }
}
