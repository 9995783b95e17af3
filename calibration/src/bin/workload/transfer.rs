//! Bytes through sockets: how many is known, and what else passes must not be counted with them.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
};

use anyhow::{Context, Result};
use serde_json::json;

use crate::{report::Report, thread::start};

/// Of each write.
const CHUNK_BYTES: usize = 1 << 16;

pub(crate) fn run(report: &Report, bytes: u64, ipv6: bool, other_bytes: u64) -> Result<()> {
    let address: SocketAddr =
        if ipv6 { (Ipv6Addr::LOCALHOST, 0).into() } else { (Ipv4Addr::LOCALHOST, 0).into() };
    let listener = TcpListener::bind(address).context("listen")?;
    let address = listener.local_addr().context("listen")?;
    report.ready("transfer", json!({"bytes": bytes}));
    let sender = start("sender", move || TcpStream::connect(address).and_then(|out| write(out, bytes)))?;
    let (inward, _) = listener.accept().context("accept")?;
    let receiver = start("receiver", move || {
        let peeked = inward.peek(&mut vec![0; CHUNK_BYTES])?;
        io::Result::Ok((peeked, read(inward)?))
    })?;
    let sent = sender.join(report)?.context("send")?;
    let (peeked, received) = receiver.join(report)?.context("receive")?;

    let (out, inward) = UnixStream::pair().context("make a socket pair")?;
    let writer = start("unix", move || write(out, other_bytes))?;
    let other = read(inward).context("read from a socket pair")?;
    writer.join(report)?.context("write to a socket pair")?;
    report.done(json!({"sent": sent, "received": received, "peeked": peeked, "other": other}));
    Ok(())
}

fn write(mut out: impl Write, bytes: u64) -> io::Result<u64> {
    let chunk = vec![7; CHUNK_BYTES];
    let mut left = bytes;
    while left > 0 {
        let part = left.min(CHUNK_BYTES as u64);
        out.write_all(&chunk[..part as usize])?;
        left -= part;
    }
    Ok(bytes)
}

fn read(mut inward: impl Read) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut bytes = 0;
    loop {
        match inward.read(&mut buffer)? {
            0 => return Ok(bytes),
            read => bytes += read as u64,
        }
    }
}
