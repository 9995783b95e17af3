//! Cargo's JSON messages (`--message-format=json`), the parts that are read here.

use std::path::PathBuf;

use serde::Deserialize;

/// One line of cargo's output.
#[derive(Debug, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Line {
    CompilerArtifact(Artifact),
    CompilerMessage {
        message: Diagnostic,
    },
    #[serde(other)]
    Other,
}

/// What was built.
#[derive(Debug, Deserialize)]
pub struct Artifact {
    pub manifest_path: PathBuf,
    pub target: Target,
    pub profile: Profile,
    pub executable: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
pub struct Target {
    pub kind: Vec<String>,
    pub name: String,
    pub src_path: PathBuf,
}

#[derive(Debug, Deserialize)]
pub struct Profile {
    pub test: bool,
}

/// What the compiler has to say. Cargo repeats it for what it need not build again.
#[derive(Debug, Deserialize)]
pub struct Diagnostic {
    pub level: String,
    /// As the compiler would have printed it.
    pub rendered: Option<String>,
}

/// Reads cargo's output; lines that are not messages are what a build script or test printed.
pub fn parse(output: &str) -> impl Iterator<Item = Line> {
    output.lines().filter_map(|line| serde_json::from_str(line).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_executables_are_told_from_other_artifacts() {
        let output = r#"{"reason":"compiler-artifact","package_id":"p","manifest_path":"/w/hostprof/Cargo.toml","target":{"kind":["test"],"crate_types":["bin"],"name":"kernel_sched","src_path":"/w/hostprof/tests/kernel_sched.rs","edition":"2024"},"profile":{"opt_level":"3","test":true},"features":[],"filenames":[],"executable":"/t/kernel_sched-1","fresh":true}
not json
{"reason":"compiler-message","message":{"level":"warning","rendered":"warning: x"}}
{"reason":"build-finished","success":true}"#;
        let messages: Vec<_> = parse(output).collect();
        assert!(
            matches!(&messages[0], Line::CompilerArtifact(a) if a.profile.test && a.target.kind == ["test"])
        );
        assert!(matches!(&messages[1], Line::CompilerMessage { message } if message.level == "warning"));
        assert!(matches!(messages[2], Line::Other));
        assert_eq!(messages.len(), 3);
    }
}
