//! What an executable needs at run time: its libraries, and the newest C library it can do with.

use std::{
    collections::BTreeSet,
    fmt::{self, Display},
};

use anyhow::{Context, Result, bail};
use object::{
    Endianness,
    elf::{DT_NEEDED, SHT_DYNSYM},
    read::elf::{ElfFile64, FileHeader, Sym},
};

/// A version of the C library; 2.4 is older than 2.28.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glibc(pub u32, pub u32);

impl Display for Glibc {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.0, self.1)
    }
}

/// What an executable needs.
#[derive(Debug)]
pub struct Needs {
    /// Libraries the loader must find, by name.
    pub libraries: BTreeSet<String>,
    /// The symbol that asks for the newest C library, and which that is.
    newest: Option<(Glibc, String)>,
}

impl Needs {
    /// Reads an executable.
    pub fn of(bytes: &[u8]) -> Result<Self> {
        let file = ElfFile64::<Endianness>::parse(bytes).context("read ELF header")?;
        let endian = file.elf_header().endian()?;
        let sections = file.elf_section_table();
        let mut libraries = BTreeSet::new();
        let dynamic = sections.dynamic_table(endian, bytes).context("read dynamic section")?;
        for entry in dynamic.iter().filter(|entry| entry.tag == DT_NEEDED) {
            let name = dynamic.string(entry).context("read name of library")?;
            libraries.insert(String::from_utf8_lossy(name).into_owned());
        }
        let symbols = sections.symbols(endian, bytes, SHT_DYNSYM).context("read dynamic symbols")?;
        let mut newest = None;
        if let Some(versions) = sections.versions(endian, bytes).context("read symbol versions")? {
            for (index, symbol) in symbols.enumerate() {
                let version = versions.version(versions.version_index(endian, index))?;
                let Some(glibc) = version.and_then(|version| glibc(version.name())) else { continue };
                let name = symbol.name(endian, symbols.strings())?;
                let found = Some((glibc, String::from_utf8_lossy(name).into_owned()));
                newest = newest.max(found);
            }
        }
        Ok(Self { libraries, newest })
    }

    /// Fails, with the name of what is too much, unless only `libraries` and a C library of `glibc` are
    /// needed.
    pub fn check(&self, libraries: &[&str], glibc: Glibc) -> Result<()> {
        if let Some(other) = self.libraries.iter().find(|name| !libraries.contains(&name.as_str())) {
            bail!("needs {other} at run time (only {} may be left to the loader)", libraries.join(", "));
        }
        match &self.newest {
            Some((newest, symbol)) if *newest > glibc => {
                bail!("symbol {symbol} needs glibc {newest} (at most {glibc})")
            }
            _ => Ok(()),
        }
    }

    /// The oldest C library that will do, as a package manager is told.
    pub fn glibc(&self) -> Option<Glibc> {
        self.newest.as_ref().map(|(version, _)| *version)
    }
}

impl Display for Needs {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let libraries: Vec<&str> = self.libraries.iter().map(String::as_str).collect();
        out.write_str(&libraries.join(", "))?;
        match &self.newest {
            Some((version, symbol)) => write!(out, "; glibc {version} (for {symbol})"),
            None => Ok(()),
        }
    }
}

fn glibc(version: &[u8]) -> Option<Glibc> {
    let mut numbers = str::from_utf8(version).ok()?.strip_prefix("GLIBC_")?.split('.');
    Some(Glibc(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compare_by_number() {
        assert_eq!(glibc(b"GLIBC_2.34"), Some(Glibc(2, 34)));
        assert_eq!(glibc(b"GLIBC_2.2.5"), Some(Glibc(2, 2)));
        assert_eq!(glibc(b"GLIBC_PRIVATE"), None);
        assert_eq!(glibc(b"GCC_3.0"), None);
        assert!(Glibc(2, 4) < Glibc(2, 28));
    }

    #[test]
    fn what_is_too_new_or_not_allowed_is_named() {
        // This test is itself an executable that the C library's start-up code is part of.
        let needs = Needs::of(&std::fs::read(std::env::current_exe().unwrap()).unwrap()).unwrap();
        assert!(needs.libraries.contains("libc.so.6"), "{needs:?}");
        let all: Vec<&str> = needs.libraries.iter().map(String::as_str).collect();
        needs.check(&all, Glibc(2, 999)).unwrap();
        let error = needs.check(&all, Glibc(2, 1)).unwrap_err().to_string();
        let (_, symbol) = needs.newest.as_ref().unwrap();
        assert!(error.starts_with(&format!("symbol {symbol} needs glibc 2.")), "{error}");
        let error = needs.check(&["libm.so.6"], Glibc(2, 999)).unwrap_err().to_string();
        assert!(error.contains("needs "), "{error}");
    }

    #[test]
    fn what_is_no_executable_is_refused() {
        assert!(Needs::of(b"#!/bin/sh\n").is_err());
    }
}
