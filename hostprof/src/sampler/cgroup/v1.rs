//! A cgroup path of version 1: a folder for each controller that has it.

use super::Folders;
use crate::{
    sampler::{
        file::{Kept, Reader, field},
        process::tick_ns,
    },
    table::CgroupSampleRow,
};

/// From here on a limit is none: the kernel shows none as the most pages there can be.
const NO_LIMIT: u64 = 1 << 62;

/// Its files; `None` where the controller does not have the path.
#[derive(Debug)]
pub struct Files {
    tick_ns: u64,
    cpu_stat: Option<Kept>,
    quota: Option<Kept>,
    period: Option<Kept>,
    cpu_usage: Option<Kept>,
    cpu_times: Option<Kept>,
    memory_usage: Option<Kept>,
    memory_limit: Option<Kept>,
    memory_stat: Option<Kept>,
    memory_failures: Option<Kept>,
    memory_oom: Option<Kept>,
    io_bytes: Option<Kept>,
    io_count: Option<Kept>,
}

impl Files {
    pub fn new(folders: &Folders) -> Self {
        let file =
            |controller: &str, name: &str| folders.get(controller).map(|folder| Kept::new(folder.join(name)));
        Self {
            tick_ns: tick_ns(),
            cpu_stat: file("cpu", "cpu.stat"),
            quota: file("cpu", "cpu.cfs_quota_us"),
            period: file("cpu", "cpu.cfs_period_us"),
            cpu_usage: file("cpuacct", "cpuacct.usage"),
            cpu_times: file("cpuacct", "cpuacct.stat"),
            memory_usage: file("memory", "memory.usage_in_bytes"),
            memory_limit: file("memory", "memory.limit_in_bytes"),
            memory_stat: file("memory", "memory.stat"),
            memory_failures: file("memory", "memory.failcnt"),
            memory_oom: file("memory", "memory.oom_control"),
            io_bytes: file("blkio", "blkio.throttle.io_service_bytes_recursive"),
            io_count: file("blkio", "blkio.throttle.io_serviced_recursive"),
        }
    }

