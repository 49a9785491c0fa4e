//! A work queue of keys: each key is worked on by one worker at a time and never waits twice.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The first delay after a failed attempt; it doubles with each further one.
const RETRY_FIRST: Duration = Duration::from_millis(20);
/// The longest delay between two attempts.
const RETRY_LAST: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct State<T> {
    ready: VecDeque<T>,
    /// In `ready`.
    waiting: HashSet<T>,
    /// Handed out by [`Queue::next`] and not yet done.
    active: HashSet<T>,
    /// Added again while active.
    again: HashSet<T>,
    /// The earliest timer of a key.
    timers: HashMap<T, Instant>,
    failures: HashMap<T, u32>,
}

/// A queue of keys to be brought to their desired state; clones share it.
#[derive(Debug)]
pub struct Queue<T> {
    state: Arc<Mutex<State<T>>>,
    wake: Arc<Notify>,
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Queue { state: self.state.clone(), wake: self.wake.clone() }
    }
}

impl<T: Clone + Eq + Hash + Debug + Send + Sync + 'static> Default for Queue<T> {
    fn default() -> Self {
        Queue::new()
    }
}

impl<T: Clone + Eq + Hash + Debug + Send + Sync + 'static> Queue<T> {
    /// Returns an empty queue.
    pub fn new() -> Self {
        let state = State {
            ready: VecDeque::new(),
            waiting: HashSet::new(),
            active: HashSet::new(),
            again: HashSet::new(),
            timers: HashMap::new(),
            failures: HashMap::new(),
        };
        Queue { state: Arc::new(Mutex::new(state)), wake: Arc::new(Notify::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a key to be worked on; asking twice before the work starts is asking once.
    pub fn add(&self, key: T) {
        let mut state = self.lock();
        if state.active.contains(&key) {
            state.again.insert(key);
        } else if state.waiting.insert(key.clone()) {
            state.ready.push_back(key);
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Asks for a key to be worked on after a delay; of several delays the shortest counts.
    pub fn add_after(&self, key: T, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let due = Instant::now() + delay;
        {
            let mut state = self.lock();
            if state.timers.get(&key).is_some_and(|earlier| *earlier <= due) {
                return;
            }
            state.timers.insert(key.clone(), due);
        }
        let queue = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep_until(due).await;
            {
                let mut state = queue.lock();
                if state.timers.get(&key) != Some(&due) {
                    return; // a shorter delay replaced this one
                }
                state.timers.remove(&key);
            }
            queue.add(key);
        });
    }

    /// Waits for a key; it is this caller's until [`Queue::done`].
    pub async fn next(&self) -> T {
        loop {
            {
                let mut state = self.lock();
                if let Some(key) = state.ready.pop_front() {
                    state.waiting.remove(&key);
                    state.active.insert(key.clone());
                    if !state.ready.is_empty() {
                        self.wake.notify_one();
                    }
                    return key;
                }
            }
            self.wake.notified().await;
        }
    }

    /// Gives a key back; it becomes ready at once when it was added meanwhile.
    pub fn done(&self, key: &T) {
        let mut state = self.lock();
        state.active.remove(key);
        if state.again.remove(key) && state.waiting.insert(key.clone()) {
            state.ready.push_back(key.clone());
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Counts a failure of a key and returns how long to wait before the next attempt.
    fn failed(&self, key: &T) -> Duration {
        let mut state = self.lock();
        let count = state.failures.entry(key.clone()).or_insert(0);
        *count += 1;
        RETRY_FIRST.saturating_mul(1 << (*count - 1).min(16)).min(RETRY_LAST)
    }

    /// Works on keys for ever with the given number of workers.
    ///
    /// `reconcile` returns when to look at the key again, if a moment is known; an error is tried again after a growing
    /// delay.
    pub async fn run<E, F, Fut>(self, name: &'static str, workers: usize, reconcile: F)
    where
        E: std::fmt::Display + Send,
        F: Fn(T) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<Duration>, E>> + Send,
    {
        let mut set = tokio::task::JoinSet::new();
        for _ in 0..workers {
            let (queue, reconcile) = (self.clone(), reconcile.clone());
            set.spawn(async move {
                loop {
                    let key = queue.next().await;
                    match reconcile(key.clone()).await {
                        Ok(again) => {
                            queue.lock().failures.remove(&key);
                            if let Some(delay) = again {
                                queue.add_after(key.clone(), delay);
                            }
                        }
                        Err(error) => {
                            let delay = queue.failed(&key);
                            tracing::debug!(controller = name, ?key, %error, ?delay, "will try again");
                            queue.add_after(key.clone(), delay);
                        }
                    }
                    queue.done(&key);
                }
            });
        }
        while set.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn a_key_added_while_active_comes_once_more() {
        let queue = Queue::new();
        queue.add("a");
        queue.add("a");
        let key = queue.next().await;
        queue.add("a");
        queue.add("a");
        assert!(tokio::time::timeout(Duration::from_millis(20), queue.next()).await.is_err(), "handed out twice");
        queue.done(&key);
        assert_eq!(queue.next().await, "a");
        queue.done(&"a");
        assert!(tokio::time::timeout(Duration::from_millis(20), queue.next()).await.is_err());
    }

    #[tokio::test]
    async fn the_shortest_delay_counts() {
        let queue = Queue::new();
        let start = Instant::now();
        queue.add_after(1, Duration::from_secs(60));
        queue.add_after(1, Duration::from_millis(10));
        assert_eq!(queue.next().await, 1);
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn failures_are_tried_again() {
        let queue = Queue::new();
        let tries = Arc::new(AtomicUsize::new(0));
        queue.add(7);
        let counter = tries.clone();
        let worker = tokio::spawn(queue.run("test", 2, move |_| {
            let counter = counter.clone();
            async move {
                let before = counter.fetch_add(1, Ordering::SeqCst);
                if before < 2 { Err("not yet") } else { Ok(None) }
            }
        }));
        tokio::time::timeout(Duration::from_secs(5), async {
            while tries.load(Ordering::SeqCst) < 3 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("three attempts");
        worker.abort();
    }
}
