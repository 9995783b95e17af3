//! Thread names as text: the kernel's are bytes that any program may choose.

use std::fmt::Write as _;

/// The name up to its zero, control characters, invalid UTF-8 and the backslash as `\xNN`.
pub fn escape(comm: &[u8]) -> String {
    let end = comm.iter().position(|&byte| byte == 0).unwrap_or(comm.len());
    let mut text = String::with_capacity(end);
    for chunk in comm[..end].utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || character == '\\' || is_invisible(character) {
                let mut bytes = [0; 4];
                for byte in character.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(text, "\\x{byte:02x}");
                }
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Characters that change how a terminal shows the text around them: bidirectional and zero-width ones.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(escape(b"python3\0\0garbage"), "python3");
        assert_eq!(escape(b"\x1b[31m\xff\0"), "\\x1b[31m\\xff");
        assert_eq!(escape("naïve 名".as_bytes()), "naïve 名");
        assert_eq!(escape(b"a\\b"), "a\\x5cb");
        assert_eq!(escape("x\u{202e}y".as_bytes()), "x\\xe2\\x80\\xaey");
    }
}
