//! A flame graph as SVG: a tree of frames drawn from the bottom up, each as wide as its share of the samples.
//!
//! The file stands alone: it shows in any viewer, and in a browser a click widens a frame (`svg.js`).

use std::fmt::Write as _;

use super::stacks::Frame;

const WIDTH: f64 = 1200.0;
const ROW: f64 = 16.0;
const HEAD: f64 = 40.0;
const FOOT: f64 = 24.0;
const MARGIN: f64 = 10.0;
/// Of a letter at 11 px, a little more than most fonts have.
const LETTER: f64 = 6.7;
/// Narrower frames are not drawn: nobody would see them.
const NARROWEST: f64 = 0.15;

/// Draws a tree.
pub fn draw(title: &str, root: &Frame) -> String {
    let rows = depth(root) as f64;
    let height = HEAD + rows * ROW + FOOT;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\">\n\
         <style>text{{font:11px monospace;fill:#111}}.t{{font-size:14px}}rect{{rx:1.5px}}g:hover rect{{stroke:#111}}g{{cursor:pointer}}.o{{opacity:.5}}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fffdf8\"/>\n\
         <text class=\"t\" x=\"{MARGIN}\" y=\"22\">{}</text>\n\
         <text id=\"detail\" x=\"{MARGIN}\" y=\"{}\">click a frame to widen it, the lowest to go back · orange: kernel</text>\n",
        escaped(title),
        height - 8.0,
    );
    if root.samples > 0 {
        let scale = (WIDTH - 2.0 * MARGIN) / root.samples as f64;
        draw_frame(&mut svg, "all", root, root.samples, MARGIN, height - FOOT - ROW, scale);
    } else {
        let _ = writeln!(
            svg,
            "<text x=\"{MARGIN}\" y=\"{HEAD}\">no sample: the target was never on a CPU</text>"
        );
    }
    let _ = write!(svg, "<script><![CDATA[{}]]></script>\n</svg>\n", include_str!("svg.js"));
    svg
}

/// How many rows a tree takes.
fn depth(frame: &Frame) -> usize {
    1 + frame.children.values().map(depth).max().unwrap_or(0)
}

fn draw_frame(svg: &mut String, name: &str, frame: &Frame, all: u64, x: f64, y: f64, scale: f64) {
    let width = frame.samples as f64 * scale;
    if width < NARROWEST {
        return;
    }
    let share = frame.samples as f64 / all as f64 * 100.0;
    let full = escaped(name);
    let letters = ((width - 4.0) / LETTER).max(0.0) as usize;
    let _ = writeln!(
        svg,
        "<g><title>{full} · {} samples, {share:.2} %</title><rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"15\" fill=\"{}\"/><text x=\"{:.1}\" y=\"{}\">{}</text></g>",
        frame.samples,
        colour(name, frame.kernel),
        x + 2.0,
        y + 11.0,
        escaped(&shortened(name, letters)),
    );
    let mut left = x;
    for (name, child) in &frame.children {
        draw_frame(svg, name, child, all, left, y - ROW, scale);
        left += child.samples as f64 * scale;
    }
}

/// What of a name fits; nothing where that would say nothing.
fn shortened(name: &str, letters: usize) -> String {
    match name.chars().count() {
        count if count <= letters => name.to_owned(),
        _ if letters < 3 => String::new(),
        _ => name.chars().take(letters - 1).chain(['…']).collect(),
    }
}

/// The same for a name in every graph: yellow to red for the program, orange to brown for the kernel.
fn colour(name: &str, kernel: bool) -> String {
    let hash =
        name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let hue = if kernel { 22 + hash % 8 } else { 38 + hash % 18 };
    format!("hsl({hue} {}% {}%)", if kernel { 85 } else { 90 }, 62 + (hash >> 8) % 14)
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            letter if letter.is_control() => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(samples: u64, children: Vec<(&str, Frame)>) -> Frame {
        let children = children.into_iter().map(|(name, frame)| (name.to_owned(), frame)).collect();
        Frame { kernel: false, samples, children }
    }

    #[test]
    fn a_frame_is_as_wide_as_its_share_and_stands_on_its_caller() {
        let svg = draw("t", &tree(4, vec![("b<T>", tree(3, vec![])), ("c", tree(1, vec![]))]));
        let all = "<rect x=\"10.0\" y=\"56\" width=\"1180.0\"";
        assert!(svg.contains(all), "{svg}");
        assert!(
            svg.contains("b&lt;T&gt; · 3 samples, 75.00 %</title><rect x=\"10.0\" y=\"40\" width=\"885.0\""),
            "{svg}"
        );
        assert!(
            svg.contains("c · 1 samples, 25.00 %</title><rect x=\"895.0\" y=\"40\" width=\"295.0\""),
            "{svg}"
        );
    }

    #[test]
    fn what_nobody_would_see_is_not_drawn_and_a_name_is_cut_to_its_frame() {
        let svg = draw("t", &tree(100_000, vec![("tiny", tree(1, vec![])), ("wide", tree(99_999, vec![]))]));
        assert!(!svg.contains("tiny") && svg.contains("wide"));
        assert_eq!(shortened("ggml_barrier", 5), "ggml…");
        assert_eq!(shortened("ggml_barrier", 2), "");
        assert_eq!(shortened("read", 4), "read");
    }

    #[test]
    fn no_samples_are_told_in_the_picture() {
        assert!(draw("t & u", &Frame::default()).contains("no sample"));
    }
}
