//! Connections to the target's HTTP servers: when bytes arrive, are received and sent, and how they begin.
//!
//! A connection is one of these from the first receive by a recorded thread that begins with a method. From then on
//! each receive, send and change of state is a record. What a call moved is read from the caller's memory, where it is
//! once the call is done; its address is among the call's arguments.

use aya_ebpf::{
    bindings::{BPF_NOEXIST, BPF_RB_NO_WAKEUP},
    helpers::{
        bpf_get_smp_processor_id, bpf_ktime_get_ns,
        generated::{bpf_get_socket_cookie, bpf_probe_read_user},
    },
};
use hostprof_common::{
    RecordKind,
    http::{Connection, Head, LONG_TEXT, Long, SHORT_TEXT, Short, op, protocol},
    span::probe,
};

use crate::{
    atomic::{fetch_increment, set_bits},
    emit::is_full,
    maps::{CONNECTIONS, HTTP_STATS, LONG_RECORDS, PORTS, layout},
    span, target,
    task::{Call, Task, is_inet, socket_port, socket_state},
};

/// `MSG_PEEK`: what is looked at is received later.
const PEEK: i32 = 0x2;

/// States of TCP. <https://github.com/torvalds/linux/blob/v6.18/include/net/tcp_states.h>
const FIN_WAIT1: i32 = 4;
const CLOSE: i32 = 7;
const CLOSE_WAIT: i32 = 8;
const LAST_ACK: i32 = 9;
const LISTEN: i32 = 10;

/// System calls by x86-64 number, each with its buffer in the second argument.
const READ: i32 = 0;
const WRITE: i32 = 1;
const READV: i32 = 19;
const WRITEV: i32 = 20;
const SENDTO: i32 = 44;
const RECVFROM: i32 = 45;
const SENDMSG: i32 = 46;
const RECVMSG: i32 = 47;
const IO_URING_ENTER: i32 = 426;

/// Where `struct user_msghdr` has `msg_iov` and `msg_iovlen`: part of the system call interface.
const MSG_IOV: u64 = 16;
const MSG_IOVLEN: u64 = 24;

/// Buffers of one call that are told apart; what is in further ones is told by its length.
const BUFFERS: u64 = 8;

macro_rules! count {
    ($field:ident) => {{
        // SAFETY: the helper takes nothing.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        if let Some(stats) = HTTP_STATS.get_ptr_mut(cpu) {
            // SAFETY: from a successful lookup.
            unsafe { fetch_increment(&raw mut (*stats).$field) };
        }
    }};
}

/// Reserves a record, fills it where it lies, and submits it.
macro_rules! submit {
    ($type:ident, $room:ident, $kind:ident, $event:ident, $base:ident, $length:ident) => {{
        match LONG_RECORDS.reserve_untyped::<$type>(0) {
            Some(mut entry) => {
                let record = entry.as_mut_ptr();
                let room = $room as u32;
                let mut text_length = if $base == 0 {
                    0
                } else if $length < room {
                    $length
                } else {
                    room
                };
                // SAFETY: in the record's text, which has that room; a probing read.
                let read = unsafe {
                    bpf_probe_read_user((&raw mut (*record).text).cast(), text_length, $base as *const _)
                };
                if read != 0 {
                    text_length = 0;
                }
                // SAFETY: a record under construction.
                unsafe {
                    (*record).head = Head {
                        kind: RecordKind::$kind as u16,
                        op: $event.op,
                        utid: $event.utid,
                        at_ns: $event.at_ns,
                        arrived_ns: $event.arrived_ns,
                        connection: $event.connection,
                        length: $length,
                        text_length,
                    };
                }
                entry.submit(u64::from(BPF_RB_NO_WAKEUP));
                span::count!(probe::HTTP, records);
            }
            None if is_full(&LONG_RECORDS, size_of::<$type>() as u64, layout!(long_ring_bytes)) => {
                span::count!(probe::HTTP, full);
            }
            None => span::count!(probe::HTTP, busy),
        }
    }};
}

/// What a record says beside its text.
#[derive(Clone, Copy)]
struct Event {
    op: u16,
    utid: u32,
    at_ns: u64,
    arrived_ns: u64,
    connection: u64,
}

