//! The running kernel's type information, walked once: finds the structures, tracepoints and functions that are
//! asked for, and understands no more of it.
//!
//! BTF is a header, the types end to end, numbered from 1, and their names, each ended by a zero
//! (<https://www.kernel.org/doc/html/latest/bpf/btf.html>).

use std::collections::HashMap;

use aya::{Btf, Endianness};

use super::error::LoadError;

/// The kernel's own type information.
pub const VMLINUX_BTF: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
const VERSION: u32 = 1;
const HEADER_BYTES: u32 = 24;
/// What every type begins with: name, kind and count, size or type.
const TYPE_BYTES: usize = 12;
/// A member of a structure or a variable of a section: three words.
const MEMBER_BYTES: usize = 12;

/// `BTF_KIND_*`.
mod kind {
    pub const INT: u8 = 1;
    pub const ARRAY: u8 = 3;
    pub const STRUCT: u8 = 4;
    pub const UNION: u8 = 5;
    pub const ENUM: u8 = 6;
    pub const FWD: u8 = 7;
    pub const TYPEDEF: u8 = 8;
    pub const VOLATILE: u8 = 9;
    pub const CONST: u8 = 10;
    pub const RESTRICT: u8 = 11;
    pub const FUNC: u8 = 12;
    pub const FUNC_PROTO: u8 = 13;
    pub const VAR: u8 = 14;
    pub const DATASEC: u8 = 15;
    pub const DECL_TAG: u8 = 17;
    pub const TYPE_TAG: u8 = 18;
    pub const ENUM64: u8 = 19;
}

/// Reads the running kernel's.
///
/// # Errors
///
/// The kernel has none, or it cannot be read.
pub fn read() -> Result<Vec<u8>, LoadError> {
    std::fs::read(VMLINUX_BTF).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => LoadError::NoBtf,
        _ => LoadError::Btf(error.to_string()),
    })
}

/// A kernel's type information, ready for looking up.
pub struct KernelBtf<'a> {
    bytes: &'a [u8],
    names: &'a [u8],
    /// Where each type begins, by number; 0 is no type.
    types: Vec<usize>,
    /// Structures, typedefs and sections by name: of several, the first.
    named: HashMap<(u8, &'a [u8]), u32>,
}

/// A type's first words.
#[derive(Clone, Copy)]
struct Head {
    at: usize,
    name: u32,
    kind: u8,
    /// How many members, parameters or variables follow.
    count: usize,
    /// Whether members tell their offset in 24 bits, beside the width of a bit field.
    bit_fields: bool,
    /// The size of what has one, the type behind what stands for another.
    size_or_type: u32,
}

