//! Processes, from `/proc/PID/{stat,status,io}` and their CPU-time clocks. Leaves out what of a process only a sum
//! over its threads would tell.

use std::{
    collections::HashMap,
    io::{self, ErrorKind},
};

use nix::{
    time::{ClockId, clock_getcpuclockid, clock_gettime},
    unistd::{Pid, SysconfVar, sysconf},
};

use super::file::{Kept, Reader, field};
use crate::{clock, table::ProcessSampleRow, units::Tgid};

/// A process and its files.
#[derive(Debug)]
struct Process {
    clock: Option<ClockId>,
    stat: Kept,
    status: Kept,
    io: Kept,
    cgroup: Kept,
    /// Its cgroups, as `/proc/PID/cgroup` told last.
    membership: String,
}

/// The processes of the target.
#[derive(Debug)]
pub struct Processes {
    known: HashMap<Tgid, Process>,
    tick_ns: u64,
    io_denied: bool,
}

impl Processes {
    /// None yet.
    pub fn new() -> Self {
        Self { known: HashMap::new(), tick_ns: tick_ns(), io_denied: false }
    }

    /// Reads those that live. One that ends meanwhile has no row.
    pub fn sample(&mut self, reader: &mut Reader, live: &[Tgid]) -> Vec<ProcessSampleRow> {
        self.known.retain(|tgid, _| live.binary_search(tgid).is_ok());
        let mut rows = Vec::with_capacity(live.len());
        for &tgid in live {
            let process = self.known.entry(tgid).or_insert_with(|| Process::new(tgid));
            match process.read(reader, tgid, self.tick_ns, &mut self.io_denied) {
                Ok(row) => rows.push(row),
                // Gone; or its id is another's by now, which is met at the next sample.
                Err(_) => {
                    self.known.remove(&tgid);
                }
            }
        }
        rows
    }

    /// The text of `/proc/PID/cgroup` of each process of the last sample.
    pub fn memberships(&self) -> impl Iterator<Item = &str> {
        self.known.values().map(|process| process.membership.as_str())
    }

    /// Whether something may not be looked at.
    pub fn note(&self) -> Option<String> {
        self.io_denied.then(|| {
            "read /proc/PID/io: permission denied, so the I/O columns of process_sample are null (the process is \
             another user's: record as root without sudo, as from a root shell)"
                .to_owned()
        })
    }
}

impl Process {
    fn new(tgid: Tgid) -> Self {
        let file = |name: &str| Kept::new(format!("/proc/{tgid}/{name}"));
        Self {
            clock: clock_getcpuclockid(Pid::from_raw(tgid.0.cast_signed())).ok(),
            stat: file("stat"),
            status: file("status"),
            io: file("io"),
            cgroup: file("cgroup"),
            membership: String::new(),
        }
    }

    fn read(
        &mut self,
        reader: &mut Reader,
        tgid: Tgid,
        tick_ns: u64,
        io_denied: &mut bool,
    ) -> io::Result<ProcessSampleRow> {
        let mut row =
            ProcessSampleRow { ts_mono_ns: clock::mono().0, tgid: tgid.0, ..ProcessSampleRow::default() };
        row.cpu_ns = self.clock.and_then(cpu_ns);
        stat(&mut row, &reader.read(&mut self.stat)?, tick_ns)
            .ok_or_else(|| io::Error::from(ErrorKind::InvalidData))?;
        status(&mut row, &reader.read(&mut self.status)?);
        match reader.read(&mut self.io) {
            Ok(text) => io_counters(&mut row, &text),
            Err(error) => *io_denied |= error.kind() == ErrorKind::PermissionDenied,
        }
        let membership = reader.read(&mut self.cgroup)?;
        if self.membership != membership {
            self.membership = membership.into_owned();
        }
        Ok(row)
    }
}

/// Nanoseconds of a tick, in which the kernel shows CPU times.
pub fn tick_ns() -> u64 {
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    1_000_000_000 / ticks.max(1) as u64
}

