//! The kernel half from user space, and the only importer of aya: load, attach, adopt, drain, read.

mod btf;
mod cost;
mod drain;
mod duty;
mod error;
mod function;
mod http;
mod layout;
mod load;
mod log;
mod nvidia;
mod priority;
mod programs;
mod ring;
mod slots;
mod sockets;
mod span;
mod support;
mod uprobe_multi;

pub use self::{
    btf::VMLINUX_BTF,
    cost::{Alarm, Cost, Ran},
    drain::{CEILING_ROUND, Drained, Drains, ROUND, Streams},
    duty::work,
    error::{LoadError, OLDEST_KERNEL},
    load::{Adoption, Kernel, Ring, Rings, Settings, THREAD_RING_BYTES},
    log::KernelLog,
    nvidia::NvidiaSettings,
    priority::{
        Achieved, DrainPriority, Haste, achievable as drain_priority, allow as allow_priority,
        lower as lower_thread, prefer as prefer_thread, raise as raise_thread,
    },
    slots::Slots,
    sockets::Sockets,
    span::{SpanHook, SpanSettings, Spans},
    support::{
        in_initial_pid_namespace, is_initial_pid_namespace, kernel_version, kernel_version_of, possible_cpus,
    },
};
