//! The load under way: workers of a closed loop, arrivals of an open one, and its end.

use std::{
    cell::{Cell, RefCell},
    mem,
    path::Path,
    rc::Rc,
    time::Duration,
};

use hyper::body::Bytes;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::{self, JoinSet, LocalSet},
};

use super::{
    LoadError, Options, Outcome, Pace,
    arrivals::Schedule,
    body::{Bodies, Form, Told},
    client::{Client, Going},
    contact::{self, Model},
    exchange::Seen,
    failure::Failure,
    log::{LogFile, LogHeader, LogRow},
    mix::Specs,
    progress::Progress,
    pulse::Pulse,
    stats::Stats,
    store::{Store, StoreError},
    summary::{Facts, Summary},
    timer::Timer,
    trace::Trace,
};
use crate::{
    clock,
    recording::{Recording, RunFolder},
    table::{JoinTier, RequestError, RequestRow, RequestSource},
    units::MonoNs,
};

/// Where nobody listens, a closed loop would do nothing but fail.
const PAUSE_WITHOUT_SERVER: Duration = Duration::from_millis(100);

/// Before the first arrival of an open loop, which is then as punctual as the others.
const LEAD_NS: u64 = 5_000_000;

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

struct Driver {
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

/// Runs a load.
///
/// # Errors
///
/// It could not begin. Requests that fail are no error but counted.
pub fn run(options: &Options) -> Result<Outcome, LoadError> {
    if let Pace::Trace(path) = &options.pace {
        // A mistake in it is told before the server is troubled.
        Trace::open(path)?;
    }
    let folder = options.run.as_deref().map(join).transpose()?;
    raise_file_limit();
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, drive(options, folder))
}

/// The folder of a recording that goes on or is over.
fn join(run: &Path) -> Result<RunFolder, LoadError> {
    Recording::open(run)?;
    Ok(RunFolder::join(run)?)
}

/// Each request in flight may have a connection.
fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // With the limit as it is, connections fail one day and are counted.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

async fn drive(options: &Options, folder: Option<RunFolder>) -> Result<Outcome, LoadError> {
    let (stop, going) = watch::channel(Going::On);
    let signalled = Rc::new(Cell::new(None));
    let interrupt = signal(SignalKind::interrupt())?;
    let terminate = signal(SignalKind::terminate())?;
    task::spawn_local(take_signals(interrupt, terminate, stop.clone(), Rc::clone(&signalled)));

    let client = Client::new(options, options.endpoint, going)?;
    let url = format!("http://{}{}", options.url.authority(), options.url.path(options.endpoint));
    let model = match &options.model {
        Some(name) => Model { name: name.clone(), vocabulary: None },
        None => contact::model(&client, &url).await?,
    };
    let form = Form { told: Told::Text, ignore_eos: true };
    let mut bodies = Bodies::new(options.endpoint, &model.name, options.stream, form);
    let notes =
        contact::form(&client, &mut bodies, options.endpoint, options.prompt, model.vocabulary, &url).await?;

    let anchor = clock::anchor();
    let header =
        LogHeader::new(anchor, url.clone(), model.name.clone(), options.pace.to_string(), options.seed);
    let log = options.log.as_deref().map(|path| begin_log(path, &header)).transpose()?;
    let driver = Rc::new(Driver {
        options: options.clone(),
        client,
        bodies,
        specs: RefCell::new(Specs::new(options.mix.clone(), options.seed)),
        // Apart, so that how many warm up changes nothing of what is measured.
        warmup_specs: RefCell::new(Specs::new(options.mix.clone(), !options.seed)),
        warmed_up: Cell::new(0),
        tag: format!(
            "{:08x}",
            fastrand::Rng::with_seed(anchor.wall.0 ^ u64::from(std::process::id()) << 32).u32(..)
        ),
        issued: Cell::new(0),
        in_flight: Cell::new(0),
        deadline: Cell::new(u64::MAX),
        stats: RefCell::new(Stats::new(options.goodput)),
        pulse: Rc::new(Pulse::new()),
        store: Store::start(log, folder)?,
        spare: RefCell::default(),
        stop,
    });
    driver.warm_up().await;
    let started = driver.load().await?;
    let summary = driver.summary(Facts { url, model: model.name, started_mono_ns: started, notes });
    let store = Rc::try_unwrap(driver).ok().and_then(|driver| driver.store);
    let store_error = store.and_then(|store| store.finish().err());
    Ok(Outcome { summary, signal: signalled.get(), store_error })
}

fn begin_log(path: &Path, header: &LogHeader) -> Result<(std::path::PathBuf, LogFile), StoreError> {
    let log =
        LogFile::create(path, header).map_err(|source| StoreError::Log { path: path.to_owned(), source })?;
    Ok((path.to_owned(), log))
}

/// The first signal ends the load, the second the program.
async fn take_signals(
    mut interrupt: Signal,
    mut terminate: Signal,
    stop: watch::Sender<Going>,
    signalled: Rc<Cell<Option<i32>>>,
) {
    loop {
        let number = tokio::select! {
            _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
        };
        if signalled.replace(Some(number)).is_some() {
            std::process::exit(128 + number);
        }
        let _ = stop.send(Going::Stopped);
    }
}

impl Driver {
    async fn warm_up(self: &Rc<Self>) {
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
    async fn load(self: &Rc<Self>) -> Result<MonoNs, LoadError> {
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
        for arrival in arrivals {
            let (at_ns, lengths) = arrival?;
            let at = MonoNs(started.0.saturating_add(at_ns));
            if at.0 >= self.deadline.get() {
                break;
            }
            // Before it is due: what is left to do then is to send it.
            let Some(prepared) = self.prepare(lengths) else { break };
            let was_due = clock::mono() >= at;
            tokio::select! {
                biased;
                () = self.client.stopped() => break,
                woken = timer.until(at) => drop(woken?),
            }
            let driver = Rc::clone(self);
            under_way.spawn_local(async move { driver.serve(prepared, at).await });
            while under_way.try_join_next().is_some() {}
            if was_due {
                // Behind time: answers are read all the same.
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
                connection: seen.connection,
                tid: None,
                tgid: None,
            },
            number: prepared.number,
            retries,
            wanted_input_tokens: prepared.input_tokens,
            wanted_output_tokens: prepared.output_tokens,
            server_prompt_ns: seen.told.prompt_ms.map(ns),
            server_decode_ns: seen.told.decode_ms.map(ns),
            token_mono_ns: mem::take(&mut seen.tokens),
        }
    }

    fn summary(&self, facts: Facts) -> Summary {
        let connections = self.client.pool.made();
        Summary::new(&self.options, facts, &self.stats.borrow(), &self.pulse.late_ns(), connections)
    }
}
