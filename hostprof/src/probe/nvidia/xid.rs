//! Errors that the NVIDIA driver writes to the kernel's log: `NVRM: Xid (PCI:0000:01:00): 31, pid=4711, name=python, …`.

use super::names;

/// At most so many characters of a message are kept.
const MOST_TEXT: usize = 300;

/// An error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xid {
    /// The GPU's place on the PCI bus: `0000:01:00`; of an instance of it, with that.
    pub gpu: String,
    /// Its number.
    pub xid: u32,
    /// The number's name.
    pub name: Option<&'static str>,
    /// The process it is laid to, in the driver's words.
    pub pid: Option<u32>,
    /// The rest of the message.
    pub message: String,
}

/// Reads a message of the kernel's log; `None` where it is another.
pub fn parse(line: &str) -> Option<Xid> {
    let (_, rest) = line.split_once("NVRM: Xid (PCI:")?;
    let (gpu, rest) = rest.split_once("):")?;
    let rest = rest.trim_start();
    let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let xid = rest[..digits].parse().ok()?;
    let rest = rest[digits..].trim_start_matches(',').trim();
    let pid = rest.split("pid=").nth(1).and_then(|rest| {
        let digits = rest.trim_start_matches('\'');
        let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
        digits[..end].parse().ok()
    });
    let message = rest.chars().filter(|letter| !letter.is_control()).take(MOST_TEXT).collect();
    Some(Xid { gpu: gpu.to_owned(), xid, name: names::xid(xid), pid, message })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_error_is_read_from_its_line() {
        let line =
            "NVRM: Xid (PCI:0000:18:00): 31, pid=4711, name=python, Ch 00000008, intr 00000000. MMU Fault";
        let xid = parse(line).unwrap();
        assert_eq!((xid.gpu.as_str(), xid.xid, xid.pid), ("0000:18:00", 31, Some(4711)));
        assert_eq!(xid.name, Some("ROBUST_CHANNEL_FIFO_ERROR_MMU_ERR_FLT"));
        assert!(xid.message.starts_with("pid=4711, name=python, Ch"));
        let instance =
            parse("[ 1.0] NVRM: Xid (PCI:0000:01:00 GPU-I:05): 94, pid=7194, Contained: CE").unwrap();
        assert_eq!((instance.gpu.as_str(), instance.xid), ("0000:01:00 GPU-I:05", 94));
        let unknown =
            parse("NVRM: Xid (PCI:0000:01:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off")
                .unwrap();
        assert_eq!((unknown.xid, unknown.pid), (79, None));
    }

    #[test]
    fn another_message_is_none() {
        for line in ["", "NVRM: loading", "NVRM: Xid (PCI:0000:01:00", "NVRM: Xid (PCI:0000:01:00): none"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_is_too_strange(text in "\\PC{0,200}") {
            let _ = parse(&format!("NVRM: Xid (PCI:{text}"));
            let _ = parse(&format!("NVRM: Xid (PCI:0): 1{text}"));
        }
    }
}
