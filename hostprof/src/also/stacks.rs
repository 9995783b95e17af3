//! Stacks: the output of `perf script` folded into a tree, from the thread's name to where it was sampled.

use std::collections::BTreeMap;

/// The lowest address of the kernel. What lies between it and the program's is no address: a register that held
/// something else where a frame pointer was looked for.
const KERNEL: u64 = 0xffff_8000_0000_0000;

/// A function as called from those above it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// In the kernel.
    pub kernel: bool,
    /// Samples in it and in what it called.
    pub samples: u64,
    pub children: BTreeMap<String, Frame>,
}

/// Reads the lines of `perf script -F comm,tid,ip,sym,dso`: a head for each sample, its frames, innermost first,
/// and an empty line.
#[derive(Debug, Default)]
pub struct Stacks {
    pub root: Frame,
    comm: Option<String>,
    frames: Vec<(String, bool)>,
}

impl Stacks {
    /// Takes the next line.
    pub fn line(&mut self, line: &str) {
        if line.is_empty() {
            self.end_sample();
        } else if line.starts_with('\t') {
            self.frames.extend(frame(line).filter(|_| self.comm.is_some()));
        } else {
            self.end_sample();
            // The thread's id is last; the name may hold spaces.
            self.comm = line.trim().rsplit_once(char::is_whitespace).map(|(comm, _)| comm.trim().to_owned());
        }
    }

    /// The tree, when all lines were taken.
    pub fn finish(mut self) -> Frame {
        self.end_sample();
        self.root
    }

    fn end_sample(&mut self) {
        let Some(comm) = self.comm.take() else { return };
        let mut at = &mut self.root;
        at.samples += 1;
        for (name, kernel) in [(comm, false)].into_iter().chain(self.frames.drain(..).rev()) {
            at = at.children.entry(name).or_default();
            at.kernel = kernel;
            at.samples += 1;
        }
    }
}

/// `ffffffff81b6cacb xas_load ([kernel.kallsyms])`: its name, and whether it is of the kernel.
fn frame(line: &str) -> Option<(String, bool)> {
    let (address, rest) = line.trim().split_once(' ')?;
    let kernel = u64::from_str_radix(address, 16).ok()? >= KERNEL;
    let (symbol, object) = rest.rsplit_once(" (").unwrap_or((rest, ""));
    let object = object.trim_end_matches(')').rsplit('/').next().unwrap_or_default();
    let name = match (symbol.trim(), kernel) {
        ("" | "[unknown]", true) => "[kernel]".to_owned(),
        ("" | "[unknown]", false) if object.is_empty() || object == "[unknown]" => "[unknown]".to_owned(),
        ("" | "[unknown]", false) => format!("[{object}]"),
        (symbol, _) => symbol.to_owned(),
    };
    Some((name, kernel))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "\
pool worker 4711
\tffffffff81b6cacb xas_load ([kernel.kallsyms])
\t           d4ad7 read (/usr/lib/libc.so.6)
\t            1000 main (/usr/bin/server)

pool worker 4712
\t            2000 [unknown] (/opt/lib/libfast.so)
\t            1000 main (/usr/bin/server)

other 7
\tffffffff81000000 [unknown] ([unknown])
";

    #[test]
    fn samples_of_one_path_are_added_up_and_the_caller_is_outside() {
        let mut stacks = Stacks::default();
        SCRIPT.lines().for_each(|line| stacks.line(line));
        let root = stacks.finish();
        assert_eq!(root.samples, 3);
        let main = &root.children["pool worker"].children["main"];
        assert_eq!((main.samples, main.kernel), (2, false));
        let read = &main.children["read"];
        assert!(read.children["xas_load"].kernel);
        assert_eq!(main.children["[libfast.so]"].samples, 1);
        assert!(root.children["other"].children["[kernel]"].kernel);
        assert_eq!(frame("\tbff0000000000000 [unknown] ([unknown])"), Some(("[unknown]".to_owned(), false)));
    }

    #[test]
    fn a_cut_output_keeps_what_was_whole() {
        let mut stacks = Stacks::default();
        for line in ["\t 1 orphan (x)", "a 1", "\tnothing", "", ""] {
            stacks.line(line);
        }
        let root = stacks.finish();
        assert_eq!(root.samples, 1);
        assert!(root.children["a"].children.is_empty());
    }
}
