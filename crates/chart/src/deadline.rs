//! Work of others' code that has no bound of its own: given up when it takes too much processor time.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How often one looks.
const LOOK: Duration = Duration::from_millis(50);

/// Where the system does not tell a thread's processor time, time on the clock counts, as so many times as much.
const CLOCK: u32 = 20;

/// Does the work on a thread of its own, and gives its result; `None` when it takes more than `most` processor time. How
/// busy the machine is makes no difference. The thread goes on for nobody then, until the process ends.
pub(crate) fn within<T: Send + 'static>(most: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (result, done) = channel();
    let (name, named) = channel();
    let begun = Instant::now();
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(move || {
        // Nobody may be waiting any more.
        let _ = name.send(std::fs::read_link("/proc/thread-self").ok());
        let _ = result.send(work());
    });
    thread.ok()?;
    let own = named.recv().ok().flatten();
    loop {
        match done.recv_timeout(LOOK) {
            Ok(result) => return Some(result),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let too_long = match own.as_deref().and_then(processor_time) {
            Some(taken) => taken > most,
            None => begun.elapsed() > most * CLOCK,
        };
        if too_long {
            return None;
        }
    }
}

/// The processor time of a thread of this process, which Linux gives in nanoseconds.
fn processor_time(thread: &Path) -> Option<Duration> {
    let text = std::fs::read_to_string(Path::new("/proc").join(thread).join("schedstat")).ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_or_given_up() {
        assert_eq!(within(Duration::from_secs(60), || 7), Some(7));
        let endless = || loop {
            std::hint::spin_loop();
            if std::env::var_os("HUSK_NO_SUCH_VARIABLE").is_some() {
                break;
            }
        };
        assert_eq!(within(Duration::from_millis(10), endless), None);
    }
}
