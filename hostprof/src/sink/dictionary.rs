//! The distinct values of a column chunk, numbered in the order they came.

use crate::hash::IntMap;

/// Values that were met last are found without the map: most columns hold long runs, or few values in turn.
const RECENT: usize = 64;

/// A dictionary under construction. Values are numbers of 64 bits, whatever they stand for.
pub(super) struct Dictionary {
    values: Vec<u64>,
    keys: IntMap<u64, u32>,
    /// By a hash: a value and its key, `u32::MAX` where there is none yet.
    recent: [(u64, u32); RECENT],
}

impl Dictionary {
    pub fn new() -> Self {
        Self { values: Vec::new(), keys: IntMap::default(), recent: [(0, u32::MAX); RECENT] }
    }

    /// The key of a value.
    #[inline]
    pub fn key(&mut self, value: u64) -> u32 {
        let place = (value.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize;
        let (known, key) = self.recent[place];
        if known == value && key != u32::MAX {
            return key;
        }
        let key = self.find(value);
        self.recent[place] = (value, key);
        key
    }

    #[inline(never)]
    fn find(&mut self, value: u64) -> u32 {
        if let Some(key) = self.keys.get(&value) {
            return *key;
        }
        let key = self.values.len() as u32;
        self.values.push(value);
        self.keys.insert(value, key);
        key
    }

    /// The values, by key.
    pub fn values(&self) -> &[u64] {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_one_key_however_many_come_between() {
        let mut dictionary = Dictionary::new();
        let values: Vec<u64> = (0..1000).map(|value| value * 4096).collect();
        for _ in 0..2 {
            for (key, value) in values.iter().enumerate() {
                assert_eq!(dictionary.key(*value), key as u32);
                assert_eq!(dictionary.key(0), 0);
            }
        }
        assert_eq!(dictionary.values(), values);
    }
}
