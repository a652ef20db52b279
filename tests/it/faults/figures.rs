//! How long things took, for a line of figures.

use std::fmt;
use std::time::{Duration, Instant};

/// How long each of many took.
#[derive(Debug, Default)]
pub struct Figures(Vec<Duration>);

impl Figures {
    pub fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// Does it, and adds how long it took.
    pub fn time<T>(&mut self, what: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = what();
        self.add(begun.elapsed());
        done
    }

    /// The one below which this share of them lies, in per cent.
    pub fn percentile(&self, share: usize) -> Duration {
        let mut all = self.0.clone();
        all.sort();
        all[(all.len() * share / 100).min(all.len() - 1)]
    }

    pub fn worst(&self) -> Duration {
        self.percentile(100)
    }

    pub fn over(&self, bound: Duration) -> usize {
        self.0.iter().filter(|took| **took > bound).count()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |took: Duration| took.as_secs_f64() * 1000.0;
        write!(
            f,
            "{} times, median {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
            self.0.len(),
            ms(self.percentile(50)),
            ms(self.percentile(99)),
            ms(self.worst())
        )
    }
}
