//! Parquet's hybrid of run lengths and packed bits, in which dictionary keys and definition levels are
//! written.

/// As many values as are packed together: a group has a whole number of bytes.
const GROUP: usize = 8;

/// How many bits a value of a dictionary of that many entries needs.
pub(super) fn width_of(entries: usize) -> u32 {
    entries.saturating_sub(1).checked_ilog2().map_or(0, |bits| bits + 1)
}

/// Appends a run of one value.
pub(super) fn run(value: u32, count: usize, width: u32, out: &mut Vec<u8>) {
    varint((count as u64) << 1, out);
    let bytes = value.to_le_bytes();
    out.extend_from_slice(&bytes[..width.div_ceil(8) as usize]);
}

/// Appends values, each below 2^`width`: groups of one value as runs, the others packed. A run of fifteen holds
/// such a group wherever it begins; shorter ones are not looked for.
pub(super) fn encode(values: &[u32], width: u32, out: &mut Vec<u8>) {
    // Where the values begin that are to be packed, a whole number of groups before `at`.
    let (mut packed, mut at) = (0, 0);
    while let Some(group) = values[at..].first_chunk::<GROUP>() {
        let value = group[0];
        if group.iter().fold(0, |differing, other| differing | (other ^ value)) != 0 {
            at += GROUP;
            continue;
        }
        pack(&values[packed..at], width, out);
        let same = values[at..].iter().position(|other| *other != value).unwrap_or(values.len() - at);
        run(value, same, width, out);
        at += same;
        packed = at;
    }
    pack(&values[packed..], width, out);
}

/// Fewer bytes of one bit than these are packed with their neighbours: a run of its own would take as much.
const LEAST_RUN_BYTES: usize = 4;

/// Appends bits, the first in the lowest place of the first byte and zeros behind the last: what [`encode`] does with
/// values of one bit, a byte at a time.
pub(super) fn encode_bits(bits: &[u8], count: usize, out: &mut Vec<u8>) {
    let (mut packed, mut at) = (0, 0);
    while let Some(&byte) = bits.get(at) {
        let same = match byte {
            0 | 0xff => bits[at..].iter().position(|other| *other != byte).unwrap_or(bits.len() - at),
            _ => 1,
        };
        if same < LEAST_RUN_BYTES {
            at += same;
            continue;
        }
        pack_bits(&bits[packed..at], out);
        let end = ((at + same) * 8).min(count);
        run((byte & 1).into(), end - at * 8, 1, out);
        at += same;
        packed = at;
    }
    pack_bits(&bits[packed..], out);
}

fn pack_bits(bits: &[u8], out: &mut Vec<u8>) {
    if !bits.is_empty() {
        varint((bits.len() as u64) << 1 | 1, out);
        out.extend_from_slice(bits);
    }
}

/// Appends values packed, the last group filled up with zeros.
fn pack(values: &[u32], width: u32, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    let (groups, rest) = values.as_chunks::<GROUP>();
    let mut last = [0; GROUP];
    last[..rest.len()].copy_from_slice(rest);
    let groups = groups.iter().chain((!rest.is_empty()).then_some(&last));
    let count = values.len().div_ceil(GROUP);
    varint((count as u64) << 1 | 1, out);
    let (begin, bytes) = (out.len(), width as usize);
    // Each group is stored whole, what it has no bits for too, and the next over that: a copy of as many bytes as it
    // has would cost more than the packing.
    out.resize(begin + count * bytes + GROUP * size_of::<u32>(), 0);
    let places = (begin..).step_by(bytes.max(1));
    if width <= 16 {
        for (at, group) in places.zip(groups) {
            out[at..at + 16].copy_from_slice(&pack_narrow(group, width).to_le_bytes());
        }
    } else {
        for (at, group) in places.zip(groups) {
            out[at..at + 32].copy_from_slice(&pack_wide(group, width));
        }
    }
    out.truncate(begin + count * bytes);
}

