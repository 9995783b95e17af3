//! What a call's structure says: a pure function of the bytes that the kernel half copied.

use std::ops::AddAssign;

use hostprof_common::nvidia::{CLASS_AT, Call, Ioctl, MEMORY_SIZE_AT, XFER, XFER_BYTES, device, flag};

use super::{
    names,
    structures::{self, ALLOC, DriverVersion, Structure},
};

const ALLOC_MEMORY: u32 = 39;
const CONTROL: u32 = 42;
const VID_HEAP: u32 = 74;
/// Where a control has its command, and the heap call its function.
const COMMAND_AT: usize = 8;
const FUNCTION_AT: usize = 8;
/// `NVOS32_FUNCTION_ALLOC_SIZE`, `_ALLOC_SIZE_RANGE` and `_ALLOC_OS_DESCRIPTOR`, and where each has its size; the
/// last has that less one.
const ALLOC_SIZE: (u32, usize) = (2, 88);
const ALLOC_SIZE_RANGE: (u32, usize) = (14, 80);
const ALLOC_OS_DESCRIPTOR: (u32, usize) = (27, 72);

/// What a call's structure says; `None` where it has no such thing, or was not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The call's name.
    pub name: Option<&'static str>,
    /// The command of a control.
    pub rm_cmd: Option<u32>,
    /// The class of an allocation.
    pub rm_class: Option<u32>,
    /// The structure's size.
    pub size_bytes: Option<u32>,
    /// Bytes of memory that the call is about.
    pub length_bytes: Option<u64>,
    /// The driver's status.
    pub nv_status: Option<u32>,
    /// Why something is missing that the call has.
    pub counts: NvidiaCounts,
}

/// Calls of the NVIDIA driver, and those that are not told in full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NvidiaCounts {
    /// Calls.
    pub calls: u64,
    /// A part of the structure could not be read.
    pub unread: u64,
    /// The structure has a size that no known layout has.
    pub other_layout: u64,
    /// Calls that have no size in their request, of a driver whose layouts are not known.
    pub other_driver: u64,
    /// The call failed, and whether the driver wrote the status is not certain.
    pub status_uncertain: u64,
}

impl AddAssign for NvidiaCounts {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.unread += other.unread;
        self.other_layout += other.other_layout;
        self.other_driver += other.other_driver;
        self.status_uncertain += other.status_uncertain;
    }
}

/// What a call says, of this driver.
pub fn decode(record: &Ioctl, driver: Option<&DriverVersion>) -> Told {
    let call = &record.call;
    let is_frontend = call.device == device::FRONTEND;
    let name = if is_frontend { names::escape(call.nr) } else { names::uvm(call.nr) };
    // What should have named the real call could not be read.
    let is_opaque = is_frontend
        && call.nr == XFER
        && call.size == XFER_BYTES
        && call.flags & (flag::XFER | flag::UNREAD) == flag::UNREAD;
    let mut told = Told {
        // An escape is a byte; what a structure calls one may be more.
        name: name.filter(|_| !is_frontend || call.nr <= 0xff),
        size_bytes: (is_frontend && call.size != 0 && !is_opaque).then_some(call.size),
        ..Told::default()
    };
    told.counts.calls = 1;
    told.counts.unread = u64::from(call.flags & flag::UNREAD != 0);
    if call.flags & flag::SHAPE == 0 {
        let is_other = told.name.is_some_and(|name| structures::has_other_layout(name, told.size_bytes));
        told.counts.other_layout = u64::from(is_other);
        let is_uncertain = !driver.is_some_and(DriverVersion::is_checked);
        told.counts.other_driver = u64::from(!is_frontend && told.name.is_some() && is_uncertain);
        return told;
    }
    let structure = structures::of(driver).find(|structure| {
        let same = structure.device == call.device && structure.nr == call.nr;
        same && (!is_frontend || structure.size == call.size)
    });
    let Some(structure) = structure else { return told };
    if call.flags & flag::HEAD != 0 {
        fields(&mut told, call, structure, is_frontend);
    }
    if call.flags & flag::STATUS != 0 {
        told.nv_status = status(record, structure);
        told.counts.status_uncertain = u64::from(told.nv_status.is_none());
    }
    told
}

fn fields(told: &mut Told, call: &Call, structure: &Structure, is_frontend: bool) {
    let word = |at: usize| call.head.get(at..at + 4)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let long = |at: usize| call.head.get(at..at + 8)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    // 0 is how a structure says that it has none.
    let plus_one = |limit: u64| if limit == 0 { None } else { limit.checked_add(1) };
    let length = structure.length.and_then(|at| long(at as usize));
    let limit = structure.limit.and_then(|at| long(at as usize)).and_then(plus_one);
    told.length_bytes = length.or(limit);
    if !is_frontend {
        return;
    }
    match call.nr {
        CONTROL => told.rm_cmd = word(COMMAND_AT),
        ALLOC_MEMORY => told.rm_class = word(CLASS_AT),
        ALLOC => {
            told.rm_class = word(CLASS_AT);
            told.length_bytes = memory_bytes(call, structure, &word);
        }
        VID_HEAP => {
            told.length_bytes = match word(FUNCTION_AT) {
                Some(function) if function == ALLOC_SIZE.0 => long(ALLOC_SIZE.1),
                Some(function) if function == ALLOC_SIZE_RANGE.0 => long(ALLOC_SIZE_RANGE.1),
                Some(function) if function == ALLOC_OS_DESCRIPTOR.0 => {
                    long(ALLOC_OS_DESCRIPTOR.1).and_then(plus_one)
                }
                _ => None,
            };
        }
        _ => {}
    }
}

/// The size in an allocation's parameters, unless they say that they are too short to have one.
fn memory_bytes(call: &Call, structure: &Structure, word: &impl Fn(usize) -> Option<u32>) -> Option<u64> {
    // NVOS64 and NVOS21 since 535: the parameters' size, or 0 for what the class takes.
    let size_at = match (structure.size, structure.status) {
        (48, _) => Some(32),
        (32, Some(28)) => Some(24),
        _ => None,
    };
    let params_bytes = size_at.and_then(word).unwrap_or(0);
    let has_size = params_bytes == 0 || u64::from(params_bytes) >= MEMORY_SIZE_AT + 8;
    (call.flags & flag::PARAMS != 0 && has_size).then_some(call.memory_bytes)
}

/// The driver's status. Where the call itself failed, the driver may not have come to write one: then what stands there
/// is its status only if it was something else before.
fn status(record: &Ioctl, structure: &Structure) -> Option<u32> {
    let call = &record.call;
    if record.span.ret >= 0 {
        return Some(call.status);
    }
    let at = structure.status? as usize;
    let before = call.head.get(at..at + 4).filter(|_| call.flags & flag::HEAD != 0)?;
    (before != call.status.to_le_bytes()).then_some(call.status)
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