    pub fn read(&mut self, reader: &mut Reader, row: &mut CgroupSampleRow) {
        let tick_ns = self.tick_ns;
        let mut with = |file: &mut Option<Kept>, parse: &dyn Fn(&mut CgroupSampleRow, &str)| {
            if let Some(file) = file
                && let Ok(text) = reader.read(file)
            {
                parse(row, &text);
            }
        };
        with(&mut self.cpu_stat, &cpu_stat);
        // -1, which is no number here, is no quota.
        with(&mut self.quota, &|row, text| row.quota_ns = number(text).map(|micros| micros * 1000));
        with(&mut self.period, &|row, text| row.period_ns = number(text).map(|micros| micros * 1000));
        with(&mut self.cpu_usage, &|row, text| row.cpu_ns = number(text));
        with(&mut self.cpu_times, &|row, text| {
            row.user_ns = field(text, "user").map(|ticks| ticks * tick_ns);
            row.system_ns = field(text, "system").map(|ticks| ticks * tick_ns);
        });
        with(&mut self.memory_usage, &|row, text| row.memory_bytes = number(text));
        with(&mut self.memory_limit, &|row, text| {
            row.memory_max_bytes = number(text).filter(|limit| *limit < NO_LIMIT);
        });
        with(&mut self.memory_stat, &memory_stat);
        with(&mut self.memory_failures, &|row, text| row.events_max = number(text));
        with(&mut self.memory_oom, &|row, text| row.oom_kills = field(text, "oom_kill"));
        with(&mut self.io_bytes, &|row, text| {
            (row.disk_read_bytes, row.disk_write_bytes) = (io(text, "Read"), io(text, "Write"));
        });
        with(&mut self.io_count, &|row, text| {
            (row.disk_reads, row.disk_writes) = (io(text, "Read"), io(text, "Write"));
        });
    }
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn cpu_stat(row: &mut CgroupSampleRow, text: &str) {
    row.periods = field(text, "nr_periods");
    row.throttled_periods = field(text, "nr_throttled");
    row.throttled_ns = field(text, "throttled_time");
}

/// Those named `total_` hold the cgroups below, as everything does in version 2.
fn memory_stat(row: &mut CgroupSampleRow, text: &str) {
    row.swap_bytes = field(text, "total_swap");
    row.anon_bytes = field(text, "total_rss");
    row.file_bytes = field(text, "total_cache");
    row.faults = field(text, "total_pgfault");
    row.major_faults = field(text, "total_pgmajfault");
    row.refaults_file =
        field(text, "total_workingset_refault_file").or_else(|| field(text, "total_workingset_refault"));
    row.refaults_anon = field(text, "total_workingset_refault_anon");
}

/// `254:0 Read 123`, a line for each device and operation. Null where no device is told: the controller then counts
/// none, whatever was read.
fn io(text: &str, operation: &str) -> Option<u64> {
    let values = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let device = words.next().is_some_and(|device| device.contains(':'));
        (device && words.next() == Some(operation)).then(|| words.next()?.parse::<u64>().ok())?
    });
    values.reduce(|sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_controller_tells_its_part_and_the_rest_is_null() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write(
            "cpu.stat",
            "nr_periods 7\nnr_throttled 5\nthrottled_time 400000001\nnr_bursts 0\nburst_time 0\n",
        );
        write("cpu.cfs_quota_us", "20000\n");
        write("cpu.cfs_period_us", "100000\n");
        write("memory.usage_in_bytes", "17989632\n");
        write("memory.limit_in_bytes", "9223372036854771712\n");
        write(
            "memory.stat",
            "cache 9654272\nrss 8335360\nworkingset_refault_file 3968\nswap 0\npgfault 213978\ntotal_cache 1626697728\n\
             total_rss 14823424\ntotal_workingset_refault_anon 0\ntotal_workingset_refault_file 7038824\n\
             total_swap 5\ntotal_pgfault 187179997\ntotal_pgmajfault 52825\n",
        );
        write("memory.failcnt", "3\n");
        write("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
        let folder = dir.path().to_owned();
        let folders = Folders::from([("cpu", folder.clone()), ("memory", folder)]);
        let mut row = CgroupSampleRow::default();
        Files::new(&folders).read(&mut Reader::default(), &mut row);
        assert_eq!(
            (row.periods, row.throttled_periods, row.throttled_ns),
            (Some(7), Some(5), Some(400_000_001))
        );
        assert_eq!((row.quota_ns, row.period_ns), (Some(20_000_000), Some(100_000_000)));
        assert_eq!((row.memory_bytes, row.memory_max_bytes), (Some(17_989_632), None));
        assert_eq!((row.anon_bytes, row.file_bytes), (Some(14_823_424), Some(1_626_697_728)));
        assert_eq!(
            (row.faults, row.major_faults, row.swap_bytes),
            (Some(187_179_997), Some(52_825), Some(5))
        );
        assert_eq!((row.refaults_file, row.refaults_anon), (Some(7_038_824), Some(0)));
        assert_eq!((row.events_max, row.oom_kills, row.events_high), (Some(3), Some(2), None));
        assert_eq!((row.cpu_ns, row.disk_read_bytes, row.cpu_some_ns), (None, None, None));
    }

    #[test]
    fn operations_are_summed_over_devices_and_no_device_is_null() {
        let text = "254:0 Read 100\n254:0 Write 7\n254:0 Sync 1\n254:0 Total 107\n7:0 Read 5\n7:0 Write 0\nTotal 112\n";
        assert_eq!((io(text, "Read"), io(text, "Write")), (Some(105), Some(7)));
        assert_eq!(io("Total 0\n", "Read"), None);
    }
}
