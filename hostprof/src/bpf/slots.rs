//! What the kernel half keeps of each recorded thread, read while it changes.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
    sync::Arc,
};

use aya::maps::{Array, IterableMap as _, MapData};
use aya_obj::generated::bpf_attr;
use hostprof_common::slot::{Slot, given_out};

use super::error::{LoadError, refused};

/// `BPF_MAP_LOOKUP_BATCH`; arrays have it since Linux 5.6.
const LOOKUP_BATCH: libc::c_long = 24;

/// The slots; a clone reads the same.
#[derive(Clone)]
pub struct Slots {
    slots: Arc<Array<MapData, Slot>>,
    given_out: Arc<Array<MapData, u64>>,
}

impl Slots {
    pub(super) fn new(slots: Array<MapData, Slot>, given_out: Array<MapData, u64>) -> Self {
        Self { slots: Arc::new(slots), given_out: Arc::new(given_out) }
    }

    /// Those of threads that are recorded now. Each is read as a whole, one after the other.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn read(&self) -> Result<Vec<Slot>, LoadError> {
        let used =
            self.given_out.get(&given_out::SLOTS, 0).map_err(|error| refused("read the slots", &error))?;
        // The first is of no thread.
        let count = u32::try_from(used).unwrap_or(u32::MAX).saturating_add(1).min(self.slots.len());
        let mut slots = self.first(count)?;
        slots.retain(|slot| slot.utid != 0);
        Ok(slots)
    }

    /// The first so many, in one call: a call for each costs more than all else that a view does.
    fn first(&self, count: u32) -> Result<Vec<Slot>, LoadError> {
        let mut keys = vec![0_u32; count as usize];
        let mut slots: Vec<Slot> = Vec::with_capacity(count as usize);
        let mut next = 0_u32;
        // SAFETY: integers only, for which zero bytes are a value.
        let mut attributes: bpf_attr = unsafe { std::mem::zeroed() };
        attributes.batch.out_batch = (&raw mut next) as u64;
        attributes.batch.keys = keys.as_mut_ptr() as u64;
        attributes.batch.values = slots.as_mut_ptr() as u64;
        attributes.batch.count = count;
        attributes.batch.map_fd = self.slots.map().fd().as_fd().as_raw_fd().cast_unsigned();
        // SAFETY: all of it is alive, and has room for as many as is said.
        let done =
            unsafe { libc::syscall(libc::SYS_bpf, LOOKUP_BATCH, &raw mut attributes, size_of::<bpf_attr>()) };
        let error = io::Error::last_os_error();
        // That there are no more is no failure.
        if done < 0 && error.raw_os_error() != Some(libc::ENOENT) {
            return Err(LoadError::Io { action: "read the slots", source: error });
        }
        // SAFETY: the kernel has written so many, and says so in the member that was read from.
        unsafe { slots.set_len(attributes.batch.count.min(count) as usize) };
        Ok(slots)
    }
}
