//! What may stand in a column: how a Rust type is stored, written to Arrow and read back.

use std::{borrow::Cow, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, RecordBatch, StringArray,
        StringBuilder, new_null_array,
    },
    buffer::{BooleanBuffer, NullBuffer},
    datatypes::{DataType, Float64Type, Int32Type, Int64Type, UInt16Type, UInt32Type, UInt64Type},
    error::ArrowError,
};

/// A type that can be a column.
pub trait Cell: Sized {
    /// A column under construction.
    type Store: Default + Send;
    /// A column being read.
    type View;
    /// Whether null is among its values.
    const NULLABLE: bool;

    /// Its type in Arrow and in files.
    fn data_type() -> DataType;
    /// Its type in a batch in memory, which writers and readers of files take in place of `data_type`.
    fn batch_type() -> DataType {
        Self::data_type()
    }
    /// The words it may hold, for a column of a closed list of them.
    fn words() -> Vec<&'static str> {
        Vec::new()
    }
    /// Appends values.
    fn extend<'a>(store: &mut Self::Store, values: impl ExactSizeIterator<Item = &'a Self> + Clone)
    where
        Self: 'a;
    /// Hands the column over and starts anew.
    fn finish(store: &mut Self::Store) -> ArrayRef;
    /// Finds the column in a batch.
    ///
    /// # Errors
    ///
    /// It is missing, of another type, or holds a null where none may be.
    fn view(batch: &RecordBatch, name: &str) -> Result<Self::View, ArrowError>;
    /// The value of a row.
    fn get(view: &Self::View, row: usize) -> Self;
}

/// The column of that name. One that may be null and is not there, since an earlier version had none, is null.
pub(super) fn column(
    batch: &RecordBatch,
    name: &str,
    nullable: bool,
    data_type: &DataType,
) -> Result<ArrayRef, ArrowError> {
    let array = match batch.column_by_name(name) {
        Some(array) => Arc::clone(array),
        None if nullable => new_null_array(data_type, batch.num_rows()),
        None => return Err(ArrowError::SchemaError(format!("column {name}: missing"))),
    };
    if !nullable && array.null_count() > 0 {
        return Err(ArrowError::SchemaError(format!("column {name}: null where none may be")));
    }
    Ok(array)
}

/// The error for a column of another type.
pub(super) fn other_type(name: &str, array: &dyn Array) -> ArrowError {
    ArrowError::SchemaError(format!("column {name}: unexpected type {}", array.data_type()))
}

fn primitive<T: ArrowPrimitiveType>(
    batch: &RecordBatch,
    name: &str,
    nullable: bool,
) -> Result<PrimitiveArray<T>, ArrowError> {
    let array = column(batch, name, nullable, &T::DATA_TYPE)?;
    array.as_primitive_opt::<T>().cloned().ok_or_else(|| other_type(name, &array))
}

/// Bits under construction, gathered a word at a time, which costs a fraction of bit by bit.
#[derive(Default)]
struct Bits {
    words: Vec<u64>,
    count: usize,
    ones: usize,
}

impl Bits {
    #[inline]
    fn extend(&mut self, mut bits: impl ExactSizeIterator<Item = bool>) {
        while bits.len() > 0 {
            let count = bits.len().min(64);
            let word = (0..count).fold(0, |word, at| word | u64::from(bits.next().unwrap_or_default()) << at);
            self.append(word, count);
        }
    }

    /// Appends the lowest bits of a word, of which the others are zero.
    #[inline]
    fn append(&mut self, word: u64, count: usize) {
        let used = self.count % 64;
        match self.words.last_mut() {
            Some(last) if used > 0 => {
                *last |= word << used;
                if used + count > 64 {
                    self.words.push(word >> (64 - used));
                }
            }
            _ => self.words.push(word),
        }
        self.count += count;
        self.ones += word.count_ones() as usize;
    }

    fn are_all_ones(&self) -> bool {
        self.ones == self.count
    }

    /// Hands the bits over and starts anew.
    fn finish(&mut self) -> BooleanBuffer {
        let Self { words, count, .. } = std::mem::take(self);
        BooleanBuffer::new(words.into(), 0, count)
    }
}

/// A column of numbers under construction: a slice of rows costs a few instructions a value, where
/// arrow's own builder, a value at a time, costs ten times that.
pub struct PrimitiveStore<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    /// Which rows have one, in a column where not all need to.
    valid: Bits,
}

impl<T: ArrowPrimitiveType> Default for PrimitiveStore<T> {
    fn default() -> Self {
        Self { values: Vec::new(), valid: Bits::default() }
    }
}

impl<T: ArrowPrimitiveType> PrimitiveStore<T> {
    /// Appends values of which none is null, to a column that has no nulls.
    #[inline]
    fn extend(&mut self, values: impl Iterator<Item = T::Native>) {
        self.values.extend(values);
    }

    /// Appends values.
    #[inline]
    pub(super) fn extend_options(
        &mut self,
        values: impl ExactSizeIterator<Item = Option<T::Native>> + Clone,
    ) {
        self.valid.extend(values.clone().map(|value| value.is_some()));
        self.values.extend(values.map(Option::unwrap_or_default));
    }

    /// Hands the column over; the next is as long as a rule, and has room for it.
    pub(super) fn finish(&mut self) -> PrimitiveArray<T> {
        let room = Vec::with_capacity(self.values.len());
        let values = std::mem::replace(&mut self.values, room);
        let nulls = if self.valid.are_all_ones() { None } else { Some(NullBuffer::new(self.valid.finish())) };
        self.valid = Bits::default();
        PrimitiveArray::new(values.into(), nulls)
    }
}

