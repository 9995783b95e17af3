//! Calls of CUDA's driver library: which functions are probed, what they are called, and a call as a row.
//!
//! The library has up to six functions for a call: `cuMemcpyHtoD`, its later version `_v2`, and for each those whose default
//! stream is the thread's, `_ptds` and `_ptsz`. They are one call here.

use std::{borrow::Cow, collections::BTreeMap};

use hostprof_common::{
    function::{Args, Call, Cookie, flag, lane},
    span::OFF_CPU_UNKNOWN,
};

use super::function::FunctionProbe;
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
    bytes: Args,
}

const fn of(kind: CudaKind, name: &'static str) -> CudaCall {
    CudaCall { name, kind, bytes: Args::None }
}

const fn sized(kind: CudaKind, name: &'static str, bytes: Args) -> CudaCall {
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
    sized(Copy, "cuMemcpy", Args::Arg(2)),
    sized(Copy, "cuMemcpyAsync", Args::Arg(2)),
    sized(Copy, "cuMemcpyPeer", Args::Arg(4)),
    sized(Copy, "cuMemcpyPeerAsync", Args::Arg(4)),
    sized(Copy, "cuMemcpyHtoD", Args::Arg(2)),
    sized(Copy, "cuMemcpyHtoDAsync", Args::Arg(2)),
    sized(Copy, "cuMemcpyDtoH", Args::Arg(2)),
    sized(Copy, "cuMemcpyDtoHAsync", Args::Arg(2)),
    sized(Copy, "cuMemcpyDtoD", Args::Arg(2)),
    sized(Copy, "cuMemcpyDtoDAsync", Args::Arg(2)),
    sized(Copy, "cuMemcpyDtoA", Args::Arg(3)),
    sized(Copy, "cuMemcpyAtoD", Args::Arg(3)),
    sized(Copy, "cuMemcpyHtoA", Args::Arg(3)),
    sized(Copy, "cuMemcpyHtoAAsync", Args::Arg(3)),
    sized(Copy, "cuMemcpyAtoH", Args::Arg(3)),
    sized(Copy, "cuMemcpyAtoHAsync", Args::Arg(3)),
    sized(Copy, "cuMemcpyAtoA", Args::Arg(4)),
    sized(Copy, "cuMemcpy2D", Args::Copy2d),
    sized(Copy, "cuMemcpy2DUnaligned", Args::Copy2d),
    sized(Copy, "cuMemcpy2DAsync", Args::Copy2d),
    sized(Copy, "cuMemcpy3D", Args::Copy3d),
    sized(Copy, "cuMemcpy3DAsync", Args::Copy3d),
    of(Copy, "cuMemcpy3DPeer"),
    of(Copy, "cuMemcpy3DPeerAsync"),
    of(Copy, "cuMemcpyBatchAsync"),
    of(Copy, "cuMemcpy3DBatchAsync"),
    sized(Copy, "cuMemPrefetchAsync", Args::Arg(1)),
    sized(Set, "cuMemsetD8", Args::Arg(2)),
    sized(Set, "cuMemsetD16", Args::Units(2, 1)),
    sized(Set, "cuMemsetD32", Args::Units(2, 2)),
    sized(Set, "cuMemsetD8Async", Args::Arg(2)),
    sized(Set, "cuMemsetD16Async", Args::Units(2, 1)),
    sized(Set, "cuMemsetD32Async", Args::Units(2, 2)),
    sized(Set, "cuMemsetD2D8", Args::Product(3, 4, 0)),
    sized(Set, "cuMemsetD2D16", Args::Product(3, 4, 1)),
    sized(Set, "cuMemsetD2D32", Args::Product(3, 4, 2)),
    sized(Set, "cuMemsetD2D8Async", Args::Product(3, 4, 0)),
    sized(Set, "cuMemsetD2D16Async", Args::Product(3, 4, 1)),
    sized(Set, "cuMemsetD2D32Async", Args::Product(3, 4, 2)),
    sized(Alloc, "cuMemAlloc", Args::Arg(1)),
    sized(Alloc, "cuMemAllocPitch", Args::Product(2, 3, 0)),
    sized(Alloc, "cuMemAllocManaged", Args::Arg(1)),
    sized(Alloc, "cuMemAllocAsync", Args::Arg(1)),
    sized(Alloc, "cuMemAllocFromPoolAsync", Args::Arg(1)),
    sized(Alloc, "cuMemAllocHost", Args::Arg(1)),
    sized(Alloc, "cuMemHostAlloc", Args::Arg(1)),
    sized(Alloc, "cuMemHostRegister", Args::Arg(1)),
    sized(Alloc, "cuMemCreate", Args::Arg(1)),
    sized(Alloc, "cuMemAddressReserve", Args::Arg(1)),
    sized(Alloc, "cuMemMap", Args::Arg(1)),
    sized(Alloc, "cuMemSetAccess", Args::Arg(1)),
    of(Alloc, "cuMemPoolCreate"),
    of(Free, "cuMemFree"),
    of(Free, "cuMemFreeAsync"),
    of(Free, "cuMemFreeHost"),
    of(Free, "cuMemHostUnregister"),
    of(Free, "cuMemRelease"),
    sized(Free, "cuMemAddressFree", Args::Arg(1)),
    sized(Free, "cuMemUnmap", Args::Arg(1)),
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

/// The functions of a library to be probed, one for each place in its file, by the names and places of all of them;
/// launches are timed where `launches`.
pub fn cuda_probes<'a>(
    functions: impl Iterator<Item = (&'a str, u64)> + Clone,
    launches: bool,
) -> Vec<FunctionProbe> {
    let replaced: Vec<&str> = functions.clone().filter_map(|(name, _)| unversioned(plain(name))).collect();
    let mut probes: BTreeMap<u64, FunctionProbe> = BTreeMap::new();
    for (name, offset) in functions {
        let versioned = plain(name);
        let base = unversioned(versioned).unwrap_or(versioned);
        let Some(number) = CUDA_CALLS.iter().position(|call| call.name == base) else { continue };
        let call = &CUDA_CALLS[number];
        let first_of_several = versioned == base && replaced.contains(&base);
        let cookie = Cookie {
            call: number as u16,
            lane: if call.kind == Sync { lane::CUDA_SYNC } else { lane::CUDA },
            args: if first_of_several { Args::None } else { call.bytes },
        };
        let probe = FunctionProbe { offset, cookie, only_counted: call.kind == Launch && !launches };
        // Where functions share a place the list decides, so that it does not depend on the file.
        let known = probes.entry(offset).or_insert(probe);
        if (probe.cookie.call, probe.cookie.args == Args::None)
            < (known.cookie.call, known.cookie.args == Args::None)
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
        bytes: (call.flags & flag::TOLD != 0).then_some(call.told),
        ret: (!open_end).then_some(call.ret),
        open_end,
    })
}

