//! A goal: what is measured, the floor beside it, and the bound on their ratio.

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds.
    Us,
    /// Bytes.
    Bytes,
    /// A number in a second.
    PerSecond,
    /// A number.
    Count,
}

impl Unit {
    /// The figure as a person reads it.
    pub fn show(self, value: f64) -> String {
        match self {
            Unit::Us if value >= 1_000_000.0 => format!("{:.2} s", value / 1_000_000.0),
            Unit::Us if value >= 1_000.0 => format!("{:.2} ms", value / 1_000.0),
            Unit::Us => format!("{value:.0} µs"),
            Unit::Bytes if value >= 1_048_576.0 => format!("{:.1} MiB", value / 1_048_576.0),
            Unit::Bytes if value >= 1_024.0 => format!("{:.1} KiB", value / 1_024.0),
            Unit::Bytes => format!("{value:.0} B"),
            Unit::PerSecond => format!("{value:.0}/s"),
            Unit::Count => format!("{value:.2}"),
        }
    }
}

/// Which side of the bound is good.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// The ratio is at most this.
    AtMost(f64),
    /// The ratio is at least this.
    AtLeast(f64),
}

impl Bound {
    pub fn holds(self, ratio: f64) -> bool {
        match self {
            Bound::AtMost(most) => ratio <= most,
            Bound::AtLeast(least) => ratio >= least,
        }
    }

    pub fn show(self) -> String {
        match self {
            Bound::AtMost(most) => format!("≤ {most}"),
            Bound::AtLeast(least) => format!("≥ {least}"),
        }
    }
}

/// One comparison: ours beside its floor.
#[derive(Debug, Clone)]
pub struct Line {
    /// What of ours, and where: `POST /api/runs, big`.
    pub ours_is: String,
    /// What the floor is.
    pub floor_is: String,
    pub unit: Unit,
    pub ours: f64,
    pub floor: f64,
    /// Nothing: it is only told.
    pub bound: Option<Bound>,
}

impl Line {
    pub fn ratio(&self) -> f64 {
        self.ours / self.floor
    }

    pub fn is_met(&self) -> bool {
        self.bound.is_none_or(|bound| bound.holds(self.ratio()))
    }
}

/// A goal as it was measured.
#[derive(Debug, Clone)]
pub struct Goal {
    pub id: &'static str,
    pub what: &'static str,
    pub lines: Vec<Line>,
}

impl Goal {
    /// Puts each bound this many times as far.
    pub fn loosen(&mut self, slack: f64) {
        for line in &mut self.lines {
            line.bound = line.bound.map(|bound| match bound {
                Bound::AtMost(most) => Bound::AtMost(most * slack),
                Bound::AtLeast(least) => Bound::AtLeast(least / slack),
            });
        }
    }

    pub fn is_met(&self) -> bool {
        self.lines.iter().all(Line::is_met)
    }
}
