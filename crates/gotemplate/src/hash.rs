//! Hash tables of names: a hash that is quick, and yet differs from process to process.

use foldhash::fast::RandomState;

pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;
