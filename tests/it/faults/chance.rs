//! How often, and by which seed: what a soak sets from outside.

/// So many times as often as on a build machine: `AGENT_RUNNER_SOAK`, 1 if it is not set.
pub fn times(rounds: usize) -> usize {
    rounds * usize::try_from(number("AGENT_RUNNER_SOAK").unwrap_or(1)).unwrap()
}

/// A source of numbers that look like chance and are the same for the same seed (`SplitMix64`).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// By `AGENT_RUNNER_SEED`, else by the process's id and the test's name. The seed is printed.
    pub fn of(test: &str) -> Chance {
        let own = test.bytes().fold(u64::from(std::process::id()), |seed, b| {
            seed.wrapping_mul(31).wrapping_add(u64::from(b))
        });
        let seed = number("AGENT_RUNNER_SEED").unwrap_or(own);
        println!("{test}: AGENT_RUNNER_SEED={seed}");
        Chance(seed)
    }

    /// Another source, which depends on this one alone.
    pub fn split(&mut self) -> Chance {
        Chance(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below this one.
    pub fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(most).unwrap()).unwrap()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what a soak says is asked for here"
)]
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}
