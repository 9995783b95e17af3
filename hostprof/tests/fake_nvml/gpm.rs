//! GPM: a sample is the device and when it was taken. Two that are closer together than 100 ms end the process, since
//! the real counters give nonsense then.

use std::{
    collections::HashMap,
    ffi::c_uint,
    sync::{LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

use nvml_wrapper_sys::bindings::{nvmlGpmMetricsGet_t, nvmlGpmSupport_t, nvmlReturn_t};

use crate::{Device, INVALID_ARGUMENT, NOT_SUPPORTED, SUCCESS, give, script};

/// What is behind a sample's pointer: an instance is its number and 1000.
#[derive(Clone, Copy)]
pub struct Taken {
    of: usize,
    at: Option<Instant>,
}

static LAST: LazyLock<Mutex<HashMap<usize, Instant>>> = LazyLock::new(Mutex::default);

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmQueryDeviceSupport(
    _: Device,
    support: *mut nvmlGpmSupport_t,
) -> nvmlReturn_t {
    unsafe { (*support).isSupportedDevice = u32::from(!script::has("no-gpm")) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmSampleAlloc(sample: *mut *mut Taken) -> nvmlReturn_t {
    unsafe { give(sample, Box::into_raw(Box::new(Taken { of: 0, at: None }))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmSampleFree(sample: *mut Taken) -> nvmlReturn_t {
    drop(unsafe { Box::from_raw(sample) });
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmSampleGet(device: Device, sample: *mut Taken) -> nvmlReturn_t {
    unsafe { take(device, sample) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmMigSampleGet(
    device: Device,
    instance: c_uint,
    sample: *mut Taken,
) -> nvmlReturn_t {
    if device != 1 || !script::has("mig") {
        return INVALID_ARGUMENT;
    }
    unsafe { take(1000 + instance as usize, sample) }
}

unsafe fn take(of: usize, sample: *mut Taken) -> nvmlReturn_t {
    let now = Instant::now();
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).insert(of, now);
    if last.is_some_and(|last| now - last < Duration::from_millis(100)) {
        eprintln!("fake NVML: two samples of GPM within 100 ms");
        std::process::abort();
    }
    unsafe { give(sample, Taken { of, at: Some(now) }) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmMetricsGet(request: *mut nvmlGpmMetricsGet_t) -> nvmlReturn_t {
    let request = unsafe { &mut *request };
    let first = unsafe { *request.sample1.cast::<Taken>() };
    let second = unsafe { *request.sample2.cast::<Taken>() };
    if first.of != second.of || first.at >= second.at {
        return INVALID_ARGUMENT;
    }
    for metric in &mut request.metrics[..request.numMetrics as usize] {
        metric.nvmlReturn = SUCCESS;
        match value(metric.metricId, first.of) {
            Some(value) => metric.value = value,
            None => metric.nvmlReturn = NOT_SUPPORTED,
        }
    }
    SUCCESS
}

/// Percent, or MiB/s: of GPU 0 what an H100 gave during matrix products of 8192² in bf16.
fn value(metric: c_uint, of: usize) -> Option<f64> {
    let computing = match metric {
        1 => 99.0,
        2 => 95.6,
        3 => 14.1,
        5 if script::has("nan") => f64::NAN,
        5 => 92.8,
        10 => 23.8,
        11..=13 => 0.5,
        20 => 5.3,
        21 => 15.0,
        // No NVLink.
        _ => return None,
    };
    match of {
        1 => Some(computing),
        2 => Some(0.0),
        _ => Some(computing / 2.0),
    }
}
