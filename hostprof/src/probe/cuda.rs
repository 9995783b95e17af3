//! Calls of CUDA's driver library: which functions are probed, what they are called, and a call as a row.
//!
//! The library has up to six functions for a call: `cuMemcpyHtoD`, its later version `_v2`, and for each those whose default
//! stream is the thread's, `_ptds` and `_ptsz`. They are one call here.

use std::{borrow::Cow, collections::BTreeMap};

use hostprof_common::{
    cuda::{Bytes, Call, Cookie, Open, flag, lane},
    slot::{Slot, presence},
    span::OFF_CPU_UNKNOWN,
};

use crate::table::{
    CudaCallRow,
    CudaKind::{self, Alloc, Context, Copy, Free, Graph, Launch, Module, Set, Sync},
    ThreadRow,
};

/// A call that is probed.
#[derive(Clone, Copy, Debug)]
pub struct CudaCall {
    /// As documentation has it, without a version.
    pub name: &'static str,
    /// What it does.
    pub kind: CudaKind,
    /// Where its arguments tell bytes. Those of first versions that a later one replaced are 32 bits and not read.
    bytes: Bytes,
}

const fn of(kind: CudaKind, name: &'static str) -> CudaCall {
    CudaCall { name, kind, bytes: Bytes::None }
}

const fn sized(kind: CudaKind, name: &'static str, bytes: Bytes) -> CudaCall {
    CudaCall { name, kind, bytes }
}

