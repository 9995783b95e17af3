//! Settings: what a flag is where it is not given. A variable counts before the configuration file.
//!
//! An argument that has a variable is a setting; its key in the file is the variable's name without
//! `HOSTPROF_`, in lower case. There is no other list.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use clap::{Arg, Command, error::ErrorKind};
use nix::unistd::User;

use crate::privilege::Invoker;

const PREFIX: &str = "HOSTPROF_";

/// Larger than any list of settings.
const MOST_BYTES: u64 = 1 << 20;

/// A setting that cannot be used. One line, which names file and key, or variable.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("read {file}: {1}", file = .0.display())]
    Read(PathBuf, io::Error),
    /// hostprof runs as root for a user, who has no such right to the file.
    #[error("read {file}: it does not belong to the user that called sudo (chown it)", file = .0.display())]
    Owner(PathBuf),
    /// It is no TOML.
    #[error("read {file}:{1}: {2}", file = .0.display())]
    Syntax(PathBuf, usize, String),
    /// No setting has the name.
    #[error("read {file}: unknown key {1:?} (there are: {2})", file = .0.display())]
    UnknownKey(PathBuf, String, String),
    /// A value in the file is none of its setting.
    #[error("read {file}: key {1}: {2}", file = .0.display())]
    Value(PathBuf, String, String),
    /// The same in a variable.
    #[error("read variable {0}: {1}")]
    Variable(String, String),
}

/// A setting, by the arguments that it is for.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its key in the file.
    pub key: String,
    /// Its variable.
    pub variable: String,
    /// The subcommands that have it.
    pub commands: Vec<String>,
    arg: Arg,
}

impl Setting {
    /// Its flag.
    pub fn flag(&self) -> String {
        format!("--{}", self.arg.get_long().unwrap_or_default())
    }

    /// What it is with no flag, no variable and no file; `None` for nothing.
    pub fn default(&self) -> Option<String> {
        let values = self.arg.get_default_values();
        let words: Vec<_> = values.iter().map(|value| value.to_string_lossy()).collect();
        (!words.is_empty()).then(|| words.join(","))
    }

    /// The variable, where it is set.
    pub fn variable_value(&self) -> Option<String> {
        std::env::var_os(&self.variable).map(|value| value.to_string_lossy().into_owned())
    }

    /// Why a value is none of this setting's, as the flag would tell.
    fn refuse(&self, command: &Command, value: &str) -> Option<String> {
        let (subcommand, id) = (self.commands.first()?, self.arg.get_id().clone());
        if !self.arg.get_action().takes_values() {
            return (!matches!(value, "true" | "false"))
                .then(|| format!("{value:?} is neither true nor false"));
        }
        // Alone: neither the other variables nor this one may speak.
        let alone = command.clone().mut_subcommand(subcommand, |command| {
            let ids: Vec<_> = command.get_arguments().map(|arg| arg.get_id().clone()).collect();
            ids.iter().fold(command, |command, id| command.mut_arg(id, |arg| arg.env(None::<&str>)))
        });
        let flag = format!("--{}={value}", self.arg.get_long().unwrap_or(id.as_str()));
        match alone.try_get_matches_from(["hostprof", subcommand, &flag]) {
            // What else the command needs is not the question.
            Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => None,
            Err(error) => Some(reason(&error)),
            Ok(_) => None,
        }
    }
}

/// The settings of a command line, by key.
pub fn all(command: &Command) -> Vec<Setting> {
    let mut settings: BTreeMap<String, Setting> = BTreeMap::new();
    for subcommand in command.get_subcommands() {
        for arg in subcommand.get_arguments() {
            let Some(variable) = arg.get_env().map(|name| name.to_string_lossy().into_owned()) else {
                continue;
            };
            let key = variable.trim_start_matches(PREFIX).to_lowercase();
            let setting = settings.entry(key.clone()).or_insert_with(|| Setting {
                key,
                variable,
                commands: Vec::new(),
                arg: arg.clone(),
            });
            setting.commands.push(subcommand.get_name().to_owned());
        }
    }
    settings.into_values().collect()
}

