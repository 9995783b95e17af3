//! What GPM measured in a window. Its values are of the time between two samples, so a window is told by those that lie
//! within it whole, and by two of them at least: none that reaches over its edge says anything of the window alone.

use crate::table::GpuSampleRow;

/// Fewer say too little of a window.
const FEWEST: usize = 2;

/// The mean of a column in a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gpm {
    /// The GPU does not offer it.
    NotMeasured,
    /// The window holds fewer than two intervals of GPM.
    NotResolvable,
    /// The mean and the greatest, weighed by the lengths of the intervals.
    Of { mean: f64, max: f64 },
}

/// A column over the window from `from_ns` to `to_ns`. `rows` are one GPU's.
pub fn gpm<'a>(
    rows: impl Iterator<Item = &'a GpuSampleRow>,
    (from_ns, to_ns): (u64, u64),
    column: impl Fn(&GpuSampleRow) -> Option<f64>,
) -> Gpm {
    let (mut measured, mut within) = (false, 0);
    let (mut sum, mut weight, mut max) = (0.0, 0.0, 0.0_f64);
    for row in rows {
        let (Some(window_ns), Some(value)) = (row.gpm_window_ns, column(row)) else { continue };
        measured = true;
        if row.ts_mono_ns.saturating_sub(window_ns) < from_ns || row.ts_mono_ns > to_ns {
            continue;
        }
        within += 1;
        sum += value * window_ns as f64;
        weight += window_ns as f64;
        max = max.max(value);
    }
    match (measured, within) {
        (false, _) => Gpm::NotMeasured,
        (true, 0..FEWEST) => Gpm::NotResolvable,
        (true, _) => Gpm::Of { mean: sum / weight, max },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ts_mono_ns: u64, gpm_window_ns: Option<u64>, sm_util: Option<f64>) -> GpuSampleRow {
        GpuSampleRow { ts_mono_ns, gpm_window_ns, sm_util, ..GpuSampleRow::default() }
    }

    fn of(rows: &[GpuSampleRow], window: (u64, u64)) -> Gpm {
        gpm(rows.iter(), window, |row| row.sm_util)
    }

    #[test]
    fn a_window_is_told_by_the_intervals_that_lie_within_it() {
        let rows = [
            row(100, None, None),
            row(200, Some(100), Some(1.0)),
            row(300, Some(100), Some(0.0)),
            row(600, Some(300), Some(0.5)),
            row(700, Some(100), Some(1.0)),
        ];
        assert_eq!(of(&rows, (200, 600)), Gpm::Of { mean: 0.375, max: 0.5 });
        assert_eq!(of(&rows, (0, 1000)), Gpm::Of { mean: 350.0 / 600.0, max: 1.0 });
        assert_eq!(of(&rows, (201, 699)), Gpm::NotResolvable, "only one lies within");
        assert_eq!(of(&rows, (310, 420)), Gpm::NotResolvable);
    }

    #[test]
    fn what_a_gpu_does_not_offer_is_not_measured() {
        assert_eq!(of(&[row(100, None, None), row(200, None, None)], (0, 300)), Gpm::NotMeasured);
        let rows =
            [row(200, Some(100), None), row(300, Some(100), Some(0.5)), row(400, Some(100), Some(0.5))];
        assert_eq!(
            of(&rows, (0, 500)),
            Gpm::Of { mean: 0.5, max: 0.5 },
            "a value that was no number is left out"
        );
    }
}
