//! alloc-heavy: memory is allocated and freed, again and again, in one of four ways.

use anyhow::{Context, Result};
use cudarc::driver::{
    result::{self, DriverError},
    sys,
};

use super::{Alloc, gpu::failed, worker::Worker};

pub(super) fn run(worker: &mut Worker<'_>) -> Result<()> {
    let bytes = worker.plan.size as usize;
    let range = match worker.plan.alloc {
        Alloc::Vmm => {
            Some(Range::reserve(worker.gpu.device(), bytes).map_err(failed).context("reserve a range")?)
        }
        _ => None,
    };
    let bytes = range.as_ref().map_or(bytes, |range| range.bytes);
    while worker.goes_on() {
        let stream = worker.stream(worker.counts.operations);
        pair(worker.plan.alloc, bytes, stream, range.as_ref())
            .map_err(failed)
            .context("allocate and free")?;
        worker.counts.allocations += 1;
        worker.counts.frees += 1;
        worker.counts.bytes += bytes as u64;
        worker.counts.operations += 1;
    }
    if worker.plan.alloc == Alloc::Pool { worker.wait_for_all() } else { Ok(()) }
}

/// One allocation and its free.
fn pair(kind: Alloc, bytes: usize, stream: sys::CUstream, range: Option<&Range>) -> Result<(), DriverError> {
    // SAFETY: what is freed is what was allocated the line before, and nothing uses it.
    unsafe {
        match (kind, range) {
            (Alloc::Vmm, Some(range)) => range.map_and_unmap(),
            (Alloc::Device | Alloc::Vmm, _) => result::free_sync(result::malloc_sync(bytes)?),
            (Alloc::Pool, _) => result::free_async(result::malloc_async(stream, bytes)?, stream),
            (Alloc::Pinned, _) => result::free_host(result::malloc_host(bytes, 0)?),
        }
    }
}

/// Addresses without memory.
struct Range {
    address: sys::CUdeviceptr,
    /// The size that was asked for, rounded up to what memory comes in.
    bytes: usize,
    memory: sys::CUmemAllocationProp,
    access: sys::CUmemAccessDesc,
}

impl Range {
    fn reserve(device: sys::CUdevice, bytes: usize) -> Result<Self, DriverError> {
        let location =
            sys::CUmemLocation { type_: sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE, id: device };
        // SAFETY: plain numbers and a null pointer, for which zero is a value.
        let mut memory: sys::CUmemAllocationProp = unsafe { std::mem::zeroed() };
        memory.type_ = sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED;
        memory.location = location;
        let access = sys::CUmemAccessDesc {
            location,
            flags: sys::CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
        };
        let (mut grain, mut address) = (0, 0);
        let least = sys::CUmemAllocationGranularity_flags::CU_MEM_ALLOC_GRANULARITY_MINIMUM;
        // SAFETY: room for the answers, and a description that lives as long as the calls.
        let bytes = unsafe {
            sys::cuMemGetAllocationGranularity(&raw mut grain, &raw const memory, least).result()?;
            let bytes = bytes.next_multiple_of(grain.max(1));
            sys::cuMemAddressReserve(&raw mut address, bytes, 0, 0, 0).result()?;
            bytes
        };
        Ok(Self { address, bytes, memory, access })
    }

    /// Memory is made, mapped, made accessible, unmapped and given back.
    fn map_and_unmap(&self) -> Result<(), DriverError> {
        let mut handle = 0;
        // SAFETY: the range is this one's, and nothing uses what is mapped there.
        unsafe {
            sys::cuMemCreate(&raw mut handle, self.bytes, &raw const self.memory, 0).result()?;
            sys::cuMemMap(self.address, self.bytes, 0, handle, 0).result()?;
            sys::cuMemSetAccess(self.address, self.bytes, &raw const self.access, 1).result()?;
            sys::cuMemUnmap(self.address, self.bytes).result()?;
            sys::cuMemRelease(handle).result()
        }
    }
}
