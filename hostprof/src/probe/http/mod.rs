//! Requests to the target's HTTP servers, rebuilt from what happens on their connections.
//!
//! Reads the events of each connection in time order, with the beginning of what was moved; yields rows of `request`
//! and `token`. A request is one to a known endpoint of LLM servers, or one that is answered by a stream of events;
//! others (metrics, health checks) are counted. Text is looked at here and nowhere kept.

mod connection;
mod events;
mod head;
mod message;

use std::{collections::HashMap, ops::AddAssign};

use hostprof_common::http::{Head, op};

use self::connection::Connection;
use super::Rows;
use crate::units::{MonoNs, Tgid, Tid, Utid};

/// What happened on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The server received bytes, or with none learnt that the client sends no more.
    Receive,
    /// The server sent bytes.
    Send,
    /// The client closed its side.
    ClientClosed,
    /// The server closed its side.
    ServerClosed,
    /// The connection is gone.
    Gone,
}

/// An event of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketEvent {
    /// What happened.
    pub what: What,
    /// The thread that did it; 0 for a change of state.
    pub utid: Utid,
    /// When the call had done its work.
    pub at: MonoNs,
    /// When the first byte of a receive had reached the socket, where that was seen.
    pub arrived: Option<MonoNs>,
    /// Which connection.
    pub connection: u64,
    /// How many bytes it moved.
    pub length: u32,
    /// The first of them.
    pub text: Box<[u8]>,
    /// Bytes of its record in the ring.
    pub wire_bytes: usize,
}

impl SocketEvent {
    /// From a record's head and its room for text. `None` where the head says what this version does not know.
    pub fn decode(head: &Head, text: &[u8]) -> Option<Self> {
        let what = match head.op {
            op::RECEIVE => What::Receive,
            op::SEND => What::Send,
            op::CLIENT_CLOSED => What::ClientClosed,
            op::SERVER_CLOSED => What::ServerClosed,
            op::GONE => What::Gone,
            _ => return None,
        };
        let known = text.len().min(head.text_length as usize).min(head.length as usize);
        Some(Self {
            what,
            utid: Utid(head.utid),
            at: MonoNs(head.at_ns),
            arrived: (head.arrived_ns != 0).then_some(MonoNs(head.arrived_ns)),
            connection: head.connection,
            length: head.length,
            text: text[..known].into(),
            wire_bytes: size_of::<Head>() + text.len(),
        })
    }
}

/// What was seen beside the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct HttpCounts {
    /// Requests that are rows.
    pub requests: u64,
    /// Requests that are none: metrics, health checks, pages.
    pub others: u64,
    /// Times the place in a message was lost, since its text was not seen.
    pub lost_places: u64,
}

impl AddAssign for HttpCounts {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.others += other.others;
        self.lost_places += other.lost_places;
    }
}

/// The fold of all connections.
#[derive(Debug, Default)]
pub struct Http {
    connections: HashMap<u64, Connection>,
    counts: HttpCounts,
}

impl Http {
    /// What was seen so far.
    pub fn counts(&self) -> HttpCounts {
        self.counts
    }

    /// Folds one event; `thread` is the one that did it.
    pub fn event(&mut self, event: &SocketEvent, thread: Option<(Tid, Tgid)>, rows: &mut impl Rows) {
        let connection =
            self.connections.entry(event.connection).or_insert_with(|| Connection::new(event.connection));
        connection.event(event, thread, &mut self.counts, rows);
        if event.what == What::Gone {
            self.connections.remove(&event.connection);
        }
    }

    /// Requests that are not answered in full.
    pub fn in_flight(&self) -> usize {
        self.connections.values().map(Connection::in_flight).sum()
    }

    /// Recording ends: requests in flight become rows without an end.
    pub fn finish(&mut self, rows: &mut impl Rows) {
        let mut connections: Vec<_> = self.connections.drain().collect();
        connections.sort_unstable_by_key(|(cookie, _)| *cookie);
        for (_, mut connection) in connections {
            connection.finish(&mut self.counts, rows);
        }
    }
}

/// The id of a connection's request.
fn request_id(connection: u64, number: u32) -> String {
    format!("{connection:x}-{number}")
}

#[cfg(test)]
mod tests;
