//! `hostprof live`.

use std::{
    fs,
    io::{self, IsTerminal as _},
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::channel,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};

use super::{
    look::{Live, Looking, Source},
    picture_text,
    record::{self, duration},
    report::{print_json, print_text},
};
use crate::{
    collector::{self, Viewer, Wish},
    live::{Parts, Picture},
};

/// The fastest refresh: a bin of time is this long.
const LEAST_REFRESH: Duration = Duration::from_millis(100);

/// The longest window: so much is held.
const MOST_WINDOW: Duration = Duration::from_mins(1);

/// How long a sample may take beyond its window.
const PATIENCE: Duration = Duration::from_secs(5);

/// What to watch, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(flatten)]
    record: record::Args,

    #[command(flatten)]
    view: ViewArgs,

    /// Keep the recording from the start; else it is removed at the end, unless r asked to keep it
    #[arg(long = "record")]
    keep: bool,
}

/// How much of the time is shown, and how often.
#[derive(Clone, Debug, clap::Args)]
pub struct ViewArgs {
    /// How much of the time a picture shows, 60s at most: 1s, 5s, 30s
    #[arg(long, env = "HOSTPROF_WINDOW", hide_env_values = true, value_parser = window, default_value = "5s", value_name = "TIME")]
    pub window: Duration,

    /// Time between two pictures, 100ms at least
    #[arg(long, env = "HOSTPROF_REFRESH", hide_env_values = true, value_parser = refresh, default_value = "250ms", value_name = "TIME")]
    pub refresh: Duration,

    /// Print one picture, and end
    #[arg(long)]
    pub once: bool,

    /// With --once: as JSON
    #[arg(long, requires = "once")]
    pub json: bool,
}

const AFTER_HELP: &str = "\
Examples:
  sudo hostprof live --pid 4711                      a server that is running
  sudo hostprof live --pid 4711 --record             the same, recorded from the start
  sudo hostprof live --pid 4711 --once --json        one picture, for scripts
  sudo hostprof live -- python3 bench.py             a command; what it prints goes to command.log in its run

Keys: ? tells them all, and what each number means and where it is from. 1 to 7 are the tabs, q leaves.
A view records into a run folder while it is open, which is removed when it is left unless --record or r asked to
keep it. When the target ends, or a limit of the recording is reached, the view goes on with what was recorded.
Probes are those of hostprof record, which lists them.";

fn window(text: &str) -> Result<Duration, String> {
    let window = duration(text)?;
    if window > MOST_WINDOW {
        return Err("must be 60s or less".to_owned());
    }
    Ok(window)
}

fn refresh(text: &str) -> Result<Duration, String> {
    let refresh = duration(text)?;
    if refresh < LEAST_REFRESH {
        return Err(format!("must be {} ms or more", LEAST_REFRESH.as_millis()));
    }
    Ok(refresh)
}

impl Args {
    /// Whether a command is to be run.
    pub fn runs_command(&self) -> bool {
        self.record.runs_command()
    }
}

/// Watches.
///
/// # Errors
///
/// Nothing, or not all, could be watched.
pub fn run(args: Args) -> Result<ExitCode> {
    if args.view.once {
        return once(args);
    }
    watch(args)
}

/// Shows the view; what was recorded meanwhile is kept where that was asked for.
fn watch(args: Args) -> Result<ExitCode> {
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        bail!("show the view: there is no terminal (--once prints one picture)");
    }
    let options = args.record.options()?;
    let kept = Arc::new(AtomicBool::new(args.keep));
    let looking = Looking::begin(&args.view)?;
    let (finish, finished) = channel();
    let mut view = None;
    let outcome = collector::live(
        &options,
        Box::new(|viewer| {
            let live = Live { viewer, kept: Arc::clone(&kept), finished };
            let body = move || looking.run(Source::Live(Box::new(live)));
            view = Some(thread::Builder::new().name("hostprof-view".to_owned()).spawn(body)?);
            Ok(())
        }),
    );
    // The view goes on with the run, or ends where there is none.
    match &outcome {
        Ok(outcome) => drop(finish.send(outcome.run.clone())),
        Err(_) => drop(finish),
    }
    let left = view.map(|view| view.join().map_err(|_| anyhow!("show the view: the thread panicked")));
    let outcome = outcome?;
    let left = left.ok_or_else(|| anyhow!("show the view: nothing was recorded"))??;
    if kept.load(Ordering::Relaxed) {
        record::summary(&outcome);
        println!("{}", outcome.run.display());
    } else {
        remove(&outcome.run);
    }
    Ok(match (left?, outcome.status) {
        (_, Some(status)) => ExitCode::from(collector::shell_status(status) as u8),
        (left, None) => left.status(),
    })
}

/// Prints a picture of the window that begins now.
fn once(args: Args) -> Result<ExitCode> {
    let options = args.record.options()?;
    let (window, keep) = (args.view.window, args.keep);
    let mut sampling = None;
    let outcome = collector::live(
        &options,
        Box::new(|viewer| {
            let body = move || sample(viewer, window, keep);
            sampling = Some(thread::Builder::new().name("hostprof-view".to_owned()).spawn(body)?);
            Ok(())
        }),
    )?;
    if keep {
        record::summary(&outcome);
    } else {
        remove(&outcome.run);
    }
    let sampling = sampling.ok_or_else(|| anyhow!("take a picture: nothing was recorded"))?;
    let picture = sampling.join().map_err(|_| anyhow!("take a picture: the thread panicked"))??;
    print(&picture, args.view.json)?;
    Ok(ExitCode::SUCCESS)
}

/// Waits for a window to pass, and takes its picture; the newest one where the target ends before.
fn sample(mut viewer: Viewer, window: Duration, keep: bool) -> Result<Picture> {
    let (begun, mut newest) = (Instant::now(), None);
    let end = window + LEAST_REFRESH;
    let wish = Wish { length: window, parts: Parts::ALL, ..Wish::default() };
    loop {
        let asked = viewer.ask(&wish).is_ok_and(|asked| asked);
        if let Some(picture) = viewer.picture(LEAST_REFRESH, keep) {
            newest = Some(picture);
        }
        let over = begun.elapsed() >= end + PATIENCE || begun.elapsed() >= end && newest.is_some();
        if over || !asked && newest.is_some() && viewer.has_ended() {
            break;
        }
        thread::sleep(LEAST_REFRESH);
    }
    viewer.stop();
    newest.context("take a picture: the recorder had too much to do")
}

/// Prints a picture.
pub(super) fn print(picture: &Picture, json: bool) -> Result<()> {
    if json { print_json(picture) } else { print_text(&picture_text::text(picture)) }
}

/// Removes a run that nobody wants to keep.
fn remove(run: &Path) {
    let _ = fs::remove_dir_all(run);
}
