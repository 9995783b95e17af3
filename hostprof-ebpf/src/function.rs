//! Calls of libraries' functions by recorded threads: counted, or told from their first instruction to their return.
//!
//! A function that is left by another way than its return (an exception, `longjmp`) is known by the stack: whatever is
//! called later has a stack pointer that is no lower. One that jumps to another at its end has a return told for each.
//! These programs may be preempted, by each other too: what they share is counted atomically.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_NOEXIST, pt_regs},
    helpers::{bpf_get_attach_cookie, generated::bpf_probe_read_user},
    programs::{ProbeContext, RetProbeContext},
};
use hostprof_common::{
    RecordKind,
    function::{
        Batch, Call, Cookie, MOST_SEQUENCES, MOST_TOKENS, Open, batch, extended, flag, lane, probe_of,
    },
    slot::Slot,
    span::{CountKey, OFF_CPU_UNKNOWN},
    stats::HISTOGRAM_BUCKETS,
};

use crate::{
    atomic::fetch_add,
    maps::{FUNCTION_COUNTS, FUNCTION_FROZEN, FUNCTION_OPEN, NO_CALLS, OPEN, filter},
    shed::{self, Price},
    span::{self, count},
    target,
    task::Task,
};

/// The current task's slot, where it is recorded, and calls are told at all.
#[inline(always)]
fn recorded() -> Option<*mut Slot> {
    let slot = target::slot_of(Task::current())?;
    let frozen = FUNCTION_FROZEN.get(0)?;
    // SAFETY: from a successful lookup.
    if unsafe { core::ptr::read_volatile(frozen) } != 0 { None } else { Some(slot) }
}

#[inline(always)]
fn open_of(slot: *mut Slot, lane: u32) -> Option<*mut Open> {
    // SAFETY: from a successful lookup.
    let index = unsafe { (*slot).index };
    FUNCTION_OPEN.get_ptr_mut(index.wrapping_mul(lane::COUNT).wrapping_add(lane))
}

/// The current task is at the first instruction of a function that is only counted.
#[inline(always)]
pub fn only_count(ctx: &ProbeContext) {
    if recorded().is_none() || shed::spans_off() {
        return;
    }
    span::spend(Price::Call);
    // SAFETY: the context is a probe's.
    let cookie = unsafe { bpf_get_attach_cookie(ctx.as_ptr()) };
    count_call(Cookie::call_of(cookie), 0);
}

/// The current task is at the first instruction of a function.
#[inline(always)]
pub fn enter(ctx: &ProbeContext) {
    let Some(slot) = recorded() else { return };
    // SAFETY: the context is a probe's.
    let cookie = unsafe { bpf_get_attach_cookie(ctx.as_ptr()) };
    let Some(open) = open_of(slot, Cookie::lane_of(cookie)) else { return };
    // SAFETY: from successful lookups, here and below; the thread's own.
    let (open, utid, index) = unsafe { (&mut *open, (*slot).utid, (*slot).index) };
    if shed::spans_off() {
        // What it was in may have returned meanwhile.
        open.state = 0;
        return;
    }
    let regs = ctx.regs;
    // SAFETY: the context, which the verifier knows the bounds of.
    let (stack, function) = unsafe { ((*regs).rsp, (*regs).rip) };
    if open.state != 0 && open.utid == utid {
        if stack < open.stack {
            return;
        }
        if stack == open.stack && function != open.function {
            open.chained += 1;
            return;
        }
        count!(probe_of(open.call), unfinished);
    }
    let Some(marks) = OPEN.get_ptr_mut(index) else { return };
    open.flags = 0;
    open.told = 0;
    if let Some(told) = told(regs, cookie) {
        open.told = told;
        open.flags = flag::TOLD;
    }
    open.utid = utid;
    open.call = Cookie::call_of(cookie);
    open.stack = stack;
    open.function = function;
    open.chained = 0;
    let at = span::moment(slot, unsafe { &mut *marks });
    open.enter_ns = at.now;
    open.off_ns = at.off_ns;
    open.untold_out_ns = at.untold_out_ns;
    open.state = 1;
}

