//! The distinct values of a column chunk, numbered in the order they came, or by how often.

use std::cmp::Reverse;

/// Values that were met last are found without the table: most columns hold long runs, or few values in turn.
const RECENT: usize = 64;

/// Places of a new table.
const PLACES: usize = 1 << 8;

/// A dictionary under construction. Values are numbers of 64 bits, whatever they stand for.
pub(super) struct Dictionary {
    values: Vec<u64>,
    /// Keys plus 1 by a hash of their values, or in the next place that was free; 0 where there is none. Half of the places
    /// are in use at most, and their number is a power of two.
    places: Vec<u32>,
    /// By a hash: a value and its key, `u32::MAX` where there is none yet.
    recent: [(u64, u32); RECENT],
}

/// A hash of that many bits: the best of a product are its highest.
#[inline]
fn hash(value: u64, bits: u32) -> usize {
    (value.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - bits)) as usize
}

impl Dictionary {
    pub fn new() -> Self {
        Self { values: Vec::new(), places: vec![0; PLACES], recent: [(0, u32::MAX); RECENT] }
    }

    /// The key of a value.
    #[inline]
    pub fn key(&mut self, value: u64) -> u32 {
        let place = hash(value, RECENT.ilog2());
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
        let place = match self.place(value) {
            Ok(key) => return key,
            Err(place) => place,
        };
        let key = self.values.len() as u32;
        self.values.push(value);
        self.places[place] = key + 1;
        if self.values.len() * 2 > self.places.len() {
            self.places = vec![0; self.places.len() * 2];
            for key in 0..self.values.len() {
                if let Err(place) = self.place(self.values[key]) {
                    self.places[place] = key as u32 + 1;
                }
            }
        }
        key
    }

    /// The key of a value, or the place for it.
    #[inline]
    fn place(&self, value: u64) -> Result<u32, usize> {
        let mut place = hash(value, self.places.len().ilog2());
        loop {
            let Some(key) = self.places[place].checked_sub(1) else { return Err(place) };
            if self.values[key as usize] == value {
                return Ok(key);
            }
            place = (place + 1) & (self.places.len() - 1);
        }
    }

    /// Numbers the values anew, the most frequent of these keys first, and changes the keys accordingly.
    pub fn order(&mut self, keys: &mut [u32]) {
        let mut counts = vec![0_u32; self.values.len()];
        for key in &*keys {
            counts[*key as usize] += 1;
        }
        let mut order: Vec<u32> = (0..self.values.len() as u32).collect();
        order.sort_unstable_by_key(|key| (Reverse(counts[*key as usize]), *key));
        let mut renumbered = vec![0; order.len()];
        for (new, old) in (0..).zip(&order) {
            renumbered[*old as usize] = new;
        }
        self.values = order.iter().map(|old| self.values[*old as usize]).collect();
        for key in keys {
            *key = renumbered[*key as usize];
        }
        for key in self.places.iter_mut().filter(|key| **key != 0) {
            *key = renumbered[*key as usize - 1] + 1;
        }
        self.recent = [(0, u32::MAX); RECENT];
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

    #[test]
    fn the_most_frequent_value_has_the_least_key_and_keys_stay_those_of_their_values() {
        let mut dictionary = Dictionary::new();
        let values = [7, 9, 9, 8, 9, 8, 5];
        let mut keys: Vec<u32> = values.iter().map(|value| dictionary.key(*value)).collect();
        dictionary.order(&mut keys);
        assert_eq!(dictionary.values(), [9, 8, 7, 5]);
        assert_eq!(keys, [2, 0, 0, 1, 0, 1, 3]);
        assert_eq!([9, 8, 7, 5, 6].map(|value| dictionary.key(value)), [0, 1, 2, 3, 4]);
    }
}
