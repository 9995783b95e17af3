//! Calls of NVML that its wrapper has not: fields with a scope, and the numbers of an instance. All `unsafe` of the
//! GPU sampler is here.

use nvml_wrapper::{
    Device, Nvml,
    error::{NvmlError, nvml_sym, nvml_try},
};
use nvml_wrapper_sys::bindings::{
    field_id::{
        NVML_FI_DEV_MEMORY_TEMP, NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX,
        NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, NVML_FI_DEV_PCIE_COUNT_RX_BYTES,
        NVML_FI_DEV_PCIE_COUNT_TX_BYTES,
    },
    nvmlFieldValue_t, nvmlValueType_enum_NVML_VALUE_TYPE_DOUBLE,
    nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_LONG_LONG, nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG, nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG,
};

/// Of all links together.
const ALL_LINKS: u32 = u32::MAX;

/// The fields: number, scope, column, and what a value is multiplied by.
const FIELDS: [(u32, u32, &str, u64); 5] = [
    (NVML_FI_DEV_MEMORY_TEMP, 0, "mem_temperature_c", 1),
    (NVML_FI_DEV_PCIE_COUNT_RX_BYTES, 0, "pcie_rx_bytes", 1),
    (NVML_FI_DEV_PCIE_COUNT_TX_BYTES, 0, "pcie_tx_bytes", 1),
    (NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX, ALL_LINKS, "nvlink_rx_bytes", 1024),
    (NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, ALL_LINKS, "nvlink_tx_bytes", 1024),
];

/// Their columns, in the order of the values.
pub const COLUMNS: &[&str; 5] = &[FIELDS[0].2, FIELDS[1].2, FIELDS[2].2, FIELDS[3].2, FIELDS[4].2];

/// Reads them all in one call, each with its own success.
pub fn values(nvml: &Nvml, device: &Device<'_>) -> Result<[Result<u64, NvmlError>; 5], NvmlError> {
    let call = nvml_sym(nvml.lib().nvmlDeviceGetFieldValues.as_ref())?;
    let mut raw = FIELDS.map(|(id, scope, ..)| {
        // SAFETY: plain numbers, for which zero is a value.
        let mut field: nvmlFieldValue_t = unsafe { std::mem::zeroed() };
        (field.fieldId, field.scopeId) = (id, scope);
        field
    });
    // SAFETY: the library's own function, a device it gave, and as many fields as told.
    nvml_try(unsafe { call(device.handle(), raw.len() as i32, raw.as_mut_ptr()) })?;
    let mut at = 0;
    Ok(raw.map(|field| {
        let scale = FIELDS[at].3;
        at += 1;
        nvml_try(field.nvmlReturn)?;
        Ok(number(&field)?.saturating_mul(scale))
    }))
}

/// The value of a field that was read.
fn number(field: &nvmlFieldValue_t) -> Result<u64, NvmlError> {
    // SAFETY: the member that the type tells; every bit pattern of each is a value.
    let value = unsafe {
        #[expect(non_upper_case_globals, reason = "the header's names")]
        match field.valueType {
            nvmlValueType_enum_NVML_VALUE_TYPE_DOUBLE => field.value.dVal as u64,
            nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT => field.value.uiVal.into(),
            nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG => field.value.ulVal,
            nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG => field.value.ullVal,
            nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_LONG_LONG => field.value.sllVal as u64,
            other => return Err(NvmlError::UnexpectedVariant(other)),
        }
    };
    Ok(value)
}

/// The GPU instance and the compute instance of an instance.
pub fn instance(nvml: &Nvml, device: &Device<'_>) -> Result<(u32, u32), NvmlError> {
    let of_gpu = nvml_sym(nvml.lib().nvmlDeviceGetGpuInstanceId.as_ref())?;
    let of_compute = nvml_sym(nvml.lib().nvmlDeviceGetComputeInstanceId.as_ref())?;
    let (mut gpu, mut compute) = (0, 0);
    // SAFETY: the library's own functions, a device it gave, and room for their answers.
    nvml_try(unsafe { of_gpu(device.handle(), &raw mut gpu) })?;
    // SAFETY: as above.
    nvml_try(unsafe { of_compute(device.handle(), &raw mut compute) })?;
    Ok((gpu, compute))
}

/// Memory in use and in all, as an NVML before 510 tells it: the driver's own share counts as used.
pub fn memory_of_old(nvml: &Nvml, device: &Device<'_>) -> Result<(u64, u64), NvmlError> {
    let call = nvml_sym(nvml.lib().nvmlDeviceGetMemoryInfo.as_ref())?;
    let mut memory = nvml_wrapper_sys::bindings::nvmlMemory_t { total: 0, free: 0, used: 0 };
    // SAFETY: the library's own function, a device it gave, and room for its answer.
    nvml_try(unsafe { call(device.handle(), &raw mut memory) })?;
    Ok((memory.used, memory.total))
}
