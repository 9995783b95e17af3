//! The role of a thread, told when its row is written.

use crate::{probe::Life, table::ThreadRow, target::Proc};

/// What tells roles.
pub struct Roles {
    _proc: Proc,
}

impl Roles {
    /// Roles by the built-in rules.
    pub fn new(proc: Proc) -> Self {
        Self { _proc: proc }
    }

    /// The thread's row with its role.
    pub fn assign(&mut self, life: &Life) -> ThreadRow {
        life.row.clone()
    }
}