impl<'a> KernelBtf<'a> {
    /// Walks all types once.
    ///
    /// # Errors
    ///
    /// A format that this does not know, or a file cut short.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, LoadError> {
        let broken = |what: &str| LoadError::Btf(what.to_owned());
        if bytes.get(..2) != Some(&MAGIC.to_le_bytes()) {
            return Err(broken("no magic number"));
        }
        let word = |at| word(bytes, at).ok_or_else(|| broken("cut short"));
        let header = word(4)? as usize;
        let (first, length) = (header + word(8)? as usize, word(12)? as usize);
        let (names, names_length) = (header + word(16)? as usize, word(20)? as usize);
        let mut btf = Self {
            bytes: bytes.get(..first + length).ok_or_else(|| broken("cut short"))?,
            names: bytes.get(names..names + names_length).ok_or_else(|| broken("cut short"))?,
            types: Vec::with_capacity(length / (2 * TYPE_BYTES)),
            named: HashMap::new(),
        };
        btf.types.push(0);
        let mut at = first;
        while at < btf.bytes.len() {
            let head = btf.head_at(at).ok_or_else(|| broken("cut short"))?;
            let Some(rest) = head.rest_bytes() else {
                return Err(LoadError::Btf(format!("type of kind {}", head.kind)));
            };
            if matches!(head.kind, kind::STRUCT | kind::TYPEDEF | kind::DATASEC) {
                btf.named.entry((head.kind, btf.name(head.name))).or_insert(btf.types.len() as u32);
            }
            btf.types.push(at);
            at += TYPE_BYTES + rest;
        }
        Ok(btf)
    }

    /// How many arguments a tracepoint hands to a `tp_btf` program; `None` where the kernel lacks it.
    pub fn tracepoint_args(&self, name: &str) -> Option<usize> {
        let typedef = self.head(self.tracepoint(name)?)?;
        let pointer = self.head(typedef.size_or_type)?;
        let proto = self.head(pointer.size_or_type)?;
        // The first parameter is the tracepoint's own `void *`.
        (proto.kind == kind::FUNC_PROTO).then(|| proto.count.saturating_sub(1))
    }

    /// Where the member at `path` (`se.cfs_rq`) lies, in bytes from the start of `structure`; `None` where the
    /// running kernel has no such member.
    pub fn offset(&self, structure: &str, path: &str) -> Option<u32> {
        let mut inside = self.structure(structure)?;
        let mut bits = 0;
        for name in path.split('.') {
            let (kind, offset) = self.member(inside, name.as_bytes())?;
            bits += offset;
            inside = self.strip(kind)?;
        }
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    /// The size of a structure in bytes.
    pub fn size(&self, structure: &str) -> Option<u32> {
        Some(self.structure(structure)?.size_or_type)
    }

    /// Where a variable lies in per-CPU memory, from the section's start.
    pub fn per_cpu_offset(&self, name: &str) -> Option<u64> {
        let section = self.head(*self.named.get(&(kind::DATASEC, b".data..percpu".as_slice()))?)?;
        self.members(section).find_map(|[variable, offset, _]| {
            let variable = self.head(variable)?;
            (self.name(variable.name) == name.as_bytes()).then_some(u64::from(offset))
        })
    }

    /// What aya needs to know to load programs for these tracepoints and functions: their numbers. It looks them up
    /// by name among all types, which to understand takes it several times as long as finding these: so it gets a
    /// BTF that has these in their places, and nothing in all others.
    ///
    /// # Errors
    ///
    /// None but a mistake in here.
    pub fn for_programs(&self, tracepoints: &[&str], functions: &[String]) -> Result<Btf, LoadError> {
        let mut wanted: Vec<u32> = tracepoints.iter().filter_map(|name| self.tracepoint(name)).collect();
        if !functions.is_empty() {
            wanted.extend((1..self.types.len() as u32).filter(|id| {
                self.head(*id).is_some_and(|head| {
                    let is = |function: &String| function.as_bytes() == self.name(head.name);
                    head.kind == kind::FUNC && functions.iter().any(is)
                })
            }));
        }
        wanted.sort_unstable();
        wanted.dedup();
        let mut types: Vec<[u32; 3]> = Vec::new();
        let mut names = vec![0];
        for id in wanted {
            let Some(head) = self.head(id) else { continue };
            types.resize(id as usize - 1, [0, u32::from(kind::FWD) << 24, 0]);
            types.push([names.len() as u32, u32::from(head.kind) << 24, 0]);
            names.extend(self.name(head.name));
            names.push(0);
        }
        let types_bytes = (types.len() * TYPE_BYTES) as u32;
        let header =
            [u32::from(MAGIC) | VERSION << 16, HEADER_BYTES, 0, types_bytes, types_bytes, names.len() as u32];
        let words = header.iter().chain(types.as_flattened()).flat_map(|word| word.to_le_bytes());
        let bytes: Vec<u8> = words.chain(names).collect();
        Btf::parse(&bytes, Endianness::Little).map_err(|error| LoadError::Btf(error.to_string()))
    }

    fn tracepoint(&self, name: &str) -> Option<u32> {
        self.named.get(&(kind::TYPEDEF, format!("btf_trace_{name}").as_bytes())).copied()
    }

    fn structure(&self, name: &str) -> Option<Head> {
        self.head(*self.named.get(&(kind::STRUCT, name.as_bytes()))?)
    }

    /// A member by name, also inside anonymous structures and unions: its type and its offset in bits.
    fn member(&self, of: Head, name: &[u8]) -> Option<(u32, u32)> {
        if !matches!(of.kind, kind::STRUCT | kind::UNION) {
            return None;
        }
        self.members(of).find_map(|[member, kind, offset]| {
            let offset = if of.bit_fields { offset & 0x00ff_ffff } else { offset };
            let member = self.name(member);
            if member == name {
                return Some((kind, offset));
            }
            if !member.is_empty() {
                return None;
            }
            let (found, inner) = self.member(self.strip(kind)?, name)?;
            Some((found, offset + inner))
        })
    }

    /// The type behind typedefs, qualifiers and arrays.
    fn strip(&self, id: u32) -> Option<Head> {
        let mut head = self.head(id)?;
        loop {
            head = self.head(match head.kind {
                kind::TYPEDEF | kind::CONST | kind::VOLATILE | kind::RESTRICT | kind::TYPE_TAG => {
                    head.size_or_type
                }
                kind::ARRAY => word(self.bytes, head.at + TYPE_BYTES)?,
                _ => return Some(head),
            })?;
        }
    }

    /// The words of each member, or of each variable.
    fn members(&self, of: Head) -> impl Iterator<Item = [u32; 3]> {
        let from = of.at + TYPE_BYTES;
        (0..of.count).map_while(move |index| {
            let at = from + index * MEMBER_BYTES;
            Some([word(self.bytes, at)?, word(self.bytes, at + 4)?, word(self.bytes, at + 8)?])
        })
    }

    fn name(&self, at: u32) -> &'a [u8] {
        let names = self.names.get(at as usize..).unwrap_or_default();
        names.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    fn head(&self, id: u32) -> Option<Head> {
        self.head_at(*self.types.get(id as usize).filter(|_| id != 0)?)
    }

    fn head_at(&self, at: usize) -> Option<Head> {
        let info = word(self.bytes, at + 4)?;
        Some(Head {
            at,
            name: word(self.bytes, at)?,
            kind: (info >> 24 & 0x1f) as u8,
            count: (info & 0xffff) as usize,
            bit_fields: info >> 31 != 0,
            size_or_type: word(self.bytes, at + 8)?,
        })
    }
}

