//! Threads that come and go, and one that changes its name.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use calibration::sys::{clock::mono_ns, gettid};
use serde_json::json;

use crate::{report::Report, stop, thread::start};

pub(crate) fn churn(report: &Report, count: u64) -> Result<()> {
    report.ready("thread-churn", json!({"count": count}));
    let mut tids = Vec::new();
    while (tids.len() as u64) < count && !stop::requested() {
        let running = start("churned", || std::thread::sleep(Duration::from_millis(1)))?;
        tids.push(running.tid());
        running.join(report)?;
    }
    report.done(json!({"threads": tids.len(), "tids": tids}));
    Ok(())
}

pub(crate) fn rename(report: &Report, names: &str, us: u64) -> Result<()> {
    let names: Vec<Vec<u8>> = names.split(',').map(unescaped).collect::<Result<_>>()?;
    report.ready("rename", json!({"names": names.len()}));
    let running = start("renamer", move || {
        let mut renames = Vec::new();
        for mut name in names {
            name.push(0);
            // SAFETY: the name is alive and ends with a zero byte; the kernel copies at most 16 bytes.
            unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
            name.pop();
            renames.push((name, gettid(), mono_ns()));
            std::thread::sleep(Duration::from_micros(us));
        }
        renames
    })?;
    let renames = running.join(report)?;
    for (name, tid, at) in &renames {
        let hex: String = name.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hex_digit).collect();
        let text = String::from_utf8_lossy(name);
        report.line(&json!({"rename": {"tid": tid, "name": text, "hex": hex, "mono_ns": at}}));
    }
    report.done(json!({"renames": renames.len()}));
    Ok(())
}

fn hex_digit(value: u8) -> char {
    char::from_digit(value.into(), 16).unwrap_or('?')
}

/// Text in which `\xHH` is a byte.
fn unescaped(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend(before.as_bytes());
        let byte = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte) if byte != 0 => bytes.push(byte),
            _ => {
                bail!(r"read --names: \x{} (two hexadecimal digits, not 00)", after.get(..2).unwrap_or(after))
            }
        }
        rest = after.get(2..).context("read --names")?;
    }
    bytes.extend(rest.as_bytes());
    Ok(bytes)
}
