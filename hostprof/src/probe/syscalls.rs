//! Which wait a blocked thread is in, by the system call it blocked in: each state's calls in one table.
//!
//! Numbers are x86-64's (`arch/x86/entry/syscalls/syscall_64.tbl`) and, for a 32-bit program, i386's
//! (`syscall_32.tbl`).

use std::borrow::Cow;

use ::syscalls::x86_64::Sysno;
use hostprof_common::span::ARGS;

use crate::table::State;

/// `ioctl`, whose device decides between two states.
pub const IOCTL: i32 = 16;
/// `sched_yield`.
pub const SCHED_YIELD: i32 = 24;
/// `restart_syscall`: the wait that a stop interrupted goes on.
pub const RESTART_SYSCALL: i32 = 219;
/// The bit of a call through the x32 interface; the number below it is x86-64's.
const X32_BIT: i32 = 0x4000_0000;

/// Each state's system calls.
const CALLS: &[(State, &[(i32, &str)])] = &[
    (
        State::Futex,
        &[
            (202, "futex"),
            (449, "futex_waitv"),
            (454, "futex_wake"),
            (455, "futex_wait"),
            (456, "futex_requeue"),
        ],
    ),
    (
        State::Poll,
        &[
            (7, "poll"),
            (23, "select"),
            (232, "epoll_wait"),
            (270, "pselect6"),
            (271, "ppoll"),
            (281, "epoll_pwait"),
            (441, "epoll_pwait2"),
        ],
    ),
    (State::Sleep, &[(35, "nanosleep"), (230, "clock_nanosleep")]),
    (
        State::Read,
        &[
            (0, "read"),
            (17, "pread64"),
            (19, "readv"),
            (295, "preadv"),
            (327, "preadv2"),
            (40, "sendfile"),
            (275, "splice"),
        ],
    ),
    (State::Write, &[(1, "write"), (18, "pwrite64"), (20, "writev"), (296, "pwritev"), (328, "pwritev2")]),
    (
        State::Network,
        &[
            (42, "connect"),
            (43, "accept"),
            (44, "sendto"),
            (45, "recvfrom"),
            (46, "sendmsg"),
            (47, "recvmsg"),
            (288, "accept4"),
            (299, "recvmmsg"),
            (307, "sendmmsg"),
        ],
    ),
    (State::Ioctl, &[(IOCTL, "ioctl")]),
    (
        State::Memory,
        &[
            (9, "mmap"),
            (10, "mprotect"),
            (11, "munmap"),
            (12, "brk"),
            (25, "mremap"),
            (26, "msync"),
            (28, "madvise"),
            (149, "mlock"),
            (150, "munlock"),
            (151, "mlockall"),
            (152, "munlockall"),
            (325, "mlock2"),
            (329, "pkey_mprotect"),
            (440, "process_madvise"),
        ],
    ),
    (State::Wait, &[(61, "wait4"), (247, "waitid")]),
    (
        State::Fsync,
        &[(74, "fsync"), (75, "fdatasync"), (162, "sync"), (277, "sync_file_range"), (306, "syncfs")],
    ),
    (State::IoUring, &[(426, "io_uring_enter")]),
];

/// The same for i386: what can block, by state.
const CALLS_I386: &[(State, &[i32])] = &[
    (State::Futex, &[240, 422, 449, 454, 455, 456]),
    (State::Poll, &[82, 142, 168, 256, 308, 309, 319, 413, 414, 441]),
    (State::Sleep, &[162, 267, 407]),
    (State::Read, &[3, 145, 180, 187, 239, 313, 333, 378]),
    (State::Write, &[4, 146, 181, 334, 379]),
    (State::Network, &[102, 337, 345, 362, 364, 369, 370, 371, 372, 417]),
    (State::Ioctl, &[54]),
    (State::Memory, &[45, 90, 91, 125, 144, 150, 151, 152, 153, 163, 192, 219, 376, 380, 440]),
    (State::Wait, &[7, 114, 284]),
    (State::Fsync, &[36, 118, 148, 314, 344]),
    (State::IoUring, &[426]),
];

/// The x86-64 number of a call as it came in.
#[inline]
pub fn number(orig_ax: i32) -> i32 {
    if orig_ax > 0 { orig_ax & !X32_BIT } else { orig_ax }
}

