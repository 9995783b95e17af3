//! The running kernel's structure offsets and tracepoint arguments, from its BTF.

use hostprof_common::layout::{ABSENT, KernelLayout};

use super::{btf::KernelBtf, error::LoadError};

/// What the programs need to know of the running kernel, less what depends on the recording.
///
/// # Errors
///
/// The kernel lacks something that no form of the programs can do without.
pub fn read(btf: &KernelBtf<'_>, kernel: (u32, u32)) -> Result<KernelLayout, LoadError> {
    let need = |structure: &'static str, path: &'static str| {
        btf.offset(structure, path).ok_or(LoadError::KernelField { structure, path })
    };
    let may = |structure: &'static str, path: &str| btf.offset(structure, path).unwrap_or(ABSENT);
    let switch_args = btf.tracepoint_args("sched_switch").ok_or(LoadError::NoTracepoint("sched_switch"))?;
    let preempt_count = preempt_count_from_rq(btf);
    Ok(KernelLayout {
        task_pid: need("task_struct", "pid")?,
        task_tgid: need("task_struct", "tgid")?,
        task_flags: need("task_struct", "flags")?,
        task_state: btf.offset("task_struct", "__state").map_or_else(|| need("task_struct", "state"), Ok)?,
        task_start_time: need("task_struct", "start_time")?,
        task_nvcsw: need("task_struct", "nvcsw")?,
        task_nivcsw: need("task_struct", "nivcsw")?,
        task_min_flt: need("task_struct", "min_flt")?,
        task_maj_flt: need("task_struct", "maj_flt")?,
        task_comm: need("task_struct", "comm")?,
        task_sum_exec: need("task_struct", "se.sum_exec_runtime")?,
        task_run_delay: need("task_struct", "sched_info.run_delay")?,
        task_last_queued: need("task_struct", "sched_info.last_queued")?,
        task_last_arrival: need("task_struct", "sched_info.last_arrival")?,
        task_migrations: need("task_struct", "se.nr_migrations")?,
        task_cfs_rq: may("task_struct", "se.cfs_rq"),
        task_throttled: may("task_struct", "throttled"),
        task_ti_status: need("task_struct", "thread_info.status")?,
        task_thread_pid: need("task_struct", "thread_pid")?,
        cfs_rq_throttle_count: may("cfs_rq", "throttle_count"),
        cfs_rq_rq: may("cfs_rq", "rq"),
        rq_clock: may("rq", "clock"),
        rq_clock_task: may("rq", "clock_task"),
        pid_level: need("pid", "level")?,
        pid_numbers_nr: need("pid", "numbers")? + need("upid", "nr")?,
        upid_bytes: btf.size("upid").ok_or(LoadError::KernelField { structure: "upid", path: "" })?,
        regs_orig_ax: need("pt_regs", "orig_ax")?,
        regs_di: need("pt_regs", "di")?,
        regs_si: need("pt_regs", "si")?,
        regs_dx: need("pt_regs", "dx")?,
        regs_r10: need("pt_regs", "r10")?,
        regs_ax: need("pt_regs", "ax")?,
        regs_bx: need("pt_regs", "bx")?,
        regs_cx: need("pt_regs", "cx")?,
        bprm_filename: need("linux_binprm", "filename")?,
        task_files: need("task_struct", "files")?,
        files_fdt: need("files_struct", "fdt")?,
        fdt_fd: need("fdtable", "fd")?,
        fdt_max_fds: need("fdtable", "max_fds")?,
        file_inode: need("file", "f_inode")?,
        inode_rdev: need("inode", "i_rdev")?,
        inode_mode: need("inode", "i_mode")?,
        task_jobctl: need("task_struct", "jobctl")?,
        // The freezer's rewrite in 6.1 made frozen a state and freed the flag.
        freezer_by_flag: u32::from(kernel < (6, 1)),
        sock_family: may("sock", "__sk_common.skc_family"),
        sock_port: may("sock", "__sk_common.skc_num"),
        sock_state: may("sock", "__sk_common.skc_state"),
        switch_has_prev_state: u32::from(switch_args >= 4),
        preempt_count_from_rq: preempt_count.unwrap_or(0),
        has_preempt_count: u32::from(preempt_count.is_some()),
        ..KernelLayout::ZERO
    })
}

/// How far the preempt count lies from the run queue in per-CPU memory.
fn preempt_count_from_rq(btf: &KernelBtf<'_>) -> Option<u64> {
    let rq = btf.per_cpu_offset("runqueues")?;
    let count = btf.per_cpu_offset("__preempt_count").or_else(|| {
        // 6.2 to 6.14 keep it among the hot variables.
        let hot = btf.per_cpu_offset("pcpu_hot")?;
        Some(hot + u64::from(btf.offset("pcpu_hot", "preempt_count")?))
    })?;
    Some(count.wrapping_sub(rq))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::btf;

    #[test]
    fn the_running_kernel_has_all_that_the_programs_read() {
        let bytes = btf::read().unwrap();
        let btf = KernelBtf::parse(&bytes).unwrap();
        let layout = read(&btf, (6, 18)).unwrap();
        assert_eq!(layout.task_pid + 4, layout.task_tgid);
        assert_eq!(layout.regs_orig_ax, 120, "x86-64's pt_regs never changes");
        assert_ne!(layout.task_cfs_rq, ABSENT);
        assert_eq!(layout.has_preempt_count, 1);
        assert_eq!(btf.tracepoint_args("sched_waking"), Some(1));
        assert_eq!(btf.tracepoint_args("no_such_tracepoint"), None);
    }
}
