//! The rings of cells, as user space sees them: memory of the kernel half's maps, read in place. See
//! `hostprof_common::ring` for the rules.

use std::{
    io,
    mem::size_of,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
    ptr::{self, NonNull},
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
};

use aya::maps::Map;
use hostprof_common::{
    RecordKind,
    ring::{Cell, LAP, RingTail, lap_bit},
};

/// Cells read between two times that their writers are told of it.
const TOLD_EVERY: u64 = 1024;

/// The cells of a CPU, for one reader.
#[derive(Debug)]
pub struct CellRing {
    memory: Arc<Memory>,
    cpu: usize,
    shift: u32,
    /// Places read.
    tail: u64,
}

#[derive(Debug)]
struct Memory {
    cells: Mapping,
    tails: Mapping,
}

impl CellRing {
    /// A reader for each CPU's `1 << shift` cells.
    ///
    /// # Errors
    ///
    /// The memory of the maps cannot be mapped.
    pub fn open(cells: &Map, tails: &Map, cpus: u32, shift: u32) -> io::Result<Vec<Self>> {
        Self::over(fd_of(cells)?, fd_of(tails)?, cpus as usize, shift)
    }

    fn over(cells: BorrowedFd<'_>, tails: BorrowedFd<'_>, cpus: usize, shift: u32) -> io::Result<Vec<Self>> {
        let memory = Arc::new(Memory {
            cells: Mapping::new(cells, (cpus << shift) * size_of::<Cell>(), libc::PROT_READ)?,
            tails: Mapping::new(tails, cpus * size_of::<RingTail>(), libc::PROT_READ | libc::PROT_WRITE)?,
        });
        Ok((0..cpus).map(|cpu| Self { memory: Arc::clone(&memory), cpu, shift, tail: 0 }).collect())
    }

    /// Appends records, each as long as its kind, to `parts`, to which of them `part_of` says, until there is none or a
    /// part has that many bytes; tells which.
    pub fn read(
        &mut self,
        parts: &mut [Vec<u8>],
        at_most: usize,
        part_of: impl Fn(&[u8], usize) -> usize,
    ) -> Read {
        while let Some((cell, length)) = self.next() {
            let part = part_of(cell, parts.len());
            let bytes = &mut parts[part];
            let begin = bytes.len();
            if begin + size_of::<Cell>() > at_most {
                self.tell();
                return Read::Some;
            }
            if begin == 0 {
                bytes.reserve(at_most);
            }
            // All cells are copied as one length, known here, which costs a fraction.
            bytes.extend_from_slice(cell);
            bytes.truncate(begin + length);
            // The lap is no part of the kind.
            bytes[begin + 1] &= !(LAP >> 8) as u8;
            self.tail += 1;
            if self.tail.is_multiple_of(TOLD_EVERY) {
                self.tell();
            }
        }
        self.tell();
        Read::All
    }

    /// The cell of the next record and how long that is, if it is whole.
    #[inline]
    fn next(&self) -> Option<(&[u8; size_of::<Cell>()], usize)> {
        let place = self.tail as usize & ((1 << self.shift) - 1);
        // SAFETY: within the mapping of `cpus << shift` cells.
        let cell = unsafe { self.memory.cells.begin.cast::<Cell>().add((self.cpu << self.shift) + place) };
        // SAFETY: valid and aligned; the kernel half writes it whole.
        let kind = unsafe { AtomicU16::from_ptr(cell.cast().as_ptr()) }.load(Ordering::Acquire);
        if kind & LAP != lap_bit(self.tail, self.shift) {
            return None;
        }
        let length = RecordKind::from_u16(kind & !LAP).map_or(size_of::<Cell>(), RecordKind::size);
        // SAFETY: a whole record is not written again before `tell` has said that it is read.
        let cell = unsafe { cell.cast::<[u8; size_of::<Cell>()]>().as_ref() };
        Some((cell, length.min(size_of::<Cell>())))
    }

    /// Gives the cells that were read back to their writers.
    fn tell(&self) {
        // SAFETY: within the mapping of a tail for each CPU.
        let tail = unsafe { self.memory.tails.begin.cast::<RingTail>().add(self.cpu) };
        // SAFETY: `tail` is its first field; nobody writes it but this reader.
        unsafe { AtomicU64::from_ptr(tail.cast().as_ptr()) }.store(self.tail, Ordering::Release);
    }
}

/// How far a reading came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// To the end.
    All,
    /// To the end of the room it had.
    Some,
}

/// Memory of a map.
#[derive(Debug)]
struct Mapping {
    begin: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the memory is shared with the kernel anyway and is read and written by atomics and copies only; each
// reader has cells and a tail of its own.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(memory: BorrowedFd<'_>, bytes: usize, protection: i32) -> io::Result<Self> {
        let fd = memory.as_raw_fd();
        // SAFETY: a new mapping at an address that the kernel chooses.
        let begin = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, libc::MAP_SHARED, fd, 0) };
        if begin == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let begin = NonNull::new(begin.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { begin, bytes })
    }
}

