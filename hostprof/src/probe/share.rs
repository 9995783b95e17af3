//! Which of several folds beside each other a record is for.

use hostprof_common::RecordKind;

use crate::units::Utid;

/// Where a record has its thread's number: all but those of connections are told apart by it.
const UTID_AT: usize = 4;

/// The threads of a recording that are one fold's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    number: usize,
    of: usize,
}

impl Share {
    /// All threads.
    pub const WHOLE: Self = Self { number: 0, of: 1 };

    /// The shares of so many folds.
    pub fn among(folds: usize) -> impl Iterator<Item = Self> {
        (0..folds).map(move |number| Self { number, of: folds })
    }

    /// Whether that thread is among them.
    #[inline]
    pub fn has(self, utid: Utid) -> bool {
        fold_of(utid.0, self.of) == self.number
    }

    /// Whether it is that of the first fold, which has what is no thread's as well.
    pub fn is_first(self) -> bool {
        self.number == 0
    }
}

/// The fold, among so many, that a record is for: the one that has its thread. Connections, which know no one thread,
/// are the first's.
#[inline]
pub fn fold_of_record(record: &[u8], folds: usize) -> usize {
    if folds == 1 {
        return 0;
    }
    let kind = record.first_chunk().map(|kind| u16::from_ne_bytes(*kind));
    let utid = record.get(UTID_AT..).and_then(<[u8]>::first_chunk).map(|utid| u32::from_ne_bytes(*utid));
    match (kind.and_then(RecordKind::from_u16), utid) {
        (Some(RecordKind::HttpShort | RecordKind::HttpLong), _) | (_, None) => 0,
        (_, Some(utid)) => fold_of(utid, folds),
    }
}

/// Threads are numbered as they come: those made together, which are busy together, are dealt out in turn.
#[inline]
fn fold_of(utid: u32, folds: usize) -> usize {
    utid as usize % folds
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use hostprof_common::{episode, function, http, nvidia, shed, span};

    use super::*;

    #[test]
    fn every_record_of_a_thread_has_its_number_at_the_same_place() {
        assert_eq!(offset_of!(episode::Runnable, head) + offset_of!(episode::Head, utid), UTID_AT);
        assert_eq!(offset_of!(episode::Blocked, head) + offset_of!(episode::Head, utid), UTID_AT);
        assert_eq!(offset_of!(span::Span, utid), UTID_AT);
        assert_eq!(offset_of!(nvidia::Ioctl, span) + offset_of!(span::Span, utid), UTID_AT);
        assert_eq!(offset_of!(shed::Counted, utid), UTID_AT);
        assert_eq!(offset_of!(function::Call, utid), UTID_AT);
    }

    #[test]
    fn a_thread_is_in_one_share_and_its_records_go_there() {
        for utid in 1..50_u32 {
            let mut record = [0; size_of::<span::Span>()];
            record[..2].copy_from_slice(&(RecordKind::Span as u16).to_ne_bytes());
            record[UTID_AT..UTID_AT + 4].copy_from_slice(&utid.to_ne_bytes());
            let with: Vec<usize> = (0..)
                .zip(Share::among(4))
                .filter(|(_, share)| share.has(Utid(utid)))
                .map(|(at, _)| at)
                .collect();
            assert_eq!(with, [fold_of_record(&record, 4)]);
            assert!(Share::WHOLE.has(Utid(utid)));
        }
    }

    #[test]
    fn a_connection_is_the_first_folds_whoever_called() {
        let mut record = [0; size_of::<http::Head>()];
        record[..2].copy_from_slice(&(RecordKind::HttpShort as u16).to_ne_bytes());
        record[UTID_AT] = 3;
        assert_eq!(fold_of_record(&record, 4), 0);
    }
}
