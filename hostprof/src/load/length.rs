//! Lengths of prompts and responses, in tokens: one, or drawn from a distribution.

use std::{f64::consts::TAU, fmt, str::FromStr};

use fastrand::Rng;

/// No model takes more.
const MOST: u32 = 1 << 24;

/// A distribution of lengths in tokens; what is drawn is at least 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lengths {
    /// `512`.
    Fixed(u32),
    /// `100..400`, both ends included.
    Uniform(u32, u32),
    /// `normal:512:64`: mean and standard deviation.
    Normal(f64, f64),
    /// `lognormal:512:0.8`: median, and standard deviation of the natural logarithm.
    LogNormal(f64, f64),
}

/// A text that is no distribution.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} {cause} (512, 100..400, normal:MEAN:SD, lognormal:MEDIAN:SIGMA)")]
pub struct LengthsError {
    text: String,
    cause: &'static str,
}

impl FromStr for Lengths {
    type Err = LengthsError;

    fn from_str(text: &str) -> Result<Self, LengthsError> {
        let error = |cause| LengthsError { text: text.to_owned(), cause };
        let tokens = |word: &str| match word.trim().parse::<u32>() {
            Ok(0) => Err(error("has a length of 0")),
            Ok(number) if number <= MOST => Ok(number),
            Ok(_) => Err(error("is longer than any model takes")),
            Err(_) => Err(error("is no length in tokens")),
        };
        let pair = |rest: &str| {
            let number = |word: &str| word.trim().parse::<f64>().ok().filter(|number| number.is_finite());
            let (center, spread) = rest.split_once(':').ok_or_else(|| error("needs two numbers"))?;
            match (number(center), number(spread)) {
                (Some(center), Some(spread))
                    if center >= 1.0 && center <= f64::from(MOST) && spread >= 0.0 =>
                {
                    Ok((center, spread))
                }
                _ => Err(error("has a number that does not fit")),
            }
        };
        if let Some(rest) = text.strip_prefix("normal:") {
            let (mean, deviation) = pair(rest)?;
            return Ok(Self::Normal(mean, deviation));
        }
        if let Some(rest) = text.strip_prefix("lognormal:") {
            let (median, sigma) = pair(rest)?;
            return Ok(Self::LogNormal(median, sigma));
        }
        match text.split_once("..") {
            None => Ok(Self::Fixed(tokens(text)?)),
            Some((low, high)) => match (tokens(low)?, tokens(high.trim_start_matches('='))?) {
                (low, high) if low <= high => Ok(Self::Uniform(low, high)),
                _ => Err(error("ends before it begins")),
            },
        }
    }
}

impl fmt::Display for Lengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(tokens) => write!(f, "{tokens}"),
            Self::Uniform(low, high) => write!(f, "{low}..{high}"),
            Self::Normal(mean, deviation) => write!(f, "normal:{mean}:{deviation}"),
            Self::LogNormal(median, sigma) => write!(f, "lognormal:{median}:{sigma}"),
        }
    }
}

impl Lengths {
    /// Draws a length.
    pub fn draw(&self, rng: &mut Rng) -> u32 {
        let drawn = match *self {
            Self::Fixed(tokens) => return tokens,
            Self::Uniform(low, high) => return rng.u32(low..=high),
            Self::Normal(mean, deviation) => mean + deviation * standard_normal(rng),
            Self::LogNormal(median, sigma) => median * (sigma * standard_normal(rng)).exp(),
        };
        drawn.round().clamp(1.0, f64::from(MOST)) as u32
    }
}

/// A number of mean 0 and standard deviation 1 (Box and Muller 1958).
fn standard_normal(rng: &mut Rng) -> f64 {
    // Of (0, 1]: the logarithm of 0 is none.
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (TAU * rng.f64()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(text: &str, seed: u64) -> Vec<u32> {
        let (lengths, mut rng) = (text.parse::<Lengths>().unwrap(), Rng::with_seed(seed));
        (0..20_000).map(|_| lengths.draw(&mut rng)).collect()
    }

    fn mean(values: &[u32]) -> f64 {
        values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64
    }

    #[test]
    fn a_seed_draws_the_same_lengths_again() {
        for text in ["100..400", "normal:512:64", "lognormal:512:0.8"] {
            assert_eq!(drawn(text, 7), drawn(text, 7), "{text}");
            assert_ne!(drawn(text, 7), drawn(text, 8), "{text}");
        }
    }

    #[test]
    fn lengths_are_distributed_as_told() {
        assert!(drawn("512", 1).iter().all(|&tokens| tokens == 512));
        let uniform = drawn("100..400", 1);
        assert_eq!((uniform.iter().min(), uniform.iter().max()), (Some(&100), Some(&400)));
        assert!((mean(&uniform) - 250.0).abs() < 3.0);
        let normal = drawn("normal:512:64", 1);
        let variance = normal.iter().map(|&value| (f64::from(value) - 512.0).powi(2)).sum::<f64>() / 20_000.0;
        assert!((mean(&normal) - 512.0).abs() < 2.0 && (variance.sqrt() - 64.0).abs() < 2.0);
        let mut log_normal = drawn("lognormal:512:0.8", 1);
        log_normal.sort_unstable();
        assert!((f64::from(log_normal[10_000]) - 512.0).abs() < 15.0, "{}", log_normal[10_000]);
        assert!(drawn("normal:1:50", 1).iter().all(|&tokens| tokens >= 1));
    }

    #[test]
    fn a_text_that_is_none_is_refused_with_its_reason() {
        for (text, cause) in [
            ("", "is no length in tokens"),
            ("0", "has a length of 0"),
            ("-5", "is no length in tokens"),
            ("400..100", "ends before it begins"),
            ("normal:512", "needs two numbers"),
            ("normal:0:1", "has a number that does not fit"),
            ("lognormal:5:-1", "has a number that does not fit"),
            ("99999999", "is longer than any model takes"),
        ] {
            assert_eq!(text.parse::<Lengths>().unwrap_err().cause, cause, "{text}");
        }
        for text in ["512", "100..400", "normal:512:64", "lognormal:512:0.8"] {
            assert_eq!(text.parse::<Lengths>().unwrap().to_string(), text);
        }
    }
}
