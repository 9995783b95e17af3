//! The JSON documents of a text: one of many lines, one a line, or events of a stream as curl shows them (`data: …`).

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// What a line of a stream of events begins with, and the line that ends one.
const EVENT: &[u8] = b"data:";
const DONE: &[u8] = b"[DONE]";
/// Numbers that Python writes and JSON does not know.
const NO_NUMBERS: [&[u8]; 3] = [b"NaN", b"-Infinity", b"Infinity"];

/// Letters of a reason that are shown: it may quote the file.
const MOST_REASON: usize = 80;

/// The text with null for each number that is none.
pub fn plain(text: &[u8]) -> Cow<'_, [u8]> {
    if !NO_NUMBERS.iter().any(|word| contains(text, word)) {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let (mut at, mut in_text) = (0, false);
    while let Some(&byte) = text.get(at) {
        let word = NO_NUMBERS.iter().find(|word| !in_text && text[at..].starts_with(word));
        if let Some(word) = word {
            plain.extend_from_slice(b"null");
            at += word.len();
            continue;
        }
        let escapes = in_text && byte == b'\\';
        let end = (at + 1 + usize::from(escapes)).min(text.len());
        plain.extend_from_slice(&text[at..end]);
        // A text ends with its line at the latest: JSON has no line feed in one.
        in_text = in_text && byte != b'"' && byte != b'\n' || !in_text && byte == b'"';
        at = end;
    }
    Cow::Owned(plain)
}

/// Whether a text holds another.
pub fn contains(text: &[u8], part: &[u8]) -> bool {
    let Some(&first) = part.first() else { return true };
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| byte == first) {
        if rest[at..].starts_with(part) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// Each document with the line it begins in, from 1, or what is wrong with that line.
pub fn documents(text: &[u8]) -> impl Iterator<Item = (u64, Result<&[u8], String>)> {
    let mut rest = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut line = 1;
    std::iter::from_fn(move || {
        loop {
            let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            line += feeds(&rest[..blank]);
            rest = &rest[blank..];
            if let Some(event) = rest.strip_prefix(EVENT) {
                rest = event;
                continue;
            }
            if rest.is_empty() {
                return None;
            }
            if !rest.starts_with(DONE) {
                break;
            }
            rest = after_line(rest);
            line += 1;
        }
        let begins = line;
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) if rest[0] == b'{' => {
                let (document, after) = rest.split_at(values.byte_offset());
                line += feeds(document);
                rest = after;
                Some((begins, Ok(document)))
            }
            told => {
                rest = after_line(rest);
                line += 1;
                let reason = match told {
                    Some(Err(error)) if error.is_eof() => "ends within a JSON object".to_owned(),
                    Some(Err(error)) => format!("no JSON ({})", without_place(&error)),
                    _ => "no JSON object".to_owned(),
                };
                Some((begins, Err(reason)))
            }
        }
    })
}

/// What is wrong, without the parser's own line and column, which count from the document's beginning.
pub fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    text[..end].chars().take(MOST_REASON).collect()
}

#[expect(clippy::naive_bytecount, reason = "once a document: a crate for it would be no gain")]
fn feeds(text: &[u8]) -> u64 {
    text.iter().filter(|&&byte| byte == b'\n').count() as u64
}

fn after_line(text: &[u8]) -> &[u8] {
    text.iter().position(|&byte| byte == b'\n').map_or(&[], |end| &text[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(u64, Option<&str>)> {
        documents(text.as_bytes())
            .map(|(line, json)| (line, json.ok().map(|json| std::str::from_utf8(json).unwrap())))
            .collect()
    }

    #[test]
    fn documents_are_found_whole_and_with_their_line() {
        assert_eq!(lines("{\"a\":1}\n\n{\"b\":2}"), [(1, Some("{\"a\":1}")), (3, Some("{\"b\":2}"))]);
        assert_eq!(lines("{\n\"a\":\n1}\n{}"), [(1, Some("{\n\"a\":\n1}")), (4, Some("{}"))]);
        assert_eq!(
            lines("data: {\"a\":1}\n\ndata: [DONE]\n\ndata: {}"),
            [(1, Some("{\"a\":1}")), (5, Some("{}"))]
        );
        assert_eq!(lines(""), []);
    }

    #[test]
    fn a_bad_line_costs_that_line_alone() {
        assert_eq!(
            lines("{\"a\":1}\n{\"a\":\n{}\n7\n{\"b\":2}"),
            [(1, Some("{\"a\":1}")), (2, None), (3, Some("{}")), (4, None), (5, Some("{\"b\":2}")),]
        );
        assert_eq!(lines("\u{feff}{}\n"), [(1, Some("{}"))]);
    }

    #[test]
    fn numbers_that_are_none_become_null_but_not_within_texts() {
        let text = br#"{"rate": Infinity, "a": [NaN,-Infinity], "t": "NaN \" Infinity"}"#;
        let want = br#"{"rate": null, "a": [null,null], "t": "NaN \" Infinity"}"#;
        assert_eq!(plain(text).as_ref(), want);
        assert!(matches!(plain(b"{}"), Cow::Borrowed(_)));
        assert_eq!(plain(b"NaN\\").as_ref(), b"null\\");
    }
}