/// What the configuration file says.
#[derive(Debug, Default)]
pub struct Configured {
    /// Where it is or would be; `None` without a home.
    pub path: Option<PathBuf>,
    /// Its values as a flag takes them, by key; `None` where there is no file.
    pub values: Option<BTreeMap<String, String>>,
}

impl Configured {
    /// Reads the invoking user's file and checks it; checks the variables.
    ///
    /// # Errors
    ///
    /// See [`SettingsError`].
    pub fn load(command: &Command) -> Result<Self, SettingsError> {
        let invoker = Invoker::find();
        let Some(path) = path(&invoker) else { return Self::default().checked(command) };
        let owner = invoker.through_sudo.then_some(invoker.uid.as_raw());
        let values = match read(&path, owner)? {
            Some(text) => Some(parse(&path, &text)?),
            None => None,
        };
        Self { path: Some(path), values }.checked(command)
    }

    fn checked(self, command: &Command) -> Result<Self, SettingsError> {
        let settings = all(command);
        for setting in &settings {
            if let Some(value) = setting.variable_value()
                && let Some(reason) = setting.refuse(command, &value)
            {
                return Err(SettingsError::Variable(setting.variable.clone(), reason));
            }
        }
        let path = || self.path.clone().unwrap_or_default();
        for (key, value) in self.values.iter().flatten() {
            let Some(setting) = settings.iter().find(|setting| setting.key == *key) else {
                let keys = settings.iter().map(|setting| setting.key.as_str()).collect::<Vec<_>>().join(", ");
                return Err(SettingsError::UnknownKey(path(), key.clone(), keys));
            };
            if let Some(reason) = setting.refuse(command, value) {
                return Err(SettingsError::Value(path(), key.clone(), reason));
            }
        }
        Ok(self)
    }

    /// The value of a key.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.values.as_ref()?.get(key).map(String::as_str)
    }

    /// Makes the file's values the defaults of the arguments.
    pub fn apply(&self, command: Command) -> Command {
        all(&command).iter().fold(command, |command, setting| {
            let Some(value) = self.value(&setting.key) else { return command };
            let words: Vec<String> = match setting.arg.get_value_delimiter() {
                Some(delimiter) => value.split(delimiter).map(str::to_owned).collect(),
                None => vec![value.to_owned()],
            };
            setting.commands.iter().fold(command, |command, name| {
                let words = words.clone();
                command.mut_subcommand(name, |subcommand| {
                    subcommand.mut_arg(setting.arg.get_id(), |arg| arg.default_values(words))
                })
            })
        })
    }
}

/// Where the invoking user's file is: under sudo in that user's home, not root's.
fn path(invoker: &Invoker) -> Option<PathBuf> {
    let folder = if invoker.through_sudo {
        User::from_uid(invoker.uid).ok().flatten()?.dir.join(".config")
    } else {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        // `su` and the like leave the home of another user in HOME.
        let home = || variable("HOME").filter(|home| owner(home) == Some(invoker.uid.as_raw()));
        variable("XDG_CONFIG_HOME").or_else(|| Some(home()?.join(".config")))?
    };
    Some(folder.join("hostprof/config.toml"))
}

fn owner(path: &Path) -> Option<u32> {
    Some(path.metadata().ok()?.uid())
}

/// The text of a file; `None` where there is none. An error must not tell root's secrets: a file that is
/// read for `owner` is theirs, wherever a link leads.
fn read(path: &Path, owner: Option<u32>) -> Result<Option<String>, SettingsError> {
    let error = |error| SettingsError::Read(path.to_owned(), error);
    // A pipe that nobody writes to must not hold the open for ever.
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(error)?,
    };
    let metadata = file.metadata().map_err(error)?;
    if !metadata.is_file() {
        return Err(error(io::Error::other("it is no file")));
    }
    if owner.is_some_and(|owner| metadata.uid() != owner) {
        return Err(SettingsError::Owner(path.to_owned()));
    }
    let mut text = String::new();
    file.take(MOST_BYTES).read_to_string(&mut text).map_err(error)?;
    Ok(Some(text))
}