/// Every call that is probed; its place is its number.
pub const CUDA_CALLS: &[CudaCall] = &[
    of(Launch, "cuLaunchKernel"),
    of(Launch, "cuLaunchKernelEx"),
    of(Launch, "cuLaunchCooperativeKernel"),
    of(Launch, "cuLaunchCooperativeKernelMultiDevice"),
    of(Launch, "cuLaunch"),
    of(Launch, "cuLaunchGrid"),
    of(Launch, "cuLaunchGridAsync"),
    of(Launch, "cuGraphLaunch"),
    of(Sync, "cuCtxSynchronize"),
    of(Sync, "cuStreamSynchronize"),
    of(Sync, "cuEventSynchronize"),
    sized(Copy, "cuMemcpy", Bytes::Arg(2)),
    sized(Copy, "cuMemcpyAsync", Bytes::Arg(2)),
    sized(Copy, "cuMemcpyPeer", Bytes::Arg(4)),
    sized(Copy, "cuMemcpyPeerAsync", Bytes::Arg(4)),
    sized(Copy, "cuMemcpyHtoD", Bytes::Arg(2)),
    sized(Copy, "cuMemcpyHtoDAsync", Bytes::Arg(2)),
    sized(Copy, "cuMemcpyDtoH", Bytes::Arg(2)),
    sized(Copy, "cuMemcpyDtoHAsync", Bytes::Arg(2)),
    sized(Copy, "cuMemcpyDtoD", Bytes::Arg(2)),
    sized(Copy, "cuMemcpyDtoDAsync", Bytes::Arg(2)),
    sized(Copy, "cuMemcpyDtoA", Bytes::Arg(3)),
    sized(Copy, "cuMemcpyAtoD", Bytes::Arg(3)),
    sized(Copy, "cuMemcpyHtoA", Bytes::Arg(3)),
    sized(Copy, "cuMemcpyHtoAAsync", Bytes::Arg(3)),
    sized(Copy, "cuMemcpyAtoH", Bytes::Arg(3)),
    sized(Copy, "cuMemcpyAtoHAsync", Bytes::Arg(3)),
    sized(Copy, "cuMemcpyAtoA", Bytes::Arg(4)),
    sized(Copy, "cuMemcpy2D", Bytes::Copy2d),
    sized(Copy, "cuMemcpy2DUnaligned", Bytes::Copy2d),
    sized(Copy, "cuMemcpy2DAsync", Bytes::Copy2d),
    sized(Copy, "cuMemcpy3D", Bytes::Copy3d),
    sized(Copy, "cuMemcpy3DAsync", Bytes::Copy3d),
    of(Copy, "cuMemcpy3DPeer"),
    of(Copy, "cuMemcpy3DPeerAsync"),
    of(Copy, "cuMemcpyBatchAsync"),
    of(Copy, "cuMemcpy3DBatchAsync"),
    sized(Copy, "cuMemPrefetchAsync", Bytes::Arg(1)),
    sized(Set, "cuMemsetD8", Bytes::Arg(2)),
    sized(Set, "cuMemsetD16", Bytes::Units(2, 1)),
    sized(Set, "cuMemsetD32", Bytes::Units(2, 2)),
    sized(Set, "cuMemsetD8Async", Bytes::Arg(2)),
    sized(Set, "cuMemsetD16Async", Bytes::Units(2, 1)),
    sized(Set, "cuMemsetD32Async", Bytes::Units(2, 2)),
    sized(Set, "cuMemsetD2D8", Bytes::Product(3, 4, 0)),
    sized(Set, "cuMemsetD2D16", Bytes::Product(3, 4, 1)),
    sized(Set, "cuMemsetD2D32", Bytes::Product(3, 4, 2)),
    sized(Set, "cuMemsetD2D8Async", Bytes::Product(3, 4, 0)),
    sized(Set, "cuMemsetD2D16Async", Bytes::Product(3, 4, 1)),
    sized(Set, "cuMemsetD2D32Async", Bytes::Product(3, 4, 2)),
    sized(Alloc, "cuMemAlloc", Bytes::Arg(1)),
    sized(Alloc, "cuMemAllocPitch", Bytes::Product(2, 3, 0)),
    sized(Alloc, "cuMemAllocManaged", Bytes::Arg(1)),
    sized(Alloc, "cuMemAllocAsync", Bytes::Arg(1)),
    sized(Alloc, "cuMemAllocFromPoolAsync", Bytes::Arg(1)),
    sized(Alloc, "cuMemAllocHost", Bytes::Arg(1)),
    sized(Alloc, "cuMemHostAlloc", Bytes::Arg(1)),
    sized(Alloc, "cuMemHostRegister", Bytes::Arg(1)),
    sized(Alloc, "cuMemCreate", Bytes::Arg(1)),
    sized(Alloc, "cuMemAddressReserve", Bytes::Arg(1)),
    sized(Alloc, "cuMemMap", Bytes::Arg(1)),
    sized(Alloc, "cuMemSetAccess", Bytes::Arg(1)),
    of(Alloc, "cuMemPoolCreate"),
    of(Free, "cuMemFree"),
    of(Free, "cuMemFreeAsync"),
    of(Free, "cuMemFreeHost"),
    of(Free, "cuMemHostUnregister"),
    of(Free, "cuMemRelease"),
    sized(Free, "cuMemAddressFree", Bytes::Arg(1)),
    sized(Free, "cuMemUnmap", Bytes::Arg(1)),
    of(Free, "cuMemPoolDestroy"),
    of(Free, "cuMemPoolTrimTo"),
    of(Graph, "cuStreamBeginCapture"),
    of(Graph, "cuStreamBeginCaptureToGraph"),
    of(Graph, "cuStreamEndCapture"),
    of(Graph, "cuGraphInstantiate"),
    of(Graph, "cuGraphInstantiateWithFlags"),
    of(Graph, "cuGraphInstantiateWithParams"),
    of(Graph, "cuGraphExecUpdate"),
    of(Graph, "cuGraphExecDestroy"),
    of(Graph, "cuGraphUpload"),
    of(Module, "cuModuleLoad"),
    of(Module, "cuModuleLoadData"),
    of(Module, "cuModuleLoadDataEx"),
    of(Module, "cuModuleLoadFatBinary"),
    of(Module, "cuModuleUnload"),
    of(Module, "cuLibraryLoadData"),
    of(Module, "cuLibraryLoadFromFile"),
    of(Module, "cuLibraryUnload"),
    of(Module, "cuLinkCreate"),
    of(Module, "cuLinkAddData"),
    of(Module, "cuLinkAddFile"),
    of(Module, "cuLinkComplete"),
    of(Context, "cuInit"),
    of(Context, "cuCtxCreate"),
    of(Context, "cuCtxDestroy"),
    of(Context, "cuDevicePrimaryCtxRetain"),
    of(Context, "cuDevicePrimaryCtxRelease"),
    of(Context, "cuDevicePrimaryCtxReset"),
];

