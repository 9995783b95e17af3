//! Orders on standard input, a line each. Its end is the server's.

use std::{
    fs::{self, File},
    io::{self, BufRead as _},
    path::PathBuf,
    process::exit,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use calibration::sys::{self, clock::mono_ns};

use crate::{
    cache::{Cache, How},
    engine::EngineOrders,
    work::Pace,
};

const MS_NS: u64 = 1_000_000;

/// What orders act on.
pub struct Orders {
    pub pace: Pace,
    pub cache: Arc<Cache>,
    pub engine: Arc<EngineOrders>,
    pub weights: Option<PathBuf>,
}

impl Orders {
    /// Does what each line says.
    pub fn obey(&self) {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if self.does(&words).is_none() {
                eprintln!("planted-server: no such order: {line}");
            }
        }
        exit(0);
    }

    fn does(&self, words: &[&str]) -> Option<()> {
        match *words {
            ["hold", keeper, ms, how] => {
                self.cache.hold(keeper, ms.parse::<u64>().ok()? * 1000, How::of(how)?).then_some(())
            }
            ["yield", count, us, ms, beside] => {
                let (count, us) = (count.parse::<u32>().ok()?, us.parse().ok()?);
                let until = Instant::now() + Duration::from_millis(ms.parse().ok()?);
                let allowed = allowed(beside)?;
                for number in 1..=count {
                    let pace = self.pace;
                    let body = move || spin(pace, us, until, &allowed);
                    thread::Builder::new().name(format!("neighbour-{number}")).spawn(body).ok()?;
                }
                Some(())
            }
            ["read", how] => {
                self.engine.mapped.store(matches!(how, "map"), Ordering::Relaxed);
                matches!(how, "map" | "file").then_some(())
            }
            ["gap", us, ms, how] => {
                let until_ns = mono_ns() + ms.parse::<u64>().ok()? * MS_NS;
                self.engine.gap_us.store(us.parse().ok()?, Ordering::Relaxed);
                self.engine.gap_computes.store(How::of(how)? == How::Compute, Ordering::Relaxed);
                self.engine.gap_until_ns.store(until_ns, Ordering::Relaxed);
                Some(())
            }
            ["warm"] => {
                let read = self
                    .weights
                    .as_ref()
                    .map_or(Ok(0), |path| io::copy(&mut File::open(path)?, &mut io::sink()));
                println!("{}", serde_json::json!({"warm": read.is_ok()}));
                Some(())
            }
            _ => None,
        }
    }
}

/// Works for a moment and gives way, again and again, on some CPUs.
fn spin(pace: Pace, us: u64, until: Instant, allowed: &libc::cpu_set_t) {
    // SAFETY: a live set of that size; 0 is the calling thread.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), allowed) };
    while Instant::now() < until {
        pace.work(us);
        // SAFETY: no arguments.
        let _ = unsafe { sys::syscall(libc::SYS_sched_yield, &[]) };
    }
}

/// The CPUs that the thread of this name may use.
fn allowed(name: &str) -> Option<libc::cpu_set_t> {
    let named = |tid: &i32| {
        fs::read_to_string(format!("/proc/self/task/{tid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    let threads = fs::read_dir("/proc/self/task").ok()?;
    let mut tids = threads.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let tid = tids.find(named)?;
    // SAFETY: a zeroed set is an empty one; room for a set of that size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        (libc::sched_getaffinity(tid, size_of::<libc::cpu_set_t>(), &raw mut set) == 0).then_some(set)
    }
}
