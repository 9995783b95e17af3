//! What states look like: groups of states, each with a letter and a colour, so that either is enough.
//!
//! Colours are of Okabe and Ito's palette, which people tell apart whatever their colour vision.

use ratatui::style::{Color, Modifier, Style};

use crate::{
    ledger::StateTimes,
    table::{State, Word as _},
};

/// What colours the terminal has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colours {
    /// None, or none are wanted: letters tell states apart.
    None,
    /// The 16 of every terminal, which are the user's.
    Sixteen,
    /// 256.
    #[default]
    Full,
}

impl Colours {
    /// What the variables `NO_COLOR`, `TERM` and `COLORTERM` tell.
    pub fn of(no_color: Option<&str>, term: Option<&str>, colorterm: Option<&str>) -> Self {
        let term = term.unwrap_or_default();
        if no_color.is_some_and(|value| !value.is_empty()) || term == "dumb" {
            Self::None
        } else if term.contains("256") || colorterm.is_some_and(|value| !value.is_empty()) {
            Self::Full
        } else {
            Self::Sixteen
        }
    }
}

/// States that are shown as one, in the order of a bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    OnCpu,
    Runqueue,
    Futex,
    Io,
    Gpu,
    Memory,
    Other,
    Unattributed,
}

/// A group's looks and meaning.
struct Look {
    name: &'static str,
    letter: char,
    full: Color,
    sixteen: Color,
    help: &'static str,
}

impl Group {
    /// All, in the order of a bar.
    pub const ALL: [Self; 8] = [
        Self::OnCpu,
        Self::Runqueue,
        Self::Futex,
        Self::Io,
        Self::Gpu,
        Self::Memory,
        Self::Other,
        Self::Unattributed,
    ];

    /// The group of a state off the CPU.
    pub fn of(state: State) -> Self {
        match state {
            State::Runqueue | State::Preempted | State::Yield | State::Throttled => Self::Runqueue,
            State::Futex => Self::Futex,
            State::Poll
            | State::Read
            | State::Write
            | State::Network
            | State::Fsync
            | State::IoUring
            | State::IoWorker => Self::Io,
            State::GpuIoctl => Self::Gpu,
            State::Memory | State::PageFault => Self::Memory,
            State::Sleep
            | State::Wait
            | State::Ioctl
            | State::SyscallOther
            | State::Stopped
            | State::Traced
            | State::Frozen
            | State::Exit
            | State::Other => Self::Other,
        }
    }

    /// Its time.
    pub fn ns(self, times: &StateTimes) -> u64 {
        match self {
            Self::OnCpu => times.on_cpu_ns,
            Self::Unattributed => times.unattributed_ns,
            group => {
                let states = State::ALL.iter().filter(|&&state| Self::of(state) == group);
                let off_ns: u64 = states.map(|&state| times.off(state)).sum();
                off_ns + if group == Self::Gpu { times.gpu_sync_ns } else { 0 }
            }
        }
    }

    fn look(self) -> Look {
        let look = |name, letter, full, sixteen, help| Look {
            name,
            letter,
            full: Color::Indexed(full),
            sixteen,
            help,
        };
        match self {
            Self::OnCpu => look("on CPU", 'C', 36, Color::Green, "running on a CPU"),
            Self::Runqueue => look(
                "run queue",
                'R',
                166,
                Color::Red,
                "runnable and not running: woken and waiting for a CPU (runqueue), preempted, throttled by a CPU \
                 quota, or gave the CPU up (yield)",
            ),
            Self::Futex => look("futex", 'F', 179, Color::Yellow, "blocked in futex: a lock or a condition"),
            Self::Io => look(
                "io",
                'I',
                67,
                Color::Cyan,
                "blocked in poll, read, write, network, fsync or io_uring: for work, a peer or a disk",
            ),
            Self::Gpu => look(
                "gpu",
                'G',
                175,
                Color::Magenta,
                "blocked in an ioctl on a GPU's device, or on a CPU and waiting for a GPU (with probe cuda)",
            ),
            Self::Memory => look(
                "memory",
                'M',
                229,
                Color::LightYellow,
                "blocked in a page fault or a call of the mmap family",
            ),
            Self::Other => look(
                "other",
                'O',
                243,
                Color::Gray,
                "blocked in anything else: sleep, wait, another ioctl, stopped, frozen",
            ),
            Self::Unattributed => look(
                "unknown",
                '?',
                253,
                Color::White,
                "unattributed: records of this time are lost, or contradict one another",
            ),
        }
    }

    /// Its name, as legends have it.
    pub fn name(self) -> &'static str {
        self.look().name
    }

    /// Its letter.
    pub fn letter(self) -> char {
        self.look().letter
    }

    /// What follows its letter in its short name.
    pub fn rest(self) -> &'static str {
        match self {
            Self::Runqueue => "unq",
            Self::Futex => "utex",
            Self::Io => "O",
            Self::OnCpu | Self::Gpu => "PU",
            Self::Memory => "em",
            Self::Other => "ther",
            Self::Unattributed => "",
        }
    }

    /// What it means.
    pub fn help(self) -> &'static str {
        self.look().help
    }
}

/// Headings.
pub const TITLE: Style = Style::new().add_modifier(Modifier::BOLD);
/// What the view is in, and the open tab.
pub const BADGE: Style = Style::new().add_modifier(Modifier::REVERSED.union(Modifier::BOLD));

/// Styles for what is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Palette(pub Colours);

impl Palette {
    /// A group's colour; `None` where there are no colours.
    pub fn colour(self, group: Group) -> Option<Color> {
        match self.0 {
            Colours::None => None,
            Colours::Sixteen => Some(group.look().sixteen),
            Colours::Full => Some(group.look().full),
        }
    }

    /// Text in a group's colour.
    pub fn ink(self, group: Group) -> Style {
        self.colour(group).map_or_else(Style::new, |colour| Style::new().fg(colour))
    }

    /// A cell of a bar.
    pub fn block(self, group: Group) -> Style {
        let on = |colour| Style::new().bg(colour).fg(Color::Black);
        self.colour(group).map_or_else(Style::new, on)
    }

    /// What is beside the matter.
    pub fn dim(self) -> Style {
        match self.0 {
            Colours::Full => Style::new().fg(Color::Indexed(246)),
            Colours::None | Colours::Sixteen => Style::new().add_modifier(Modifier::DIM),
        }
    }

    /// Rules between parts.
    pub fn rule(self) -> Style {
        match self.0 {
            Colours::Full => Style::new().fg(Color::Indexed(240)),
            Colours::None | Colours::Sixteen => Style::new().add_modifier(Modifier::DIM),
        }
    }

    /// What wants attention: loss, throttling, an end.
    pub fn warn(self) -> Style {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        self.colour(Group::Runqueue).map_or(bold, |colour| bold.fg(colour))
    }

    /// The row under the cursor.
    pub fn selected(self) -> Style {
        match self.0 {
            Colours::Full => Style::new().bg(Color::Indexed(237)).add_modifier(Modifier::BOLD),
            Colours::None | Colours::Sixteen => Style::new().add_modifier(Modifier::REVERSED),
        }
    }

    /// A line of numbers over time.
    pub fn spark(self) -> Style {
        self.ink(Group::Io)
    }
}
