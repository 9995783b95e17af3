//! The role of a thread, told when its row is written: by then its behaviour is known.

use std::collections::HashMap;

use crate::{
    ledger::{
        StateTimes,
        roles::{Role, Rules, ThreadFacts},
    },
    probe::{Life, escape_comm, met_in},
    table::{ThreadRow, Word as _},
    target::Proc,
    units::Tgid,
};

/// What tells roles.
pub struct Roles {
    rules: Option<Rules>,
    engine: Option<String>,
    proc: Proc,
    /// The name of each process's main thread, as last seen.
    processes: HashMap<u32, String>,
}

impl Roles {
    /// Roles by the built-in rules, for a target that was taken for this engine.
    pub fn new(engine: Option<&str>, proc: Proc) -> Self {
        // The built-in rules are tested; without them threads would merely have no role.
        let rules = Rules::built_in().ok();
        Self { rules, engine: engine.map(str::to_lowercase), proc, processes: HashMap::new() }
    }

    /// The thread's row with its role.
    pub fn assign(&mut self, life: &Life) -> ThreadRow {
        let mut row = life.row.clone();
        if let Some(role) = self.role(life) {
            row.role = Some(role.name);
            row.role_rule = Some(role.rule);
            row.role_confidence = Some(role.confidence);
        }
        row
    }

    /// What the thread does, by its life so far.
    pub fn role(&mut self, life: &Life) -> Option<Role> {
        let row = &life.row;
        let process_comm = self.process_comm(row);
        let mut off_ns = life.off_ns;
        // A thread that never ran since is told by what it waits in: all of its time is that.
        if let Some(state) = met_in(life) {
            off_ns[state.index()] += 1;
        }
        let times = StateTimes {
            on_cpu_ns: (row.end_mono_ns - row.begin_mono_ns).saturating_sub(off_ns.iter().sum()),
            off_ns,
            ..StateTimes::default()
        };
        self.rules.as_ref()?.assign(&ThreadFacts {
            comm: &row.comm,
            process_comm: &process_comm,
            exe: row.exe.as_deref(),
            is_main: row.tid == row.tgid,
            engine: self.engine.as_deref(),
            times: &times,
            syscalls: &life.syscalls,
        })
    }

    fn process_comm(&mut self, row: &ThreadRow) -> String {
        if row.tid == row.tgid {
            self.processes.insert(row.tgid, row.comm.clone());
            return row.comm.clone();
        }
        let proc = &self.proc;
        self.processes
            .entry(row.tgid)
            .or_insert_with(|| {
                let process = proc.process(Tgid(row.tgid));
                process.map_or_else(|| row.comm.clone(), |process| escape_comm(&process.comm))
            })
            .clone()
    }
}
