//! Numbers of files as nanoseconds, their rounding, and texts that may be kept: ids and words.

use serde::Deserialize;

use super::Told;

/// Later than any time that is real: the year 2262, or 146 years after a start.
const MOST_NS: f64 = (1_u64 << 63) as f64;

/// The longest id, and the longest word, that are kept.
const MOST_ID_BYTES: usize = 128;
const MOST_WORD_BYTES: usize = 24;

/// Seconds as nanoseconds. `None` for what is no time.
pub fn seconds(value: f64) -> Option<u64> {
    scaled(value, 1e9)
}

/// Milliseconds as nanoseconds.
pub fn millis(value: f64) -> Option<u64> {
    scaled(value, 1e6)
}

/// A number of a unit of which one is so many nanoseconds.
pub fn scaled(value: f64, unit_ns: f64) -> Option<u64> {
    let ns = value * unit_ns;
    (0.0..MOST_NS).contains(&ns).then(|| ns.round() as u64)
}

/// How far a number of seconds is rounded: a double near 1.8e9 is true to 238 ns.
pub fn rounding_ns(value: f64) -> u64 {
    let gap = (value.next_up() - value).abs() * 1e9;
    if gap.is_finite() { gap.ceil() as u64 } else { 0 }
}

/// A count of tokens.
pub fn tokens(value: f64) -> Option<u32> {
    (0.0..=f64::from(u32::MAX)).contains(&value).then(|| value.round() as u32)
}

/// An id that may be kept, as it is neither long nor prose.
pub fn id(text: &str) -> Option<String> {
    let is_id = (1..=MOST_ID_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    is_id.then(|| text.to_owned())
}

/// A word that may be kept: stop, length.
pub fn word(text: &str) -> Option<String> {
    let is_word = (1..=MOST_WORD_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphabetic() || b"-_".contains(&byte));
    is_word.then(|| text.to_ascii_lowercase())
}

/// The times of a first chunk and the gaps after it, one after the other. `None` where one is no time.
pub fn chunks(first_ns: u64, gaps: impl Iterator<Item = Option<u64>>) -> Option<Vec<u64>> {
    let mut at = first_ns;
    let mut times = vec![first_ns];
    for gap in gaps {
        at = at.checked_add(gap?)?;
        times.push(at);
    }
    Some(times)
}

/// What in a request's times contradicts itself.
pub fn out_of_order(told: &Told) -> Option<&'static str> {
    let row = &told.row;
    let first = row.first_token_mono_ns.or(told.token_ns.first().copied());
    let last = told.token_ns.last().copied().or(first);
    if first.is_some_and(|first| first < row.arrival_mono_ns) {
        return Some("first token precedes arrival");
    }
    if row.end_mono_ns.is_some_and(|end| end < row.arrival_mono_ns) {
        return Some("end precedes arrival");
    }
    // Each gap was rounded by itself.
    let slack = told.rounding_ns.saturating_add(told.token_ns.len() as u64);
    if !told.token_ns.is_sorted() {
        return Some("a token precedes the one before");
    }
    if last.zip(row.end_mono_ns).is_some_and(|(last, end)| end.saturating_add(slack) < last) {
        return Some("end precedes last token");
    }
    None
}

/// A value of the wanted type, or another, which is then none: one wrong entry does not spoil a list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Maybe<T>(pub Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either<T> {
            Wanted(T),
            Other(serde::de::IgnoredAny),
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::Wanted(value) => Self(Some(value)),
            Either::Other(_) => Self(None),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_time_is_none() {
        assert_eq!(seconds(26_484.368_952_882), Some(26_484_368_952_882));
        assert_eq!(millis(1.5), Some(1_500_000));
        for value in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(seconds(value), None, "{value}");
        }
        assert_eq!(tokens(-3.0), None);
        assert_eq!(chunks(5, [Some(1), Some(2)].into_iter()), Some(vec![5, 6, 8]));
        assert_eq!(chunks(5, [None].into_iter()), None);
        assert_eq!(chunks(u64::MAX, [Some(1)].into_iter()), None);
    }

    #[test]
    fn rounding_grows_with_the_number() {
        assert_eq!(rounding_ns(26_484.3), 1, "seconds since a start");
        assert_eq!(rounding_ns(1_795_672_557.66), 239, "seconds since the epoch");
        assert_eq!(rounding_ns(f64::NAN), 0);
    }

    #[test]
    fn ids_and_words_are_kept_and_prose_is_not() {
        assert_eq!(id("chatcmpl-3jIb").as_deref(), Some("chatcmpl-3jIb"));
        assert_eq!(word("length").as_deref(), Some("length"));
        assert_eq!(id("tell me"), None);
        assert_eq!(word("Once upon"), None);
        assert_eq!(id(&"x".repeat(200)), None);
    }
}