/// Eight values of 16 bits at most, as nearly all are.
#[inline]
fn pack_narrow(group: &[u32; GROUP], width: u32) -> u128 {
    let half =
        |values: &[u32]| values.iter().rev().fold(0_u64, |packed, value| packed << width | u64::from(*value));
    let (low, high) = group.split_at(GROUP / 2);
    u128::from(half(low)) | u128::from(half(high)) << (width * (GROUP as u32 / 2))
}

/// Eight values of any width: two halves of 128 bits at most, the second of which may begin within a byte.
fn pack_wide(group: &[u32; GROUP], width: u32) -> [u8; 32] {
    let half = |values: &[u32]| {
        values.iter().rev().fold(0_u128, |packed, value| packed << width | u128::from(*value))
    };
    let (low, high) = group.split_at(GROUP / 2);
    let bits = width * (GROUP as u32 / 2);
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&half(low).to_le_bytes());
    for (to, from) in bytes[(bits / 8) as usize..].iter_mut().zip((half(high) << (bits % 8)).to_le_bytes()) {
        *to |= from;
    }
    bytes
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads what `encode` wrote.
    fn decode(mut bytes: &[u8], count: usize, width: u32) -> Vec<u32> {
        let mut values = Vec::new();
        while values.len() < count {
            let mut header = 0_u64;
            let mut shift = 0;
            loop {
                let byte = bytes[0];
                bytes = &bytes[1..];
                header |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    break;
                }
            }
            let length = (header >> 1) as usize;
            if header & 1 == 0 {
                let (value, rest) = bytes.split_at(width.div_ceil(8) as usize);
                let value = value.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
                values.extend(std::iter::repeat_n(value, length));
                bytes = rest;
            } else {
                let (group, rest) = bytes.split_at(length * width as usize);
                let bit = |at: usize| u32::from(group[at / 8] >> (at % 8) & 1);
                values.extend((0..length * GROUP).map(|value| {
                    (0..width as usize).fold(0, |sum, at| sum | bit(value * width as usize + at) << at)
                }));
                bytes = rest;
            }
        }
        assert!(
            bytes.is_empty() && values[count..].iter().all(|value| *value == 0),
            "no more than was written"
        );
        values.truncate(count);
        values
    }

    #[test]
    fn a_width_holds_the_greatest_key() {
        assert_eq!([0, 1, 2, 3, 4, 5, 256, 257].map(width_of), [0, 0, 1, 2, 2, 3, 8, 9]);
    }

    #[test]
    fn a_long_run_takes_the_room_of_one() {
        let mut bytes = Vec::new();
        encode(&[5; 1000], 3, &mut bytes);
        assert_eq!(bytes, [0xd0, 0x0f, 5]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            runs in prop::collection::vec((any::<u32>(), 1_usize..40), 0..40),
            width in 0_u32..=32,
        ) {
            let mask = ((1_u64 << width) - 1) as u32;
            let values: Vec<u32> =
                runs.into_iter().flat_map(|(value, count)| std::iter::repeat_n(value & mask, count)).collect();
            let mut bytes = Vec::new();
            encode(&values, width, &mut bytes);
            prop_assert_eq!(decode(&bytes, values.len(), width), values);
        }

        #[test]
        fn bits_that_are_written_are_read(
            runs in prop::collection::vec((any::<bool>(), 1_usize..100), 0..40),
        ) {
            let values: Vec<u32> =
                runs.into_iter().flat_map(|(value, count)| std::iter::repeat_n(u32::from(value), count)).collect();
            let mut bits = vec![0; values.len().div_ceil(8)];
            values.iter().enumerate().for_each(|(at, value)| bits[at / 8] |= (*value as u8) << (at % 8));
            let mut bytes = Vec::new();
            encode_bits(&bits, values.len(), &mut bytes);
            prop_assert_eq!(decode(&bytes, values.len(), 1), values);
        }
    }
}
