//! `hostprof config`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use serde::Serialize;

use super::{
    Cli,
    settings::{self, Configured},
};

/// What to do with the settings.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print each setting, its value, and where that comes from
    #[command(after_help = "\
A flag counts before a variable HOSTPROF_*, a variable before the file, ~/.config/hostprof/config.toml
(or $XDG_CONFIG_HOME/hostprof/config.toml). The file is TOML, a key a line, by the names printed here:

  out = \"/data/runs\"
  duration = \"5m\"
  probe = [\"auto\", \"-waker\"]

Under sudo it is the file of the user that called sudo; sudo drops variables, unless told to keep them.")]
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Serialize)]
struct Line {
    key: String,
    /// Null where nothing is set.
    value: Option<String>,
    /// `default`, `file` or `variable`.
    from: &'static str,
    flag: String,
    variable: String,
}

#[derive(Debug, Serialize)]
struct Shown {
    /// Null without a home.
    file: Option<String>,
    file_exists: bool,
    settings: Vec<Line>,
}

/// Tells the settings.
///
/// # Errors
///
/// A setting cannot be used, or the output cannot be written.
pub fn run(args: &Args) -> Result<ExitCode> {
    let Action::Show { json } = args.action;
    let shown = shown()?;
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &shown).context("print the settings")?;
        writeln!(out)
    } else {
        out.write_all(text(&shown).as_bytes())
    }
    .context("print the settings")?;
    Ok(ExitCode::SUCCESS)
}

fn shown() -> Result<Shown> {
    let command = Cli::command();
    let file = Configured::load(&command)?;
    let lines = settings::all(&command).into_iter().map(|setting| {
        let in_file = || file.value(&setting.key).map(|value| (Some(value.to_owned()), "file"));
        let (value, from) = setting
            .variable_value()
            .map(|value| (Some(value), "variable"))
            .or_else(in_file)
            .unwrap_or_else(|| (setting.default(), "default"));
        Line { value, from, flag: setting.flag(), key: setting.key, variable: setting.variable }
    });
    Ok(Shown {
        settings: lines.collect(),
        file_exists: file.values.is_some(),
        file: file.path.map(|path| path.display().to_string()),
    })
}

fn text(shown: &Shown) -> String {
    let cells = |line: &Line| {
        let from = match line.from {
            "variable" => format!("variable {}", line.variable),
            from => from.to_owned(),
        };
        [line.key.clone(), line.value.clone().unwrap_or_else(|| "-".to_owned()), from]
    };
    let mut rows = vec![["key", "value", "from"].map(str::to_owned)];
    rows.extend(shown.settings.iter().map(cells));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (key, value) = (width(0), width(1));
    let lines = rows.iter().map(|row| format!("{:key$}  {:value$}  {}\n", row[0], row[1], row[2]));
    let file = match (&shown.file, shown.file_exists) {
        (Some(file), true) => format!("file: {file}\n"),
        (Some(file), false) => format!("file: {file} (there is none)\n"),
        (None, _) => "file: none, since there is no home\n".to_owned(),
    };
    lines.chain([file]).collect()
}
