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
    /// When `auto` has it.
    pub auto: Auto,
    /// Whether every recording has it.
    pub required: bool,
}

/// When `--probe auto` has a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auto {
    /// Always.
    Always,
    /// Where the target has a selected device open.
    WithDevice,
    /// Never: it must be named.
    Never,
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
/// The requests they serve.
pub const HTTP: &str = "http";

/// What the GPU's driver reports as wrong.
pub const XID: &str = "xid";
/// What the units of the GPUs do, in short intervals.
pub const GPU_PM: &str = "gpu_pm";
/// Their ioctls on selected devices.
pub const IOCTL: &str = "ioctl";
/// Their calls that change the address space.
pub const MEMORY: &str = "memory";
/// Their futex calls.
pub const FUTEX: &str = "futex";
/// Their calls of CUDA's driver library.
pub const CUDA: &str = "cuda";
/// Their launches, one by one.
pub const CUDA_LAUNCH: &str = "cuda_launch";
/// Steps of the engine that they run.
pub const ENGINE: &str = "engine";
/// All their system calls.
pub const SYSCALL: &str = "syscall";
/// All their system calls, counted.
pub const SYSCALL_COUNT: &str = "syscall_count";

/// What calls traced one by one cost the others, by the hook that the kernel allows.
const NAMED_COST: &str = "by fentry/fexit nothing; by the calls' tracepoints, where that is refused, the slow path on \
                          every system call of the machine: a bare one takes 1.3 times as long";
/// What all calls traced cost the others.
const EVERY_COST: &str = "the slow path and two filtered programs on every system call of the machine: a bare one takes 1.9 times as long";

/// What calls of CUDA's driver library cost the others.
const CUDA_COST: &str = "other programs of the machine that use the same file of libcuda take the probes too, and are \
                         filtered there: a microsecond or two a call; none on others";

/// What calls of an engine cost the others.
const ENGINE_COST: &str = "other programs of the machine that use the same file of the engine take the probes too, and are \
                           filtered there: a microsecond or two a call; none on others";

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
        tables: &["thread", "off_cpu", "off_cpu_count", "shed", "loss"],
        bystander_cost: "two filtered hooks a context switch and wakeup; none on system calls",
        auto: Auto::Always,
        required: true,
    },
    Probe {
        name: WAKER,
        question: "Which thread or interrupt woke it?",
        programs: &["sched_waking"],
        tables: &["off_cpu"],
        bystander_cost: "one filtered hook a wakeup; none on system calls",
        auto: Auto::Always,
        required: false,
    },
    Probe {
        name: PAGE_FAULT,
        question: "How many minor and major page faults does each thread have?",
        programs: &[],
        tables: &["page_fault"],
        bystander_cost: "none: the task's own counters, read at its switch-outs",
        auto: Auto::Always,
        required: false,
    },
    Probe {
        name: HOST_RUNQUEUE,
        question: "How long do all tasks of the machine wait for a CPU?",
        programs: &[],
        tables: &["histogram"],
        bystander_cost: "a counter a context switch, in the hook that sched has there",
        auto: Auto::Always,
        required: false,
    },
    Probe {
        name: IOCTL,
        question: "Which ioctls does each thread make on the selected devices, how long do they take, and what do the NVIDIA driver's ask for and answer?",
        programs: &["sys_enter_named", "sys_exit_named", "fentry_ioctl", "fexit_ioctl"],
        tables: &["gpu_ioctl"],
        bystander_cost: NAMED_COST,
        auto: Auto::WithDevice,
        required: false,
    },
    Probe {
        name: MEMORY,
        question: "How long do mmap, munmap, mremap, mprotect, madvise and brk take?",
        programs: &[
            "fentry_mmap",
            "fexit_mmap",
            "fentry_munmap",
            "fexit_munmap",
            "fentry_mremap",
            "fexit_mremap",
            "fentry_mprotect",
            "fexit_mprotect",
            "fentry_madvise",
            "fexit_madvise",
            "fentry_brk",
            "fexit_brk",
        ],
        tables: &["syscall"],
        bystander_cost: NAMED_COST,
        auto: Auto::WithDevice,
        required: false,
    },
    Probe {
        name: FUTEX,
        question: "Which futex calls take longer than the threshold, on which address?",
        programs: &["fentry_futex", "fexit_futex"],
        tables: &["syscall"],
        bystander_cost: NAMED_COST,
        auto: Auto::WithDevice,
        required: false,
    },
    Probe {
        name: SYSCALL,
        question: "How long does every system call take, one by one?",
        programs: &["sys_enter", "sys_exit"],
        tables: &["syscall"],
        bystander_cost: EVERY_COST,
        auto: Auto::Never,
        required: false,
    },
    Probe {
        name: SYSCALL_COUNT,
        question: "How many system calls does each process make, and how long do they take?",
        programs: &[],
        tables: &["histogram"],
        bystander_cost: EVERY_COST,
        auto: Auto::Never,
        required: false,
    },
    Probe {
        name: CUDA,
        question: "How long does each thread wait for the GPU, copy, allocate, capture and load in CUDA's driver library, and how many kernels does it launch?",
        programs: &["function_count", "function_enter", "function_return"],
        tables: &["cuda_call", "histogram"],
        bystander_cost: CUDA_COST,
        auto: Auto::Never,
        required: false,
    },
    Probe {
        name: CUDA_LAUNCH,
        question: "How long does each launch of a kernel or a graph take its thread, one by one?",
        programs: &[],
        tables: &["cuda_call"],
        bystander_cost: CUDA_COST,
        auto: Auto::Never,
        required: false,
    },
    Probe {
        name: ENGINE,
        question: "When does the engine (llama.cpp) compute a batch, of how many tokens and sequences, tokenise, sample and detokenise, and how long does each take?",
        programs: &[],
        tables: &["step", "histogram"],
        bystander_cost: ENGINE_COST,
        auto: Auto::Never,
        required: false,
    },
    Probe {
        name: NETWORK,
        question: "How many bytes does each process send and receive by IPv4 and IPv6 sockets?",
        programs: &["sock_send_length", "sock_recv_length"],
        tables: &["process_sample"],
        bystander_cost: "a filtered hook a send or receive on any socket; none on other system calls",
        auto: Auto::Always,
        required: false,
    },
    Probe {
        name: XID,
        question: "Which errors (XID) did the NVIDIA driver write to the kernel's log?",
        programs: &[],
        tables: &["gpu_event"],
        bystander_cost: "none: the log is followed",
        auto: Auto::Always,
        required: false,
    },
    Probe {
        name: GPU_PM,
        question: "What did the units of each GPU do (multiprocessors, tensor cores, memory), 2,000 times a second?",
        programs: &[],
        tables: &["gpu_pm"],
        bystander_cost: "most of a CPU, for hostprof's own thread; other profilers cannot have the GPUs' counters meanwhile",
        auto: Auto::Never,
        required: false,
    },
    Probe {
        name: HTTP,
        question: "When did each request to an HTTP server arrive, when was its first token sent, and each other?",
        programs: &[
            "http_sock_send_length",
            "http_sock_recv_length",
            "http_sk_data_ready",
            "http_inet_sock_set_state",
        ],
        tables: &["request", "token"],
        bystander_cost: "a filtered hook a send, a receive, an arrival of bytes or a change of state of any socket; none \
                         on other system calls",
        auto: Auto::Never,
        required: false,
    },
];

