//! A socket took or gave bytes: what each process sends and receives.
//!
//! `TP_PROTO(struct sock *sk, int ret, int flags)`, of a class for both
//! <https://github.com/torvalds/linux/blob/v6.18/include/trace/events/sock.h>. They run in the context of the
//! caller, once the protocol has done its work: `ret` is what the call returns, `flags` those of a receive.
//! splice, sendfile and io_uring come by here too; what leaves a TCP socket by splice does not.

use aya_ebpf::{bindings::BPF_NOEXIST, macros::btf_tracepoint, programs::BtfTracePointContext};
use hostprof_common::socket::SocketBytes;

use crate::{
    emit::{Cpu, count},
    maps::SOCKET_BYTES,
    target,
    task::{Task, is_inet},
};

/// `MSG_PEEK`: what is looked at is received later.
const PEEK: i32 = 0x2;

#[btf_tracepoint(function = "sock_send_length")]
pub fn sock_send_length(ctx: BtfTracePointContext) -> i32 {
    if let Some((bytes, length)) = try_sock_length(&ctx) {
        // SAFETY: from a successful lookup; this CPU's own entry, and calls of one CPU do not nest here.
        unsafe { (*bytes).sent += length };
    }
    0
}

#[btf_tracepoint(function = "sock_recv_length")]
pub fn sock_recv_length(ctx: BtfTracePointContext) -> i32 {
    if let Some((bytes, length)) = try_sock_length(&ctx) {
        // SAFETY: as above.
        unsafe { (*bytes).received += length };
    }
    0
}

/// The entry of the caller's process on this CPU, and the call's length; `None` for what is not counted.
#[inline(always)]
fn try_sock_length(ctx: &BtfTracePointContext) -> Option<(*mut SocketBytes, u64)> {
    let length: i32 = ctx.arg(1);
    let flags: i32 = ctx.arg(2);
    if length <= 0 || flags & PEEK != 0 {
        return None;
    }
    let task = Task::current();
    target::slot_of(task)?;
    if !is_inet(ctx.arg(0)) {
        return None;
    }
    let tgid = task.tgid();
    let bytes = SOCKET_BYTES.get_ptr_mut(tgid).or_else(|| {
        let _ = SOCKET_BYTES.insert(tgid, SocketBytes::ZERO, u64::from(BPF_NOEXIST));
        SOCKET_BYTES.get_ptr_mut(tgid)
    });
    if bytes.is_none() {
        count!(Cpu::this()?, sockets_untold);
    }
    Some((bytes?, length as u64))
}
