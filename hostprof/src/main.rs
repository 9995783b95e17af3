use hostprof::bpf::*;
fn main() {
    let t = std::time::Instant::now();
    let s = Settings { rings: 2, ring_bytes: 8 << 20, slots: 16384, wakers: true, host_runqueue: true };
    match Kernel::load(&s) {
        Ok((mut k, _r)) => {
            println!("loaded in {:?} {:?}", t.elapsed(), k.layout);
            if let Err(e) = k.attach() {
                println!("{e}");
                return;
            }
            println!("attached in {:?}", t.elapsed());
            println!("{:?}", k.adopt(hostprof::units::Tid(1), hostprof::units::Tgid(1)));
            std::thread::sleep(std::time::Duration::from_secs(1));
            println!("{:?}", k.stats().unwrap());
            println!("{:?}", k.slots().unwrap());
        }
        Err(e) => println!("{e}"),
    }
}
