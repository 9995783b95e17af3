//! What a report that is given away does not hold: names of the machine, its users' programs, cgroups and requests. What a
//! reader needs of them stays: a thread's role, a number for each request.

use std::collections::HashMap;

use super::model::Report;
use crate::table::{CgroupSampleRow, RequestRow, ThreadRow, TokenRow};

/// Names under way to their replacements, or none to be replaced.
pub struct Redaction {
    on: bool,
    requests: HashMap<String, String>,
    cgroups: HashMap<String, String>,
}

impl Redaction {
    /// Of everything, or of nothing.
    pub fn new(on: bool) -> Self {
        Self { on, requests: HashMap::new(), cgroups: HashMap::new() }
    }

    /// A thread keeps its role, and is named after it.
    pub fn threads(&self, rows: &mut [ThreadRow]) {
        for row in rows.iter_mut().filter(|_| self.on) {
            row.comm = row.role.clone().unwrap_or_else(|| "thread".to_owned());
            (row.exe, row.container_id, row.pod) = (None, None, None);
        }
    }

    /// A request gets a number, the same for its tokens.
    pub fn request(&mut self, row: &RequestRow) -> RequestRow {
        RequestRow {
            request_id: self.id(&row.request_id),
            kernel_id: row.kernel_id.as_deref().map(|id| self.id(id)),
            client_id: row.client_id.as_deref().map(|id| self.id(id)),
            finish_reason: row.finish_reason.clone().filter(|_| !self.on),
            ..row.clone()
        }
    }

    /// As its request.
    pub fn token(&mut self, row: &TokenRow) -> TokenRow {
        TokenRow { request_id: self.id(&row.request_id), ..row.clone() }
    }

    fn id(&mut self, id: &str) -> String {
        let next = self.requests.len() + 1;
        if !self.on {
            return id.to_owned();
        }
        self.requests.entry(id.to_owned()).or_insert_with(|| format!("r{next}")).clone()
    }

    /// A cgroup gets a number.
    pub fn cgroups(&mut self, rows: &mut [CgroupSampleRow]) {
        if self.on {
            for row in rows {
                row.path = self.cgroup(&row.path);
            }
        }
    }

    fn cgroup(&mut self, path: &str) -> String {
        let next = self.cgroups.len() + 1;
        self.cgroups.entry(path.to_owned()).or_insert_with(|| format!("cgroup {next}")).clone()
    }

    /// What is in the report beside rows.
    pub fn report(&mut self, report: &mut Report) {
        if !self.on {
            return;
        }
        let run = &mut report.run;
        "a recording".clone_into(&mut run.name);
        for text in [&mut run.target, &mut run.host, &mut run.started] {
            "(redacted)".clone_into(text);
        }
        let off = run.probes_off.iter_mut().chain(&mut report.quality.probes_off);
        off.for_each(|probe| "(redacted)".clone_into(&mut probe.reason));
        for cgroup in report.host.iter_mut().flat_map(|host| &mut host.cgroups) {
            cgroup.path = self.cgroup(&cgroup.path);
        }
        for gpu in report.gpus.iter_mut().flat_map(|gpus| &mut gpus.devices) {
            gpu.processes.iter_mut().for_each(|process| process.comm = None);
        }
        // The driver's messages name processes.
        report.nvidia = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_and_what_belongs_together_stays_so() {
        let mut redaction = Redaction::new(true);
        let mut threads = [
            ThreadRow { comm: "secret-a".into(), role: Some("http".into()), ..ThreadRow::default() },
            ThreadRow { comm: "secret-b".into(), exe: Some("/secret".into()), ..ThreadRow::default() },
        ];
        redaction.threads(&mut threads);
        assert_eq!((threads[0].comm.as_str(), threads[1].comm.as_str()), ("http", "thread"));
        assert_eq!(threads[1].exe, None);
        let request = |id: &str| RequestRow { request_id: id.into(), ..RequestRow::default() };
        let token = |id: &str| TokenRow { request_id: id.into(), ..TokenRow::default() };
        assert_eq!(redaction.request(&request("secret-x")).request_id, "r1");
        assert_eq!(redaction.request(&request("secret-y")).request_id, "r2");
        assert_eq!(redaction.token(&token("secret-x")).request_id, "r1");
        let mut cgroups = [CgroupSampleRow { path: "/secret".into(), ..CgroupSampleRow::default() }];
        redaction.cgroups(&mut cgroups);
        assert_eq!(cgroups[0].path, "cgroup 1");
        let mut plain = Redaction::new(false);
        assert_eq!(plain.request(&request("x")).request_id, "x");
    }
}
