//! What `FAKE_NVML` says.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::Device;

static WORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let words = std::env::var("FAKE_NVML").unwrap_or_default();
    words.split(',').map(str::to_owned).collect()
});
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
static READINGS: AtomicU64 = AtomicU64::new(0);

/// Whether a word is said.
pub fn has(word: &str) -> bool {
    WORDS.iter().any(|said| said == word)
}

/// The number of a word.
pub fn number(word: &str) -> Option<u64> {
    WORDS.iter().find_map(|said| said.strip_prefix(word)?.strip_prefix('=')?.parse().ok())
}

/// Since the library was first asked.
pub fn milliseconds() -> u64 {
    BEGAN.elapsed().as_millis() as u64
}

/// Whether GPU 1 has fallen off, at another reading of its load.
pub fn is_lost() -> bool {
    let reading = READINGS.fetch_add(1, Ordering::Relaxed) + 1;
    number("lost").is_some_and(|lost| reading >= lost)
}

/// The number of the GPU that a device is, or is a part of.
pub fn unit(device: Device) -> u32 {
    u32::from(device == 2)
}

/// The GPU instance that a device is.
pub fn gpu_instance(instance: Device) -> u32 {
    instance as u32 - 100 + 3
}

/// Used, and in all.
pub fn memory(device: Device) -> (u64, u64) {
    match device {
        1 => (60 << 30, 80 << 30),
        2 => (1 << 30, 80 << 30),
        _ => (5 << 30, 40 << 30),
    }
}
