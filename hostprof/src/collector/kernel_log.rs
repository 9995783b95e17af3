//! The kernel's log, followed from now on for what the GPU's driver writes to it.

use std::{
    borrow::Cow,
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
};

use tokio::net::unix::pipe::Receiver;

use crate::{clock, probe::nvidia::parse_xid, table::GpuEventRow};

const KERNEL_LOG: &str = "/dev/kmsg";
/// The kernel hands over a message a read, of at most this length (`PRINTK_MESSAGE_MAX`).
const MESSAGE_BYTES: usize = 2048;

/// The log, open at its end.
pub struct EventLog(File);

impl EventLog {
    /// Opens it; needs CAP_SYSLOG where `kernel.dmesg_restrict` is set.
    ///
    /// # Errors
    ///
    /// There is none here, as in most containers, or it may not be read.
    pub fn open() -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(KERNEL_LOG)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self(file))
    }

    /// Waits for its messages in an event loop.
    ///
    /// # Errors
    ///
    /// The loop does not take it.
    pub fn follow(self) -> io::Result<Following> {
        // It is no pipe, and is waited for and read like one.
        Ok(Following(Receiver::from_file_unchecked(self.0)?))
    }
}

/// The log under way.
pub struct Following(Receiver);

impl Following {
    /// The next rows; waits until there is a message.
    ///
    /// # Errors
    ///
    /// The log cannot be read any more.
    pub async fn next(&self) -> io::Result<Vec<GpuEventRow>> {
        self.0.readable().await?;
        rows(|message| self.0.try_read(message))
    }

    /// The rows of the messages that are there, also of those that the event loop has not been told of.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn unread(self) -> io::Result<Vec<GpuEventRow>> {
        let mut log = File::from(self.0.into_nonblocking_fd()?);
        rows(|message| log.read(message))
    }
}

/// Reads until there is nothing more.
fn rows(mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<Vec<GpuEventRow>> {
    let mut rows = Vec::new();
    let mut message = [0; MESSAGE_BYTES];
    loop {
        match read(&mut message) {
            Ok(0) => return Ok(rows),
            Ok(bytes) => rows.extend(row(&String::from_utf8_lossy(&message[..bytes]), clock::mono().0)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(rows),
            // Messages were overwritten before they were read, or one is longer: the next read goes on.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPIPE | libc::EINVAL)) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// `4,1234,56789012,-;NVRM: Xid …`: priority, number, microseconds, flags; the message; lines of other keys.
fn row(record: &str, read_ns: u64) -> Option<GpuEventRow> {
    let (head, text) = record.split_once(';')?;
    let xid = parse_xid(text.lines().next()?)?;
    let log_us: u64 = head.split(',').nth(2)?.parse().ok()?;
    Some(GpuEventRow {
        ts_mono_ns: read_ns,
        log_ns: log_us.saturating_mul(1000),
        gpu: xid.gpu,
        xid: xid.xid,
        name: xid.name.map(Cow::Borrowed),
        pid: xid.pid,
        message: xid.message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_the_log_is_a_row_where_the_driver_wrote_it() {
        let record =
            "3,901,152003337,-;NVRM: Xid (PCI:0000:18:00): 79, GPU has fallen off the bus.\n SUBSYSTEM=pci\n";
        let row = row(record, 7).unwrap();
        assert_eq!((row.ts_mono_ns, row.log_ns, row.xid), (7, 152_003_337_000, 79));
        assert_eq!(row.message, "GPU has fallen off the bus.");
    }

    #[test]
    fn other_records_are_none() {
        for record in
            ["", "6,1,2,-;usb 1-1: new", "6,1,x,-;NVRM: Xid (PCI:0): 1, a", "NVRM: Xid (PCI:0): 1, a"]
        {
            assert_eq!(row(record, 7), None, "{record}");
        }
    }
}
