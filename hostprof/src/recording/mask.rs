//! Secrets in command lines: what is masked before a command line is kept.

/// What stands in place of a secret.
const MASK: &str = "***";

/// Parts of names whose values are secrets.
const SECRET_NAMES: [&str; 8] =
    ["key", "token", "secret", "password", "passwd", "credential", "auth", "bearer"];

/// Beginnings of words that are secrets by their shape.
const SECRET_SHAPES: [&str; 12] =
    ["sk-", "sk_", "hf_", "ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_", "AKIA", "glpat-", "xoxb-"];

/// Shorter words of those beginnings are no secrets (`sk-learn`).
const SHORTEST_SECRET: usize = 12;

/// Names with such a part whose values are numbers or words that tell much and give nothing away.
const HARMLESS: [&str; 6] =
    ["max-tokens", "max_tokens", "tokenizer", "num-tokens", "batched-tokens", "batched_tokens"];

/// A command line with its secrets replaced by `***`: values of flags, of `NAME=VALUE`, of HTTP headers and
/// of URL query parameters whose name contains `key`, `token`, `secret`, … ; passwords in URLs; words
/// shaped like a known service's keys.
pub fn mask_args(args: &[String]) -> Vec<String> {
    let mut words = Words::default();
    args.iter().map(|arg| words.mask(arg)).collect()
}

/// Masks the words of a command line one after another: a secret may follow its flag.
#[derive(Default)]
struct Words {
    value_is_secret: bool,
}

impl Words {
    fn mask(&mut self, arg: &str) -> String {
        let is_flag = arg.starts_with('-');
        let was_secret = std::mem::take(&mut self.value_is_secret);
        if was_secret && (!is_flag || arg.len() > SHORTEST_SECRET && !arg.starts_with("--")) {
            return MASK.to_owned();
        }
        if arg.contains(char::is_whitespace) {
            return mask_text(arg);
        }
        self.value_is_secret = is_flag && !arg.contains('=') && is_secret_name(arg);
        mask_word(arg)
    }
}

/// Masks an argument of several words: a header, or what a shell is given to run.
fn mask_text(text: &str) -> String {
    if let Some(header) = mask_header(text) {
        return header;
    }
    let text = mask_bearer(text);
    let mut words = Words::default();
    text.split_inclusive(char::is_whitespace)
        .map(|piece| {
            let word = piece.trim_end_matches(char::is_whitespace);
            if word.is_empty() { piece.to_owned() } else { words.mask(word) + &piece[word.len()..] }
        })
        .collect()
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|part| name.contains(part)) && !HARMLESS.iter().any(|part| name.contains(part))
}

fn mask_word(word: &str) -> String {
    match assignment(word) {
        Some((name, value)) if is_secret_name(name) && !value.is_empty() => format!("{name}={MASK}"),
        _ => mask_header(word).unwrap_or_else(|| mask_shapes(&mask_urls(word))),
    }
}

fn mask_header(text: &str) -> Option<String> {
    let (name, value) = text.split_once(':')?;
    let is_secret = is_header(name) && is_secret_name(name) && !value.is_empty() && !value.starts_with("//");
    is_secret.then(|| format!("{name}: {MASK}"))
}

/// `NAME=VALUE` and `--name=value`; a URL's query is not one.
fn assignment(arg: &str) -> Option<(&str, &str)> {
    let (name, value) = arg.split_once('=')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.bytes().all(plain).then_some((name, value))
}

fn is_header(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Masks what follows `Bearer` or `Basic`, in a word of several.
fn mask_bearer(text: &str) -> String {
    for scheme in ["bearer ", "basic "] {
        // ASCII case folding keeps every byte's place.
        if let Some(start) = text.to_ascii_lowercase().find(scheme) {
            let start = start + scheme.len();
            let rest = &text[start..];
            let end = rest.find(is_delimiter).unwrap_or(rest.len());
            if end >= SHORTEST_SECRET {
                return format!("{}{MASK}{}", &text[..start], &rest[end..]);
            }
        }
    }
    text.to_owned()
}

/// Masks the passwords and secret query parameters of the URLs in a text.
fn mask_urls(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        masked.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "\"'<>".contains(c)).unwrap_or(after.len());
        let (url, tail) = after.split_at(end);
        let authority_end = url.find(['/', '?', '#']).unwrap_or(url.len());
        let (authority, path) = url.split_at(authority_end);
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                masked.push_str(MASK);
                masked.push('@');
                masked.push_str(host);
            }
            None => masked.push_str(authority),
        }
        masked.push_str(&mask_query(path));
        rest = tail;
    }
    masked.push_str(rest);
    masked
}

