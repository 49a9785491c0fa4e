//! The recorded answers of Go's library, and properties that must hold for any text.

mod golden;
mod large;
mod properties;
