//! Server-sent events, as they come: split anywhere (WHATWG HTML, section 9.2.6, "Interpreting an event stream").
//!
//! Only `data` matters here: comments, `event`, `id` and `retry` are passed over. More lenient than the standard in
//! one point: what a stream ends with counts as an event though no empty line follows.

/// No event of a server is larger; more is no event stream.
const MOST_BYTES: usize = 16 << 20;

/// A line or an event that has no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is larger than {} MiB", MOST_BYTES >> 20)]
pub struct TooLong;

/// Turns bytes into the data of events. Keeps its buffers: once they have the size of an event it allocates no more.
#[derive(Debug, Default)]
pub struct Parser {
    /// The line under way.
    line: Vec<u8>,
    /// The data of the event under way, each of its lines ended by a line feed.
    data: Vec<u8>,
    /// The last byte was a carriage return: a line feed after it ends no other line.
    after_return: bool,
    /// A first line has been seen, which alone may begin with a byte order mark.
    begun: bool,
}

impl Parser {
    /// Takes the next bytes, and hands the data of each event they complete to `event`.
    ///
    /// # Errors
    ///
    /// [`TooLong`]; the stream is then of no use.
    pub fn feed(&mut self, mut bytes: &[u8], mut event: impl FnMut(&[u8])) -> Result<(), TooLong> {
        if self.after_return
            && let Some(first) = bytes.first()
        {
            self.after_return = false;
            if *first == b'\n' {
                bytes = &bytes[1..];
            }
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            if self.line.is_empty() {
                self.end_line(&bytes[..end], &mut event)?;
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(&bytes[..end]);
                let ended = self.end_line(&line, &mut event);
                line.clear();
                self.line = line;
                ended?;
            }
            let is_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            if is_return {
                match bytes.first() {
                    Some(b'\n') => bytes = &bytes[1..],
                    Some(_) => {}
                    None => self.after_return = true,
                }
            }
        }
        if self.line.len() + bytes.len() > MOST_BYTES {
            return Err(TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    /// The stream has ended.
    ///
    /// # Errors
    ///
    /// As for [`Parser::feed`].
    pub fn finish(&mut self, mut event: impl FnMut(&[u8])) -> Result<(), TooLong> {
        let line = std::mem::take(&mut self.line);
        self.end_line(&line, &mut event)?;
        self.end_line(b"", &mut event)
    }

    /// Forgets a stream, for another.
    pub fn reset(&mut self) {
        self.line.clear();
        self.data.clear();
        (self.after_return, self.begun) = (false, false);
    }

    fn end_line(&mut self, line: &[u8], event: &mut impl FnMut(&[u8])) -> Result<(), TooLong> {
        let line = if self.begun { line } else { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) };
        self.begun = true;
        if line.is_empty() {
            if let Some((_, data)) = self.data.split_last() {
                event(data);
                self.data.clear();
            }
            return Ok(());
        }
        let value = match line.strip_prefix(b"data") {
            Some([]) => &[],
            Some([b':', b' ', value @ ..] | [b':', value @ ..]) => value,
            // Another field, or a comment.
            _ => return Ok(()),
        };
        if self.data.len() + value.len() >= MOST_BYTES {
            return Err(TooLong);
        }
        self.data.extend_from_slice(value);
        self.data.push(b'\n');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<String> {
        let (mut parser, mut events) = (Parser::default(), Vec::new());
        let mut keep = |data: &[u8]| events.push(String::from_utf8(data.to_vec()).unwrap());
        for piece in pieces {
            parser.feed(piece, &mut keep).unwrap();
        }
        parser.finish(&mut keep).unwrap();
        events
    }

    /// All that a stream may have.
    const STREAM: &[u8] =
        b"\xef\xbb\xbf: a comment\r\nevent: x\r\ndata: {\"a\":1}\r\n\r\ndata:no space\n\nid: 7\ndata\n\
        data: two\ndata: lines\n\nretry: 5\n\n\rdata:  kept\r\rdatabase: none\n\ndata: [DONE]\n\n";

    #[test]
    fn events_are_found_wherever_the_stream_is_split() {
        let expected = ["{\"a\":1}", "no space", "\ntwo\nlines", " kept", "[DONE]"];
        assert_eq!(events(&[STREAM]), expected);
        for at in 0..=STREAM.len() {
            assert_eq!(events(&[&STREAM[..at], &STREAM[at..]]), expected, "split at {at}");
            for second in at..=STREAM.len() {
                let pieces = [&STREAM[..at], &STREAM[at..second], &STREAM[second..]];
                assert_eq!(events(&pieces), expected, "split at {at} and {second}");
            }
        }
        let bytes: Vec<&[u8]> = STREAM.chunks(1).collect();
        assert_eq!(events(&bytes), expected);
    }

    #[test]
    fn what_a_stream_ends_with_is_an_event() {
        assert_eq!(events(&[b"data: a\n\ndata: [DONE]"]), ["a", "[DONE]"]);
        assert_eq!(events(&[b"data: a\n"]), ["a"]);
        assert!(events(&[b": only a comment"]).is_empty());
        assert!(events(&[b""]).is_empty());
    }

    #[test]
    fn an_empty_data_line_is_an_event_and_an_empty_line_alone_is_none() {
        assert_eq!(events(&[b"data:\n\n"]), [""]);
        assert!(events(&[b"\n\n\r\n"]).is_empty());
    }

    #[test]
    fn a_huge_line_is_taken_and_one_without_end_is_refused() {
        let huge = format!("data: {}\n\n", "x".repeat(5 << 20));
        let pieces: Vec<&[u8]> = huge.as_bytes().chunks(4096).collect();
        assert_eq!(events(&pieces)[0].len(), 5 << 20);
        let mut parser = Parser::default();
        let piece = vec![b'x'; 1 << 20];
        assert!((0..17).any(|_| parser.feed(&piece, |_| {}).is_err()));
        let mut parser = Parser::default();
        let line = [b"data:".as_slice(), &piece, b"\n"].concat();
        assert!((0..17).any(|_| parser.feed(&line, |_| {}).is_err()), "many lines of one event");
    }

    #[test]
    fn a_reset_forgets_what_was_under_way() {
        let mut parser = Parser::default();
        parser.feed(b"data: a\nda", |_| {}).unwrap();
        parser.reset();
        let mut seen = Vec::new();
        parser.feed(b"\xef\xbb\xbfdata: b\n\n", |data| seen.push(data.to_vec())).unwrap();
        assert_eq!(seen, [b"b"]);
    }
}
