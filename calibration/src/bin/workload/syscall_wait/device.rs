//! Waits in an ioctl. The device is a seccomp listener, which every machine has: a thread makes a call
//! that its filter hands to the listener, and `SECCOMP_IOCTL_NOTIF_RECV` waits for that.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Mutex,
        mpsc::{Sender, channel},
    },
};

use calibration::sys;

use super::{Wait, owned};
use crate::stop;

const NOTIF_RECV: usize = 0xc050_2100;
const NOTIF_SEND: usize = 0xc018_2101;
const SET_MODE_FILTER: usize = 1;
const FILTER_NEW_LISTENER: usize = 1 << 3;
const RET_USER_NOTIF: u32 = 0x7fc0_0000;
const RET_ALLOW: u32 = 0x7fff_0000;

/// `struct seccomp_notif`: its id first.
type Notification = [u64; 10];

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

pub(super) struct SeccompListener {
    listener: OwnedFd,
    /// Each message lets the filtered thread make its call.
    caller: Mutex<Sender<()>>,
    /// The notification to be answered.
    id: Mutex<u64>,
}

impl SeccompListener {
    pub(super) fn new() -> io::Result<Self> {
        let (caller, calls) = channel::<()>();
        let (tell, told) = channel();
        std::thread::Builder::new().name("filtered".to_owned()).spawn(move || {
            stop::leave_to_main();
            // The listener is told before the first call is made; a receiver that is gone ends the thread.
            let _ = tell.send(filter_this_thread());
            while calls.recv().is_ok() {
                // SAFETY: no arguments. The filter hands this call to the listener, which lets it return.
                unsafe { libc::syscall(libc::SYS_getppid) };
            }
        })?;
        let listener = told.recv().map_err(|_| io::Error::other("the filtered thread ended"))??;
        Ok(Self { listener, caller: Mutex::new(caller), id: Mutex::new(0) })
    }
}

/// Sends the getppid calls of the calling thread to a listener, which is returned.
fn filter_this_thread() -> io::Result<OwnedFd> {
    let statement = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = [
        // The system call's number is the first word of `struct seccomp_data`.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_getppid as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, RET_USER_NOTIF),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    let arguments = [SET_MODE_FILTER, FILTER_NEW_LISTENER, &raw const filter as usize];
    // SAFETY: the program is alive and as long as it says; the call opens a descriptor.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        owned(sys::syscall(libc::SYS_seccomp, &arguments))
    }
}

fn poisoned<T>(_: T) -> io::Error {
    io::Error::other("poisoned")
}

impl Wait for SeccompListener {
    fn block(&self) -> io::Result<()> {
        let mut notification: Notification = [0; 10];
        let fd = self.listener.as_raw_fd() as usize;
        // SAFETY: the notification is alive, zeroed as the kernel wants it, and of its size.
        unsafe { sys::syscall(libc::SYS_ioctl, &[fd, NOTIF_RECV, &raw mut notification as usize]) }?;
        *self.id.lock().map_err(poisoned)? = notification[0];
        Ok(())
    }

    fn wake(&self) -> io::Result<()> {
        self.caller
            .lock()
            .map_err(poisoned)?
            .send(())
            .map_err(|_| io::Error::other("the filtered thread ended"))
    }

    fn settle(&self) -> io::Result<()> {
        let response = Response { id: *self.id.lock().map_err(poisoned)?, value: 1, error: 0, flags: 0 };
        let fd = self.listener.as_raw_fd() as usize;
        // SAFETY: the response is alive and of its size.
        unsafe { sys::syscall(libc::SYS_ioctl, &[fd, NOTIF_SEND, &raw const response as usize]) }?;
        Ok(())
    }
}
