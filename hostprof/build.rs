//! Tells the crate where the kernel half is: `env!("HOSTPROF_EBPF_OBJECT")`.
//!
//! It is built by `cargo xtask build`, with another compiler and for another target, into
//! `<target directory>/ebpf/hostprof.o`; the variable of that name overrides. And turns data into code: `build/nvidia.rs`.

#[path = "build/nvidia.rs"]
mod nvidia;

use std::{
    env,
    path::{Path, PathBuf},
};

const OBJECT: &str = "HOSTPROF_EBPF_OBJECT";

fn main() {
    println!("cargo::rerun-if-env-changed={OBJECT}");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build/nvidia.rs");
    match env::var_os("OUT_DIR").map(|out_dir| nvidia::write(Path::new(&out_dir))) {
        Some(Err(error)) => println!("cargo::error={error}"),
        None => println!("cargo::error=OUT_DIR is not set"),
        Some(Ok(())) => {}
    }
    let Some(object) = object().filter(|object| object.is_file()) else {
        // Where it will be is not known, so this runs again at each build until it is there.
        println!("cargo::error=eBPF object not built: run cargo xtask build");
        return;
    };
    println!("cargo::rerun-if-changed={}", object.display());
    println!("cargo::rustc-env={OBJECT}={}", object.display());
}

fn object() -> Option<PathBuf> {
    if let Some(object) = env::var_os(OBJECT) {
        return Some(object.into());
    }
    let out_dir = env::var_os("OUT_DIR")?;
    Path::new(&out_dir).ancestors().map(|dir| dir.join("ebpf/hostprof.o")).find(|object| object.is_file())
}