macro_rules! primitive_cell {
    ($type:ty, $arrow:ty) => {
        impl Cell for $type {
            type Store = PrimitiveStore<$arrow>;
            type View = PrimitiveArray<$arrow>;
            const NULLABLE: bool = false;

            fn data_type() -> DataType {
                <$arrow as ArrowPrimitiveType>::DATA_TYPE
            }
            #[inline]
            fn extend<'a>(store: &mut Self::Store, values: impl ExactSizeIterator<Item = &'a Self> + Clone) {
                store.extend(values.copied());
            }
            fn finish(store: &mut Self::Store) -> ArrayRef {
                Arc::new(store.finish())
            }
            fn view(batch: &RecordBatch, name: &str) -> Result<Self::View, ArrowError> {
                primitive(batch, name, false)
            }
            #[inline]
            fn get(view: &Self::View, row: usize) -> Self {
                view.value(row)
            }
        }

        impl Cell for Option<$type> {
            type Store = PrimitiveStore<$arrow>;
            type View = PrimitiveArray<$arrow>;
            const NULLABLE: bool = true;

            fn data_type() -> DataType {
                <$arrow as ArrowPrimitiveType>::DATA_TYPE
            }
            #[inline]
            fn extend<'a>(store: &mut Self::Store, values: impl ExactSizeIterator<Item = &'a Self> + Clone) {
                store.extend_options(values.copied());
            }
            fn finish(store: &mut Self::Store) -> ArrayRef {
                Arc::new(store.finish())
            }
            fn view(batch: &RecordBatch, name: &str) -> Result<Self::View, ArrowError> {
                primitive(batch, name, true)
            }
            #[inline]
            fn get(view: &Self::View, row: usize) -> Self {
                view.is_valid(row).then(|| view.value(row))
            }
        }
    };
}

primitive_cell!(u64, UInt64Type);
primitive_cell!(u32, UInt32Type);
primitive_cell!(u16, UInt16Type);
primitive_cell!(i32, Int32Type);
primitive_cell!(i64, Int64Type);
primitive_cell!(f64, Float64Type);

/// A column of bits under construction.
#[derive(Default)]
pub struct BitStore(Bits);

impl Cell for bool {
    type Store = BitStore;
    type View = BooleanArray;
    const NULLABLE: bool = false;

    fn data_type() -> DataType {
        DataType::Boolean
    }
    #[inline]
    fn extend<'a>(store: &mut Self::Store, values: impl ExactSizeIterator<Item = &'a Self> + Clone) {
        store.0.extend(values.copied());
    }
    fn finish(store: &mut Self::Store) -> ArrayRef {
        Arc::new(BooleanArray::new(store.0.finish(), None))
    }
    fn view(batch: &RecordBatch, name: &str) -> Result<Self::View, ArrowError> {
        let array = column(batch, name, false, &DataType::Boolean)?;
        array.as_boolean_opt().cloned().ok_or_else(|| other_type(name, &array))
    }
    #[inline]
    fn get(view: &Self::View, row: usize) -> Self {
        view.value(row)
    }
}

fn strings(batch: &RecordBatch, name: &str, nullable: bool) -> Result<StringArray, ArrowError> {
    let array = column(batch, name, nullable, &DataType::Utf8)?;
    array.as_string_opt::<i32>().cloned().ok_or_else(|| other_type(name, &array))
}

/// Text, in whichever type holds it: most is one of few names, which then cost no allocation.
macro_rules! text_cell {
    ($type:ty, $from:expr) => {
        impl Cell for $type {
            type Store = StringBuilder;
            type View = StringArray;
            const NULLABLE: bool = false;

            fn data_type() -> DataType {
                DataType::Utf8
            }
            #[inline]
            fn extend<'a>(store: &mut Self::Store, values: impl ExactSizeIterator<Item = &'a Self> + Clone) {
                values.for_each(|value| store.append_value(value));
            }
            fn finish(store: &mut Self::Store) -> ArrayRef {
                Arc::new(store.finish())
            }
            fn view(batch: &RecordBatch, name: &str) -> Result<Self::View, ArrowError> {
                strings(batch, name, false)
            }
            #[inline]
            fn get(view: &Self::View, row: usize) -> Self {
                $from(view.value(row).to_owned())
            }
        }

        impl Cell for Option<$type> {
            type Store = StringBuilder;
            type View = StringArray;
            const NULLABLE: bool = true;

            fn data_type() -> DataType {
                DataType::Utf8
            }
            #[inline]
            fn extend<'a>(store: &mut Self::Store, values: impl ExactSizeIterator<Item = &'a Self> + Clone) {
                values.for_each(|value| store.append_option(value.as_deref()));
            }
            fn finish(store: &mut Self::Store) -> ArrayRef {
                Arc::new(store.finish())
            }
            fn view(batch: &RecordBatch, name: &str) -> Result<Self::View, ArrowError> {
                strings(batch, name, true)
            }
            #[inline]
            fn get(view: &Self::View, row: usize) -> Self {
                view.is_valid(row).then(|| $from(view.value(row).to_owned()))
            }
        }
    };
}

text_cell!(String, std::convert::identity);
text_cell!(Cow<'static, str>, Cow::Owned);
