//! A library in the place of the driver's `libnvidia-ml.so.1`: the calls that hostprof makes, with values that tests
//! know. It is loaded as that is, through `HOSTPROF_NVML`.
//!
//! Two GPUs, of which 0 computes and 1 idles. The variable `FAKE_NVML` changes that, by words joined with commas:
//! `pid=N` a process on GPU 0; `unsupported` no power, ECC, or process shares; `no-gpm`; `nan` tensor use is no number;
//! `lost=N` GPU 1 falls off the bus at the Nth reading of its load; `slow=MS` readings of load take so long;
//! `mig` GPU 0 is divided in two instances; `no-driver` it does not start.

#![allow(non_snake_case, reason = "the names are NVML's")]
#![allow(
    clippy::missing_safety_doc,
    clippy::undocumented_unsafe_blocks,
    reason = "called by hostprof alone, as NVML is"
)]

mod gpm;
mod processes;
mod script;

use std::ffi::{CString, c_char, c_int, c_uint};

use nvml_wrapper_sys::bindings::{
    nvmlFieldValue_t, nvmlMemory_t, nvmlMemory_v2_t, nvmlPciInfo_t, nvmlReturn_t, nvmlUtilization_t,
};
use script::{has, number, unit};

pub const SUCCESS: nvmlReturn_t = 0;
pub const INVALID_ARGUMENT: nvmlReturn_t = 2;
pub const NOT_SUPPORTED: nvmlReturn_t = 3;
pub const NOT_FOUND: nvmlReturn_t = 6;
pub const INSUFFICIENT_SIZE: nvmlReturn_t = 7;
pub const DRIVER_NOT_LOADED: nvmlReturn_t = 9;
pub const GPU_LOST: nvmlReturn_t = 15;

/// A device is its number and 1, so that none is null; an instance of GPU 0 its number and 100.
pub type Device = usize;

unsafe fn text(room: *mut c_char, length: c_uint, text: &str) -> nvmlReturn_t {
    let text = CString::new(text).unwrap_or_default();
    let bytes = text.as_bytes_with_nul();
    if bytes.len() > length as usize {
        return INSUFFICIENT_SIZE;
    }
    unsafe { room.copy_from_nonoverlapping(bytes.as_ptr().cast(), bytes.len()) };
    SUCCESS
}