/// A function to be probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CudaProbe {
    /// Where its first instruction is, from the library file's beginning.
    pub offset: u64,
    /// What its probe is told.
    pub cookie: Cookie,
    /// Whether it is only counted.
    pub only_counted: bool,
}

/// The functions of a library to be probed, one for each place in its file, by the names and places of all of them;
/// launches are timed where `launches`.
pub fn cuda_probes<'a>(
    functions: impl Iterator<Item = (&'a str, u64)> + Clone,
    launches: bool,
) -> Vec<CudaProbe> {
    let replaced: Vec<&str> = functions.clone().filter_map(|(name, _)| unversioned(plain(name))).collect();
    let mut probes: BTreeMap<u64, CudaProbe> = BTreeMap::new();
    for (name, offset) in functions {
        let versioned = plain(name);
        let base = unversioned(versioned).unwrap_or(versioned);
        let Some(number) = CUDA_CALLS.iter().position(|call| call.name == base) else { continue };
        let call = &CUDA_CALLS[number];
        let first_of_several = versioned == base && replaced.contains(&base);
        let cookie = Cookie {
            call: number as u16,
            lane: if call.kind == Sync { lane::SYNC } else { lane::OTHER },
            bytes: if first_of_several { Bytes::None } else { call.bytes },
        };
        let probe = CudaProbe { offset, cookie, only_counted: call.kind == Launch && !launches };
        // Where functions share a place the list decides, so that it does not depend on the file.
        let known = probes.entry(offset).or_insert(probe);
        if (probe.cookie.call, probe.cookie.bytes == Bytes::None)
            < (known.cookie.call, known.cookie.bytes == Bytes::None)
        {
            *known = probe;
        }
    }
    probes.into_values().collect()
}

/// A function's name without what tells its default stream.
fn plain(name: &str) -> &str {
    name.strip_suffix("_ptds").or_else(|| name.strip_suffix("_ptsz")).unwrap_or(name)
}

/// A name without its version; `None` for one that has none.
fn unversioned(name: &str) -> Option<&str> {
    let (base, version) = name.rsplit_once("_v")?;
    (!version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit())).then_some(base)
}

/// The call of a number.
pub fn cuda_call(number: u16) -> Option<&'static CudaCall> {
    CUDA_CALLS.get(usize::from(number))
}

/// A call that returned, or that its thread ended in, as a row; `None` for one that this version does not know.
pub fn row(call: &Call, thread: &ThreadRow) -> Option<CudaCallRow> {
    let of = cuda_call(call.call)?;
    let open_end = call.flags & flag::OPEN != 0;
    Some(CudaCallRow {
        ts_mono_ns: call.enter_ns,
        tid: thread.tid,
        tgid: thread.tgid,
        name: Cow::Borrowed(of.name),
        kind: of.kind,
        dur_ns: call.exit_ns.saturating_sub(call.enter_ns),
        off_cpu_ns: (call.off_cpu_ns != OFF_CPU_UNKNOWN).then_some(call.off_cpu_ns),
        bytes: (call.flags & flag::BYTES != 0).then_some(call.bytes),
        ret: (!open_end).then_some(call.ret),
        open_end,
    })
}