/// The current task has returned from a function.
#[inline(always)]
pub fn leave(ctx: &RetProbeContext) {
    let Some(slot) = recorded() else { return };
    if shed::spans_off() {
        return;
    }
    span::spend(Price::Call);
    // SAFETY: the context is a probe's.
    let cookie = unsafe { bpf_get_attach_cookie(ctx.as_ptr()) };
    let Some(open) = open_of(slot, Cookie::lane_of(cookie)) else { return };
    // SAFETY: as above.
    let (open, utid, index) = unsafe { (&mut *open, (*slot).utid, (*slot).index) };
    if open.state == 0 || open.utid != utid {
        count!(probe_of(Cookie::call_of(cookie)), unbegun);
        return;
    }
    let regs = ctx.regs;
    // SAFETY: as above. The return has taken its address off the stack.
    let (stack, ret) = unsafe { ((*regs).rsp.wrapping_sub(8), (*regs).rax as i32) };
    if stack < open.stack {
        return;
    }
    if stack == open.stack && open.chained > 0 {
        open.chained -= 1;
        return;
    }
    open.state = 0;
    if stack > open.stack {
        count!(probe_of(open.call), unfinished);
        count!(probe_of(open.call), unbegun);
        return;
    }
    let Some(marks) = OPEN.get_ptr_mut(index) else { return };
    let at = span::moment(slot, unsafe { &mut *marks });
    count_call(open.call, at.now - open.enter_ns);
    let known = at.untold_out_ns == open.untold_out_ns;
    let call = Call {
        kind: RecordKind::FunctionCall as u16,
        call: open.call,
        utid,
        exit_ns: at.now,
        enter_ns: open.enter_ns,
        off_cpu_ns: if known { at.off_ns - open.off_ns } else { OFF_CPU_UNKNOWN },
        told: open.told,
        ret,
        flags: open.flags,
    };
    span::emit(probe_of(open.call), call);
}

/// A thread ends: what it was in ends with it.
#[inline(always)]
pub fn abandon(slot: *mut Slot, at_ns: u64) {
    if filter!(functions) == 0 {
        return;
    }
    // SAFETY: from successful lookups, here and below.
    let (utid, off_ns) = unsafe { ((*slot).utid, (*slot).off_ns) };
    let mut lane = 0;
    while lane < lane::COUNT {
        if let Some(open) = open_of(slot, lane) {
            let open = unsafe { &mut *open };
            if open.state != 0 && open.utid == utid {
                open.state = 0;
                let known = open.untold_out_ns == 0;
                let call = Call {
                    kind: RecordKind::FunctionCall as u16,
                    call: open.call,
                    utid,
                    // Before the thread's own end.
                    exit_ns: at_ns - 1,
                    enter_ns: open.enter_ns,
                    off_cpu_ns: if known { off_ns - open.off_ns } else { OFF_CPU_UNKNOWN },
                    told: open.told,
                    ret: 0,
                    flags: open.flags | flag::OPEN,
                };
                span::emit(probe_of(open.call), call);
            }
        }
        lane += 1;
    }
}

/// How much a call is about, by its arguments; `None` where they do not tell, or are not in memory.
#[inline(always)]
fn told(regs: *const pt_regs, cookie: u64) -> Option<u64> {
    if let Some((at, numbers)) = Cookie::copy_of(cookie) {
        let mut sizes = [1_u64; 3];
        let bytes = numbers << 3;
        // SAFETY: there is room for three; a probing read: a wrong address is an error, not a fault.
        let from = unsafe { (*regs).rdi }.wrapping_add(at);
        let read = unsafe {
            bpf_probe_read_user((&raw mut sizes).cast(), if bytes > 16 { 24 } else { 16 }, from as *const _)
        };
        return if read == 0 { Some(sizes[0].wrapping_mul(sizes[1]).wrapping_mul(sizes[2])) } else { None };
    }
    if Cookie::is_batch(cookie) {
        return on_stack(regs);
    }
    if Cookie::is_extended(cookie) {
        return pointed_to(regs);
    }
    let (first, second, shift) = Cookie::args_of(cookie);
    if first == 0 {
        return None;
    }
    let mut product = argument(regs, first);
    if second != 0 {
        product = product.wrapping_mul(argument(regs, second));
    }
    Some(product << (shift & 7))
}

/// The batch that a function has on the stack.
#[inline(always)]
fn on_stack(regs: *const pt_regs) -> Option<u64> {
    // SAFETY: the context, which the verifier knows the bounds of.
    let stack = unsafe { (*regs).rsp };
    let tokens = read::<u32>(stack.wrapping_add(batch::TOKENS))?;
    let lists = read::<u64>(stack.wrapping_add(batch::SEQUENCES))?;
    // Without a list, all are of the first sequence.
    if lists == 0 {
        let several = if tokens > 1 { 1 } else { 0 };
        return Some(Batch { tokens, sequences: 1, several, encode: false }.pack());
    }
    Some(sequences(Batch { tokens, ..Batch::NONE }, lists, 8, 0).pack())
}