unsafe fn give<T>(room: *mut T, value: T) -> nvmlReturn_t {
    unsafe { room.write(value) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> nvmlReturn_t {
    if has("no-driver") { DRIVER_NOT_LOADED } else { SUCCESS }
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> nvmlReturn_t {
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetDriverVersion(room: *mut c_char, length: c_uint) -> nvmlReturn_t {
    unsafe { text(room, length, "580.159.04") }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetNVMLVersion(room: *mut c_char, length: c_uint) -> nvmlReturn_t {
    unsafe { text(room, length, "13.580.159.04") }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> nvmlReturn_t {
    unsafe { give(count, 2) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, device: *mut Device) -> nvmlReturn_t {
    if index > 1 {
        return INVALID_ARGUMENT;
    }
    unsafe { give(device, index as usize + 1) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetName(
    device: Device,
    room: *mut c_char,
    length: c_uint,
) -> nvmlReturn_t {
    unsafe { text(room, length, &format!("Fake H100 {}", unit(device))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMinorNumber(device: Device, minor: *mut c_uint) -> nvmlReturn_t {
    unsafe { give(minor, unit(device)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetPciInfo_v3(device: Device, pci: *mut nvmlPciInfo_t) -> nvmlReturn_t {
    unsafe {
        pci.write(std::mem::zeroed());
        let room = (&raw mut (*pci).busId).cast();
        text(room, 32, &format!("00000000:{:02X}:00.0", 0x18 + unit(device)))
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetUtilizationRates(
    device: Device,
    rates: *mut nvmlUtilization_t,
) -> nvmlReturn_t {
    if let Some(milliseconds) = number("slow") {
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
    }
    if device == 2 && script::is_lost() {
        return GPU_LOST;
    }
    match device {
        1 if has("mig") => NOT_SUPPORTED,
        1 => unsafe { give(rates, nvmlUtilization_t { gpu: 99, memory: 45 }) },
        2 => unsafe { give(rates, nvmlUtilization_t { gpu: 0, memory: 0 }) },
        _ => NOT_SUPPORTED,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(
    device: Device,
    memory: *mut nvmlMemory_v2_t,
) -> nvmlReturn_t {
    let (used, total) = script::memory(device);
    let version = size_of::<nvmlMemory_v2_t>() as u32 | 2 << 24;
    if unsafe { (*memory).version } != version {
        return INVALID_ARGUMENT;
    }
    unsafe { give(memory, nvmlMemory_v2_t { version, total, reserved: 0, free: total - used, used }) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryInfo(device: Device, memory: *mut nvmlMemory_t) -> nvmlReturn_t {
    let (used, total) = script::memory(device);
    unsafe { give(memory, nvmlMemory_t { total, free: total - used, used }) }
}

/// For calls that tell one number of a GPU, and none of an instance.
macro_rules! of_gpu {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty = $computing:expr, $idle:expr $(, $word:literal)?;)+) => { $(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(device: Device, $($argument: $type,)* room: *mut $result) -> nvmlReturn_t {
            $( let _ = $argument; )*
            $( if has($word) { return NOT_SUPPORTED; } )?
            match device {
                1 => unsafe { give(room, $computing) },
                2 => unsafe { give(room, $idle) },
                _ => NOT_SUPPORTED,
            }
        }
    )+ };
}

of_gpu! {
    nvmlDeviceGetPowerUsage() -> c_uint = 650_000, 70_000, "unsupported";
    nvmlDeviceGetEnforcedPowerLimit() -> c_uint = 700_000, 700_000, "unsupported";
    nvmlDeviceGetTotalEnergyConsumption() -> u64 = script::milliseconds() * 650, script::milliseconds() * 70;
    nvmlDeviceGetClockInfo(kind: c_uint) -> c_uint = if kind == 1 { 1755 } else { 2619 }, if kind == 1 { 345 } else { 2619 };
    nvmlDeviceGetTemperature(sensor: c_uint) -> c_uint = 61, 33;
    nvmlDeviceGetCurrentClocksThrottleReasons() -> u64 = 0x4, 0x1;
    nvmlDeviceGetTotalEccErrors(kind: c_uint, since: c_uint) -> u64 = u64::from(kind == 0), 0, "unsupported";
    nvmlDeviceGetPcieReplayCounter() -> c_uint = 0, 0;
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetFieldValues(
    device: Device,
    count: c_int,
    values: *mut nvmlFieldValue_t,
) -> nvmlReturn_t {
    const MEMORY_TEMPERATURE: u32 = 82;
    const NVLINK_TX: u32 = 138;
    const NVLINK_RX: u32 = 139;
    const PCIE_TX: u32 = 197;
    const PCIE_RX: u32 = 198;
    for at in 0..count as usize {
        let field = unsafe { &mut *values.add(at) };
        let all_links = field.scopeId == u32::MAX;
        let told = match field.fieldId {
            _ if device > 2 => None,
            MEMORY_TEMPERATURE => Some(48),
            PCIE_TX => Some(script::milliseconds() * 1000),
            PCIE_RX => Some(script::milliseconds() * 2000),
            NVLINK_TX if all_links && device == 1 => Some(4),
            NVLINK_RX if all_links && device == 1 => Some(8),
            _ => None,
        };
        match told {
            // Type 3: an unsigned long long.
            Some(value) => (field.valueType, field.value.ullVal, field.nvmlReturn) = (3, value, SUCCESS),
            None => field.nvmlReturn = NOT_SUPPORTED,
        }
    }
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigMode(
    device: Device,
    current: *mut c_uint,
    pending: *mut c_uint,
) -> nvmlReturn_t {
    let on = u32::from(has("mig") && device == 1);
    unsafe {
        give(pending, on);
        give(current, on)
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMaxMigDeviceCount(_: Device, count: *mut c_uint) -> nvmlReturn_t {
    unsafe { give(count, 7) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(
    device: Device,
    index: c_uint,
    instance: *mut Device,
) -> nvmlReturn_t {
    if device != 1 || !has("mig") || index > 1 {
        return NOT_FOUND;
    }
    unsafe { give(instance, 100 + index as usize) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetGpuInstanceId(instance: Device, id: *mut c_uint) -> nvmlReturn_t {
    unsafe { give(id, script::gpu_instance(instance)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetComputeInstanceId(_: Device, id: *mut c_uint) -> nvmlReturn_t {
    unsafe { give(id, 0) }
}
