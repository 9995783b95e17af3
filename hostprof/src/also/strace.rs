//! strace: every system call of the target, with none of its text.
//!
//! `-s 0` alone leaves paths, socket addresses and names in. So a call is decoded only where its arguments are
//! numbers, flags and file descriptors; of all others the file has the raw words. Structures are read only where
//! they hold times, events and results.

use crate::units::Tgid;

/// What is told when it begins.
pub const PRICE: &str = "strace stops the target at each system call, twice: it may take several times as long (leave it out to time anything)";

/// Calls whose arguments hold no text, or text that `-s 0` keeps out.
const DECODED: &str = "futex,?futex_waitv,poll,ppoll,select,pselect6,epoll_wait,epoll_pwait,?epoll_pwait2,epoll_ctl,\
epoll_create1,read,write,readv,writev,pread64,pwrite64,recvfrom,sendto,recvmsg,sendmsg,accept,accept4,close,mmap,munmap,\
mprotect,mremap,madvise,brk,clone,?clone3,ioctl,nanosleep,clock_nanosleep,sched_yield,exit,exit_group,wait4,fcntl,lseek,\
fsync,fdatasync,eventfd2,timerfd_settime,socket,shutdown,rt_sigprocmask,set_robust_list,gettid,getpid,tgkill";

/// Those of them whose structures are read.
const STRUCTURES: &str =
    "futex,poll,ppoll,select,pselect6,epoll_wait,epoll_pwait,epoll_ctl,nanosleep,clock_nanosleep,wait4";

/// Of the target and what it starts: a line a call, its start as CLOCK_REALTIME seconds with nanoseconds, its length
/// at the end. There is no choice of clock: `clock_anchors` of `config.json` joins it with the tables.
pub fn arguments(output: &str, targets: &[Tgid]) -> Vec<String> {
    let mut arguments = vec![
        "-f".to_owned(),
        "-s".to_owned(),
        "0".to_owned(),
        "--absolute-timestamps=format:unix,precision:ns".to_owned(),
        "--syscall-times=ns".to_owned(),
        "-e".to_owned(),
        format!("raw=!{DECODED}"),
        "-e".to_owned(),
        format!("verbose={STRUCTURES}"),
        "-o".to_owned(),
        output.to_owned(),
    ];
    for target in targets {
        arguments.extend(["-p".to_owned(), target.to_string()]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_that_takes_a_path_or_a_name_is_decoded() {
        let named = [
            "open",
            "openat",
            "execve",
            "execveat",
            "prctl",
            "memfd_create",
            "bind",
            "connect",
            "unlink",
            "rename",
            "readlink",
            "setxattr",
            "mount",
            "getdents64",
            "add_key",
            "newfstatat",
            "statx",
            "chdir",
            "getcwd",
        ];
        let decoded: Vec<&str> = DECODED.split(',').map(|call| call.trim_start_matches('?')).collect();
        for call in named {
            assert!(!decoded.contains(&call), "{call}");
        }
        assert!(STRUCTURES.split(',').all(|call| decoded.contains(&call)));
        // Buffers, addresses and the structures of a device are such structures.
        for call in ["ioctl", "sendto", "recvfrom", "sendmsg", "recvmsg", "readv", "writev", "accept4"] {
            assert!(!STRUCTURES.split(',').any(|read| read == call), "{call}");
        }
    }

    #[test]
    fn every_process_of_the_target_is_named_and_its_children_followed() {
        let arguments = arguments("strace.txt", &[Tgid(7), Tgid(9)]);
        assert!(arguments.ends_with(&["-p", "7", "-p", "9"].map(str::to_owned)));
        assert!(arguments.contains(&"-f".to_owned()));
        let strings = arguments.windows(2).any(|pair| pair == ["-s", "0"]);
        assert!(strings, "{arguments:?}");
    }
}