fn fd_of(map: &Map) -> io::Result<BorrowedFd<'_>> {
    match map {
        Map::Array(data) => Ok(data.fd().as_fd()),
        _ => Err(io::Error::other("no array")),
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's, and nothing refers to it any more.
        unsafe { libc::munmap(self.begin.as_ptr().cast(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::unix::fs::FileExt as _};

    use hostprof_common::{episode::Runnable, ring::lap_bit};

    use super::*;

    const SHIFT: u32 = 2;
    const CELL_BYTES: u64 = size_of::<Cell>() as u64;

    /// A file in the place of the maps, and who writes into it as the kernel half does.
    struct Writer {
        cells: File,
        tails: File,
    }

    impl Writer {
        fn new() -> Self {
            let file = |bytes| {
                let file = tempfile::tempfile().unwrap();
                file.set_len(bytes).unwrap();
                file
            };
            Self { cells: file(2 * (CELL_BYTES << SHIFT)), tails: file(2 * 64) }
        }

        fn rings(&self) -> Vec<CellRing> {
            CellRing::over(self.cells.as_fd(), self.tails.as_fd(), 2, SHIFT).unwrap()
        }

        fn write(&self, cpu: u64, place: u64, record: &[u8]) {
            let at = ((cpu << SHIFT) + place % (1 << SHIFT)) * CELL_BYTES;
            self.cells.write_all_at(&record[2..], at + 2).unwrap();
            let kind = u16::from_ne_bytes([record[0], record[1]]) | lap_bit(place, SHIFT);
            self.cells.write_all_at(&kind.to_ne_bytes(), at).unwrap();
        }

        fn tail(&self, cpu: u64) -> u64 {
            let mut tail = [0; 8];
            self.tails.read_exact_at(&mut tail, cpu * 64).unwrap();
            u64::from_ne_bytes(tail)
        }
    }

    fn read(ring: &mut CellRing, bytes: &mut Vec<u8>, at_most: usize) -> Read {
        ring.read(std::slice::from_mut(bytes), at_most, |_, _| 0)
    }

    fn record(kind: RecordKind, number: u8) -> Vec<u8> {
        let mut bytes = vec![number; kind.size()];
        bytes[..2].copy_from_slice(&(kind as u16).to_ne_bytes());
        bytes
    }

    #[test]
    fn records_come_out_as_they_went_in_lap_after_lap() {
        let writer = Writer::new();
        let mut rings = writer.rings();
        for place in 0..23 {
            let kind = if place % 3 == 0 { RecordKind::Runnable } else { RecordKind::Blocked };
            let written = record(kind, place as u8);
            writer.write(1, place, &written);
            let mut bytes = Vec::new();
            assert_eq!(read(&mut rings[1], &mut bytes, 1 << 16), Read::All);
            assert_eq!(bytes, written, "at {place}");
            assert_eq!((writer.tail(0), writer.tail(1)), (0, place + 1));
        }
        assert_eq!(read(&mut rings[0], &mut Vec::new(), 1 << 16), Read::All);
    }

    #[test]
    fn a_record_that_is_not_whole_holds_back_those_behind_it() {
        let writer = Writer::new();
        let mut rings = writer.rings();
        writer.write(0, 1, &record(RecordKind::Runnable, 2));
        let mut bytes = Vec::new();
        read(&mut rings[0], &mut bytes, 1 << 16);
        assert!(bytes.is_empty());
        writer.write(0, 0, &record(RecordKind::Runnable, 1));
        read(&mut rings[0], &mut bytes, 1 << 16);
        assert_eq!(bytes.len(), 2 * size_of::<Runnable>());
    }

    #[test]
    fn records_are_dealt_out_in_order_and_none_is_read_before_there_is_room_for_it() {
        let writer = Writer::new();
        let mut rings = writer.rings();
        let written: Vec<Vec<u8>> = [1, 2, 3].map(|number| record(RecordKind::Blocked, number)).into();
        (0..).zip(&written).for_each(|(place, record)| writer.write(0, place, record));
        let mut parts = [Vec::new(), Vec::new()];
        let odd = |record: &[u8], parts: usize| usize::from(record[8]) % parts;
        assert_eq!(rings[0].read(&mut parts, size_of::<Cell>(), odd), Read::Some);
        assert_eq!((&parts[0], &parts[1], writer.tail(0)), (&written[1], &written[0], 2));
        let mut parts = [Vec::new(), Vec::new()];
        assert_eq!(rings[0].read(&mut parts, size_of::<Cell>(), odd), Read::All);
        assert_eq!((parts[0].len(), &parts[1]), (0, &written[2]));
    }

    #[test]
    fn a_reading_ends_where_its_room_does_and_goes_on_there() {
        let writer = Writer::new();
        let mut rings = writer.rings();
        (0..4).for_each(|place| writer.write(0, place, &record(RecordKind::Blocked, place as u8)));
        let (mut first, mut rest) = (Vec::new(), Vec::new());
        assert_eq!(read(&mut rings[0], &mut first, 3 * size_of::<Cell>()), Read::Some);
        assert_eq!((first.len(), writer.tail(0)), (3 * size_of::<Cell>(), 3));
        assert_eq!(read(&mut rings[0], &mut rest, 1 << 16), Read::All);
        assert_eq!(rest, record(RecordKind::Blocked, 3));
    }
}