/// A receive has moved `ret` bytes.
#[inline(always)]
pub fn received(sock: *const u8, ret: i32, flags: i32) {
    if ret < 0 || flags & PEEK != 0 {
        return;
    }
    let task = Task::current();
    let Some(slot) = target::slot_of(task) else { return };
    if !is_inet(sock) {
        return;
    }
    let connection = cookie(sock);
    let call = task.call();
    let known = CONNECTIONS.get_ptr_mut(connection);
    // SAFETY: from successful lookups, here and below.
    let (arrived_ns, spoken) = match known {
        Some(known) => unsafe {
            let arrived_ns = (*known).arrived_ns;
            (*known).arrived_ns = 0;
            (arrived_ns, (*known).protocol)
        },
        None => (0, protocol::UNKNOWN),
    };
    if spoken != protocol::UNKNOWN && spoken != protocol::HTTP {
        return;
    }
    let start = if ret > 0 { start_of(&call) } else { 0 };
    if spoken == protocol::UNKNOWN {
        if call.nr == IO_URING_ENTER {
            count!(io_uring);
        }
        let spoken = protocol_of(start);
        // What is read once the connection is gone cannot be answered, and no change of state would end it.
        let is_gone = i32::from(socket_state(sock)) == CLOSE;
        if spoken == protocol::UNKNOWN || is_gone || !know(connection, spoken) {
            return;
        }
        listens(socket_port(sock));
        if spoken != protocol::HTTP {
            return;
        }
    }
    let event = Event {
        op: op::RECEIVE,
        utid: unsafe { (*slot).utid },
        at_ns: unsafe { bpf_ktime_get_ns() },
        arrived_ns,
        connection,
    };
    pieces(event, &call, ret as u32, is_method(start));
}

/// A send has taken `ret` bytes.
#[inline(always)]
pub fn sent(sock: *const u8, ret: i32) {
    if ret <= 0 {
        return;
    }
    let task = Task::current();
    let Some(slot) = target::slot_of(task) else { return };
    if !is_inet(sock) {
        return;
    }
    let connection = cookie(sock);
    let Some(known) = CONNECTIONS.get_ptr_mut(connection) else { return };
    // SAFETY: from successful lookups, here and below.
    if unsafe { (*known).protocol } != protocol::HTTP {
        return;
    }
    let call = task.call();
    if call.nr == IO_URING_ENTER {
        count!(io_uring);
    }
    let event = Event {
        op: op::SEND,
        utid: unsafe { (*slot).utid },
        at_ns: unsafe { bpf_ktime_get_ns() },
        arrived_ns: 0,
        connection,
    };
    pieces(event, &call, ret as u32, true);
}

/// Bytes have reached a socket of any process, often before a thread has accepted the connection.
#[inline(always)]
pub fn arrived(sock: *const u8) {
    let port = socket_port(sock);
    let Some(ports) = PORTS.get(u32::from(port >> 6)) else { return };
    if ports >> (port & 63) & 1 == 0 || i32::from(socket_state(sock)) == LISTEN {
        return;
    }
    if !is_inet(sock) {
        return;
    }
    let connection = cookie(sock);
    let arrived_ns = unsafe { bpf_ktime_get_ns() };
    match CONNECTIONS.get_ptr_mut(connection) {
        // SAFETY: from a successful lookup.
        Some(known) => unsafe {
            if (*known).arrived_ns == 0 {
                (*known).arrived_ns = arrived_ns;
            }
        },
        None => {
            let new = Connection { arrived_ns, protocol: protocol::UNKNOWN, _pad: 0 };
            if CONNECTIONS.insert(connection, new, u64::from(BPF_NOEXIST)).is_err() {
                count!(untold);
            }
        }
    }
}

/// A socket's state has changed.
#[inline(always)]
pub fn state_changed(sock: *const u8, state: i32) {
    if state == LISTEN {
        if target::slot_of(Task::current()).is_some() {
            listens(socket_port(sock));
        }
        return;
    }
    let op = match state {
        CLOSE_WAIT => op::CLIENT_CLOSED,
        FIN_WAIT1 | LAST_ACK => op::SERVER_CLOSED,
        CLOSE => op::GONE,
        _ => return,
    };
    let connection = cookie(sock);
    let Some(known) = CONNECTIONS.get_ptr_mut(connection) else { return };
    // SAFETY: from a successful lookup.
    let spoken = unsafe { (*known).protocol };
    if state == CLOSE {
        let _ = CONNECTIONS.remove(connection);
    }
    if spoken == protocol::HTTP {
        let at_ns = unsafe { bpf_ktime_get_ns() };
        piece(Event { op, utid: 0, at_ns, arrived_ns: 0, connection }, 0, 0, false);
    }
}

