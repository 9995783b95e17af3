//! One direction of a connection: messages, each a head and a body, from pieces of which the beginning is known.

use super::head::{Framing, Head};

/// Longer than any head that a server takes.
const HEAD_BYTES: usize = 64 << 10;

/// What a chunk's data ends with, and what ends the body after it: a chunk of none, no trailer.
const CHUNK_END: u64 = 2;
const BODY_END: &[u8] = b"0\r\n\r\n";

/// Bytes of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Those that are known.
    pub text: &'a [u8],
    /// How many follow that are not.
    pub unseen: u64,
}

/// What is met in a stream, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Met<'a, H> {
    /// The first byte of a message.
    Begin,
    /// Its head.
    Head(H),
    /// Bytes of its body.
    Body(&'a [u8]),
    /// Bytes of its body that are not known.
    Unseen(u64),
    /// Its end.
    End,
    /// From here on it is not known where messages end, until one begins with a piece.
    Lost,
}

/// Where in a chunked body.
#[derive(Clone, Copy, Debug)]
enum Chunk {
    /// In the line of a chunk's size, with the size so far, and whether its digits are over.
    Size(u64, bool),
    /// So many bytes before the end of a chunk's data.
    Data(u64),
    /// So many bytes before the next line of a size.
    DataEnd(u64),
    /// In a line after the last chunk, so many bytes in.
    Trailer(u64),
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// Before the first byte of a message.
    Between,
    Head,
    Length(u64),
    Chunks(Chunk),
    UntilClose,
    Lost,
}

/// A reader of one direction.
#[derive(Debug)]
pub struct Messages {
    place: Place,
    head: Vec<u8>,
}

impl Messages {
    /// At the beginning of a message.
    pub fn new() -> Self {
        Self { place: Place::Between, head: Vec::new() }
    }

    /// Whether its place is lost.
    pub fn is_lost(&self) -> bool {
        matches!(self.place, Place::Lost)
    }

    /// Whether a message is under way that ends with the connection.
    pub fn ends_with_connection(&self) -> bool {
        matches!(self.place, Place::UntilClose)
    }

