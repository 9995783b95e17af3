//! Work of an amount that is fixed: it takes longer where the thread has no CPU.

use std::{
    hint::black_box,
    io,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Instant,
};

use calibration::cpu::churn;

/// How fast this machine works.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    steps_per_us: u64,
}

impl Pace {
    /// The best of some trials.
    pub fn measure() -> Self {
        const STEPS: u64 = 200_000;
        let trial = || {
            let begun = Instant::now();
            black_box(churn(black_box(1), STEPS));
            begun.elapsed().as_nanos() as u64
        };
        let best_ns = (0..30).map(|_| trial()).min().unwrap_or(1).max(1);
        Self { steps_per_us: (STEPS * 1000 / best_ns).max(1) }
    }

    /// Works for as long as so many microseconds take on a CPU of its own.
    pub fn work(self, us: u64) {
        black_box(churn(black_box(us), us * self.steps_per_us));
    }
}

/// Threads that work on the same step.
pub struct Pool {
    pace: Pace,
    orders: Vec<Sender<u64>>,
    done: Receiver<()>,
}

impl Pool {
    /// Starts so many beside the caller.
    pub fn start(pace: Pace, workers: usize) -> io::Result<Self> {
        let (tell, done) = channel();
        let mut orders = Vec::new();
        for number in 1..=workers {
            let (order, ordered) = channel::<u64>();
            let tell = tell.clone();
            let body = move || {
                for us in ordered {
                    pace.work(us);
                    if tell.send(()).is_err() {
                        break;
                    }
                }
            };
            thread::Builder::new().name(format!("compute-{number}")).spawn(body)?;
            orders.push(order);
        }
        Ok(Self { pace, orders, done })
    }

    /// All work for so long; returns when all have.
    pub fn work(&self, us: u64) {
        let told = self.orders.iter().filter(|order| order.send(us).is_ok()).count();
        self.pace.work(us);
        for _ in 0..told {
            let _ = self.done.recv();
        }
    }
}