#[inline(always)]
fn cookie(sock: *const u8) -> u64 {
    // SAFETY: a socket that the tracepoint handed over.
    unsafe { bpf_get_socket_cookie(sock.cast_mut().cast()) }
}

/// Notes what a connection speaks; false where there is no room.
#[inline(always)]
fn know(connection: u64, spoken: u32) -> bool {
    match spoken {
        protocol::TLS => count!(tls),
        protocol::HTTP2 => count!(http2),
        _ => {}
    }
    let inserted = CONNECTIONS.insert(connection, Connection { arrived_ns: 0, protocol: spoken, _pad: 0 }, 0);
    if inserted.is_err() {
        count!(untold);
    }
    inserted.is_ok()
}

/// A server of the target listens on a port.
#[inline(always)]
fn listens(port: u16) {
    if let Some(ports) = PORTS.get_ptr_mut(u32::from(port >> 6)) {
        // SAFETY: from a successful lookup.
        unsafe { set_bits(ports, 1 << (port & 63)) };
    }
}

/// The first bytes that a call moved, in memory order; 0 where they cannot be read.
#[inline(always)]
fn start_of(call: &Call) -> u64 {
    match vector_of(call) {
        Some((vector, _)) => read_user(read_user(vector)),
        None if has_buffer(call.nr) => read_user(call.args[1]),
        None => 0,
    }
}

#[inline(always)]
fn has_buffer(nr: i32) -> bool {
    matches!(nr, READ | WRITE | SENDTO | RECVFROM)
}

/// The address and length of a call's list of buffers, where it has one.
#[inline(always)]
fn vector_of(call: &Call) -> Option<(u64, u64)> {
    match call.nr {
        READV | WRITEV => Some((call.args[1], call.args[2])),
        SENDMSG | RECVMSG => Some((read_user(call.args[1] + MSG_IOV), read_user(call.args[1] + MSG_IOVLEN))),
        _ => None,
    }
}

#[inline(always)]
fn read_user(address: u64) -> u64 {
    let mut word = 0_u64;
    // SAFETY: a probing read: a wrong address is an error, not a fault.
    let read = unsafe { bpf_probe_read_user((&raw mut word).cast(), 8, address as *const _) };
    if read == 0 { word } else { 0 }
}

const fn word(text: [u8; 4]) -> u32 {
    u32::from_ne_bytes(text)
}

#[inline(always)]
fn is_method(start: u64) -> bool {
    const METHODS: [u32; 7] = [
        word(*b"POST"),
        word(*b"GET "),
        word(*b"HEAD"),
        word(*b"OPTI"),
        word(*b"PUT "),
        word(*b"DELE"),
        word(*b"PATC"),
    ];
    let start = start as u32;
    let mut at = 0;
    while at < METHODS.len() {
        if METHODS[at] == start {
            return true;
        }
        at += 1;
    }
    false
}

/// What a connection speaks, by the first bytes received.
#[inline(always)]
fn protocol_of(start: u64) -> u32 {
    // A handshake record of TLS 1.x; the preface of HTTP/2.
    if start as u16 == u16::from_ne_bytes([0x16, 0x03]) {
        protocol::TLS
    } else if start as u32 == word(*b"PRI ") {
        protocol::HTTP2
    } else if is_method(start) {
        protocol::HTTP
    } else {
        protocol::UNKNOWN
    }
}

/// A record for each buffer of a call. `whole`: as much of their text as there is room for.
#[inline(always)]
fn pieces(event: Event, call: &Call, length: u32, whole: bool) {
    let mut left = u64::from(length);
    if let Some((vector, count)) = vector_of(call) {
        let mut at = 0;
        while at < BUFFERS {
            if at >= count || left == 0 {
                break;
            }
            let base = read_user(vector + at * 16);
            let mut size = read_user(vector + at * 16 + 8);
            if size > left {
                size = left;
            }
            if size > 0 {
                piece(event, base, size as u32, whole);
            }
            left -= size;
            at += 1;
        }
        if left > 0 {
            piece(event, 0, left as u32, false);
        }
    } else {
        let base = if has_buffer(call.nr) { call.args[1] } else { 0 };
        piece(event, base, length, whole);
    }
}

/// A record of `length` bytes that lie at `base`.
#[inline(never)]
fn piece(event: Event, base: u64, length: u32, whole: bool) {
    if whole && length > SHORT_TEXT as u32 {
        submit!(Long, LONG_TEXT, HttpLong, event, base, length);
    } else {
        submit!(Short, SHORT_TEXT, HttpShort, event, base, length);
    }
}
