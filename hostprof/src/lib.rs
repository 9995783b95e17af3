//! hostprof
