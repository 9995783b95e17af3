//! Closed lists of words: an enum in the code, a dictionary in memory, a string in Parquet and SQL.

use std::{marker::PhantomData, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, DictionaryArray, RecordBatch, StringArray},
    compute::cast,
    datatypes::{DataType, UInt8Type},
    error::ArrowError,
};

use super::cell::{PrimitiveStore, column, other_type};

/// An enum whose values are words.
pub trait Word: Copy + Sized + 'static {
    /// All of them, in order.
    const ALL: &'static [Self];
    /// The word.
    fn word(self) -> &'static str;
    /// Its place in [`Word::ALL`].
    fn index(self) -> usize;
    /// The value of a word.
    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.word() == word)
    }
}

/// Declares an enum of words.
macro_rules! words {
    (
        $(#[$meta:meta])*
        $name:ident {
            $( $(#[$value_meta:meta])* $value:ident = $word:literal, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $( $(#[$value_meta])* #[serde(rename = $word)] $value, )+
        }

        impl $crate::table::Word for $name {
            const ALL: &'static [Self] = &[$(Self::$value),+];
            fn word(self) -> &'static str {
                match self { $(Self::$value => $word,)+ }
            }
            #[inline]
            fn index(self) -> usize {
                self as usize
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad($crate::table::Word::word(*self))
            }
        }

        $crate::table::word::word_cell!($name);
    };
}
pub(super) use words;

/// A column of words under construction: keys into [`Word::ALL`].
pub struct WordStore<W> {
    keys: PrimitiveStore<UInt8Type>,
    words: ArrayRef,
    word: PhantomData<W>,
}

impl<W: Word> Default for WordStore<W> {
    fn default() -> Self {
        let words = StringArray::from_iter_values(W::ALL.iter().map(|value| value.word()));
        Self { keys: PrimitiveStore::default(), words: Arc::new(words), word: PhantomData }
    }
}

impl<W: Word> WordStore<W> {
    #[inline]
    pub(super) fn extend(&mut self, values: impl ExactSizeIterator<Item = Option<W>> + Clone) {
        self.keys.extend_options(values.map(|value| value.map(|value| value.index() as u8)));
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        let keys = self.keys.finish();
        match DictionaryArray::<UInt8Type>::try_new(keys, Arc::clone(&self.words)) {
            Ok(array) => Arc::new(array),
            // Keys come from `index`, below the number of words.
            Err(_) => Arc::new(StringArray::new_null(0)),
        }
    }
}

/// The type of a column of words in a batch.
pub(super) fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8))
}

/// A column of words being read: the value of each row.
pub struct WordView<W>(Vec<Option<W>>);

impl<W: Word> WordView<W> {
    pub(super) fn new(batch: &RecordBatch, name: &str, nullable: bool) -> Result<Self, ArrowError> {
        let array = column(batch, name, nullable, &dictionary())?;
        let array = if *array.data_type() == dictionary() { array } else { cast(&array, &dictionary())? };
        let dictionary =
            array.as_dictionary_opt::<UInt8Type>().ok_or_else(|| other_type(name, array.as_ref()))?;
        let words =
            dictionary.values().as_string_opt::<i32>().ok_or_else(|| other_type(name, array.as_ref()))?;
        // A dictionary may hold words that no row has, and one for null.
        let values: Vec<Option<W>> =
            words.iter().map(|word| W::from_word(word.unwrap_or_default())).collect();
        let keys = dictionary.keys();
        let values: Vec<Option<W>> =
            keys.iter().map(|key| key.and_then(|key| values[usize::from(key)])).collect();
        if let Some(row) = (0..values.len()).find(|&row| values[row].is_none() && keys.is_valid(row)) {
            let word = words.value(usize::from(keys.value(row)));
            return Err(ArrowError::SchemaError(format!("column {name}: unknown value {word:?}")));
        }
        Ok(Self(values))
    }

    #[inline]
    pub(super) fn get(&self, row: usize) -> Option<W> {
        self.0[row]
    }
}

/// Makes a [`Word`] a [`Cell`], with and without null.
macro_rules! word_cell {
    ($name:ident) => {
        $crate::table::word::word_cell!($name, $name, false, |value| Some(value), |got| got
            .unwrap_or_default());
        $crate::table::word::word_cell!($name, Option<$name>, true, |value| value, |got| got);
    };
    ($name:ident, $cell:ty, $nullable:literal, |$value:ident| $stored:expr, |$got:ident| $read:expr) => {
        impl $crate::table::Cell for $cell {
            type Store = $crate::table::word::WordStore<$name>;
            type View = $crate::table::word::WordView<$name>;
            const NULLABLE: bool = $nullable;

            fn data_type() -> arrow::datatypes::DataType {
                arrow::datatypes::DataType::Utf8
            }
            fn batch_type() -> arrow::datatypes::DataType {
                $crate::table::word::dictionary()
            }
            fn words() -> Vec<&'static str> {
                let words = <$name as $crate::table::Word>::ALL;
                words.iter().map(|value| $crate::table::Word::word(*value)).collect()
            }
            #[inline]
            fn extend<'a>(store: &mut Self::Store, values: impl ExactSizeIterator<Item = &'a Self> + Clone) {
                store.extend(values.copied().map(|$value| $stored));
            }
            fn finish(store: &mut Self::Store) -> arrow::array::ArrayRef {
                store.finish()
            }
            fn view(
                batch: &arrow::array::RecordBatch,
                name: &str,
            ) -> Result<Self::View, arrow::error::ArrowError> {
                Self::View::new(batch, name, $nullable)
            }
            #[inline]
            fn get(view: &Self::View, row: usize) -> Self {
                let $got = view.get(row);
                $read
            }
        }
    };
}
pub(super) use word_cell;
