//! Recursion that cannot overflow the native stack.

/// Room that must be left before one more level of recursion: many times what a level takes.
const RED_ZONE: usize = 128 * 1024;

/// Size of each further piece of stack.
const PIECE: usize = 4 * 1024 * 1024;

/// Runs one level of a recursion, on a fresh piece of stack when the current one is nearly used up.
pub fn grow<T>(level: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(RED_ZONE, PIECE, level)
}
