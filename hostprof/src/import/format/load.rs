//! The log of `hostprof load`: a header, and a request a line, on CLOCK_MONOTONIC.

use serde::Deserialize;

use super::parse;
use crate::{
    import::{
        Clock, Found, Place, Told,
        number::{id, word},
    },
    load::{FORMAT, LogRow},
    table::RequestSource,
};

#[derive(Deserialize)]
struct Header {
    format: Option<String>,
    mono_ns: Option<u64>,
    wall_ns: Option<u64>,
}

/// Reads a line.
pub fn read(json: &[u8], place: Place, found: &mut Found) -> Result<(), String> {
    let header: Header = parse(json)?;
    if let Some(format) = header.format {
        if format != FORMAT {
            return Err("another version of the log".to_owned());
        }
        found.anchor = header.mono_ns.zip(header.wall_ns);
        return Ok(());
    }
    let LogRow { request: mut row, token_mono_ns, .. } = parse(json)?;
    row.request_id = id(&row.request_id).ok_or("no request_id")?;
    if row.arrival_mono_ns == 0 {
        return Err("no arrival_mono_ns".to_owned());
    }
    row.finish_reason = row.finish_reason.as_deref().and_then(word);
    row.chunks = token_mono_ns.len() as u32;
    row.source = RequestSource::Load;
    (row.tid, row.tgid, row.kernel_id, row.client_id) = (None, None, None, None);
    let clock = Clock::Monotonic(found.anchor);
    found.take(Told { place, clock, rounding_ns: 0, row, token_ns: token_mono_ns });
    Ok(())
}