fn parse(path: &Path, text: &str) -> Result<BTreeMap<String, String>, SettingsError> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        SettingsError::Syntax(path.to_owned(), line, error.message().replace('\n', ", "))
    })?;
    let word = |key: &String, value: &toml::Value| match scalar(value) {
        Some(word) => Ok((key.clone(), word)),
        None => Err(SettingsError::Value(
            path.to_owned(),
            key.clone(),
            format!("a {} is no value of a setting", value.type_str()),
        )),
    };
    table.iter().map(|(key, value)| word(key, value)).collect()
}

/// A value as a flag takes it.
fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(answer) => Some(answer.to_string()),
        toml::Value::Array(words) => {
            words.iter().map(scalar).collect::<Option<Vec<_>>>().map(|words| words.join(","))
        }
        toml::Value::Table(_) | toml::Value::Datetime(_) => None,
    }
}

/// What clap says, in one line.
fn reason(error: &clap::Error) -> String {
    let text = error.to_string();
    let said = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = said.split_whitespace().collect();
    words.join(" ").trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn command() -> Command {
        Command::new("hostprof").subcommand(
            Command::new("record")
                .arg(Arg::new("pid").long("pid").required(true))
                .arg(
                    Arg::new("threads")
                        .long("max-threads")
                        .env("HOSTPROF_TEST_THREADS")
                        .default_value("5")
                        .value_parser(clap::value_parser!(u32)),
                )
                .arg(Arg::new("probe").long("probe").env("HOSTPROF_TEST_PROBE").value_delimiter(','))
                .arg(
                    Arg::new("loud").long("loud").env("HOSTPROF_TEST_LOUD").action(clap::ArgAction::SetTrue),
                ),
        )
    }

    fn configured(text: &str) -> Result<Configured, SettingsError> {
        let path = PathBuf::from("c.toml");
        let values = Some(parse(&path, text)?);
        Configured { path: Some(path), values }.checked(&command())
    }

    #[test]
    fn a_files_values_are_the_defaults() {
        let file = configured("test_threads = 9\ntest_probe = [\"a\", \"-b\"]\ntest_loud = true\n").unwrap();
        let matches = file.apply(command()).get_matches_from(["hostprof", "record", "--pid", "1"]);
        let (_, record) = matches.subcommand().unwrap();
        assert_eq!(record.get_one::<u32>("threads"), Some(&9));
        assert_eq!(record.get_many::<String>("probe").unwrap().collect::<Vec<_>>(), ["a", "-b"]);
        assert!(record.get_flag("loud"));
        let matches =
            file.apply(command()).get_matches_from(["hostprof", "record", "--pid=1", "--max-threads=7"]);
        assert_eq!(matches.subcommand().unwrap().1.get_one::<u32>("threads"), Some(&7), "the flag counts");
    }

    #[test]
    fn a_mistake_is_one_line_with_file_and_key() {
        for (text, expected) in [
            (
                "threads = 9",
                "read c.toml: unknown key \"threads\" (there are: test_loud, test_probe, test_threads)",
            ),
            (
                "test_threads = \"many\"",
                "read c.toml: key test_threads: invalid value 'many' for '--max-threads",
            ),
            ("\n[test_threads]\n", "read c.toml: key test_threads: a table is no value of a setting"),
            ("test_loud = 3", "read c.toml: key test_loud: \"3\" is neither true nor false"),
            ("a = 1\nb = = 2\n", "read c.toml:2: "),
        ] {
            let message = configured(text).unwrap_err().to_string();
            assert!(message.starts_with(expected) && message.lines().count() == 1, "{text:?}: {message}");
        }
    }

    #[test]
    fn under_sudo_a_link_to_another_users_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let (secret, link) = (dir.path().join("secret"), dir.path().join("config.toml"));
        fs::write(&secret, "a = 1\n").unwrap();
        std::os::unix::fs::symlink(&secret, &link).unwrap();
        let me = nix::unistd::geteuid().as_raw();
        assert!(matches!(read(&link, Some(me + 1)), Err(SettingsError::Owner(_))));
        assert_eq!(read(&link, Some(me)).unwrap().as_deref(), Some("a = 1\n"));
        assert_eq!(read(&link, None).unwrap().as_deref(), Some("a = 1\n"));
        assert!(read(&dir.path().join("none"), Some(me)).unwrap().is_none());
        assert!(matches!(read(dir.path(), None), Err(SettingsError::Read(..))));
    }
}