/// The batch that a function's third argument points to; `None` for one that makes no sense.
#[inline(always)]
fn pointed_to(regs: *const pt_regs) -> Option<u64> {
    // SAFETY: as above.
    let (encode, address) = unsafe { ((*regs).rsi == extended::ENCODE, (*regs).rdx) };
    let most = read::<u64>(address.wrapping_add(extended::TOKENS_MAX))?;
    let sequences_max = read::<u32>(address.wrapping_add(extended::SEQUENCES_MAX))?;
    let begin = read::<u64>(address.wrapping_add(extended::TOKENS))?;
    let end = read::<u64>(address.wrapping_add(extended::TOKENS + 8))?;
    let bytes = end.wrapping_sub(begin);
    let tokens = bytes / extended::TOKEN_BYTES;
    if tokens * extended::TOKEN_BYTES != bytes || tokens > most || most > extended::MOST_TOKENS {
        return None;
    }
    let lists = begin.wrapping_add(extended::SEQUENCES);
    if tokens > 0 && sequence(lists, extended::SEQUENCE)? >= sequences_max {
        return None;
    }
    let batch = Batch { tokens: tokens as u32, encode, ..Batch::NONE };
    Some(sequences(batch, lists, extended::TOKEN_BYTES, extended::SEQUENCE).pack())
}

/// A batch with its sequences, where they are told: for each token there is a pointer, so many bytes apart, to what has
/// its sequence at an offset.
#[inline(always)]
fn sequences(untold: Batch, pointers: u64, apart: u64, offset: u64) -> Batch {
    if untold.tokens > MOST_TOKENS {
        return untold;
    }
    let (mut once, mut again) = (0_u64, 0_u64);
    let mut at = 0;
    while at < MOST_TOKENS {
        if at >= untold.tokens {
            break;
        }
        let Some(sequence) = sequence(pointers.wrapping_add(u64::from(at) * apart), offset) else {
            return untold;
        };
        if sequence >= MOST_SEQUENCES {
            return untold;
        }
        let bit = 1_u64 << sequence;
        again |= once & bit;
        once |= bit;
        at += 1;
    }
    Batch { sequences: ones(once), several: ones(again), ..untold }
}

/// A token's first sequence; `None` where it is not in memory.
#[inline(always)]
fn sequence(pointer: u64, offset: u64) -> Option<u32> {
    read::<u32>(read::<u64>(pointer)?.wrapping_add(offset))
}

/// Reads an integer of the caller's memory: a wrong address is an error, not a fault.
#[inline(always)]
fn read<T: Default>(address: u64) -> Option<T> {
    let mut value = T::default();
    // SAFETY: there is room for one.
    let read =
        unsafe { bpf_probe_read_user((&raw mut value).cast(), size_of::<T>() as u32, address as *const _) };
    if read == 0 { Some(value) } else { None }
}

/// How many bits are set, without a table.
#[inline(always)]
fn ones(mut word: u64) -> u8 {
    word -= word >> 1 & 0x5555_5555_5555_5555;
    word = (word & 0x3333_3333_3333_3333) + (word >> 2 & 0x3333_3333_3333_3333);
    word = (word + (word >> 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    (word.wrapping_mul(0x0101_0101_0101_0101) >> 56) as u8
}

/// An argument in a register, by its number from 1.
#[inline(always)]
fn argument(regs: *const pt_regs, number: u32) -> u64 {
    // SAFETY: the context, then a place on the stack, bounded by the mask. The verifier wants each place in the context
    // to be a constant, and the compiler, left to itself, chooses among them.
    unsafe {
        let regs = &*regs;
        let registers = [0, regs.rdi, regs.rsi, regs.rdx, regs.rcx, regs.r8, regs.r9, 0];
        core::ptr::read_volatile(registers.as_ptr().add(number as usize & 7))
    }
}

/// Counts a call of the current task's process, by its length; one of no known length by 0.
#[inline(always)]
fn count_call(call: u16, dur_ns: u64) {
    let key = CountKey { tgid: Task::current().tgid(), nr: i32::from(call) };
    let mut counts = FUNCTION_COUNTS.get_ptr_mut(key);
    if counts.is_none() {
        let _ = FUNCTION_COUNTS.insert(key, &NO_CALLS, u64::from(BPF_NOEXIST));
        counts = FUNCTION_COUNTS.get_ptr_mut(key);
    }
    let Some(counts) = counts else {
        count!(probe_of(call), filtered);
        return;
    };
    let bucket = (64 - dur_ns.leading_zeros()) as usize & (HISTOGRAM_BUCKETS - 1);
    // SAFETY: from a successful lookup, the index bounded by the mask.
    unsafe {
        fetch_add(&raw mut (*counts).count[bucket], 1);
        if dur_ns != 0 {
            fetch_add(&raw mut (*counts).total_ns[bucket], dur_ns);
        }
    }
}
