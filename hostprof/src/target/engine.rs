//! Known inference engines: which processes of a tree belong to one, so that a pid found by `nvidia-smi`
//! (the engine's core) leads to the whole engine, whose API server is its parent.

use std::collections::HashMap;

use super::proc::{Proc, Process};
use crate::units::Tgid;

/// How far from the given process the target reaches.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum TreeMode {
    /// The process and all below it; for a process of a known engine, from the engine's root.
    #[default]
    Engine,
    /// The process and all below it.
    Down,
    /// The process alone, and what it starts from now on.
    Exact,
}

impl TreeMode {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Down => "down",
            Self::Exact => "exact",
        }
    }
}

/// Marks of engines in a command line or a process name, lower case.
const MARKS: &[(&str, &str)] = &[
    ("vllm", "vLLM"),
    ("sglang", "SGLang"),
    ("llama-server", "llama.cpp"),
    ("xllamacpp", "llama.cpp"),
    ("llama_cpp", "llama.cpp"),
    ("text-generation", "TGI"),
    ("tritonserver", "Triton"),
    ("trtllm", "TensorRT-LLM"),
    ("lmdeploy", "LMDeploy"),
    ("ollama", "Ollama"),
];

/// Programs that start others and are no engine, whatever their arguments say.
const STARTERS: &[&str] = &[
    "bash",
    "sh",
    "dash",
    "zsh",
    "fish",
    "sudo",
    "su",
    "tmux",
    "screen",
    "ssh",
    "sshd",
    "timeout",
    "hostprof",
    "docker",
    "containerd-shim",
    "systemd",
    "init",
];

/// The engine a process belongs to, by its command line.
pub fn engine_of(process: &Process, command_line: &[String]) -> Option<&'static str> {
    let comm = String::from_utf8_lossy(&process.comm).to_lowercase();
    let program = command_line.first().map_or("", |program| program.rsplit('/').next().unwrap_or(program));
    if STARTERS.iter().any(|starter| comm == *starter || program == *starter) {
        return None;
    }
    // Of the arguments, those that name what is run: the program, a script or a module.
    let words = command_line.iter().take(4).map(|word| word.to_lowercase());
    let text: Vec<String> = std::iter::once(comm).chain(words).collect();
    MARKS.iter().find(|(mark, _)| text.iter().any(|word| word.contains(mark))).map(|&(_, engine)| engine)
}

/// The topmost ancestor of a process that belongs to the same engine, and the engine's name.
pub fn root(proc: &Proc, processes: &HashMap<Tgid, Process>, tgid: Tgid) -> Option<(Tgid, &'static str)> {
    let engine = engine_of(processes.get(&tgid)?, &proc.command_line(tgid))?;
    let mut root = tgid;
    let mut at = processes.get(&tgid)?.parent;
    while let Some(process) = processes.get(&at) {
        if engine_of(process, &proc.command_line(at)) == Some(engine) {
            root = at;
        } else if at.0 <= 1 {
            break;
        }
        at = process.parent;
    }
    Some((root, engine))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(tgid: u32, parent: u32, comm: &str) -> Process {
        Process {
            tgid: Tgid(tgid),
            parent: Tgid(parent),
            comm: comm.into(),
            is_kernel: false,
            is_zombie: false,
        }
    }

    #[test]
    fn an_engine_is_told_by_what_it_runs_and_a_shell_that_starts_it_is_not_one() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(engine_of(&process(1, 0, "VLLM::EngineCor"), &words("VLLM::EngineCore")), Some("vLLM"));
        assert_eq!(
            engine_of(&process(1, 0, "python3"), &words("python3 -m sglang.launch_server")),
            Some("SGLang")
        );
        assert_eq!(engine_of(&process(1, 0, "bash"), &words("bash run_vllm.sh")), None);
        assert_eq!(engine_of(&process(1, 0, "python3"), &words("python3 train.py")), None);
    }
}
