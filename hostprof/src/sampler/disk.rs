//! Disks, from `/proc/diskstats`: whole ones, not their partitions.

use std::{collections::HashMap, path::Path};

use super::file::{Kept, Reader};
use crate::{clock, table::DiskSampleRow};

/// A sector of the kernel's counts, whatever the disk's own is.
const SECTOR_BYTES: u64 = 512;

/// The disks.
#[derive(Debug)]
pub struct Disks {
    file: Kept,
    /// Whether a device is a whole disk.
    whole: HashMap<String, bool>,
    /// The last row of each.
    last: HashMap<String, DiskSampleRow>,
}

impl Disks {
    /// Of the running machine.
    pub fn new() -> Self {
        Self { file: Kept::new("/proc/diskstats"), whole: HashMap::new(), last: HashMap::new() }
    }

    /// Reads them.
    pub fn sample(&mut self, reader: &mut Reader) -> Vec<DiskSampleRow> {
        let at = clock::mono().0;
        let Ok(text) = reader.read(&mut self.file) else { return Vec::new() };
        let mut rows: Vec<DiskSampleRow> = text.lines().filter_map(disk).collect();
        rows.retain(|row| {
            let used = row.reads + row.writes + row.discards.unwrap_or(0) > 0;
            used && *self.whole.entry(row.device.clone()).or_insert_with(|| is_whole(&row.device))
        });
        for row in &mut rows {
            row.ts_mono_ns = at;
            if let Some(last) = self.last.get(&row.device) {
                since(row, last);
            }
        }
        self.last = rows.iter().map(|row| (row.device.clone(), row.clone())).collect();
        rows
    }
}

/// Partitions have their folders inside that of their disk.
fn is_whole(device: &str) -> bool {
    Path::new("/sys/block").join(device.replace('/', "!")).exists()
}

/// A line: major, minor, name, and eleven to seventeen counters.
fn disk(line: &str) -> Option<DiskSampleRow> {
    let mut words = line.split_whitespace().skip(2);
    let device = words.next()?.to_owned();
    let mut next = || words.next().and_then(|word| word.parse::<u64>().ok());
    let ms = |ms: u64| ms * 1_000_000;
    Some(DiskSampleRow {
        device,
        reads: next()?,
        reads_merged: next()?,
        read_bytes: next()? * SECTOR_BYTES,
        read_ns: ms(next()?),
        writes: next()?,
        writes_merged: next()?,
        write_bytes: next()? * SECTOR_BYTES,
        write_ns: ms(next()?),
        in_flight: next()?,
        busy_ns: ms(next()?),
        queued_ns: ms(next()?),
        discards: next(),
        // Of those that were merged, nothing.
        discard_bytes: next().and_then(|_| next()).map(|sectors| sectors * SECTOR_BYTES),
        discard_ns: next().map(ms),
        flushes: next(),
        flush_ns: next().map(ms),
        ..DiskSampleRow::default()
    })
}

/// What happened since the row before; nothing where the counters began anew.
fn since(row: &mut DiskSampleRow, last: &DiskSampleRow) {
    let mean = |ns: u64, last_ns: u64, count: u64, last_count: u64| {
        ns.checked_sub(last_ns)?.checked_div(count.checked_sub(last_count)?)
    };
    let interval = row.ts_mono_ns.saturating_sub(last.ts_mono_ns);
    if interval == 0 || row.busy_ns < last.busy_ns {
        return;
    }
    row.interval_ns = Some(interval);
    row.read_await_ns = mean(row.read_ns, last.read_ns, row.reads, last.reads);
    row.write_await_ns = mean(row.write_ns, last.write_ns, row.writes, last.writes);
    let over_interval = |ns: u64| ns as f64 / interval as f64;
    row.queue_mean = row.queued_ns.checked_sub(last.queued_ns).map(over_interval);
    // Steps of 1 ms may lead beyond the whole.
    row.util_ratio = Some(over_interval(row.busy_ns - last.busy_ns).min(1.0));
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = " 254       0 vda 1902335 51851 59647706 10447283 169446 235257 91036232 475794 3 275440 \
                        10974911 141759 64 49099576 50206 13395 1626";

    #[test]
    fn every_counter_is_in_its_place() {
        let row = disk(LINE).unwrap();
        assert_eq!((row.device.as_str(), row.reads, row.reads_merged), ("vda", 1_902_335, 51_851));
        assert_eq!((row.read_bytes, row.read_ns), (59_647_706 * 512, 10_447_283_000_000));
        assert_eq!((row.writes, row.write_bytes, row.write_ns), (169_446, 91_036_232 * 512, 475_794_000_000));
        assert_eq!((row.in_flight, row.busy_ns, row.queued_ns), (3, 275_440_000_000, 10_974_911_000_000));
        assert_eq!((row.discards, row.discard_bytes), (Some(141_759), Some(49_099_576 * 512)));
        assert_eq!(
            (row.discard_ns, row.flushes, row.flush_ns),
            (Some(50_206_000_000), Some(13_395), Some(1_626_000_000))
        );
    }

    #[test]
    fn an_older_kernels_line_has_nulls_at_its_end() {
        let row = disk("8 0 sda 1 2 3 4 5 6 7 8 9 10 11").unwrap();
        assert_eq!((row.queued_ns, row.discards, row.flush_ns), (11_000_000, None, None));
        assert_eq!(disk("8 0 sda 1 2 3"), None);
    }

    #[test]
    fn what_happened_since_the_row_before_is_what_iostat_shows() {
        let last = DiskSampleRow { ts_mono_ns: 1_000_000_000, ..disk(LINE).unwrap() };
        let mut row = DiskSampleRow { ts_mono_ns: 3_000_000_000, ..last.clone() };
        row.writes += 100;
        row.write_ns += 2_500_000_000;
        row.busy_ns += 500_000_000;
        row.queued_ns += 3_000_000_000;
        since(&mut row, &last);
        assert_eq!((row.write_await_ns, row.read_await_ns), (Some(25_000_000), None));
        assert_eq!((row.util_ratio, row.queue_mean), (Some(0.25), Some(1.5)));
        assert_eq!(row.interval_ns, Some(2_000_000_000));

        let mut anew = DiskSampleRow { ts_mono_ns: 4_000_000_000, busy_ns: 0, ..row.clone() };
        (anew.util_ratio, anew.interval_ns) = (None, None);
        since(&mut anew, &row);
        assert_eq!((anew.util_ratio, anew.interval_ns), (None, None));
    }

    #[test]
    fn this_machines_disks_have_rows_of_the_interval_from_the_second_sample_on() {
        let (mut disks, mut reader) = (Disks::new(), Reader::default());
        let first = disks.sample(&mut reader);
        assert!(first.iter().all(|row| row.interval_ns.is_none()));
        let second = disks.sample(&mut reader);
        assert!(second.iter().all(|row| row.interval_ns.is_some()), "{second:?}");
        assert!(second.iter().all(|row| is_whole(&row.device)));
    }
}
