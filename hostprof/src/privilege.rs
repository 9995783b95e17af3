//! Who hostprof runs as: under sudo it becomes the invoking user once the probes are attached.

use caps::{CapSet, Capability, CapsHashSet};
use nix::{
    errno::Errno,
    sys::prctl,
    unistd::{Gid, Uid, User, geteuid, setgroups, setresgid, setresuid},
};

/// The user on whose behalf hostprof runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoker {
    /// User id.
    pub uid: Uid,
    /// Group id.
    pub gid: Gid,
    /// Whether hostprof is another user yet: root, through sudo.
    pub through_sudo: bool,
}

impl Invoker {
    /// From the ids sudo leaves, or else this process's own.
    pub fn find() -> Self {
        let id = |name| std::env::var(name).ok().and_then(|value| value.parse::<u32>().ok());
        match (id("SUDO_UID"), id("SUDO_GID")) {
            (Some(uid), Some(gid)) if geteuid().is_root() && uid != 0 => {
                Self { uid: Uid::from_raw(uid), gid: Gid::from_raw(gid), through_sudo: true }
            }
            _ => Self { uid: geteuid(), gid: nix::unistd::getegid(), through_sudo: false },
        }
    }

    /// The user's name, where there is one.
    pub fn name(&self) -> Option<String> {
        User::from_uid(self.uid).ok().flatten().map(|user| user.name)
    }
}

/// A step of giving up privileges failed.
#[derive(Debug, thiserror::Error)]
#[error("become user {uid}: {step}: {source}")]
pub struct PrivilegeError {
    uid: Uid,
    step: &'static str,
    source: std::io::Error,
}

/// What is kept after attaching: reading maps, which kernels before 6.9 or so allow only with it.
const KEPT: &[Capability] = &[Capability::CAP_BPF];

/// Becomes the invoking user, for every thread, keeping only [`KEPT`] of what there was. Must be called
/// while there is one thread: capabilities are a thread's own. Returns the names of what is kept.
///
/// # Errors
///
/// The kernel refuses a step; hostprof must not go on as root then.
pub fn give_up(invoker: &Invoker) -> Result<Vec<String>, PrivilegeError> {
    let error = |step, source: std::io::Error| PrivilegeError { uid: invoker.uid, step, source };
    let errno = |step| move |errno: Errno| error(step, errno.into());
    let caps_error =
        |step| move |cause: caps::errors::CapsError| error(step, std::io::Error::other(cause.to_string()));
    let have = caps::read(None, CapSet::Permitted).map_err(caps_error("read capabilities"))?;
    let keep: CapsHashSet = KEPT.iter().copied().filter(|capability| have.contains(capability)).collect();
    if invoker.through_sudo {
        prctl::set_keepcaps(true).map_err(errno("keep capabilities"))?;
        let groups = groups_of(invoker);
        setgroups(&groups).map_err(errno("set groups"))?;
        setresgid(invoker.gid, invoker.gid, invoker.gid).map_err(errno("set group"))?;
        setresuid(invoker.uid, invoker.uid, invoker.uid).map_err(errno("set user"))?;
        // Otherwise root would own this process's files in /proc.
        prctl::set_dumpable(true).map_err(errno("own /proc/self"))?;
    } else if invoker.uid.is_root() {
        // Root by itself is whom the user chose to be.
        return Ok(vec!["all (root)".to_owned()]);
    }
    caps::set(None, CapSet::Effective, &keep).map_err(caps_error("drop capabilities"))?;
    caps::set(None, CapSet::Permitted, &keep).map_err(caps_error("drop capabilities"))?;
    let mut names: Vec<String> = keep.iter().map(ToString::to_string).collect();
    names.sort();
    Ok(names)
}

fn groups_of(invoker: &Invoker) -> Vec<Gid> {
    let name = invoker.name().and_then(|name| std::ffi::CString::new(name).ok());
    name.and_then(|name| nix::unistd::getgrouplist(&name, invoker.gid).ok())
        .unwrap_or_else(|| vec![invoker.gid])
}
