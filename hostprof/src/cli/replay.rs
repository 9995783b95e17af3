//! `hostprof replay`.

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Result, bail};

use super::{
    live::{ViewArgs, print},
    look::{Looking, Player, Source},
    record::duration_or_none,
};
use crate::{live::Replay, units::MonoNs};

/// Which recording, and what of it.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Run folder
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// Where to begin: the end of the first window, since the recording began; with --once its end by default
    #[arg(long, value_parser = duration_or_none, value_name = "TIME")]
    at: Option<Duration>,

    /// Seconds of the recording in one
    #[arg(long, default_value_t = 1.0, value_parser = speed, value_name = "N")]
    speed: f64,

    #[command(flatten)]
    view: ViewArgs,
}

const AFTER_HELP: &str = "\
Examples:
  hostprof replay runs/run_001                       from the beginning; space lets time go on
  hostprof replay runs/run_001 --at 12.5s            from there
  hostprof replay runs/run_001 --at 12.5s --once --json --window 1s

Any run folder can be replayed, one that was cut short as well. Windows end at whole tenths of a second of the
machine's monotonic clock.";

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed.is_finite() && speed > 0.0 => Ok(speed),
        _ => Err("must be a number above 0".to_owned()),
    }
}

/// Replays.
///
/// # Errors
///
/// It is no recording, or damaged.
pub fn run(args: &Args) -> Result<ExitCode> {
    let mut replay = Replay::open(&args.run)?;
    let (begin, end) = replay.span();
    let window_ns = args.view.window.as_nanos() as u64;
    if args.view.once {
        let at = args.at.map_or(end, |at| MonoNs(begin.0 + at.as_nanos() as u64));
        let picture = replay.picture(at, window_ns, None, (false, args.speed))?;
        print(&picture, args.view.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        bail!("show the view: there is no terminal (--once prints one picture)");
    }
    let at = args.at.unwrap_or(args.view.window).as_nanos() as u64;
    let player = Player::new(replay, MonoNs(begin.0 + at).min(end), args.speed);
    let left = Looking::begin(&args.view)?.run(Source::Replay(Box::new(player)))?;
    Ok(left.status())
}
