//! A file's times on the recording's clock.

use super::{Clock, Told};
use crate::{
    recording::{ClockAnchor, Config},
    table::JoinTier,
};

/// Two pairs of clocks that differ by more are of two machines, or of two starts of one.
const SAME_CLOCK_NS: u64 = 1_000_000_000;

/// How far clocks may run apart where nothing tells: what the kernel lets NTP correct, 500 ppm.
const MOST_DRIFT: f64 = 500e-6;

/// What a request's times are on the recording's clock by, and how far they may be off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join {
    pub tier: JoinTier,
    /// `None` where nothing tells.
    pub error_ns: Option<u64>,
}

/// The recording's clocks: CLOCK_MONOTONIC and the wall clock, read together a few times.
#[derive(Debug)]
pub struct Anchors(Vec<ClockAnchor>);

impl Anchors {
    /// Those of a recording.
    pub fn of(config: &Config) -> Self {
        let mut anchors = config.clock_anchors.clone();
        if anchors.is_empty() {
            let (mono_ns, wall_ns) = (config.started.mono_ns.0, config.started.wall_ns.0);
            anchors.push(ClockAnchor { mono_ns, wall_ns, ..ClockAnchor::default() });
        }
        anchors.sort_by_key(|anchor| anchor.mono_ns);
        Self(anchors)
    }

    /// CLOCK_MONOTONIC at a time of the wall clock, and how far that may be off: how exactly the anchors around it were
    /// read, and by how much the clocks ran apart between them; beyond the last as fast as between the first and it.
    pub fn mono(&self, wall_ns: u64) -> Option<(u64, Option<u64>)> {
        let around = self.0.windows(2).find(|pair| (pair[0].wall_ns..=pair[1].wall_ns).contains(&wall_ns));
        let [before, after] = match around {
            Some(pair) => [pair[0], pair[1]],
            None => [*self.0.iter().min_by_key(|anchor| anchor.wall_ns.abs_diff(wall_ns))?; 2],
        };
        let since = i128::from(wall_ns) - i128::from(before.wall_ns);
        let (mono_length, wall_length) = (after.mono_ns - before.mono_ns, after.wall_ns - before.wall_ns);
        let (mono, apart) = if wall_length > 0 {
            let mono = i128::from(before.mono_ns) + since * i128::from(mono_length) / i128::from(wall_length);
            (mono, mono_length.abs_diff(wall_length))
        } else {
            let mono = i128::from(before.mono_ns) + since;
            (mono, (since.unsigned_abs() as f64 * self.drift()) as u64)
        };
        let reading = before.error_ns.zip(after.error_ns).map(|(before, after)| before.max(after));
        Some((u64::try_from(mono).ok()?, reading.map(|ns| ns.saturating_add(apart))))
    }

    /// The wall clock at a time of CLOCK_MONOTONIC, by the nearest anchor.
    fn wall(&self, mono_ns: u64) -> Option<i128> {
        let nearest = self.0.iter().min_by_key(|anchor| anchor.mono_ns.abs_diff(mono_ns))?;
        Some(i128::from(nearest.wall_ns) + i128::from(mono_ns) - i128::from(nearest.mono_ns))
    }

    /// How fast the clocks ran apart over the recording.
    fn drift(&self) -> f64 {
        let [first, .., last] = self.0.as_slice() else { return MOST_DRIFT };
        let (mono, wall) = (last.mono_ns - first.mono_ns, last.wall_ns.saturating_sub(first.wall_ns));
        if mono == 0 { MOST_DRIFT } else { mono.abs_diff(wall) as f64 / mono as f64 }
    }
}

/// Puts a request's times on the recording's clock. `None` where it has no time, or the recording no clock.
pub fn place(told: &mut Told, anchors: &Anchors) -> Option<Join> {
    let join = match told.clock {
        Clock::None => return None,
        Clock::Monotonic(None) => Join { tier: JoinTier::Monotonic, error_ns: Some(told.rounding_ns) },
        Clock::Monotonic(Some((mono_ns, wall_ns))) => {
            let apart = anchors.wall(mono_ns)? - i128::from(wall_ns);
            if apart.unsigned_abs() > u128::from(SAME_CLOCK_NS) {
                shift(told, i128::from(wall_ns) - i128::from(mono_ns))?;
                to_mono(told, anchors)?
            } else {
                Join { tier: JoinTier::Monotonic, error_ns: Some(told.rounding_ns) }
            }
        }
        Clock::Wall => to_mono(told, anchors)?,
    };
    Some(join)
}

