//! The load under way: workers of a closed loop, arrivals of an open one.

use std::{
    cell::{Cell, RefCell},
    mem,
    rc::Rc,
    time::Duration,
};

use hyper::body::Bytes;
use tokio::{
    sync::watch,
    task::{self, JoinSet},
};

use super::{
    LoadError, Options, Pace,
    arrivals::Schedule,
    body::Bodies,
    client::{Client, Going},
    exchange::Seen,
    failure::Failure,
    log::LogRow,
    mix::Specs,
    progress::Progress,
    pulse::Pulse,
    stats::Stats,
    store::Store,
    summary::{Facts, Summary},
    timer::Timer,
    trace::Trace,
};
use crate::{
    clock,
    table::{JoinTier, RequestError, RequestRow, RequestSource},
    units::{MonoNs, WallNs},
};

/// Where nobody listens, a closed loop would do nothing but fail.
const PAUSE_WITHOUT_SERVER: Duration = Duration::from_millis(100);

/// Before the first arrival of an open loop, which is then as punctual as the others.
const LEAD_NS: u64 = 5_000_000;

/// So many requests that are overdue are sent at once; then answers are read. To read answers after each would keep a
/// client that has fallen behind there for longer.
const MOST_OVERDUE: u32 = 32;

/// Requests of the warm-up at a time, under an open loop.
const WARMUP_AT_A_TIME: u64 = 8;

/// A request to be sent.
struct Prepared {
    number: u64,
    id: String,
    body: Bytes,
    input_tokens: u32,
    output_tokens: u32,
    is_measured: bool,
}

/// A load under way.
pub struct Driver {
    options: Options,
    client: Client,
    bodies: Bodies,
    specs: RefCell<Specs>,
    warmup_specs: RefCell<Specs>,
    warmed_up: Cell<u64>,
    /// What ids begin with: unlike that of any other load.
    tag: String,
    issued: Cell<u64>,
    in_flight: Cell<u64>,
    /// When no more is sent, CLOCK_MONOTONIC nanoseconds.
    deadline: Cell<u64>,
    stats: RefCell<Stats>,
    pulse: Rc<Pulse>,
    store: Option<Store>,
    /// What was seen of requests that are over: memory for the next.
    spare: RefCell<Vec<Seen>>,
    stop: watch::Sender<Going>,
}

impl Driver {
    /// A load that has not begun. `wall` makes its requests' ids unlike those of any other.
    pub fn new(
        options: &Options,
        client: Client,
        bodies: Bodies,
        wall: WallNs,
        store: Option<Store>,
        stop: watch::Sender<Going>,
    ) -> Self {
        Self {
            options: options.clone(),
            client,
            bodies,
            specs: RefCell::new(Specs::new(options.mix.clone(), options.seed)),
            // Apart, so that how many warm up changes nothing of what is measured.
            warmup_specs: RefCell::new(Specs::new(options.mix.clone(), !options.seed)),
            warmed_up: Cell::new(0),
            tag: format!(
                "{:08x}",
                fastrand::Rng::with_seed(wall.0 ^ u64::from(std::process::id()) << 32).u32(..)
            ),
            issued: Cell::new(0),
            in_flight: Cell::new(0),
            deadline: Cell::new(u64::MAX),
            stats: RefCell::new(Stats::new(options.goodput)),
            pulse: Rc::new(Pulse::new()),
            store,
            spare: RefCell::default(),
            stop,
        }
    }

    /// Where its rows go.
    pub fn into_store(self) -> Option<Store> {
        self.store
    }

    /// Sends the requests of the warm-up.
    pub async fn warm_up(self: &Rc<Self>) {
        let at_a_time = match self.options.pace {
            Pace::Closed(concurrency) => u64::from(concurrency),
            _ => WARMUP_AT_A_TIME,
        };
        let mut workers = JoinSet::new();
        for _ in 0..at_a_time.min(self.options.warmup) {
            let driver = Rc::clone(self);
            workers.spawn_local(async move {
                while let Some(prepared) = driver.prepare_warmup() {
                    driver.serve(prepared, clock::mono()).await;
                }
            });
        }
        while workers.join_next().await.is_some() {}
    }

