//! The probes, one list: `--probe` values, documentation and `config.json` come from it.

/// A question that hostprof asks of the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// As `--probe` takes it.
    pub name: &'static str,
    /// What it answers, in one line.
    pub question: &'static str,
    /// The programs of the kernel half it needs.
    pub programs: &'static [&'static str],
    /// The tables it fills.
    pub tables: &'static [&'static str],
    /// What it costs programs that are not recorded.
    pub bystander_cost: &'static str,
    /// Whether `auto` has it.
    pub in_auto: bool,
    /// Whether every recording has it.
    pub required: bool,
}

/// Where threads wait. The others refine it.
pub const SCHED: &str = "sched";
/// Who wakes them.
pub const WAKER: &str = "waker";
/// Their page faults.
pub const PAGE_FAULT: &str = "page_fault";
/// How long all tasks of the machine wait for a CPU.
pub const HOST_RUNQUEUE: &str = "host_runqueue";
/// What they send and receive.
pub const NETWORK: &str = "network";

/// Every probe.
pub const PROBES: &[Probe] = &[
    Probe {
        name: SCHED,
        question: "Where does each thread wait, in which system call, and how long does it then wait for a CPU?",
        programs: &[
            "sched_process_fork",
            "sched_process_exec",
            "task_rename",
            "sched_switch",
            "sched_wakeup",
            "sched_wakeup_new",
            "adopt",
        ],
        tables: &["thread", "off_cpu", "loss"],
        bystander_cost: "two filtered hooks a context switch and wakeup; none on system calls",
        in_auto: true,
        required: true,
    },
    Probe {
        name: WAKER,
        question: "Which thread or interrupt woke it?",
        programs: &["sched_waking"],
        tables: &["off_cpu"],
        bystander_cost: "one filtered hook a wakeup; none on system calls",
        in_auto: true,
        required: false,
    },
    Probe {
        name: PAGE_FAULT,
        question: "How many minor and major page faults does each thread have?",
        programs: &[],
        tables: &["page_fault"],
        bystander_cost: "none: the task's own counters, read at its switch-outs",
        in_auto: true,
        required: false,
    },
    Probe {
        name: HOST_RUNQUEUE,
        question: "How long do all tasks of the machine wait for a CPU?",
        programs: &[],
        tables: &["histogram"],
        bystander_cost: "a counter a context switch, in the hook that sched has there",
        in_auto: true,
        required: false,
    },
    Probe {
        name: NETWORK,
        question: "How many bytes does each process send and receive by IPv4 and IPv6 sockets?",
        programs: &["sock_send_length", "sock_recv_length"],
        tables: &["process_sample"],
        bystander_cost: "a filtered hook a send or receive on any socket; none on other system calls",
        in_auto: true,
        required: false,
    },
];

/// The probes of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    on: Vec<&'static str>,
    named: Vec<&'static str>,
}

/// A word of `--probe` that means nothing.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// No probe has the name.
    #[error("choose probe {0:?}: there is none of that name (there are: {names})", names = names())]
    Unknown(String),
    /// It cannot be left out.
    #[error("leave out probe {0:?}: every recording needs it")]
    Required(String),
}

fn names() -> String {
    PROBES.iter().map(|probe| probe.name).collect::<Vec<_>>().join(", ")
}

impl Selection {
    /// Reads the words of `--probe`: `auto`, a name, or `-name` to leave one out. Names alone choose just
    /// those; with `auto`, or where all are left out, they change the default.
    ///
    /// # Errors
    ///
    /// See [`SelectionError`].
    pub fn parse(words: &[String]) -> Result<Self, SelectionError> {
        let find = |name: &str| {
            PROBES
                .iter()
                .find(|probe| probe.name == name)
                .ok_or_else(|| SelectionError::Unknown(name.to_owned()))
        };
        let named = |word: &&String| !word.starts_with('-') && word.as_str() != "auto";
        let from_default = words.iter().any(|word| word == "auto") || !words.iter().any(|word| named(&word));
        let mut on: Vec<&'static str> = PROBES
            .iter()
            .filter(|probe| probe.required || (from_default && probe.in_auto))
            .map(|probe| probe.name)
            .collect();
        let mut asked = Vec::new();
        for word in words.iter().filter(|word| word.as_str() != "auto") {
            if let Some(name) = word.strip_prefix('-') {
                let probe = find(name)?;
                if probe.required {
                    return Err(SelectionError::Required(name.to_owned()));
                }
                on.retain(|known| *known != probe.name);
            } else {
                let probe = find(word)?;
                asked.push(probe.name);
                if !on.contains(&probe.name) {
                    on.push(probe.name);
                }
            }
        }
        Ok(Self { on, named: asked })
    }

    /// Whether a probe was asked for by name: it must run then.
    pub fn names(&self, name: &str) -> bool {
        self.named.contains(&name)
    }

    /// Whether a probe is chosen.
    pub fn has(&self, name: &str) -> bool {
        self.on.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Selection, SelectionError> {
        Selection::parse(
            &text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>(),
        )
    }

    #[test]
    fn names_choose_and_a_minus_leaves_out() {
        assert!(parse("").unwrap().has(WAKER));
        assert!(parse("auto").unwrap().has(HOST_RUNQUEUE));
        let without = parse("auto,-waker").unwrap();
        assert!(!without.has(WAKER) && without.has(PAGE_FAULT));
        assert!(!parse("-waker").unwrap().has(WAKER));
        let alone = parse("sched").unwrap();
        assert!(alone.has(SCHED) && !alone.has(WAKER));
        assert!(parse("auto,network").unwrap().names(NETWORK) && !parse("auto").unwrap().names(NETWORK));
        assert!(parse("waker").unwrap().has(SCHED), "every recording has it");
        assert!(matches!(parse("nope"), Err(SelectionError::Unknown(_))));
        assert!(matches!(parse("-sched"), Err(SelectionError::Required(_))));
    }
}
