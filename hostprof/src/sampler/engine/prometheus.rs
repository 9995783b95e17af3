//! The text format of Prometheus, version 0.0.4: a sample a line, `name{label="value",…} number`.

/// A sample. Comments, which tell type and help, are passed over.
#[derive(Debug, PartialEq)]
pub struct Sample<'a> {
    /// The metric.
    pub name: &'a str,
    /// Its labels, values with their escapes.
    pub labels: Vec<(&'a str, &'a str)>,
    /// Its value.
    pub value: f64,
}

/// All samples of a text; lines that are none are passed over.
pub fn samples(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().filter_map(|line| sample(line.trim()))
}

fn sample(line: &str) -> Option<Sample<'_>> {
    if line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner.trim_start();
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once('=')?;
            let after = after.trim_start().strip_prefix('"')?;
            let end = closing_quote(after)?;
            labels.push((label.trim(), &after[..end]));
            rest = after[end + 1..].trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        rest = &rest[1..];
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name, labels, value }).filter(|sample| !sample.name.is_empty())
}

/// Where a label's value ends, whose own quotes are escaped.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_name_labels_and_value() {
        let text = "# HELP a b\n# TYPE a gauge\na{model=\"m \\\"}, x\",engine=\"0\"} 1.5e3 1700000000\nb 2\n\nc{} +Inf";
        let got: Vec<_> = samples(text).collect();
        assert_eq!(
            got[0],
            Sample { name: "a", labels: vec![("model", "m \\\"}, x"), ("engine", "0")], value: 1500.0 }
        );
        assert_eq!((got[1].name, got[1].value, got[2].value), ("b", 2.0, f64::INFINITY));
    }

    #[test]
    fn lines_that_are_no_samples_are_passed_over() {
        for line in ["", "a", "a{", "a{x}", "a{x=\"} 1", "{} 1", "a{x=\"y\"}", "a one", "<html>"] {
            assert_eq!(samples(line).count(), 0, "{line}");
        }
    }
}
