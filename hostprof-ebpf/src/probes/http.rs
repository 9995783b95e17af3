//! What happens on the sockets of the target's HTTP servers.
//!
//! `TP_PROTO(struct sock *sk, int ret, int flags)` of `sock_send_length` and `sock_recv_length`, `TP_PROTO(const struct
//! sock *sk)` of `sk_data_ready`
//! <https://github.com/torvalds/linux/blob/v6.18/include/trace/events/sock.h>, and `TP_PROTO(const struct sock *sk,
//! const int oldstate, const int newstate)` of `inet_sock_set_state`, there too. The first two run in the caller's
//! context once the protocol has done its work, the others where the packet is handled or the state changes.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::http;

#[btf_tracepoint(function = "sock_send_length")]
pub fn http_sock_send_length(ctx: BtfTracePointContext) -> i32 {
    http::sent(ctx.arg(0), ctx.arg(1));
    0
}

#[btf_tracepoint(function = "sock_recv_length")]
pub fn http_sock_recv_length(ctx: BtfTracePointContext) -> i32 {
    http::received(ctx.arg(0), ctx.arg(1), ctx.arg(2));
    0
}

#[btf_tracepoint(function = "sk_data_ready")]
pub fn http_sk_data_ready(ctx: BtfTracePointContext) -> i32 {
    http::arrived(ctx.arg(0));
    0
}

#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn http_inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    http::state_changed(ctx.arg(0), ctx.arg(2));
    0
}