    /// Sends all that is measured, and waits for the ends. Returns when it began.
    pub async fn load(self: &Rc<Self>) -> Result<MonoNs, LoadError> {
        let pulse = Rc::clone(&self.pulse);
        let pulse = task::spawn_local(async move { pulse.take().await });
        let driver = Rc::downgrade(self);
        let progress = task::spawn_local(async move {
            let mut progress = Progress::new();
            while let Some(driver) = driver.upgrade() {
                progress.show(&driver.stats.borrow(), driver.in_flight.get());
                drop(driver);
                tokio::time::sleep(progress.interval()).await;
            }
        });
        let started =
            MonoNs(clock::mono().0 + if matches!(self.options.pace, Pace::Closed(_)) { 0 } else { LEAD_NS });
        if let Some(duration) = self.options.duration {
            self.deadline.set(started.0.saturating_add(duration.as_nanos() as u64));
        }
        let result = match &self.options.pace {
            Pace::Closed(concurrency) => {
                self.closed(*concurrency).await;
                Ok(())
            }
            Pace::Open(rate, arrivals) => {
                // Apart from the lengths' numbers, which are the same at any rate.
                let schedule = Schedule::new(*arrivals, *rate, self.options.seed.rotate_left(32) ^ 1);
                self.open(started, schedule.map(|at_ns| Ok((at_ns, None)))).await
            }
            Pace::Trace(path) => {
                let entries = Trace::open(path)?;
                let arrivals = entries.map(|entry| {
                    entry.map(|entry| (entry.at_ns, Some((entry.input_tokens, entry.output_tokens))))
                });
                self.open(started, arrivals.map(|arrival| arrival.map_err(LoadError::from))).await
            }
        };
        for over in [pulse.abort_handle(), progress.abort_handle()] {
            over.abort();
        }
        let (_, _) = (pulse.await, progress.await);
        Progress::clear();
        result.map(|()| started)
    }

    async fn closed(self: &Rc<Self>, concurrency: u32) {
        let mut workers = JoinSet::new();
        for _ in 0..concurrency {
            let driver = Rc::clone(self);
            workers.spawn_local(async move {
                while clock::mono().0 < driver.deadline.get()
                    && let Some(prepared) = driver.prepare(None)
                {
                    let failed = driver.serve(prepared, clock::mono()).await;
                    if failed == Some(RequestError::Connect) {
                        driver.client.pause(PAUSE_WITHOUT_SERVER).await;
                    }
                }
            });
        }
        while workers.join_next().await.is_some() {}
    }

    async fn open(
        self: &Rc<Self>,
        started: MonoNs,
        arrivals: impl Iterator<Item = Result<(u64, Option<(u32, u32)>), LoadError>>,
    ) -> Result<(), LoadError> {
        let mut timer = Timer::new()?;
        let mut under_way = JoinSet::new();
        let mut overdue = 0;
        for arrival in arrivals {
            let (at_ns, lengths) = arrival?;
            let at = MonoNs(started.0.saturating_add(at_ns));
            if at.0 >= self.deadline.get() {
                break;
            }
            // Before it is due: what is left to do then is to send it.
            let Some(prepared) = self.prepare(lengths) else { break };
            overdue = if clock::mono() >= at { overdue + 1 } else { 0 };
            tokio::select! {
                biased;
                () = self.client.stopped() => break,
                woken = timer.until(at) => drop(woken?),
            }
            let driver = Rc::clone(self);
            under_way.spawn_local(async move { driver.serve(prepared, at).await });
            while under_way.try_join_next().is_some() {}
            if overdue == MOST_OVERDUE {
                overdue = 0;
                task::yield_now().await;
            }
        }
        while under_way.join_next().await.is_some() {}
        Ok(())
    }

    /// The next request that is measured, with its lengths where a trace has them. None when there were enough.
    fn prepare(&self, lengths: Option<(u32, u32)>) -> Option<Prepared> {
        let number = self.issued.get();
        if self.options.requests.is_some_and(|most| number >= most) || !self.client.goes_on() {
            return None;
        }
        self.issued.set(number + 1);
        let mut specs = self.specs.borrow_mut();
        let spec = match lengths {
            Some((input, output)) => specs.of_lengths(input, output),
            None => specs.draw(),
        };
        Some(Prepared {
            number,
            id: format!("{}-{number}", self.tag),
            body: self.bodies.body(&spec).into(),
            input_tokens: spec.prompt.tokens(),
            output_tokens: spec.output_tokens,
            is_measured: true,
        })
    }

