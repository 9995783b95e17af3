//! Rust source as the lints read it: without comments, literals and inline test modules.

/// `source` with the insides of comments, strings and characters blanked, lines kept.
pub fn code_of(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => line_end(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => block_comment_end(&chars, at),
            '"' => string_end(&chars, at),
            'r' if starts_word(&chars, at) => raw_string_end(&chars, at).unwrap_or(at),
            '\'' => char_end(&chars, at).unwrap_or(at),
            _ => at,
        };
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// `code` without what follows its first `#[cfg(test)]` on a module: tests may name anything.
pub fn without_tests(code: &str) -> &str {
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let (start, end) = (from + found, from + found + "#[cfg(test)]".len());
        if code[end..].trim_start().starts_with("mod tests") {
            return &code[..start];
        }
        from = end;
    }
    code
}

fn line_end(chars: &[char], at: usize) -> usize {
    chars[at..].iter().position(|c| *c == '\n').map_or(chars.len(), |length| at + length)
}

fn block_comment_end(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], at: usize) -> usize {
    let mut at = at + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let mut close = vec!['"'];
    close.resize(1 + hashes, '#');
    let inside = &chars[open + 1..];
    Some(
        inside
            .windows(close.len())
            .position(|end| end == close)
            .map_or(chars.len(), |n| open + 1 + n + close.len()),
    )
}

/// The end of a character literal; `None` for a lifetime.
fn char_end(chars: &[char], at: usize) -> Option<usize> {
    if chars.get(at + 1) == Some(&'\\') {
        let length = chars[at + 3..].iter().position(|c| *c == '\'')?;
        return Some(at + 3 + length + 1);
    }
    (chars.get(at + 2) == Some(&'\'')).then_some(at + 3)
}

fn starts_word(chars: &[char], at: usize) -> bool {
    // `br"` and `cr"` are strings too; their prefix letter stays behind and harms nobody.
    at == 0 || !is_word(chars[at - 1]) || matches!(chars[at - 1], 'b' | 'c')
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squeezed(source: &str) -> String {
        code_of(source).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        assert_eq!(squeezed("a // crate::x\nb /* c /* d */ e */ f"), "a b f");
        assert_eq!(squeezed(r#"let s = "crate::x \" y"; z"#), "let s = ; z");
        assert_eq!(squeezed("r#\"crate::x \" y\"# z"), "z");
        assert_eq!(squeezed("'\"' x '\\'' y &'a str"), "x y &'a str");
        assert_eq!(squeezed("'\\\\' x"), "x");
        assert_eq!(code_of("/* a\nb */c").lines().count(), 2);
    }

    #[test]
    fn an_inline_test_module_is_left_out() {
        assert_eq!(
            without_tests("a #[cfg(test)] fn f() {} b #[cfg(test)]\nmod tests { c }"),
            "a #[cfg(test)] fn f() {} b "
        );
        assert_eq!(without_tests("a"), "a");
    }
}
