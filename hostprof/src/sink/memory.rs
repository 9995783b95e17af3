//! Sinks without a disk: rows kept for tests to look at, and rows dropped for benchmarks of what is
//! before the sink.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Sink, SinkError, Writer};
use crate::table::Table;

type Rows<T> = Arc<Mutex<Vec<T>>>;

/// Keeps every row.
#[derive(Debug, Default)]
pub struct MemorySink(Mutex<HashMap<TypeId, Box<dyn Any + Send>>>);

impl MemorySink {
    fn table<T: Table>(&self) -> Rows<T> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = tables.entry(TypeId::of::<T>()).or_insert_with(|| Box::new(Rows::<T>::default()));
        rows.downcast_ref::<Rows<T>>().cloned().unwrap_or_default()
    }

    /// Takes the rows of a table out, in the order they came.
    pub fn take<T: Table>(&self) -> Vec<T> {
        std::mem::take(&mut *self.table().lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for MemorySink {
    type Writer<T: Table> = MemoryWriter<T>;

    fn writer<T: Table>(&self) -> Result<MemoryWriter<T>, SinkError> {
        Ok(MemoryWriter(self.table()))
    }
}

/// See [`MemorySink`].
pub struct MemoryWriter<T>(Rows<T>);

impl<T: Table> Writer<T> for MemoryWriter<T> {
    fn push(&mut self, row: T) -> Result<(), SinkError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(row);
        Ok(())
    }

    fn tick(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn finish(self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Drops every row.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullSink;

impl Sink for NullSink {
    type Writer<T: Table> = NullWriter;

    fn writer<T: Table>(&self) -> Result<NullWriter, SinkError> {
        Ok(NullWriter)
    }
}

/// See [`NullSink`].
pub struct NullWriter;

impl<T: Table> Writer<T> for NullWriter {
    fn push(&mut self, row: T) -> Result<(), SinkError> {
        std::hint::black_box(row);
        Ok(())
    }

    fn tick(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn finish(self) -> Result<(), SinkError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{LossRow, OffCpuRow};

    #[test]
    fn memory_keeps_each_tables_rows_apart_and_in_order() {
        let sink = MemorySink::default();
        let mut off_cpu = sink.writer::<OffCpuRow>().unwrap();
        let mut loss = sink.writer::<LossRow>().unwrap();
        for tid in [2, 1] {
            off_cpu.push(OffCpuRow { tid, ..OffCpuRow::default() }).unwrap();
        }
        loss.push(LossRow { dropped: 7, ..LossRow::default() }).unwrap();
        assert_eq!(sink.take::<OffCpuRow>().iter().map(|row| row.tid).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(sink.take::<LossRow>()[0].dropped, 7);
        assert_eq!(sink.take::<LossRow>(), []);
    }
}