/// A call that is open at a time, as a row.
pub fn open_row(open: &Open, slot: &Slot, at_ns: u64, thread: &ThreadRow) -> Option<CudaCallRow> {
    let dur_ns = at_ns.saturating_sub(open.enter_ns);
    // Its thread went on while slot and call were read.
    let since_out_ns = if slot.presence == presence::OFF_CPU { at_ns.saturating_sub(slot.out_ns) } else { 0 };
    let off_cpu_ns = (slot.off_ns.saturating_sub(open.off_ns) + since_out_ns).min(dur_ns);
    row(
        &Call {
            call: open.call,
            exit_ns: at_ns,
            enter_ns: open.enter_ns,
            off_cpu_ns: if open.untold_out_ns == 0 { off_cpu_ns } else { OFF_CPU_UNKNOWN },
            bytes: open.bytes,
            flags: open.flags | flag::OPEN,
            ..Call::default()
        },
        thread,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probes(functions: &[(&str, u64)]) -> Vec<(&'static str, u64, Bytes)> {
        cuda_probes(functions.iter().copied(), false)
            .into_iter()
            .map(|probe| (CUDA_CALLS[usize::from(probe.cookie.call)].name, probe.offset, probe.cookie.bytes))
            .collect()
    }

    #[test]
    fn every_version_of_a_call_is_that_call_and_a_place_is_probed_once() {
        let found = probes(&[
            ("cuMemAlloc", 0x10),
            ("cuMemAlloc_v2", 0x20),
            ("cuMemcpyHtoD_v2", 0x30),
            ("cuMemcpyHtoD_v2_ptds", 0x40),
            ("cuLaunchKernel_ptsz", 0x50),
            ("cuLaunchKernel", 0x50),
            ("cuMemAllocHost", 0x60),
            ("cuMemAllocHost_v2", 0x60),
            ("cuDeviceGet", 0x70),
            ("cuMemAlloc_vx", 0x80),
        ]);
        assert_eq!(
            found,
            [
                ("cuMemAlloc", 0x10, Bytes::None),
                ("cuMemAlloc", 0x20, Bytes::Arg(1)),
                ("cuMemcpyHtoD", 0x30, Bytes::Arg(2)),
                ("cuMemcpyHtoD", 0x40, Bytes::Arg(2)),
                ("cuLaunchKernel", 0x50, Bytes::None),
                ("cuMemAllocHost", 0x60, Bytes::Arg(1)),
            ]
        );
    }

    #[test]
    fn launches_are_only_counted_unless_they_are_asked_for() {
        let functions = [("cuGraphLaunch_ptsz", 1), ("cuCtxSynchronize", 2)];
        let only = |launches| -> Vec<bool> {
            cuda_probes(functions.iter().copied(), launches).iter().map(|probe| probe.only_counted).collect()
        };
        assert_eq!((only(false), only(true)), (vec![true, false], vec![false, false]));
    }

    #[test]
    fn a_cookie_says_all_that_the_kernel_half_needs() {
        for (number, call) in CUDA_CALLS.iter().enumerate() {
            let cookie = Cookie { call: number as u16, lane: lane::OTHER, bytes: call.bytes };
            let word = cookie.pack();
            assert_eq!((Cookie::call_of(word), Cookie::lane_of(word)), (number as u16, lane::OTHER));
            let args = match call.bytes {
                Bytes::None | Bytes::Copy2d | Bytes::Copy3d => (0, 0, 0),
                Bytes::Arg(at) => (at + 1, 0, 0),
                Bytes::Units(at, shift) => (at + 1, 0, shift),
                Bytes::Product(one, two, shift) => (one + 1, two + 1, shift),
            };
            assert_eq!(Cookie::args_of(word), args, "{}", call.name);
            assert_eq!(Cookie::copy_of(word).is_some(), matches!(call.bytes, Bytes::Copy2d | Bytes::Copy3d));
        }
    }

    #[test]
    fn no_call_stands_twice() {
        let mut names: Vec<_> = CUDA_CALLS.iter().map(|call| call.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CUDA_CALLS.len());
    }

    #[test]
    fn an_open_call_has_what_is_known_of_it() {
        let open = Open { enter_ns: 100, off_ns: 40, call: 9, ..Open::default() };
        let slot = Slot { off_ns: 60, out_ns: 900, presence: presence::OFF_CPU, ..Slot::ZERO };
        let row = open_row(&open, &slot, 1000, &ThreadRow::default()).unwrap();
        assert_eq!((row.name.as_ref(), row.kind), ("cuStreamSynchronize", Sync));
        assert_eq!((row.dur_ns, row.off_cpu_ns, row.gpu_sync_ns()), (900, Some(120), Some(780)));
        assert!(row.open_end && row.ret.is_none() && row.bytes.is_none());
    }
}
