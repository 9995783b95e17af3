//! A connection's requests and responses, matched: what was asked first is answered first.

use std::collections::VecDeque;

use super::{
    HttpCounts, SocketEvent, What,
    events::{Event, Events},
    head::{Framing, RequestHead, ResponseHead},
    message::{Messages, Met, Piece},
    request_id,
};
use crate::{
    probe::Rows,
    table::{Endpoint, JoinTier, RequestError, RequestRow, RequestSource, TokenRow},
    units::{MonoNs, Tgid, Tid},
};

/// A request that is not answered yet, or not in full.
#[derive(Debug)]
struct Pending {
    row: RequestRow,
    /// Whether it is one to an LLM server, as far as is known.
    is_wanted: bool,
    /// Whether its response has no body.
    is_head: bool,
    events: Option<Events>,
    /// When the server last sent.
    sent: Option<MonoNs>,
}

/// A connection to one of the target's servers.
#[derive(Debug)]
pub struct Connection {
    cookie: u64,
    requests: Messages,
    responses: Messages,
    pending: VecDeque<Pending>,
    number: u32,
    closed_by_client: bool,
}

impl Connection {
    /// One of which nothing is known yet.
    pub fn new(cookie: u64) -> Self {
        Self {
            cookie,
            requests: Messages::new(),
            responses: Messages::new(),
            pending: VecDeque::new(),
            number: 0,
            closed_by_client: false,
        }
    }

    /// Folds one event; `thread` is the one that did it.
    pub fn event(
        &mut self,
        event: &SocketEvent,
        thread: Option<(Tid, Tgid)>,
        counts: &mut HttpCounts,
        rows: &mut impl Rows,
    ) {
        let unseen = u64::from(event.length).saturating_sub(event.text.len() as u64);
        let piece = Piece { text: &event.text, unseen };
        match event.what {
            What::Receive if event.length == 0 => self.closed_by_client = true,
            What::Receive => self.receive(piece, event, thread, counts, rows),
            What::Send => self.send(piece, event.at, counts, rows),
            What::ClientClosed => self.closed_by_client = true,
            What::ServerClosed => {
                if self.responses.ends_with_connection() || self.responses.is_lost() {
                    self.finish_first(Some(event.at), None, counts, rows);
                    self.responses = Messages::new();
                }
            }
            What::Gone => {
                let error =
                    if self.closed_by_client { RequestError::Cancelled } else { RequestError::Closed };
                while !self.pending.is_empty() {
                    self.finish_first(Some(event.at), Some(error), counts, rows);
                }
            }
        }
    }

    /// Requests to an LLM server that are not answered in full.
    pub fn in_flight(&self) -> usize {
        self.pending.iter().filter(|pending| pending.is_wanted).count()
    }

    /// Recording ends: what is in flight has no end.
    pub fn finish(&mut self, counts: &mut HttpCounts, rows: &mut impl Rows) {
        while !self.pending.is_empty() {
            self.finish_first(None, None, counts, rows);
        }
    }