#[cfg(test)]
mod tests {
    use hostprof_common::{
        function::Open,
        slot::{Slot, presence},
    };

    use super::{super::function::open_call, *};

    fn probes(functions: &[(&str, u64)]) -> Vec<(&'static str, u64, Args)> {
        cuda_probes(functions.iter().copied(), false)
            .into_iter()
            .map(|probe| (CUDA_CALLS[usize::from(probe.cookie.call)].name, probe.offset, probe.cookie.args))
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
                ("cuMemAlloc", 0x10, Args::None),
                ("cuMemAlloc", 0x20, Args::Arg(1)),
                ("cuMemcpyHtoD", 0x30, Args::Arg(2)),
                ("cuMemcpyHtoD", 0x40, Args::Arg(2)),
                ("cuLaunchKernel", 0x50, Args::None),
                ("cuMemAllocHost", 0x60, Args::Arg(1)),
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
            let cookie = Cookie { call: number as u16, lane: lane::CUDA, args: call.bytes };
            let word = cookie.pack();
            assert_eq!((Cookie::call_of(word), Cookie::lane_of(word)), (number as u16, lane::CUDA));
            let args = match call.bytes {
                Args::None | Args::Copy2d | Args::Copy3d | Args::Batch | Args::Extended => (0, 0, 0),
                Args::Arg(at) => (at + 1, 0, 0),
                Args::Units(at, shift) => (at + 1, 0, shift),
                Args::Product(one, two, shift) => (one + 1, two + 1, shift),
            };
            assert_eq!(Cookie::args_of(word), args, "{}", call.name);
            assert_eq!(Cookie::copy_of(word).is_some(), matches!(call.bytes, Args::Copy2d | Args::Copy3d));
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
        let row = row(&open_call(&open, &slot, 1000), &ThreadRow::default()).unwrap();
        assert_eq!((row.name.as_ref(), row.kind), ("cuStreamSynchronize", Sync));
        assert_eq!((row.dur_ns, row.off_cpu_ns, row.gpu_sync_ns()), (900, Some(120), Some(780)));
        assert!(row.open_end && row.ret.is_none() && row.bytes.is_none());
    }
}
