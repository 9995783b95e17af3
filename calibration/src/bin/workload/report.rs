//! The JSON lines that a workload prints.

use std::io::{Read, Write, stdin, stdout};

use calibration::sys::{clock::mono_ns, usage::Usage};
use serde_json::{Map, Value, json};

pub(crate) struct Report {
    hold: bool,
}

impl Report {
    pub(crate) fn new(hold: bool) -> Self {
        Self { hold }
    }

    /// Prints one line with one write, so that lines of several processes do not mix.
    ///
    /// A reader that has gone away is no error: the work goes on.
    #[allow(clippy::unused_self, reason = "the one way to print, so that nothing is printed past it")]
    pub(crate) fn line(&self, value: &Value) {
        let mut out = stdout().lock();
        let _ = out.write_all(format!("{value}\n").as_bytes()).and_then(|()| out.flush());
    }

    /// Says that everything is set up, and waits for leave to start where that was asked for.
    pub(crate) fn ready(&self, workload: &str, details: Value) {
        let first =
            json!({"ready": true, "workload": workload, "pid": std::process::id(), "mono_ns": mono_ns()});
        self.line(&joined(first, details));
        if self.hold {
            for byte in stdin().lock().bytes() {
                if !matches!(byte, Ok(byte) if byte != b'\n') {
                    break;
                }
            }
        }
    }

    /// Prints what the kernel counted for a thread.
    pub(crate) fn usage(&self, name: &str, usage: &Usage) {
        self.line(&json!({"usage": joined(json!({"name": name}), json!(usage))}));
    }

    /// Prints the main thread's counters and the last line.
    pub(crate) fn done(&self, details: Value) {
        self.usage("main", &Usage::of_this_thread());
        self.line(&joined(json!({"done": true, "mono_ns": mono_ns()}), details));
    }

    pub(crate) fn unsupported(&self, reason: &str) {
        self.line(&json!({"unsupported": reason}));
    }
}

/// Whether the kernel or the privileges rule the workload out, rather than something going wrong.
pub(crate) fn is_unsupported(err: &anyhow::Error) -> bool {
    err.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).any(|io| {
        matches!(io.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::EACCES | libc::EOPNOTSUPP))
    })
}

/// The fields of both objects.
fn joined(first: Value, second: Value) -> Value {
    let mut fields = Map::new();
    for value in [first, second] {
        if let Value::Object(more) = value {
            fields.extend(more);
        }
    }
    Value::Object(fields)
}