/// Durations were measured on a clock that runs evenly: all times move with the arrival.
fn to_mono(told: &mut Told, anchors: &Anchors) -> Option<Join> {
    let arrival = told.row.arrival_mono_ns;
    let (mono, error_ns) = anchors.mono(arrival)?;
    shift(told, i128::from(mono) - i128::from(arrival))?;
    Some(Join { tier: JoinTier::Wall, error_ns: error_ns.map(|ns| ns.saturating_add(told.rounding_ns)) })
}

/// Moves all times of a request. `None` where one would be before the clock's beginning.
pub fn shift(told: &mut Told, by: i128) -> Option<()> {
    let moved = |ns: u64| u64::try_from(i128::from(ns) + by).ok();
    let row = &mut told.row;
    row.arrival_mono_ns = moved(row.arrival_mono_ns)?;
    for time in [
        &mut row.send_mono_ns,
        &mut row.first_byte_mono_ns,
        &mut row.first_token_mono_ns,
        &mut row.end_mono_ns,
    ] {
        *time = match *time {
            Some(ns) => Some(moved(ns)?),
            None => None,
        };
    }
    for time in &mut told.token_ns {
        *time = moved(*time)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchors(list: &[(u64, u64)]) -> Anchors {
        let anchor = |&(mono_ns, wall_ns): &(u64, u64)| ClockAnchor {
            mono_ns,
            wall_ns,
            error_ns: Some(40),
            ..ClockAnchor::default()
        };
        Anchors(list.iter().map(anchor).collect())
    }

    #[test]
    fn between_anchors_the_error_is_what_the_clocks_ran_apart() {
        let anchors = anchors(&[(1_000_000, 5_000_000), (2_000_000, 6_000_300)]);
        let (mono, error) = anchors.mono(5_500_150).unwrap();
        assert_eq!((mono, error), (1_500_000, Some(340)));
    }

    #[test]
    fn a_step_of_the_wall_clock_is_in_the_error() {
        let step = anchors(&[(0, 1_000_000_000), (60_000_000_000, 63_000_000_000)]);
        assert!(step.mono(30_000_000_000).unwrap().1.unwrap() >= 2_000_000_000, "two seconds were skipped");
    }

    #[test]
    fn beyond_the_last_anchor_the_error_grows() {
        let anchors = anchors(&[(0, 1_000_000_000), (10_000_000_000, 11_000_100_000)]);
        let (mono, error) = anchors.mono(21_000_100_000).unwrap();
        assert_eq!((mono, error), (20_000_000_000, Some(40 + 100_000)), "10 ppm of 10 s");
        let (_, alone) = Anchors(anchors.0[..1].to_vec()).mono(2_000_000_000).unwrap();
        assert_eq!(alone, Some(40 + 500_000), "500 ppm of a second where nothing tells");
    }

    #[test]
    fn a_monotonic_clock_of_another_machine_goes_by_the_wall() {
        let anchors = anchors(&[(1_000_000_000, 500_000_000_000), (2_000_000_000, 501_000_000_000)]);
        let told = |clock| Told {
            place: crate::import::Place { line: 1, entry: 0 },
            clock,
            rounding_ns: 0,
            row: crate::table::RequestRow { arrival_mono_ns: 7_100_000_000, ..Default::default() },
            token_ns: vec![7_200_000_000],
        };
        let mut other = told(Clock::Monotonic(Some((7_000_000_000, 500_400_000_000))));
        let join = place(&mut other, &anchors).unwrap();
        assert_eq!(
            (join.tier, other.row.arrival_mono_ns, other.token_ns[0]),
            (JoinTier::Wall, 1_500_000_000, 1_600_000_000)
        );
        let mut same = told(Clock::Monotonic(Some((1_500_000_000, 500_500_000_000))));
        assert_eq!(place(&mut same, &anchors).unwrap().tier, JoinTier::Monotonic);
        assert_eq!(same.row.arrival_mono_ns, 7_100_000_000);
    }
}