    fn prepare_warmup(&self) -> Option<Prepared> {
        let number = self.warmed_up.get();
        if number >= self.options.warmup || !self.client.goes_on() {
            return None;
        }
        self.warmed_up.set(number + 1);
        let spec = self.warmup_specs.borrow_mut().draw();
        Some(Prepared {
            number,
            id: format!("{}-warmup-{number}", self.tag),
            body: self.bodies.body(&spec).into(),
            input_tokens: spec.prompt.tokens(),
            output_tokens: spec.output_tokens,
            is_measured: false,
        })
    }

    /// Serves a request that was due then. Returns what it failed with.
    async fn serve(&self, prepared: Prepared, arrival: MonoNs) -> Option<RequestError> {
        let started = clock::mono();
        self.in_flight.set(self.in_flight.get() + 1);
        let mut seen = self.spare.borrow_mut().pop().unwrap_or_default();
        let request_bytes = prepared.body.len() as u64;
        let (result, retries) = self.client.serve(&prepared.id, prepared.body.clone(), true, &mut seen).await;
        self.in_flight.set(self.in_flight.get() - 1);
        let failure = result.err();
        let kind = failure.as_ref().map(|failure| failure.kind);
        if prepared.is_measured {
            let start_late_ns = started.0.saturating_sub(arrival.0);
            let client_delay_ns = start_late_ns
                .max(seen.read_delay_ns.unwrap_or_default())
                .max(self.pulse.worst_since(started.0));
            let row = self.row(prepared, arrival, &mut seen, kind, request_bytes, client_delay_ns, retries);
            self.keep(row, &mut seen, start_late_ns, failure.as_ref());
        }
        self.spare.borrow_mut().push(seen);
        kind
    }

    fn keep(&self, row: LogRow, seen: &mut Seen, start_late_ns: u64, failure: Option<&Failure>) {
        self.stats.borrow_mut().take(&row, start_late_ns, failure);
        let Some(store) = &self.store else {
            seen.tokens = row.token_mono_ns;
            return;
        };
        if !store.push(row) {
            let _ = self.stop.send(Going::Stopped);
        }
        seen.tokens = store.spare().unwrap_or_default();
    }

    #[allow(clippy::too_many_arguments, reason = "each is one fact of a row")]
    fn row(
        &self,
        prepared: Prepared,
        arrival: MonoNs,
        seen: &mut Seen,
        error: Option<RequestError>,
        request_bytes: u64,
        client_delay_ns: u64,
        retries: u32,
    ) -> LogRow {
        let ns = |ms: f64| (ms * 1e6).round() as u64;
        LogRow {
            request: RequestRow {
                request_id: prepared.id,
                arrival_mono_ns: arrival.0,
                send_mono_ns: seen.send,
                first_byte_mono_ns: seen.first_byte,
                first_token_mono_ns: seen.tokens.first().copied(),
                end_mono_ns: Some(seen.end.filter(|_| error.is_none()).unwrap_or_else(|| clock::mono().0)),
                queue_ns: None,
                prefill_ns: seen.told.prompt_ms.map(ns),
                decode_ns: seen.told.decode_ms.map(ns),
                input_tokens: seen.told.input_tokens,
                output_tokens: seen.told.output_tokens,
                cached_tokens: seen.told.cached_tokens,
                chunks: seen.tokens.len() as u32,
                request_bytes: Some(request_bytes),
                response_bytes: seen.first_byte.map(|_| seen.response_bytes),
                endpoint: self.options.endpoint,
                streamed: self.options.stream,
                status: seen.status,
                finish_reason: seen.finish_reason.take(),
                error,
                client_delay_ns: Some(client_delay_ns),
                source: RequestSource::Load,
                join_tier: JoinTier::Monotonic,
                join_error_ns: Some(0),
                kernel_id: None,
                client_id: None,
                connection: seen.connection,
                tid: None,
                tgid: None,
            },
            number: prepared.number,
            retries,
            wanted_input_tokens: prepared.input_tokens,
            wanted_output_tokens: prepared.output_tokens,
            token_mono_ns: mem::take(&mut seen.tokens),
        }
    }

    /// What came of it.
    pub fn summary(&self, facts: Facts) -> Summary {
        let connections = (self.client.pool.made(), self.client.pool.resent());
        Summary::new(&self.options, facts, &self.stats.borrow(), &self.pulse.late_ns(), connections)
    }
}
