//! What a view is shown of a recording under way: rows into bins as they are folded, and pictures of them.
//!
//! All of it happens in the pipeline's thread, which waits for nobody: a picture that is not fetched is dropped.

use std::sync::mpsc::SyncSender;

use hostprof_common::slot::Slot;

use super::role::Roles;
use crate::{
    live::{Parts, Picture, Rolling, Window},
    probe::{Fold, Life},
    sampler::Samples,
    table::ThreadRow,
    target::Proc,
    units::{MonoNs, Tgid, Tid},
};

/// Time between two looks at the roles of threads, and at what is too old to be kept.
const CARE_NS: u64 = 1_000_000_000;

/// What a view wants.
#[derive(Debug)]
pub struct Look {
    /// When the slots had been read: the picture is as of then.
    pub at: MonoNs,
    /// What the kernel half keeps of each thread.
    pub slots: Vec<Slot>,
    /// The window's length.
    pub length_ns: u64,
    /// The window that a frozen view shows; `None` for the newest.
    pub window: Option<Window>,
    /// The thread to show in depth.
    pub detail: Option<Tid>,
    /// What is shown.
    pub parts: Parts,
}

/// Bins of what is folded.
pub struct Tap {
    /// The bins.
    pub rolling: Rolling,
    begun: MonoNs,
    pictures: SyncSender<Picture>,
    proc: Proc,
    /// Whether requests are looked for.
    http: bool,
    /// Bytes that the drains have read in this round, and the most in one since the last picture.
    round_bytes: u64,
    ring_used: u64,
    look: Option<Box<Look>>,
    cared: u64,
}

impl Tap {
    /// A tap of a recording that began then.
    pub fn new(begun: MonoNs, pictures: SyncSender<Picture>, proc: Proc, http: bool) -> Self {
        let rolling = Rolling::new(begun.0..u64::MAX);
        Self { rolling, begun, pictures, proc, http, round_bytes: 0, ring_used: 0, look: None, cared: 0 }
    }

    /// A thread began, was met, or has another name.
    pub fn alive(&mut self, life: &Life, roles: &mut Roles) {
        let row = &life.row;
        let role = roles.role(life).map(|role| role.name).unwrap_or_default();
        let known = self.rolling.life(row.tid).filter(|known| known.end_ns.is_none());
        if let Some(known) = known {
            known.comm.clone_from(&row.comm);
            self.rolling.role(row.tid, None, &role);
            return;
        }
        if row.tid == row.tgid {
            let parent = match row.parent_tid {
                Some(tid) => self.rolling.life(tid).map(|parent| parent.tgid),
                None => self.proc.process(Tgid(row.tgid)).map(|process| process.parent.0),
            };
            if let Some(parent) = parent {
                self.rolling.parent(row.tgid, parent);
            }
        }
        self.rolling.begin(crate::live::Life {
            tid: row.tid,
            tgid: row.tgid,
            comm: row.comm.clone(),
            role,
            begin_ns: row.begin_mono_ns,
            ..crate::live::Life::default()
        });
    }

    /// A thread ended, or recording did.
    pub fn ended(&mut self, row: &ThreadRow) {
        let Some(life) = self.rolling.life_since(row.tid, row.begin_mono_ns) else { return };
        life.end_ns = Some(row.end_mono_ns);
        life.exited = row.exit_mono_ns.is_some();
        self.rolling.role(row.tid, Some(row.begin_mono_ns), row.role.as_deref().unwrap_or_default());
    }

    /// Samples were taken.
    pub fn samples(&mut self, samples: &Samples) {
        samples.host.iter().for_each(|row| self.rolling.host(row.clone()));
        samples.processes.iter().for_each(|row| self.rolling.process(row.clone()));
        samples.cgroups.iter().for_each(|row| self.rolling.cgroup(row.clone()));
    }

    /// A view wants a picture; one that waits for its turn is given up.
    pub fn look(&mut self, look: Box<Look>) {
        self.look = Some(look);
    }

    /// A drain has read that much of its rings: that much of them was in use.
    pub fn drained(&mut self, bytes: usize) {
        self.round_bytes += bytes as u64;
    }

    /// All that happened before `until` is folded.
    pub fn released(&mut self, until: MonoNs, fold: &Fold, roles: &mut Roles) {
        self.ring_used = self.ring_used.max(std::mem::take(&mut self.round_bytes));
        if until.0 >= self.cared + CARE_NS {
            self.cared = until.0;
            self.rolling.forget(until.0);
            self.assign_roles(until.0, fold, roles);
        }
        let Some(look) = self.look.take_if(|look| look.at <= until) else { return };
        self.rolling.open(fold.open(&look.slots, look.at));
        if self.http {
            self.rolling.requests_in_flight(fold.requests_in_flight() as u64);
        }
        let since = self.begun.0.max(self.rolling.kept().start);
        let window = look.window.unwrap_or_else(|| Window::before(look.at.0, look.length_ns, since));
        if !window.is_empty() && window.from >= since {
            // A view that is stopped has not fetched the last one: it gets the next it asks for.
            let mut picture = self.rolling.picture(&window, look.detail, look.parts);
            picture.health.ring_used_bytes = Some(std::mem::take(&mut self.ring_used));
            let _ = self.pictures.try_send(picture);
        }
    }

    /// Young threads every time, others now and then: rules cost more than all else here.
    fn assign_roles(&mut self, now: u64, fold: &Fold, roles: &mut Roles) {
        let second = now / CARE_NS;
        for life in fold.lives() {
            let age = now.saturating_sub(life.row.begin_mono_ns) / CARE_NS;
            if age > 4 && !(second + u64::from(life.row.tid)).is_multiple_of(8) {
                continue;
            }
            let role = roles.role(life).map(|role| role.name).unwrap_or_default();
            self.rolling.role(life.row.tid, None, &role);
        }
    }
}
