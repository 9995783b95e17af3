//! Files of the kernel that are read again and again: kept open and read from their start, so that a process
//! or cgroup that is gone, and another of its name, cannot be taken for one another.

use std::{
    borrow::Cow,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Files kept open at a time, of the 1024 that a process may have unless told otherwise. More are opened for each
/// reading.
const MOST_KEPT: usize = 512;

/// How many are.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// A file to be read again.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
    file: Option<File>,
}

impl Kept {
    /// Opens nothing yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), file: None }
    }

    fn close(&mut self) {
        if self.file.take().is_some() {
            KEPT.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.close();
    }
}

/// Reads files, with one buffer for all.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
}

impl Reader {
    /// A file's text now.
    ///
    /// # Errors
    ///
    /// It is not there, no more, or may not be read.
    pub fn read(&mut self, kept: &mut Kept) -> io::Result<Cow<'_, str>> {
        if let Some(file) = &kept.file {
            if let Err(error) = self.fill(file) {
                kept.close();
                return Err(error);
            }
        } else {
            let file = File::open(&kept.path)?;
            self.fill(&file)?;
            if KEPT.fetch_add(1, Ordering::Relaxed) < MOST_KEPT {
                kept.file = Some(file);
            } else {
                KEPT.fetch_sub(1, Ordering::Relaxed);
            }
        }
        Ok(String::from_utf8_lossy(&self.buffer))
    }

    fn fill(&mut self, file: &File) -> io::Result<()> {
        // The kernel makes the text at the read from the start; what does not fit is the rest of the same text.
        if self.buffer.len() < 4096 {
            self.buffer.resize(4096, 0);
        }
        let mut length = 0;
        loop {
            match file.read_at(&mut self.buffer[length..], length as u64)? {
                0 => break,
                read => length += read,
            }
            if length == self.buffer.len() {
                self.buffer.resize(2 * length, 0);
            }
        }
        self.buffer.truncate(length);
        Ok(())
    }
}

/// The number behind a name at the start of a line: `VmRSS:   123 kB`, `pgscan 5`, `rchar: 7`.
pub fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        rest.starts_with([' ', '\t']).then(|| rest.split_whitespace().next()?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_anew_and_whole_however_long() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let (mut reader, mut kept) = (Reader::default(), Kept::new(&path));
        assert!(reader.read(&mut kept).is_err());
        std::fs::write(&path, "a".repeat(10_000)).unwrap();
        assert_eq!(reader.read(&mut kept).unwrap().len(), 10_000);
        assert!(kept.file.is_some());
        std::fs::write(&path, "short").unwrap();
        assert_eq!(reader.read(&mut kept).unwrap(), "short");
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "pgscan_kswapd 1\npgscan 5\nVmRSS:\t     1700 kB\nrchar: 7\n";
        assert_eq!(field(text, "pgscan"), Some(5));
        assert_eq!(field(text, "VmRSS"), Some(1700));
        assert_eq!(field(text, "rchar"), Some(7));
        assert_eq!(field(text, "pg"), None);
    }
}
