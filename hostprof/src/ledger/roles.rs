//! What a thread does in its engine, told by its name where names tell and else by what it does.
//!
//! Rules are data: `roles.toml` holds those that ship, and a file of the same form extends them. The first
//! rule whose every condition holds gives the role.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::StateTimes;
use crate::table::{State, Word};

/// The rules that ship.
const BUILT_IN: &str = include_str!("../../roles.toml");

/// What is known of a thread when its row is written.
#[derive(Clone, Copy, Debug)]
pub struct ThreadFacts<'a> {
    /// The thread's name.
    pub comm: &'a str,
    /// The name of its process's main thread.
    pub process_comm: &'a str,
    /// The process's program.
    pub exe: Option<&'a str>,
    /// Whether it is its process's main thread.
    pub is_main: bool,
    /// The engine the process belongs to, where known: `vllm`, `sglang`, `llama.cpp`.
    pub engine: Option<&'a str>,
    /// Its time by state.
    pub times: &'a StateTimes,
    /// Off-CPU episodes by system call number.
    pub syscalls: &'a [(i32, u64)],
}

/// A role, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Role {
    /// What the thread does.
    pub name: String,
    /// The rule that told.
    pub rule: String,
    /// How sure the rule is, 0 to 1.
    pub confidence: f64,
}

/// One rule: every condition given must hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(rename = "rule")]
    name: String,
    role: String,
    confidence: f64,
    /// Globs (`*` only) for the thread's name, of which one must match; as for the next two.
    #[serde(default)]
    comm: Vec<String>,
    #[serde(default)]
    process_comm: Vec<String>,
    #[serde(default)]
    exe: Vec<String>,
    main: Option<bool>,
    engine: Option<String>,
    /// Least share of the wall clock, by state (`on_cpu` among them).
    #[serde(default)]
    min_share: BTreeMap<String, f64>,
    /// Most share of the wall clock, by state.
    #[serde(default)]
    max_share: BTreeMap<String, f64>,
    /// System calls by number, each of which it must have blocked in.
    #[serde(default)]
    syscalls: Vec<i32>,
    /// Least share of its off-CPU episodes that were in `syscalls`.
    #[serde(default)]
    min_episodes_share: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    #[serde(default)]
    role: Vec<Rule>,
}

/// Why rules could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// Not TOML of this form.
    #[error("parse role rules: {0}")]
    Parse(#[from] toml::de::Error),
    /// A share for a state there is not.
    #[error("parse role rules: rule {rule}: unknown state {state} (see the states of table off_cpu)")]
    UnknownState { rule: String, state: String },
    /// A confidence or share that is no ratio.
    #[error("parse role rules: rule {rule}: {value} is not between 0 and 1")]
    NotARatio { rule: String, value: f64 },
}

/// Rules, in the order they are tried.
#[derive(Clone, Debug)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// The rules that ship.
    ///
    /// # Errors
    ///
    /// None in a build whose tests passed.
    pub fn built_in() -> Result<Self, RulesError> {
        Self::parse(BUILT_IN)
    }

    /// The rules of a user's file, tried before those that ship.
    ///
    /// # Errors
    ///
    /// The text is not a rule file.
    pub fn extended(text: &str) -> Result<Self, RulesError> {
        let mut rules = Self::parse(text)?;
        rules.0.extend(Self::built_in()?.0);
        Ok(rules)
    }

    fn parse(text: &str) -> Result<Self, RulesError> {
        let file: RuleFile = toml::from_str(text)?;
        for rule in &file.role {
            let shares = || rule.min_share.iter().chain(&rule.max_share);
            if let Some((state, _)) =
                shares().find(|(state, _)| *state != "on_cpu" && State::from_word(state).is_none())
            {
                return Err(RulesError::UnknownState { rule: rule.name.clone(), state: state.clone() });
            }
            let ratios = [rule.confidence, rule.min_episodes_share];
            if let Some(value) = ratios
                .into_iter()
                .chain(shares().map(|(_, share)| *share))
                .find(|ratio| !(0.0..=1.0).contains(ratio))
            {
                return Err(RulesError::NotARatio { rule: rule.name.clone(), value });
            }
        }
        Ok(Self(file.role))
    }

    /// What the thread does, if a rule tells.
    pub fn assign(&self, facts: &ThreadFacts) -> Option<Role> {
        let rule = self.0.iter().find(|rule| rule.holds(facts))?;
        Some(Role { name: rule.role.clone(), rule: rule.name.clone(), confidence: rule.confidence })
    }
}

impl Rule {
    fn holds(&self, facts: &ThreadFacts) -> bool {
        let named = |globs: &[String], name: Option<&str>| {
            globs.is_empty() || name.is_some_and(|name| globs.iter().any(|glob| matches(glob, name)))
        };
        named(&self.comm, Some(facts.comm))
            && named(&self.process_comm, Some(facts.process_comm))
            && named(&self.exe, facts.exe)
            && self.main.is_none_or(|main| main == facts.is_main)
            && self.engine.as_deref().is_none_or(|engine| facts.engine == Some(engine))
            && self.min_share.iter().all(|(state, least)| share(facts.times, state) >= *least)
            && self.max_share.iter().all(|(state, most)| share(facts.times, state) <= *most)
            && self.blocks_in_its_syscalls(facts)
    }

    fn blocks_in_its_syscalls(&self, facts: &ThreadFacts) -> bool {
        if self.syscalls.is_empty() {
            return true;
        }
        let count =
            |nr: i32| facts.syscalls.iter().filter(|(of, _)| *of == nr).map(|(_, count)| count).sum::<u64>();
        let all: u64 = facts.syscalls.iter().map(|(_, count)| count).sum();
        let mut here = 0;
        for &nr in &self.syscalls {
            match count(nr) {
                0 => return false,
                some => here += some,
            }
        }
        here as f64 >= self.min_episodes_share * all as f64
    }
}

