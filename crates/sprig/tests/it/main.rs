//! Integration tests: expressions and the answers of real Helm and Sprig, hostile arguments, randomness and clock.

use jiff::tz::TimeZone;
use rand::Rng;

mod environment;
mod golden;
mod hostile;
mod properties;

/// A fixed clock in UTC and the system's random numbers.
fn environment() -> sprig::Env {
    let now = jiff::Timestamp::from_second(1_770_000_000).expect("a moment of 2026").to_zoned(TimeZone::UTC);
    sprig::Env::new(move || now.clone(), |bytes| rand::rng().fill_bytes(bytes))
}