impl Head {
    /// What follows a type's first words; `None` for a kind that is not known, which nothing can be read behind.
    fn rest_bytes(self) -> Option<usize> {
        Some(match self.kind {
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION | kind::DATASEC => self.count * MEMBER_BYTES,
            kind::ENUM | kind::FUNC_PROTO => self.count * 8,
            kind::ENUM64 => self.count * 12,
            1..=kind::ENUM64 => 0,
            _ => return None,
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use aya_obj::btf::BtfKind;

    use super::*;

    /// A BTF of these words of types, and these names.
    fn of(types: &[u32], names: &[u8]) -> Vec<u8> {
        let length = (types.len() * 4) as u32;
        let header = [u32::from(MAGIC) | VERSION << 16, HEADER_BYTES, 0, length, length, names.len() as u32];
        let words = header.iter().chain(types).flat_map(|word| word.to_le_bytes());
        words.chain(names.iter().copied()).collect()
    }

    #[test]
    fn a_member_is_found_in_anonymous_structures_and_behind_qualifiers() {
        let types = [
            [1, 4 << 24 | 1, 16].as_slice(), // 1: struct a, one member
            &[0, 2, 64],                     //    without a name, of type 2, at 8 bytes
            &[0, 10 << 24, 3],               // 2: const
            &[0, 5 << 24 | 2, 8],            // 3: union of two
            &[3, 9, 0],
            &[5, 9, 32],
        ]
        .concat();
        let bytes = of(&types, b"\0a\0b\0c\0");
        let btf = KernelBtf::parse(&bytes).unwrap();
        assert_eq!((btf.size("a"), btf.offset("a", "b")), (Some(16), None), "of no known type");
        let known = types.iter().copied().map(|word| if word == 9 { 4 } else { word });
        let types: Vec<u32> = known.chain([0, 1 << 24, 4, 32]).collect();
        let bytes = of(&types, b"\0a\0b\0c\0");
        let btf = KernelBtf::parse(&bytes).unwrap();
        assert_eq!(
            (btf.offset("a", "b"), btf.offset("a", "c"), btf.offset("a", "d")),
            (Some(8), Some(12), None)
        );
    }

    #[test]
    fn what_is_cut_short_or_of_an_unknown_kind_is_refused() {
        let whole = of(&[1, 1 << 24, 4, 32], b"\0a\0");
        assert!(KernelBtf::parse(&whole).is_ok());
        for length in 0..whole.len() {
            assert!(KernelBtf::parse(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
        }
        assert!(KernelBtf::parse(&of(&[1, 31 << 24, 4], b"\0a\0")).is_err());
    }

    #[test]
    fn programs_are_told_the_numbers_that_the_kernel_has() {
        let bytes = read().unwrap();
        let btf = KernelBtf::parse(&bytes).unwrap();
        let functions = ["__x64_sys_ioctl".to_owned()];
        let told = btf.for_programs(&["sched_switch", "no_such_tracepoint"], &functions).unwrap();
        let kernel = Btf::from_sys_fs().unwrap();
        for (name, kind) in [("btf_trace_sched_switch", BtfKind::Typedef), ("__x64_sys_ioctl", BtfKind::Func)]
        {
            assert_eq!(
                told.id_by_type_name_kind(name, kind).unwrap(),
                kernel.id_by_type_name_kind(name, kind).unwrap()
            );
        }
        assert!(told.id_by_type_name_kind("btf_trace_no_such_tracepoint", BtfKind::Typedef).is_err());
        assert!(told.id_by_type_name_kind("btf_trace_sched_waking", BtfKind::Typedef).is_err());
    }
}
