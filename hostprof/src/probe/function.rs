//! Functions of libraries that are probed, whichever library it is.

use hostprof_common::{
    function::{Call, Cookie, Open, flag},
    slot::{Slot, presence},
    span::OFF_CPU_UNKNOWN,
};

/// A function to be probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionProbe {
    /// Where its first instruction is, from the library file's beginning.
    pub offset: u64,
    /// What its probe is told.
    pub cookie: Cookie,
    /// Whether it is only counted.
    pub only_counted: bool,
}

/// A call that is open at a time, as if its thread had ended in it then.
pub fn open_call(open: &Open, slot: &Slot, at_ns: u64) -> Call {
    let dur_ns = at_ns.saturating_sub(open.enter_ns);
    // Its thread went on while slot and call were read.
    let since_out_ns = if slot.presence == presence::OFF_CPU { at_ns.saturating_sub(slot.out_ns) } else { 0 };
    let off_cpu_ns = (slot.off_ns.saturating_sub(open.off_ns) + since_out_ns).min(dur_ns);
    Call {
        call: open.call,
        exit_ns: at_ns,
        enter_ns: open.enter_ns,
        off_cpu_ns: if open.untold_out_ns == 0 { off_cpu_ns } else { OFF_CPU_UNKNOWN },
        told: open.told,
        flags: open.flags | flag::OPEN,
        ..Call::default()
    }
}
