//! What may stand in a column: how a Rust type is stored, written to Arrow and read back.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayBuilder, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, BooleanBuilder,
        PrimitiveArray, PrimitiveBuilder, RecordBatch, StringArray, StringBuilder,
    },
    datatypes::{DataType, Float64Type, Int32Type, UInt16Type, UInt32Type, UInt64Type},
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
    /// Appends a value.
    fn push(store: &mut Self::Store, value: &Self);
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

/// The column of that name.
pub(super) fn column<'a>(
    batch: &'a RecordBatch,
    name: &str,
    nullable: bool,
) -> Result<&'a ArrayRef, ArrowError> {
    let array = batch
        .column_by_name(name)
        .ok_or_else(|| ArrowError::SchemaError(format!("column {name}: missing")))?;
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
    let array = column(batch, name, nullable)?;
    array.as_primitive_opt::<T>().cloned().ok_or_else(|| other_type(name, array))
}

/// Hands a column over; the next is as long as a rule, and has room for it.
pub(super) fn finish_primitive<T: ArrowPrimitiveType>(store: &mut PrimitiveBuilder<T>) -> PrimitiveArray<T> {
    let rows = store.len();
    let array = store.finish();
    *store = PrimitiveBuilder::with_capacity(rows);
    array
}

macro_rules! primitive_cell {
    ($type:ty, $arrow:ty) => {
        impl Cell for $type {
            type Store = PrimitiveBuilder<$arrow>;
            type View = PrimitiveArray<$arrow>;
            const NULLABLE: bool = false;

            fn data_type() -> DataType {
                <$arrow as ArrowPrimitiveType>::DATA_TYPE
            }
            #[inline]
            fn push(store: &mut Self::Store, value: &Self) {
                store.append_value(*value);
            }
            fn finish(store: &mut Self::Store) -> ArrayRef {
                Arc::new(finish_primitive(store))
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
            type Store = PrimitiveBuilder<$arrow>;
            type View = PrimitiveArray<$arrow>;
            const NULLABLE: bool = true;

            fn data_type() -> DataType {
                <$arrow as ArrowPrimitiveType>::DATA_TYPE
            }
            #[inline]
            fn push(store: &mut Self::Store, value: &Self) {
                store.append_option(*value);
            }
            fn finish(store: &mut Self::Store) -> ArrayRef {
                Arc::new(finish_primitive(store))
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
primitive_cell!(f64, Float64Type);

impl Cell for bool {
    type Store = BooleanBuilder;
    type View = BooleanArray;
    const NULLABLE: bool = false;

    fn data_type() -> DataType {
        DataType::Boolean
    }
    #[inline]
    fn push(store: &mut Self::Store, value: &Self) {
        store.append_value(*value);
    }
    fn finish(store: &mut Self::Store) -> ArrayRef {
        Arc::new(store.finish())
    }
    fn view(batch: &RecordBatch, name: &str) -> Result<Self::View, ArrowError> {
        let array = column(batch, name, false)?;
        array.as_boolean_opt().cloned().ok_or_else(|| other_type(name, array))
    }
    #[inline]
    fn get(view: &Self::View, row: usize) -> Self {
        view.value(row)
    }
}

fn strings(batch: &RecordBatch, name: &str, nullable: bool) -> Result<StringArray, ArrowError> {
    let array = column(batch, name, nullable)?;
    array.as_string_opt::<i32>().cloned().ok_or_else(|| other_type(name, array))
}

impl Cell for String {
    type Store = StringBuilder;
    type View = StringArray;
    const NULLABLE: bool = false;

    fn data_type() -> DataType {
        DataType::Utf8
    }
    #[inline]
    fn push(store: &mut Self::Store, value: &Self) {
        store.append_value(value);
    }
    fn finish(store: &mut Self::Store) -> ArrayRef {
        Arc::new(store.finish())
    }
    fn view(batch: &RecordBatch, name: &str) -> Result<Self::View, ArrowError> {
        strings(batch, name, false)
    }
    #[inline]
    fn get(view: &Self::View, row: usize) -> Self {
        view.value(row).to_owned()
    }
}

impl Cell for Option<String> {
    type Store = StringBuilder;
    type View = StringArray;
    const NULLABLE: bool = true;

    fn data_type() -> DataType {
        DataType::Utf8
    }
    #[inline]
    fn push(store: &mut Self::Store, value: &Self) {
        store.append_option(value.as_deref());
    }
    fn finish(store: &mut Self::Store) -> ArrayRef {
        Arc::new(store.finish())
    }
    fn view(batch: &RecordBatch, name: &str) -> Result<Self::View, ArrowError> {
        strings(batch, name, true)
    }
    #[inline]
    fn get(view: &Self::View, row: usize) -> Self {
        view.is_valid(row).then(|| view.value(row).to_owned())
    }
}