fn mask_query(path: &str) -> String {
    let Some((path, query)) = path.split_once('?') else { return path.to_owned() };
    let parameters: Vec<String> = query
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some((name, value)) if is_secret_name(name) && !value.is_empty() => format!("{name}={MASK}"),
            _ => parameter.to_owned(),
        })
        .collect();
    format!("{path}?{}", parameters.join("&"))
}

fn is_delimiter(c: char) -> bool {
    c.is_whitespace() || "\"'=:,;/?&@()[]{}".contains(c)
}

/// Masks the words of a text that are shaped like keys.
fn mask_shapes(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for piece in text.split_inclusive(is_delimiter) {
        let word = piece.trim_end_matches(is_delimiter);
        if word.len() >= SHORTEST_SECRET && SECRET_SHAPES.iter().any(|shape| word.starts_with(shape)) {
            masked.push_str(MASK);
            masked.push_str(&piece[word.len()..]);
        } else {
            masked.push_str(piece);
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(line: &str) -> String {
        mask_args(&line.split('|').map(str::to_owned).collect::<Vec<_>>()).join("|")
    }

    #[test]
    fn values_of_secret_flags_are_masked_in_both_spellings() {
        assert_eq!(masked("vllm|serve|--api-key|abc|--port|1"), "vllm|serve|--api-key|***|--port|1");
        assert_eq!(masked("--hf-token=abc|-x"), "--hf-token=***|-x");
        assert_eq!(masked("--password|-p4ss-word-that-is-long"), "--password|***");
        assert_eq!(masked("--no-auth|--port|1"), "--no-auth|--port|1");
    }

    #[test]
    fn values_of_secret_variables_are_masked() {
        assert_eq!(masked("env|HF_TOKEN=abc|A=b|DB_PASSWD=x=y"), "env|HF_TOKEN=***|A=b|DB_PASSWD=***");
    }

    #[test]
    fn headers_are_masked() {
        assert_eq!(masked("curl|-H|Authorization: Bearer abc"), "curl|-H|Authorization: ***");
        assert_eq!(masked("X-Api-Key:1"), "X-Api-Key: ***");
        assert_eq!(masked("--header=Accept: Bearer abcdefghijklm, x"), "--header=Accept: Bearer ***, x");
    }

    #[test]
    fn what_a_shell_is_given_is_masked_word_by_word() {
        assert_eq!(
            masked("sh|-c|cd  x && HF_TOKEN=abc vllm --api-key abc\n--port 1|--key|v"),
            "sh|-c|cd  x && HF_TOKEN=*** vllm --api-key ***\n--port 1|--key|***"
        );
    }

    #[test]
    fn passwords_and_secret_parameters_of_urls_are_masked() {
        assert_eq!(
            masked("--url|http://me:pa@h:80/x?a=1&api_key=2"),
            "--url|http://***@h:80/x?a=1&api_key=***"
        );
        assert_eq!(masked("--url=http://me:p@ss@h/"), "--url=http://***@h/");
        assert_eq!(masked("http://h/a@b"), "http://h/a@b");
        assert_eq!(masked("see http://a:b@c and https://d:e@f"), "see http://***@c and https://***@f");
    }

    #[test]
    fn words_shaped_like_keys_are_masked() {
        for key in ["sk-proj-abcdefghijkl", "hf_abcdefghijklmn", "ghp_abcdefghijkl", "AKIAIOSFODNN7EXAMPLE"] {
            assert_eq!(masked(key), "***");
            assert_eq!(masked(&format!("{{\"x\": \"{key}\"}}")), "{\"x\": \"***\"}");
        }
        assert_eq!(masked("sk-learn"), "sk-learn");
    }

    #[test]
    fn what_tells_much_and_gives_nothing_away_stays() {
        let line = "--max-num-batched-tokens|8192|--tokenizer|meta/llama|--max_tokens=5";
        assert_eq!(masked(line), line);
        assert_eq!(masked("python3|-c|import os; print('é=1')"), "python3|-c|import os; print('é=1')");
    }
}