fn cpu_ns(clock: ClockId) -> Option<u64> {
    let time = clock_gettime(clock).ok()?;
    Some(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

/// `/proc/PID/stat`: the fields behind the name, which may hold anything.
fn stat(row: &mut ProcessSampleRow, text: &str, tick_ns: u64) -> Option<()> {
    let (_, rest) = text.rsplit_once(')')?;
    // proc_pid_stat(5) counts from 1, and the state is its third.
    let mut fields = rest.split_whitespace();
    let mut at = 2;
    let mut field = |number: usize| -> Option<u64> {
        let skipped = number - at - 1;
        at = number;
        fields.nth(skipped)?.parse().ok()
    };
    row.min_flt = Some(field(10)?);
    row.maj_flt = Some(field(12)?);
    row.user_ns = Some(field(14)? * tick_ns);
    row.system_ns = Some(field(15)? * tick_ns);
    row.threads = Some(field(20)? as u32);
    Some(())
}

fn status(row: &mut ProcessSampleRow, text: &str) {
    let bytes = |name| field(text, name).map(|kib| kib * 1024);
    row.rss_bytes = bytes("VmRSS");
    row.rss_anon_bytes = bytes("RssAnon");
    row.rss_file_bytes = bytes("RssFile");
    row.rss_shmem_bytes = bytes("RssShmem");
    row.rss_peak_bytes = bytes("VmHWM");
    row.swap_bytes = bytes("VmSwap");
    row.main_nvcsw = field(text, "voluntary_ctxt_switches");
    row.main_nivcsw = field(text, "nonvoluntary_ctxt_switches");
}

fn io_counters(row: &mut ProcessSampleRow, text: &str) {
    row.read_call_bytes = field(text, "rchar");
    row.write_call_bytes = field(text, "wchar");
    row.read_calls = field(text, "syscr");
    row.write_calls = field(text, "syscw");
    row.disk_read_bytes = field(text, "read_bytes");
    row.disk_write_bytes = field(text, "write_bytes");
    row.disk_cancelled_bytes = field(text, "cancelled_write_bytes");
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "4162 (a) b (c)) R 4139 4139 2153 0 -1 4194304 100 11 3 12 71 72 13 14 20 0 9 0 1298879 \
                        3133440 383 18446744073709551615 94553003454464 94553003474345 140726744207600 0 0 0 0 0 0 \
                        0 0 0 17 1 0 0 0 0 0 94553003490352 94553003491968 94553592786944 0 0 0 0 0\n";

    #[test]
    fn the_fields_of_stat_are_found_behind_any_name() {
        let mut row = ProcessSampleRow::default();
        stat(&mut row, STAT, 10_000_000).unwrap();
        assert_eq!((row.min_flt, row.maj_flt, row.threads), (Some(100), Some(3), Some(9)));
        assert_eq!((row.user_ns, row.system_ns), (Some(710_000_000), Some(720_000_000)));
        assert_eq!(stat(&mut row, "4162 (a) R 1 2", 1), None);
    }

    #[test]
    fn a_process_without_memory_has_null_and_not_zero() {
        let mut row = ProcessSampleRow::default();
        let ended =
            "Name:\tx\nState:\tZ (zombie)\nvoluntary_ctxt_switches:\t4\nnonvoluntary_ctxt_switches:\t1\n";
        status(&mut row, ended);
        assert_eq!((row.rss_bytes, row.swap_bytes), (None, None));
        assert_eq!((row.main_nvcsw, row.main_nivcsw), (Some(4), Some(1)));
        status(
            &mut row,
            "VmHWM:\t    1700 kB\nVmRSS:\t    1600 kB\nRssAnon:\t     116 kB\nVmSwap:\t       0 kB\n",
        );
        assert_eq!((row.rss_bytes, row.rss_peak_bytes), (Some(1600 << 10), Some(1700 << 10)));
        assert_eq!((row.rss_anon_bytes, row.swap_bytes), (Some(116 << 10), Some(0)));
    }

    #[test]
    fn this_process_is_sampled_and_one_that_is_not_there_has_no_row() {
        let (mut processes, mut reader) = (Processes::new(), Reader::default());
        let me = Tgid(std::process::id());
        // Above any pid_max.
        let live = [me, Tgid(1 << 30)];
        for _ in 0..2 {
            let rows = processes.sample(&mut reader, &live);
            assert_eq!(rows.len(), 1);
            let row = &rows[0];
            assert!(
                row.cpu_ns > Some(0) && row.rss_bytes > Some(0) && row.read_call_bytes > Some(0),
                "{row:?}"
            );
        }
        assert!(processes.memberships().all(|text| text.contains(':')));
        assert!(processes.sample(&mut reader, &[]).is_empty());
        assert_eq!((processes.memberships().count(), processes.note()), (0, None));
    }
}
