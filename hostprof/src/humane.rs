//! Numbers and names as people read them.

/// A length of time in three figures: `412 ns`, `1.24 µs`, `18.3 ms`, `2.41 s`, `17 min 05 s`.
pub fn duration(ns: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000, "µs"), (1_000_000, "ms"), (1_000_000_000, "s")];
    if ns < 1_000 {
        return format!("{ns} ns");
    }
    if ns >= 999_500_000_000 {
        let seconds = (ns + 500_000_000) / 1_000_000_000;
        return match seconds / 60 {
            minutes if minutes < 60 => format!("{minutes} min {:02} s", seconds % 60),
            minutes => format!("{} h {:02} min", minutes / 60, minutes % 60),
        };
    }
    for (unit_ns, unit) in UNITS {
        let value = ns as f64 / unit_ns as f64;
        // Where rounding would show `1000 µs`, the next unit says it.
        if value < 999.5 {
            return format!("{} {unit}", three_figures(value));
        }
    }
    format!("{} s", ns / 1_000_000_000)
}

fn three_figures(value: f64) -> String {
    if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// A share of a whole: `71.2%`, `<0.1%`, `0%`; `100%` only of all of it.
pub fn share(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "0%".to_owned();
    }
    let percent = part as f64 * 100.0 / whole as f64;
    match percent {
        percent if percent < 0.1 => "<0.1%".to_owned(),
        _ if part == whole => "100%".to_owned(),
        percent if percent >= 99.95 => ">99.9%".to_owned(),
        percent => format!("{percent:.1}%"),
    }
}

/// A share that is measured as one: as [`share`], `100%` only of 1.
pub fn percent(ratio: f64) -> String {
    match ratio * 100.0 {
        percent if percent <= 0.0 || percent.is_nan() => "0%".to_owned(),
        percent if percent < 0.1 => "<0.1%".to_owned(),
        percent if percent < 99.95 => format!("{percent:.1}%"),
        percent if percent < 100.0 => ">99.9%".to_owned(),
        percent => format!("{percent:.0}%"),
    }
}

/// How often in a second, in three figures: `0`, `0.40`, `12.5`, `98.3 k`.
pub fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate <= 0.0 || rate.is_nan() => "0".to_owned(),
        rate if rate < 0.01 => "<0.01".to_owned(),
        rate if rate < 999.5 => three_figures(rate),
        rate => scaled_count(rate),
    }
}

/// A count, its thousands set apart: `1,203,311`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count in three figures, for a rate or a line that is drawn anew: `98.3 k`.
pub fn scaled_count(value: f64) -> String {
    const UNITS: [&str; 3] = [" k", " M", " G"];
    if value < 999.5 {
        return format!("{value:.0}");
    }
    let mut scaled = value / 1e3;
    let mut unit = 0;
    while scaled >= 999.5 && unit + 1 < UNITS.len() {
        scaled /= 1e3;
        unit += 1;
    }
    format!("{}{}", three_figures(scaled), UNITS[unit])
}

/// A count and its noun: `1 row`, `2,000 rows`, `3 switches`.
pub fn plural(value: u64, noun: &str) -> String {
    let ending = match value {
        1 => "",
        _ if noun.ends_with("ch") || noun.ends_with("ss") => "es",
        _ => "s",
    };
    format!("{} {noun}{ending}", count(value))
}

/// A size: `45.1 MiB`.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if value < 1024 {
        return format!("{value} B");
    }
    let mut scaled = value as f64 / 1024.0;
    let mut unit = 0;
    while scaled >= 999.5 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{} {}", three_figures(scaled), UNITS[unit])
}

/// A name that may reach a terminal: tables hold names escaped; what control characters a foreign file
/// might still hold are replaced.
pub fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A name cut to a width, its end kept off with `…`.
pub fn fitted(name: &str, width: usize) -> String {
    let name = printable(name);
    if name.chars().count() <= width {
        return name;
    }
    let mut cut: String = name.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_three_figures_in_the_unit_that_fits() {
        for (ns, expected) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (1_235, "1.24 µs"),
            (12_345, "12.3 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (30_000_000_000, "30.0 s"),
            (999_600_000_000, "16 min 40 s"),
            (3_725_000_000_000, "1 h 02 min"),
        ] {
            assert_eq!(duration(ns), expected, "{ns}");
        }
    }

    #[test]
    fn a_share_says_nothing_rounder_than_it_is() {
        assert_eq!(share(0, 10), "0%");
        assert_eq!(share(1, 100_000), "<0.1%");
        assert_eq!(share(712, 1_000), "71.2%");
        assert_eq!(share(10, 10), "100%");
        assert_eq!(share(99_999, 100_000), ">99.9%");
        assert_eq!(share(1, 0), "0%");
    }

    #[test]
    fn a_percentage_says_nothing_rounder_than_it_is() {
        for (ratio, expected) in [
            (0.0, "0%"),
            (f64::NAN, "0%"),
            (0.0009, "<0.1%"),
            (0.712, "71.2%"),
            (0.9996, ">99.9%"),
            (1.0, "100%"),
            (3.254, "325%"),
        ] {
            assert_eq!(percent(ratio), expected, "{ratio}");
        }
    }

    #[test]
    fn a_rate_below_one_is_not_nought() {
        for (per_second, expected) in [
            (0.0, "0"),
            (0.004, "<0.01"),
            (0.4, "0.40"),
            (12.5, "12.5"),
            (999.4, "999"),
            (98_300.0, "98.3 k"),
        ] {
            assert_eq!(rate(per_second), expected, "{per_second}");
        }
    }

    #[test]
    fn counts_and_sizes_are_set_for_reading() {
        assert_eq!(count(1_203_311), "1,203,311");
        assert_eq!(count(12), "12");
        assert_eq!(scaled_count(999.0), "999");
        assert_eq!(scaled_count(98_300.0), "98.3 k");
        assert_eq!(scaled_count(999_600.0), "1.00 M");
        assert_eq!(plural(1, "row"), "1 row");
        assert_eq!(plural(3, "switch"), "3 switches");
        assert_eq!(bytes(47_316_992), "45.1 MiB");
        assert_eq!(bytes(12), "12 B");
    }

    #[test]
    fn no_control_character_reaches_the_terminal() {
        assert_eq!(printable("a\x1b[31mb\n"), "a\u{fffd}[31mb\u{fffd}");
        assert_eq!(fitted("llama-server", 6), "llama…");
    }
}
