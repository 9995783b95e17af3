//! What the kernel half keeps of each recorded thread, read while it changes.

use std::sync::Arc;

use aya::maps::{Array, MapData};
use hostprof_common::slot::{Slot, given_out};

use super::{error::LoadError, load::refused};

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
        let mut live = Vec::new();
        let used =
            self.given_out.get(&given_out::SLOTS, 0).map_err(|error| refused("read the slots", &error))?;
        for index in 1..=u32::try_from(used).unwrap_or(u32::MAX).min(self.slots.len() - 1) {
            let slot = self.slots.get(&index, 0).map_err(|error| refused("read the slots", &error))?;
            if slot.utid != 0 {
                live.push(slot);
            }
        }
        Ok(live)
    }
}
