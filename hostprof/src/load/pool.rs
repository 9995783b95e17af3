//! Connections to the server, kept for the next request: the one that was idle for the shortest time goes first.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
};

use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1::{Builder, SendRequest},
};
use tokio::{net::TcpStream, task::spawn_local};

use super::{
    exchange::Seen,
    failure::Failure,
    socket::{Socket, Stamps},
};

/// A connection, of which one request at a time makes use.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// When what passed.
    pub stamps: Rc<Stamps>,
    /// Its number, from 0 in the order they were made.
    pub number: u64,
    was_used: bool,
}

/// The connections to one server.
pub struct Pool {
    authority: String,
    addresses: Vec<SocketAddr>,
    idle: RefCell<Vec<Connection>>,
    made: Cell<u64>,
}

impl Pool {
    /// Connections to the first of the addresses that answers.
    pub fn new(authority: String, addresses: Vec<SocketAddr>) -> Self {
        Self { authority, addresses, idle: RefCell::default(), made: Cell::new(0) }
    }

    /// Connections made so far.
    pub fn made(&self) -> u64 {
        self.made.get()
    }

    /// Sends a request and reads its response. The connection is kept where the response was read to its end.
    ///
    /// A server may close an idle connection at any time, also while the next request is on its way (RFC 9112, section
    /// 9.3.1): where a used connection turns out closed before any byte of a response, the request is sent over
    /// another. That is no retry.
    ///
    /// # Errors
    ///
    /// What went wrong; `seen` then tells how far it came.
    pub async fn exchange(
        &self,
        request: &Request<Bytes>,
        seen: &mut Seen,
        stream: bool,
    ) -> Result<(), Failure> {
        loop {
            let mut connection = self.connection().await?;
            seen.begin(&connection);
            let was_used = connection.was_used;
            let answer: Result<Response<Incoming>, _> =
                connection.sender.send_request(request.clone().map(Full::new)).await;
            let result = match answer {
                Ok(response) => seen.read(response, stream).await,
                Err(_) if was_used && connection.stamps.first_read.get() == 0 => {
                    seen.reset();
                    continue;
                }
                Err(error) => Err(Failure::exchange(&error)),
            };
            seen.take_stamps();
            if result.is_ok() || seen.end.is_some() {
                connection.was_used = true;
                self.idle.borrow_mut().push(connection);
            }
            return result;
        }
    }

    /// Sends a request over a connection of its own.
    ///
    /// # Errors
    ///
    /// No response begins.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        let mut connection = self.connect().await?;
        connection.sender.send_request(request).await.map_err(|error| Failure::exchange(&error))
    }

    async fn connection(&self) -> Result<Connection, Failure> {
        loop {
            let idle = self.idle.borrow_mut().pop();
            let Some(mut connection) = idle else { return self.connect().await };
            if connection.sender.ready().await.is_ok() {
                return Ok(connection);
            }
        }
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let failed = |error| Failure::connect(&self.authority, &error);
        // Tries each address in turn.
        let stream = TcpStream::connect(&*self.addresses).await.map_err(failed)?;
        let stamps = Rc::new(Stamps::default());
        let socket = Socket::new(stream, Rc::clone(&stamps)).map_err(failed)?;
        let (sender, connection) =
            Builder::new().handshake(socket).await.map_err(|error| Failure::exchange(&error))?;
        // How it ends, the sender and the response tell.
        spawn_local(async move { drop(connection.await) });
        let number = self.made.get();
        self.made.set(number + 1);
        Ok(Connection { sender, stamps, number, was_used: false })
    }
}
