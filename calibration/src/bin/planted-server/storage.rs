//! What the engine reads: weights that stay in the page cache, adapters that do not.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom},
    os::{fd::AsRawFd as _, unix::fs::FileExt as _},
    path::Path,
};

use calibration::sys::mapping::{Mapping, page_bytes};

/// What one read takes.
const BLOCK_BYTES: u64 = 16 << 10;

/// A file read block by block, in no order.
struct Blocks {
    file: File,
    count: u64,
    random: u64,
}

impl Blocks {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::options().read(true).write(true).open(path)?;
        let count = file.seek(SeekFrom::End(0))? / BLOCK_BYTES;
        if count == 0 {
            return Err(io::Error::other(format!("{} is shorter than a block", path.display())));
        }
        // Else a read would bring in what follows it.
        advise(&file, 0, 0, libc::POSIX_FADV_RANDOM);
        Ok(Self { file, count, random: 0x9e37_79b9_7f4a_7c15 })
    }

    /// Where any of the blocks begins.
    fn any(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % self.count * BLOCK_BYTES
    }
}

fn advise(file: &File, offset: u64, bytes: u64, advice: i32) {
    // SAFETY: integers only; the descriptor is open.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), offset as i64, bytes as i64, advice) };
}

/// Weights.
pub struct Weights {
    blocks: Blocks,
    reads: u32,
    block: Vec<u8>,
}

impl Weights {
    /// Opens them, and brings them into memory.
    pub fn open(path: &Path, reads: u32) -> io::Result<Self> {
        let blocks = Blocks::open(path)?;
        let mut block = vec![0; BLOCK_BYTES as usize];
        for number in 0..blocks.count {
            blocks.file.read_exact_at(&mut block, number * BLOCK_BYTES)?;
        }
        Ok(Self { blocks, reads, block })
    }

    /// What a step reads of them: mapped, or copied into memory.
    pub fn read(&mut self, mapped: bool) -> io::Result<()> {
        for _ in 0..self.reads {
            let offset = self.blocks.any();
            if mapped {
                let mapping = Mapping::file(&self.blocks.file, self.block.len(), offset as i64)?;
                // SAFETY: the mapping is alive and of that length.
                unsafe { libc::madvise(mapping.start(), self.block.len(), libc::MADV_RANDOM) };
                for at in (0..self.block.len()).step_by(page_bytes()) {
                    // SAFETY: within the mapping, which is readable.
                    unsafe { mapping.address().add(at).read_volatile() };
                }
            } else {
                self.blocks.file.read_exact_at(&mut self.block, offset)?;
            }
        }
        Ok(())
    }
}

/// Adapters, each read from storage.
pub struct Adapters {
    blocks: Blocks,
    block: Vec<u8>,
}

impl Adapters {
    /// Opens their file or device.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { blocks: Blocks::open(path)?, block: vec![0; BLOCK_BYTES as usize] })
    }

    /// Reads one that is not in memory.
    pub fn read(&mut self) -> io::Result<()> {
        let offset = self.blocks.any();
        advise(&self.blocks.file, offset, BLOCK_BYTES, libc::POSIX_FADV_DONTNEED);
        self.blocks.file.read_exact_at(&mut self.block, offset)
    }
}
