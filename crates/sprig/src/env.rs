//! [`Env`]: where time and randomness come from.

use std::fmt;
use std::sync::Arc;

use jiff::Zoned;

type Clock = dyn Fn() -> Zoned + Send + Sync;
type Random = dyn Fn(&mut [u8]) + Send + Sync;

/// The sources of time and randomness.
#[derive(Clone)]
pub struct Env {
    clock: Arc<Clock>,
    random: Arc<Random>,
}

impl Env {
    /// An environment with its own clock, whose time zone is the local one, and its own random bytes.
    pub fn new(
        clock: impl Fn() -> Zoned + Send + Sync + 'static,
        random: impl Fn(&mut [u8]) + Send + Sync + 'static,
    ) -> Env {
        Env { clock: Arc::new(clock), random: Arc::new(random) }
    }

    /// The system's clock, time zone and secure random numbers.
    pub fn system() -> Env {
        Env::new(Zoned::now, |bytes| rand::Rng::fill_bytes(&mut rand::rng(), bytes))
    }

    /// Now, in the local time zone.
    pub(crate) fn now(&self) -> Zoned {
        (self.clock)()
    }

    /// Fills the slice with random bytes.
    pub(crate) fn fill(&self, bytes: &mut [u8]) {
        (self.random)(bytes);
    }

    /// An unbiased random number below `bound`, which must not be 0.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        // Reject what would make the low numbers likelier.
        let limit = u64::MAX - u64::MAX % bound;
        loop {
            let mut bytes = [0; 8];
            self.fill(&mut bytes);
            let number = u64::from_le_bytes(bytes);
            if number < limit {
                return number % bound;
            }
        }
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Env")
    }
}
