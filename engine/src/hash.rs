//! Hash tables where what is asked for a message is found. The standard library's hasher took one instruction in
//! twenty of an API message; this one is seeded per process as well, so nobody from outside can make keys collide by
//! knowing the code. Their order means as little as that of the standard tables.

/// How keys are hashed.
pub type Hashing = foldhash::fast::RandomState;
/// A table.
pub type HashMap<K, V> = std::collections::HashMap<K, V, Hashing>;
/// A set.
pub type HashSet<K> = std::collections::HashSet<K, Hashing>;
