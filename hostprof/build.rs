fn main() {
    println!(
        "cargo::rustc-env=HOSTPROF_EBPF_OBJECT={}/../target/ebpf/hostprof.o",
        env!("CARGO_MANIFEST_DIR")
    );
}
