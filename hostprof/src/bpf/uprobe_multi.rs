//! Probes at many functions of a file by one link (`BPF_TRACE_UPROBE_MULTI`, Linux 6.6), which is gone in one step: to take
//! away a perf event of each function one by one takes the kernel some tens of milliseconds an event.
//!
//! aya has no such links, so programs are loaded here: relocated by aya's own code, against the maps that it has made.

use std::{
    collections::HashSet,
    ffi::CString,
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use aya::{Ebpf, maps::Map};
use aya_obj::{
    Object,
    generated::{BPF_F_UPROBE_MULTI_RETURN, bpf_attach_type, bpf_attr, bpf_prog_type},
};

use super::error::{LoadError, broken, refused};

/// The first kernel that has such links.
pub(super) const SINCE: (u32, u32) = (6, 6);

/// Commands of bpf(2).
const PROG_LOAD: libc::c_long = 5;
const LINK_CREATE: libc::c_long = 28;

/// Room for what the verifier says of a program that it refuses.
const LOG_BYTES: usize = 1 << 20;

/// The programs of the embedded object that are to be loaded, with the maps that they use.
pub(super) struct Relocated(Object);

impl Relocated {
    /// Parses the object and gives its programs the maps that aya has made of it, none of which may be taken yet.
    pub(super) fn new(object: &[u8], ebpf: &Ebpf) -> Result<Self, LoadError> {
        let error = |error: &(dyn std::error::Error + 'static)| refused("open the embedded programs", error);
        let mut object = Object::parse(object).map_err(|cause| error(&cause))?;
        let maps = std::mem::take(&mut object.maps);
        let made =
            ebpf.maps().filter_map(|(name, map)| Some((name, fd_of(map)?.as_raw_fd(), maps.get(name)?)));
        let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
        object.relocate_maps(made, &sections).map_err(|cause| error(&cause))?;
        object.relocate_calls(&sections).map_err(|cause| error(&cause))?;
        Ok(Self(object))
    }

    /// Loads a program.
    pub(super) fn load(&self, name: &'static str) -> Result<OwnedFd, LoadError> {
        let program = self.0.programs.get(name).ok_or_else(|| broken(name))?;
        let function = self.0.functions.get(&program.function_key()).ok_or_else(|| broken(name))?;
        let mut log = vec![0_u8; LOG_BYTES];
        let load = |log: &mut [u8]| {
            let mut attributes = zeroed();
            // SAFETY: all bytes are zero, which is a value of each of its members.
            let attr = unsafe { &mut attributes.__bindgen_anon_3 };
            for (to, from) in attr.prog_name.iter_mut().take(15).zip(name.bytes()) {
                *to = from.cast_signed();
            }
            attr.prog_type = bpf_prog_type::BPF_PROG_TYPE_KPROBE as u32;
            attr.expected_attach_type = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
            attr.insns = function.instructions.as_ptr() as u64;
            attr.insn_cnt = function.instructions.len() as u32;
            attr.license = program.license.as_ptr() as u64;
            if !log.is_empty() {
                (attr.log_buf, attr.log_size, attr.log_level) =
                    (log.as_mut_ptr() as u64, log.len() as u32, 1);
            }
            // SAFETY: what it points to is alive and as long as is said.
            unsafe { call(PROG_LOAD, &mut attributes) }
        };
        load(&mut []).or_else(|_| load(&mut log)).map_err(|source| {
            let said = log.iter().position(|&byte| byte == 0).unwrap_or(0);
            let said = String::from_utf8_lossy(&log[..said]);
            let last: Vec<&str> = said.lines().rev().take(4).collect();
            if !last.is_empty() {
                let last: Vec<&str> = last.into_iter().rev().collect();
                return LoadError::Kernel {
                    action: format!("load uprobe/{name}"),
                    cause: format!("{source}: {}", last.join(" | ")),
                };
            }
            refused(&format!("load uprobe/{name}"), &source)
        })
    }
}

/// Attaches a program at places of a file, each with a cookie; at the returns from there where `returns`. It is detached
/// when what this yields is dropped.
pub(super) fn attach(
    program: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offsets: &[u64],
    cookies: &[u64],
    returns: bool,
) -> io::Result<OwnedFd> {
    assert_eq!(offsets.len(), cookies.len());
    // The kernel follows the link to the file itself, wherever it is.
    let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let mut attributes = zeroed();
    // SAFETY: all bytes are zero, which is a value of each of its members.
    let attr = unsafe { &mut attributes.link_create };
    attr.__bindgen_anon_1.prog_fd = program.as_raw_fd().cast_unsigned();
    attr.attach_type = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
    // SAFETY: as above.
    let multi = unsafe { &mut attr.__bindgen_anon_3.uprobe_multi };
    multi.path = path.as_ptr() as u64;
    multi.offsets = offsets.as_ptr() as u64;
    multi.cookies = cookies.as_ptr() as u64;
    multi.cnt = offsets.len() as u32;
    multi.flags = if returns { BPF_F_UPROBE_MULTI_RETURN } else { 0 };
    // SAFETY: what it points to is alive and as long as is said.
    unsafe { call(LINK_CREATE, &mut attributes) }
}

fn zeroed() -> bpf_attr {
    // SAFETY: integers only, for which zero bytes are a value.
    unsafe { std::mem::zeroed() }
}

/// A command that yields a descriptor.
///
/// # Safety
///
/// What the attributes point to must be alive, and as long as they say.
unsafe fn call(command: libc::c_long, attributes: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: by the caller.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<bpf_attr>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor, which nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// A map's descriptor, of the kinds that the kernel half has.
fn fd_of(map: &Map) -> Option<BorrowedFd<'_>> {
    match map {
        Map::Array(made)
        | Map::HashMap(made)
        | Map::PerCpuArray(made)
        | Map::PerCpuHashMap(made)
        | Map::Queue(made)
        | Map::RingBuf(made) => Some(made.fd().as_fd()),
        _ => None,
    }
}
