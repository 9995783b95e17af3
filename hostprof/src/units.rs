//! Newtypes for the numbers that could be taken for one another.

use std::fmt;

macro_rules! unit {
    ($(#[$meta:meta])* $name:ident($inner:ty)) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

unit!(
    /// A thread id in the initial pid namespace: what the kernel's programs see. Ids recur.
    Tid(u32)
);
unit!(
    /// A process id (thread-group id) in the initial pid namespace.
    Tgid(u32)
);
unit!(
    /// A thread's number in one recording. Never reused, unlike a tid; 0 is none.
    Utid(u32)
);
unit!(
    /// A CPU's number.
    Cpu(u16)
);
unit!(
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    MonoNs(u64)
);
unit!(
    /// Nanoseconds of `CLOCK_REALTIME` since the epoch.
    WallNs(u64)
);