    /// Reads a piece. `meet` is told what is met, and answers a head with how its body ends: `None` for a head that
    /// another of the same message follows.
    pub fn read<H: Head>(
        &mut self,
        mut piece: Piece<'_>,
        mut meet: impl FnMut(Met<'_, H>) -> Option<Framing>,
    ) {
        if self.is_lost() && H::begins(piece.text) {
            self.place = Place::Between;
        }
        while !piece.text.is_empty() || piece.unseen > 0 {
            let before = (piece.text.len(), piece.unseen);
            if self.step(&mut piece, &mut meet).is_none() {
                self.place = Place::Lost;
                meet(Met::Lost);
            }
            if self.is_lost() {
                if !piece.text.is_empty() {
                    meet(Met::Body(piece.text));
                }
                if piece.unseen > 0 {
                    meet(Met::Unseen(piece.unseen));
                } else if piece.text.ends_with(BODY_END) {
                    self.end(&mut meet);
                }
                return;
            }
            debug_assert_ne!(before, (piece.text.len(), piece.unseen), "a step takes bytes");
        }
    }

    fn end<H: Head>(&mut self, meet: &mut impl FnMut(Met<'_, H>) -> Option<Framing>) {
        self.place = Place::Between;
        meet(Met::End);
    }

    /// Takes some bytes of a piece; `None` where the place is lost.
    fn step<H: Head>(
        &mut self,
        piece: &mut Piece<'_>,
        meet: &mut impl FnMut(Met<'_, H>) -> Option<Framing>,
    ) -> Option<()> {
        match self.place {
            Place::Between => match *piece.text.first()? {
                // Servers take an empty line before a message.
                b'\r' | b'\n' => piece.text = &piece.text[1..],
                _ => {
                    self.head.clear();
                    self.place = Place::Head;
                    meet(Met::Begin);
                    return self.read_head(piece, meet);
                }
            },
            Place::Head => return self.read_head(piece, meet),
            Place::Length(left) => {
                let left = take(piece, left, meet);
                self.place = Place::Length(left);
                if left == 0 {
                    self.end(meet);
                }
            }
            Place::UntilClose => {
                take(piece, u64::MAX, meet);
            }
            Place::Chunks(chunk) => return self.read_chunk(chunk, piece, meet),
            Place::Lost => {}
        }
        Some(())
    }

    fn read_head<H: Head>(
        &mut self,
        piece: &mut Piece<'_>,
        meet: &mut impl FnMut(Met<'_, H>) -> Option<Framing>,
    ) -> Option<()> {
        let known = self.head.len();
        self.head.extend_from_slice(piece.text);
        let Some(end) = head_end(&self.head, known) else {
            // It goes on in the next piece, unless some of it was not seen.
            piece.text = &[];
            return (piece.unseen == 0 && self.head.len() < HEAD_BYTES).then_some(());
        };
        piece.text = &piece.text[end - known..];
        self.head.truncate(end);
        let head = H::parse(&self.head)?;
        self.place = match meet(Met::Head(head)) {
            Some(Framing::Length(0)) => {
                self.end(meet);
                Place::Between
            }
            Some(Framing::Length(length)) => Place::Length(length),
            Some(Framing::Chunked) => Place::Chunks(Chunk::Size(0, false)),
            Some(Framing::UntilClose) => Place::UntilClose,
            None => {
                self.head.clear();
                Place::Head
            }
        };
        Some(())
    }

    fn read_chunk<H: Head>(
        &mut self,
        chunk: Chunk,
        piece: &mut Piece<'_>,
        meet: &mut impl FnMut(Met<'_, H>) -> Option<Framing>,
    ) -> Option<()> {
        let next = match chunk {
            Chunk::Size(size, over) => {
                let (&byte, rest) = piece.text.split_first()?;
                piece.text = rest;
                match (byte, char::from(byte).to_digit(16)) {
                    (b'\n', _) if size == 0 => Chunk::Trailer(0),
                    (b'\n', _) => Chunk::Data(size),
                    (_, Some(digit)) if !over => {
                        Chunk::Size(size.checked_mul(16)?.checked_add(u64::from(digit))?, false)
                    }
                    (b'\r' | b';' | b' ' | b'\t', _) => Chunk::Size(size, true),
                    _ if over => Chunk::Size(size, true),
                    _ => return None,
                }
            }
            Chunk::Data(left) => match take(piece, left, meet) {
                0 => Chunk::DataEnd(CHUNK_END),
                left => Chunk::Data(left),
            },
            Chunk::DataEnd(left) => {
                let seen = left.min(piece.text.len() as u64);
                piece.text = &piece.text[seen as usize..];
                let left = left - seen;
                let unseen = left.min(piece.unseen);
                piece.unseen -= unseen;
                match left - unseen {
                    // What is left over is as long as the end of a body, and is nothing else.
                    0 if piece.text.is_empty() && piece.unseen == BODY_END.len() as u64 => {
                        piece.unseen = 0;
                        self.end(meet);
                        return Some(());
                    }
                    0 => Chunk::Size(0, false),
                    left => Chunk::DataEnd(left),
                }
            }
            Chunk::Trailer(length) => {
                let (&byte, rest) = piece.text.split_first()?;
                piece.text = rest;
                match byte {
                    b'\n' if length == 0 => {
                        self.end(meet);
                        return Some(());
                    }
                    b'\n' => Chunk::Trailer(0),
                    b'\r' => Chunk::Trailer(length),
                    _ => Chunk::Trailer(length + 1),
                }
            }
        };
        self.place = Place::Chunks(next);
        Some(())
    }
}

/// Takes up to `left` bytes of a body; returns how many are left after them.
fn take<H>(piece: &mut Piece<'_>, left: u64, meet: &mut impl FnMut(Met<'_, H>) -> Option<Framing>) -> u64 {
    let seen = left.min(piece.text.len() as u64);
    let (body, rest) = piece.text.split_at(seen as usize);
    piece.text = rest;
    if !body.is_empty() {
        meet(Met::Body(body));
    }
    // What is not known follows what is.
    let unseen = if piece.text.is_empty() { (left - seen).min(piece.unseen) } else { 0 };
    piece.unseen -= unseen;
    if unseen > 0 {
        meet(Met::Unseen(unseen));
    }
    left - seen - unseen
}

/// Where a head ends, of which the first `known` bytes were looked at before.
fn head_end(head: &[u8], known: usize) -> Option<usize> {
    let from = known.saturating_sub(3);
    (from..head.len()).find_map(|at| {
        let rest = &head[at..];
        if rest.starts_with(b"\r\n\r\n") {
            Some(at + 4)
        } else if rest.starts_with(b"\n\n") {
            Some(at + 2)
        } else {
            None
        }
    })
}