/// The probes of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    on: Vec<&'static str>,
    named: Vec<&'static str>,
    /// Those that `auto` adds where the target has a selected device open.
    with_device: Vec<&'static str>,
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
            .filter(|probe| probe.required || (from_default && probe.auto == Auto::Always))
            .map(|probe| probe.name)
            .collect();
        let mut with_device: Vec<&'static str> = PROBES
            .iter()
            .filter(|probe| from_default && probe.auto == Auto::WithDevice)
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
                with_device.retain(|known| *known != probe.name);
            } else {
                let probe = find(word)?;
                asked.push(probe.name);
                with_device.retain(|known| *known != probe.name);
                if !on.contains(&probe.name) {
                    on.push(probe.name);
                }
            }
        }
        Ok(Self { on, named: asked, with_device })
    }

    /// Whether a probe was asked for by name: it must run then.
    pub fn names(&self, name: &str) -> bool {
        self.named.contains(&name)
    }

    /// Whether it depends on the target's devices what is on.
    pub fn asks_for_device(&self) -> bool {
        !self.with_device.is_empty()
    }

    /// Decides on the probes that `auto` adds: the target has a selected device open. Returns their names.
    pub fn add_with_device(&mut self) -> Vec<&'static str> {
        self.on.extend(&self.with_device);
        std::mem::take(&mut self.with_device)
    }

    /// Takes back what [`Self::add_with_device`] added.
    pub fn leave_out(&mut self, names: &[&'static str]) {
        self.on.retain(|name| !names.contains(name));
    }

    /// Why a probe is off.
    pub fn reason_off(&self, name: &str) -> &'static str {
        if self.with_device.contains(&name) {
            "the target has no selected device open (name the probe, or choose with --ioctl-device)"
        } else {
            "not asked for"
        }
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
        let mut with = parse("auto,-memory").unwrap();
        assert!(with.asks_for_device() && !with.has(FUTEX));
        assert_eq!(with.add_with_device(), [IOCTL, FUTEX]);
        assert!(with.has(IOCTL) && !with.has(MEMORY));
        let named = parse("auto,futex").unwrap();
        assert!(named.has(FUTEX) && !named.has(IOCTL) && !parse("futex").unwrap().asks_for_device());
        assert!(matches!(parse("nope"), Err(SelectionError::Unknown(_))));
        assert!(matches!(parse("-sched"), Err(SelectionError::Required(_))));
    }
}
