//! Which programs are loaded, and their loading.

use std::thread;

use aya::{Btf, Ebpf, programs::Program};
use hostprof_common::layout::KernelLayout;

use super::{
    btf::KernelBtf,
    error::{LoadError, broken, refused},
    http,
    load::{ADOPT, LIFECYCLE, Settings},
    sockets,
};
use crate::probe::{HTTP, NETWORK};

/// The programs that are asked for, in the order they are attached, and the probes that this kernel does not offer.
pub(super) fn programs_for(
    settings: &Settings,
    btf: &KernelBtf<'_>,
    layout: &KernelLayout,
) -> (Vec<&'static str>, Vec<(&'static str, String)>) {
    let mut programs: Vec<&'static str> = LIFECYCLE.to_vec();
    programs.extend(["sched_switch", "sched_wakeup", "sched_wakeup_new"]);
    if settings.wakers {
        programs.push("sched_waking");
    }
    let mut left_out = Vec::new();
    if settings.network {
        match sockets::offered(btf, layout) {
            Ok(()) => programs.extend(sockets::PROGRAMS),
            Err(reason) => left_out.push((NETWORK, reason)),
        }
    }
    if settings.http {
        match http::offered(btf, layout) {
            Ok(()) => programs.extend(http::PROGRAMS),
            Err(reason) => left_out.push((HTTP, reason)),
        }
    }
    (programs, left_out)
}

/// Loads the programs side by side: each takes the kernel's verifier milliseconds.
pub(super) fn load_programs(ebpf: &mut Ebpf, names: &[&'static str], btf: &Btf) -> Result<(), LoadError> {
    thread::scope(|scope| {
        let loading: Vec<_> = ebpf
            .programs_mut()
            .filter_map(|(of, program)| {
                let name =
                    names.iter().copied().find(|name| *name == of).or((of == ADOPT).then_some(ADOPT))?;
                Some((name, program))
            })
            .map(|(name, program)| scope.spawn(move || load_program(name, program, btf)))
            .collect();
        if loading.len() != names.len() + 1 {
            return Err(broken("programs"));
        }
        loading.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(broken("programs"))))
    })
}

fn load_program(name: &'static str, program: &mut Program, btf: &Btf) -> Result<(), LoadError> {
    match program {
        Program::BtfTracePoint(program) => {
            let tracepoint = http::tracepoint(name);
            program
                .load(tracepoint, btf)
                .map_err(|error| refused(&format!("load tp_btf/{tracepoint}"), &error))
        }
        Program::RawTracePoint(program) => {
            program.load().map_err(|error| refused(&format!("load raw_tp/{name}"), &error))
        }
        _ => Err(broken(name)),
    }
}
