//! What other programs print, read: workloads, peers. No process is started here.

pub mod peer;
pub mod work;

/// The number before `after`, thousands marks or not: `12.5` of `took 12.5 s` for ` s`.
fn number_before(text: &str, after: &str) -> Option<f64> {
    let before = text[..text.find(after)?].trim_end();
    let from = before.rfind(|c: char| !(c.is_ascii_digit() || ".,".contains(c))).map_or(0, |at| at + 1);
    before[from..].replace(',', "").parse().ok()
}