    fn receive(
        &mut self,
        piece: Piece<'_>,
        event: &SocketEvent,
        thread: Option<(Tid, Tgid)>,
        counts: &mut HttpCounts,
        rows: &mut impl Rows,
    ) {
        let mut begun = 0;
        let (cookie, number, pending) = (self.cookie, &mut self.number, &mut self.pending);
        self.requests.read(piece, |met: Met<'_, RequestHead>| {
            match met {
                Met::Begin => {
                    begun += 1;
                    *number += 1;
                    pending.push_back(Pending::new(cookie, *number, event, thread));
                }
                Met::Head(head) => {
                    let request = pending.back_mut()?;
                    request.is_head = head.is_head;
                    request.is_wanted = head.endpoint.is_some();
                    request.row.endpoint = head.endpoint.unwrap_or(Endpoint::Other);
                    request.row.client_id = head.client_id.map(String::from);
                    return Some(head.framing);
                }
                Met::Body(bytes) => add_bytes(&mut pending.back_mut()?.row.request_bytes, bytes.len() as u64),
                Met::Unseen(bytes) => add_bytes(&mut pending.back_mut()?.row.request_bytes, bytes),
                Met::Lost => counts.lost_places += 1,
                Met::End => {}
            }
            None
        });
        // A client that does not pipeline has had the whole response, though its end was not seen.
        if begun > 0 && self.responses.is_lost() && self.pending.len() > begun {
            let end = self.pending.front().and_then(|request| request.sent);
            self.finish_first(end, None, counts, rows);
            self.responses = Messages::new();
        }
    }

    fn send(&mut self, piece: Piece<'_>, at: MonoNs, counts: &mut HttpCounts, rows: &mut impl Rows) {
        let pending = &mut self.pending;
        self.responses.read(piece, |met: Met<'_, ResponseHead>| {
            if met == Met::Lost {
                counts.lost_places += 1;
            }
            // Where the end of the response before was not seen, this begins the next.
            if met == Met::Begin && pending.front().is_some_and(|request| request.row.status.is_some()) {
                let before = pending.pop_front()?;
                let end = before.sent;
                before.finish(end, None, counts, rows);
            }
            let Some(request) = pending.front_mut() else {
                // The record of its request is lost.
                let Met::Head(head) = met else { return None };
                return head.is_final().then_some(head.framing);
            };
            request.sent = Some(at);
            match met {
                Met::Begin => {
                    request.row.first_byte_mono_ns.get_or_insert(at.0);
                }
                Met::Head(head) => return request.head(head),
                Met::Body(bytes) => {
                    add_bytes(&mut request.row.response_bytes, bytes.len() as u64);
                    request.read(Some(bytes), at, rows);
                }
                Met::Unseen(bytes) => {
                    add_bytes(&mut request.row.response_bytes, bytes);
                    request.read(None, at, rows);
                }
                Met::Lost => {}
                Met::End => {
                    if let Some(request) = pending.pop_front() {
                        request.finish(Some(at), None, counts, rows);
                    }
                }
            }
            None
        });
    }

    fn finish_first(
        &mut self,
        end: Option<MonoNs>,
        error: Option<RequestError>,
        counts: &mut HttpCounts,
        rows: &mut impl Rows,
    ) {
        if let Some(request) = self.pending.pop_front() {
            request.finish(end, error, counts, rows);
        }
    }
}

impl Pending {
    fn new(cookie: u64, number: u32, event: &SocketEvent, thread: Option<(Tid, Tgid)>) -> Self {
        let row = RequestRow {
            request_id: request_id(cookie, number),
            arrival_mono_ns: event.arrived.unwrap_or(event.at).0,
            send_mono_ns: Some(event.at.0),
            request_bytes: Some(0),
            source: RequestSource::Kernel,
            join_tier: JoinTier::Socket,
            connection: Some(cookie),
            tid: thread.map(|(tid, _)| tid.0),
            tgid: thread.map(|(_, tgid)| tgid.0),
            ..RequestRow::default()
        };
        Self { row, is_wanted: false, is_head: false, events: None, sent: None }
    }

    /// The response's head; answers how its body ends.
    fn head(&mut self, head: ResponseHead) -> Option<Framing> {
        if !head.is_final() {
            return None;
        }
        self.row.status = Some(head.status);
        self.row.response_bytes = Some(0);
        self.row.streamed = head.is_event_stream;
        if head.is_event_stream {
            self.is_wanted = true;
            self.events = Some(Events::new(self.row.endpoint));
        }
        Some(if self.is_head { Framing::Length(0) } else { head.framing })
    }

    /// Bytes of a streamed body, or that some are not known.
    fn read(&mut self, bytes: Option<&[u8]>, at: MonoNs, rows: &mut impl Rows) {
        let Some(events) = &mut self.events else { return };
        let row = &mut self.row;
        let each = |event| match event {
            Event::Tokens => {
                row.first_token_mono_ns.get_or_insert(at.0);
                rows.token(TokenRow {
                    request_id: row.request_id.clone(),
                    index: row.chunks,
                    ts_mono_ns: at.0,
                    source: RequestSource::Kernel,
                });
                row.chunks += 1;
            }
            Event::Error => row.error = Some(RequestError::Server),
        };
        match bytes {
            Some(bytes) => events.read(bytes, each),
            None => events.skip(each),
        }
    }

    fn finish(
        mut self,
        end: Option<MonoNs>,
        error: Option<RequestError>,
        counts: &mut HttpCounts,
        rows: &mut impl Rows,
    ) {
        if !self.is_wanted {
            counts.others += 1;
            return;
        }
        counts.requests += 1;
        let row = &mut self.row;
        row.end_mono_ns = end.map(|end| end.0);
        // An error that the server told is why the client went, if it did.
        row.error = row.error.or(error).or(match row.status {
            Some(status) if !(200..300).contains(&status) => Some(RequestError::Status),
            Some(_) if end.is_some() && row.streamed && row.chunks == 0 => Some(RequestError::Empty),
            _ => None,
        });
        rows.request(self.row);
    }
}

fn add_bytes(sum: &mut Option<u64>, bytes: u64) {
    *sum.get_or_insert(0) += bytes;
}
