//! Variables that name a file whose code hostprof loads.

use std::ffi::OsString;

/// The file that the variable names. It is passed over where the kernel gave hostprof more rights than its caller has,
/// as the loader does with `LD_LIBRARY_PATH`.
pub fn library(variable: &str) -> Option<OsString> {
    // SAFETY: reads a value that the kernel handed over at the start.
    let more_rights_than_caller = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
    std::env::var_os(variable).filter(|path| !path.is_empty() && !more_rights_than_caller)
}
