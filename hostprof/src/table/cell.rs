//! What may stand in a column: how a Rust type is stored, written to Arrow and read back.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, BooleanBuilder, PrimitiveArray,
        PrimitiveBuilder, RecordBatch, StringArray, StringBuilder,
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

    /// Its type in Arrow.
    fn data_type() -> DataType;
    /// Appends a value.
    fn push(store: &mut Self::Store, value: Self);
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

macro_rules! primitive_cell {
    ($type:ty, $arrow:ty) => {
        impl Cell for $type {
            type Store = PrimitiveBuilder<$arrow>;
            type View = PrimitiveArray<$arrow>;
            const NULLABLE: bool = false;

            fn data_type() -> DataType {
                <$arrow as ArrowPrimitiveType>::DATA_TYPE
            }
            fn push(store: &mut Self::Store, value: Self) {
                store.append_value(value);
            }
            fn finish(store: &mut Self::Store) -> ArrayRef {
                Arc::new(store.finish())
            }
            fn view(batch: &RecordBatch, name: &str) -> Result<Self::View, ArrowError> {
                primitive(batch, name, false)
            }
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
            fn push(store: &mut Self::Store, value: Self) {
                store.append_option(value);
            }
            fn finish(store: &mut Self::Store) -> ArrayRef {
                Arc::new(store.finish())
            }
            fn view(batch: &RecordBatch, name: &str) -> Result<Self::View, ArrowError> {
                primitive(batch, name, true)
            }
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
    fn push(store: &mut Self::Store, value: Self) {
        store.append_value(value);
    }
    fn finish(store: &mut Self::Store) -> ArrayRef {
        Arc::new(store.finish())
    }
    fn view(batch: &RecordBatch, name: &str) -> Result<Self::View, ArrowError> {
        let array = column(batch, name, false)?;
        array.as_boolean_opt().cloned().ok_or_else(|| other_type(name, array))
    }
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
    fn push(store: &mut Self::Store, value: Self) {
        store.append_value(value);
    }
    fn finish(store: &mut Self::Store) -> ArrayRef {
        Arc::new(store.finish())
    }
    fn view(batch: &RecordBatch, name: &str) -> Result<Self::View, ArrowError> {
        strings(batch, name, false)
    }
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
    fn push(store: &mut Self::Store, value: Self) {
        store.append_option(value);
    }
    fn finish(store: &mut Self::Store) -> ArrayRef {
        Arc::new(store.finish())
    }
    fn view(batch: &RecordBatch, name: &str) -> Result<Self::View, ArrowError> {
        strings(batch, name, true)
    }
    fn get(view: &Self::View, row: usize) -> Self {
        view.is_valid(row).then(|| view.value(row).to_owned())
    }
}
