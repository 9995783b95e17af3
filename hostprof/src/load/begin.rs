//! The beginning of a load, from its options to the first request, and its end.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
    rc::Rc,
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::{self, LocalSet},
};

use super::{
    LoadError, Options, Outcome, Pace,
    body::{Bodies, Form, Told},
    client::{Client, Going},
    contact::{self, Model},
    driver::Driver,
    log::{LogFile, LogHeader},
    store::{Store, StoreError},
    summary::Facts,
    trace::Trace,
};
use crate::{
    clock,
    recording::{Recording, RunFolder},
};

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
    let driver = Rc::new(Driver::new(options, client, bodies, anchor.wall, Store::start(log, folder)?, stop));
    driver.warm_up().await;
    let started = driver.load().await?;
    let summary = driver.summary(Facts { url, model: model.name, started_mono_ns: started, notes });
    let store = Rc::try_unwrap(driver).ok().and_then(Driver::into_store);
    let store_error = store.and_then(|store| store.finish().err());
    Ok(Outcome { summary, signal: signalled.get(), store_error })
}

fn begin_log(path: &Path, header: &LogHeader) -> Result<(PathBuf, LogFile), StoreError> {
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
