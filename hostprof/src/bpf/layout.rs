//! The running kernel's structure offsets and tracepoint arguments, from its BTF.

use std::{cell::RefCell, collections::HashMap, path::Path};

use btf_rs::{Backend, Btf, BtfType, Datasec, Member, Type};
use hostprof_common::layout::{ABSENT, KernelLayout};

use super::error::LoadError;

/// The kernel's own type information.
pub const VMLINUX_BTF: &str = "/sys/kernel/btf/vmlinux";

/// A kernel's type information, opened for looking up.
pub struct KernelBtf {
    btf: Btf,
    /// Structures found so far: finding one by name reads all types.
    structures: RefCell<HashMap<&'static str, Option<Type>>>,
}

impl KernelBtf {
    /// Opens the running kernel's.
    ///
    /// # Errors
    ///
    /// The kernel has none, or it cannot be read.
    pub fn open() -> Result<Self, LoadError> {
        if !Path::new(VMLINUX_BTF).exists() {
            return Err(LoadError::NoBtf);
        }
        Btf::from_file_with_backend(VMLINUX_BTF, Backend::Mmap)
            .map(|btf| Self { btf, structures: RefCell::default() })
            .map_err(|error| LoadError::Btf(error.to_string()))
    }

    /// How many arguments a tracepoint hands to a `tp_btf` program; `None` where the kernel lacks it.
    pub fn tracepoint_args(&self, name: &str) -> Option<usize> {
        let typedef =
            self.btf.resolve_types_by_name(&format!("btf_trace_{name}")).ok()?.into_iter().next()?;
        let pointer = self.btf.resolve_chained_type(typedef.as_btf_type()?).ok()?;
        match self.btf.resolve_chained_type(pointer.as_btf_type()?).ok()? {
            // The first parameter is the tracepoint's own `void *`.
            Type::FuncProto(proto) => Some(proto.parameters.len().saturating_sub(1)),
            _ => None,
        }
    }

    /// Where the member at `path` (`se.cfs_rq`) lies, in bytes from the start of `structure`; `None` where the running kernel has no such member.
    fn offset(&self, structure: &'static str, path: &str) -> Option<u32> {
        let root = self.structure(structure)?;
        let mut bits = 0;
        let mut inside = root;
        for name in path.split('.') {
            let (member, offset) = self.member(&inside, name)?;
            bits += offset;
            inside = self.strip(self.btf.resolve_chained_type(&member).ok()?)?;
        }
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    /// A member by name, also inside anonymous structures and unions, with its offset in bits.
    fn member(&self, kind: &Type, name: &str) -> Option<(Member, u32)> {
        let (Type::Struct(structure) | Type::Union(structure)) = kind else { return None };
        for member in &structure.members {
            let member_name = self.btf.resolve_name(member).unwrap_or_default();
            if member_name == name {
                return Some((member.clone(), member.bit_offset()));
            }
            if member_name.is_empty() {
                let inner = self.strip(self.btf.resolve_chained_type(member).ok()?)?;
                if let Some((found, offset)) = self.member(&inner, name) {
                    return Some((found, member.bit_offset() + offset));
                }
            }
        }
        None
    }

    /// The type behind typedefs, qualifiers and arrays.
    #[expect(clippy::match_same_arms, reason = "each binds another type")]
    fn strip(&self, mut kind: Type) -> Option<Type> {
        loop {
            kind = match &kind {
                Type::Typedef(inner) => self.btf.resolve_chained_type(inner).ok()?,
                Type::Const(inner) => self.btf.resolve_chained_type(inner).ok()?,
                Type::Volatile(inner) => self.btf.resolve_chained_type(inner).ok()?,
                Type::TypeTag(inner) => self.btf.resolve_chained_type(inner).ok()?,
                Type::Array(inner) => self.btf.resolve_chained_type(inner).ok()?,
                _ => return Some(kind),
            };
        }
    }

    fn structure(&self, name: &'static str) -> Option<Type> {
        let find = || {
            let types = self.btf.resolve_types_by_name(name).ok()?;
            types.into_iter().find(|kind| matches!(kind, Type::Struct(_)))
        };
        self.structures.borrow_mut().entry(name).or_insert_with(find).clone()
    }

    fn size(&self, structure: &'static str) -> Option<u32> {
        match self.structure(structure)? {
            Type::Struct(structure) => u32::try_from(structure.size()).ok(),
            _ => None,
        }
    }

    /// Where a variable lies in per-CPU memory, from the section's start.
    fn per_cpu_offset(&self, section: &Datasec, name: &str) -> Option<u64> {
        let ids = self.btf.resolve_ids_by_name(name).ok()?;
        section
            .variables
            .iter()
            .find(|variable| variable.get_type_id().is_some_and(|id| ids.contains(&id)))
            .map(|variable| u64::from(variable.offset()))
    }

    /// How far the preempt count lies from the run queue in per-CPU memory.
    fn preempt_count_from_rq(&self) -> Option<u64> {
        let section =
            self.btf.resolve_types_by_name(".data..percpu").ok()?.into_iter().find_map(
                |kind| match kind {
                    Type::Datasec(section) => Some(section),
                    _ => None,
                },
            )?;
        let rq = self.per_cpu_offset(&section, "runqueues")?;
        let count = self.per_cpu_offset(&section, "__preempt_count").or_else(|| {
            // 6.2 to 6.14 keep it among the hot variables.
            let hot = self.per_cpu_offset(&section, "pcpu_hot")?;
            Some(hot + u64::from(self.offset("pcpu_hot", "preempt_count")?))
        })?;
        Some(count.wrapping_sub(rq))
    }
}

/// What the programs need to know of the running kernel, less what depends on the recording.
///
/// # Errors
///
/// The kernel lacks something that no form of the programs can do without.
pub fn read(btf: &KernelBtf, kernel: (u32, u32)) -> Result<KernelLayout, LoadError> {
    let need = |structure: &'static str, path: &'static str| {
        btf.offset(structure, path).ok_or(LoadError::KernelField { structure, path })
    };
    let may = |structure: &'static str, path: &str| btf.offset(structure, path).unwrap_or(ABSENT);
    let switch_args = btf.tracepoint_args("sched_switch").ok_or(LoadError::NoTracepoint("sched_switch"))?;
    let preempt_count = btf.preempt_count_from_rq();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_has_all_that_the_programs_read() {
        let btf = KernelBtf::open().unwrap();
        let layout = read(&btf, (6, 18)).unwrap();
        assert_eq!(layout.task_pid + 4, layout.task_tgid);
        assert_eq!(layout.regs_orig_ax, 120, "x86-64's pt_regs never changes");
        assert_ne!(layout.task_cfs_rq, ABSENT);
        assert_eq!(layout.has_preempt_count, 1);
        assert_eq!(btf.tracepoint_args("sched_waking"), Some(1));
        assert_eq!(btf.tracepoint_args("no_such_tracepoint"), None);
    }
}
