//! The kernel half's rare diagnostics, through aya-log.

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};

/// Prints what the kernel half logs.
pub struct KernelLog(EbpfLogger<ToStderr>);

impl KernelLog {
    /// Starts reading; `None` where the object logs nothing.
    pub(super) fn open(ebpf: &mut Ebpf) -> Option<Self> {
        EbpfLogger::init_with_logger(ebpf, ToStderr).ok().map(Self)
    }

    /// Prints what has come.
    pub fn flush(&mut self) {
        self.0.flush();
    }
}

/// Diagnostics go where every other message goes.
struct ToStderr;

impl Log for ToStderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        eprintln!("hostprof: kernel: {}", record.args());
    }

    fn flush(&self) {}
}