/// Above the numbers that these tables know.
const NUMBERS: usize = 512;

/// [`CALLS`] by number.
static STATES: [State; NUMBERS] = {
    let mut states = [State::SyscallOther; NUMBERS];
    let mut state = 0;
    while state < CALLS.len() {
        let (of, calls) = CALLS[state];
        let mut call = 0;
        while call < calls.len() {
            states[calls[call].0 as usize] = of;
            call += 1;
        }
        state += 1;
    }
    states
};

/// The state of a thread that blocked in an x86-64 system call.
pub fn state_of(nr: i32) -> State {
    STATES.get(nr as usize).copied().unwrap_or(State::SyscallOther)
}

/// The state of a thread that blocked in an i386 system call.
pub fn state_of_i386(nr: i32) -> State {
    CALLS_I386.iter().find(|(_, calls)| calls.contains(&nr)).map_or(State::SyscallOther, |&(state, _)| state)
}

/// A call's name; `syscall_N` for a number not known.
pub fn name(nr: i32) -> Cow<'static, str> {
    match usize::try_from(nr).ok().and_then(Sysno::new) {
        Some(call) => Cow::Borrowed(call.name()),
        None => Cow::Owned(format!("syscall_{nr}")),
    }
}

/// How many arguments a call has, of those kept; all where this table does not say.
pub fn arguments(nr: i32) -> usize {
    const BRK: i32 = 12;
    const MUNMAP: i32 = 11;
    match nr {
        BRK => 1,
        MUNMAP => 2,
        // mprotect, madvise, ioctl.
        10 | 28 | IOCTL => 3,
        _ => ARGS,
    }
}

/// Calls whose first argument is an fd.
const BY_FD: &[i32] = &[
    0, 1, 3, 5, 8, IOCTL, 17, 18, 19, 20, 40, 42, 43, 44, 45, 46, 47, 48, 72, 73, 74, 75, 77, 78, 187, 217,
    221, 232, 233, 275, 276, 277, 278, 281, 285, 288, 295, 296, 299, 306, 307, 326, 327, 328, 426, 441,
];

/// [`BY_FD`] by number.
static IS_BY_FD: [bool; NUMBERS] = {
    let mut is = [false; NUMBERS];
    let mut call = 0;
    while call < BY_FD.len() {
        is[BY_FD[call] as usize] = true;
        call += 1;
    }
    is
};

/// Whether a call's first argument is an fd.
#[inline]
pub fn is_by_fd(nr: i32) -> bool {
    IS_BY_FD.get(nr as usize).copied().unwrap_or(false)
}

/// The system calls of a state, for documentation.
pub fn calls(state: State) -> Vec<&'static str> {
    CALLS
        .iter()
        .filter(|(of, _)| *of == state)
        .flat_map(|(_, calls)| calls.iter().map(|&(_, name)| name))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_call_has_two_states() {
        let mut seen = HashSet::new();
        for (_, calls) in CALLS {
            for (nr, name) in *calls {
                assert!(seen.insert(nr), "{name} stands twice");
            }
        }
        let mut seen = HashSet::new();
        assert!(CALLS_I386.iter().flat_map(|(_, calls)| calls.iter()).all(|nr| seen.insert(nr)));
    }

    #[test]
    fn calls_have_their_names_and_those_on_an_fd_are_known() {
        for (nr, called) in CALLS.iter().flat_map(|(_, calls)| calls.iter()) {
            assert_eq!(name(*nr), *called);
        }
        assert_eq!((name(39).as_ref(), name(-1).as_ref()), ("getpid", "syscall_-1"));
        assert!(is_by_fd(232) && !is_by_fd(202) && !is_by_fd(-1) && !is_by_fd(i32::MAX));
    }

    #[test]
    fn the_calls_that_engines_wait_in_have_their_states() {
        assert_eq!(state_of(202), State::Futex);
        assert_eq!(state_of(449), State::Futex);
        assert_eq!(state_of(441), State::Poll);
        assert_eq!(state_of(230), State::Sleep);
        assert_eq!(state_of(71), State::SyscallOther, "msgrcv has no state of its own");
        assert_eq!(state_of(-1), State::SyscallOther);
        assert_eq!(state_of_i386(162), State::Sleep);
        assert_eq!(number(X32_BIT + 35), 35);
        assert_eq!(number(-1), -1);
    }
}