/// A state's share of the thread's wall clock; 0 where there is none.
fn share(times: &StateTimes, state: &str) -> f64 {
    let ns = times.words().find(|(word, _)| *word == state).map_or(0, |(_, ns)| ns);
    ns as f64 / times.total_ns().max(1) as f64
}

/// Whether a glob matches; `*` stands for any run of characters, all else for itself.
fn matches(glob: &str, name: &str) -> bool {
    let Some((prefix, rest)) = glob.split_once('*') else { return glob == name };
    let Some(name) = name.strip_prefix(prefix) else { return false };
    name.char_indices().map(|(at, _)| at).chain([name.len()]).any(|at| matches(rest, &name[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUTEX: i32 = 202;
    const RECVFROM: i32 = 45;
    const ACCEPT4: i32 = 288;

    fn times(on_cpu_ns: u64, off: &[(State, u64)]) -> StateTimes {
        let mut times = StateTimes { on_cpu_ns, ..StateTimes::default() };
        for (state, ns) in off {
            times.off_ns[state.index()] = *ns;
        }
        times
    }

    fn facts<'a>(comm: &'a str, times: &'a StateTimes, syscalls: &'a [(i32, u64)]) -> ThreadFacts<'a> {
        ThreadFacts { comm, process_comm: comm, exe: None, is_main: false, engine: None, times, syscalls }
    }

    fn role(facts: &ThreadFacts) -> Option<String> {
        Rules::built_in().unwrap().assign(facts).map(|role| role.name)
    }

    #[test]
    fn names_tell_the_roles_of_vllm_and_sglang() {
        let idle = times(1, &[(State::Poll, 99)]);
        let named = |comm, process_comm, is_main| {
            role(&ThreadFacts { process_comm, is_main, ..facts(comm, &idle, &[]) })
        };
        assert_eq!(named("VLLM::EngineCor", "VLLM::EngineCor", true).as_deref(), Some("engine_core"));
        assert_eq!(named("VLLM::Worker", "VLLM::Worker", true).as_deref(), Some("worker"));
        assert_eq!(named("VLLM::Worker_TP", "VLLM::Worker_TP", true).as_deref(), Some("worker"));
        assert_eq!(named("vllm", "vllm", true).as_deref(), Some("api_server"));
        assert_eq!(named("ZMQbg/IO/0", "vllm", false).as_deref(), Some("messaging"));
        assert_eq!(named("pt_gloo_runloop", "VLLM::Worker", false).as_deref(), Some("collective"));
        assert_eq!(named("sglang::schedul", "sglang::schedul", true).as_deref(), Some("engine_core"));
        assert_eq!(named("sglang::detoken", "sglang::detoken", true).as_deref(), Some("tokenizer"));
        assert_eq!(named("bash", "bash", true), None);
    }

    #[test]
    fn the_main_thread_of_llama_server_decodes() {
        let busy = times(70, &[(State::Futex, 30)]);
        let main = ThreadFacts { is_main: true, ..facts("llama-server", &busy, &[(FUTEX, 10)]) };
        assert_eq!(role(&main).as_deref(), Some("decode"));
    }

    #[test]
    fn behaviour_tells_where_all_threads_have_one_name() {
        let accepting = times(1, &[(State::Network, 99)]);
        let accept = facts("llama-server", &accepting, &[(ACCEPT4, 4)]);
        assert_eq!(role(&accept).as_deref(), Some("http"));

        let serving = times(10, &[(State::Network, 60), (State::Futex, 30)]);
        let pool = facts("llama-server", &serving, &[(RECVFROM, 8), (FUTEX, 5)]);
        assert_eq!(role(&pool).as_deref(), Some("http"));

        let spinning = times(80, &[(State::Futex, 20)]);
        let gomp = facts("llama-server", &spinning, &[(FUTEX, 100)]);
        assert_eq!(role(&gomp).as_deref(), Some("compute_pool"));

        let waiting = times(0, &[(State::Futex, 100)]);
        assert_eq!(role(&facts("llama-server", &waiting, &[(FUTEX, 1)])), None);
    }

    #[test]
    fn a_users_rules_come_first() {
        let rules = Rules::extended(
            "[[role]]\nrule = \"mine\"\nrole = \"sampler\"\nconfidence = 0.5\ncomm = [\"VLLM::*\"]\n",
        );
        let idle = StateTimes::default();
        let role = rules.unwrap().assign(&facts("VLLM::EngineCor", &idle, &[])).unwrap();
        assert_eq!((role.name.as_str(), role.rule.as_str(), role.confidence), ("sampler", "mine", 0.5));
    }

    #[test]
    fn a_rule_with_an_unknown_state_or_ratio_is_refused() {
        let refused = |text: &str| Rules::extended(text).unwrap_err().to_string();
        let head = "[[role]]\nrule = \"r\"\nrole = \"x\"\n";
        let unknown = refused(&format!("{head}confidence = 1.0\nmin_share = {{ fuxet = 0.5 }}\n"));
        assert!(unknown.contains("rule r: unknown state fuxet"), "{unknown}");
        assert!(refused(&format!("{head}confidence = 7.0\n")).contains("7 is not between 0 and 1"));
    }

    #[test]
    fn a_star_stands_for_any_run() {
        for (glob, name, expected) in [
            ("a*", "abc", true),
            ("*bc", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("*", "", true),
            ("abc", "abcd", false),
            ("*/llama-server", "/opt/x/llama-server", true),
            ("*µ*", "1µ2", true),
        ] {
            assert_eq!(matches(glob, name), expected, "{glob} {name}");
        }
    }
}
