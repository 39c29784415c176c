//! Rows: what was measured, what was asked for, and whether it was met.
//!
//! ```
//! use flashops_benches::measure::{Figures, Times};
//! use flashops_benches::table::{Row, Target};
//!
//! let ours = Figures { one: Times(vec![50.0]), two: Times(vec![90.0]) };
//! let peer = Figures { one: Times(vec![100.0]), two: Times(vec![100.0]) };
//! let row = Row::new("check", Target::Ratio { one: 0.6, two: 0.8 }, vec![("ours", ours)], vec![("peer", peer)]);
//! assert!(!row.is_met());
//! ```
//!
//! Our first figure is the one that is judged, against the first peer; the others are there for orientation.
//!
//! Edge cases: a row without a peer is judged by its own numbers.
//!
//! What this module does not do: fail. A benchmark on a shared machine informs, it does not decide.

use std::fmt;

use crate::measure::{Figures, Plan};

/// What a row asks for, with one thread and with two.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// At most so many times the first peer.
    Ratio {
        /// With one thread.
        one: f64,
        /// With two.
        two: f64,
    },
    /// At most so many nanoseconds.
    Nanos(f64),
}

/// The figures of one row.
#[derive(Clone, Debug)]
pub struct Row {
    name: String,
    target: Target,
    ours: Vec<(&'static str, Figures)>,
    peers: Vec<(&'static str, Figures)>,
}

impl Row {
    /// A row.
    ///
    /// # Panics
    ///
    /// If there is no figure of ours, or a ratio is asked for without a peer.
    pub fn new(
        name: &str,
        target: Target,
        ours: Vec<(&'static str, Figures)>,
        peers: Vec<(&'static str, Figures)>,
    ) -> Self {
        assert!(!ours.is_empty() && (!peers.is_empty() || matches!(target, Target::Nanos(_))));
        Self { name: name.to_owned(), target, ours, peers }
    }

    /// Whether the target is met with one thread and with two.
    pub fn is_met(&self) -> bool {
        let (_, judged) = &self.ours[0];
        match self.target {
            Target::Nanos(most) => judged.one.nanos() <= most && judged.two.nanos() <= most,
            Target::Ratio { one, two } => {
                let [first, second] = self.ratios(judged);
                first <= one && second <= two
            }
        }
    }

    fn ratios(&self, figures: &Figures) -> [f64; 2] {
        let (_, peer) = &self.peers[0];
        [figures.one.ratio(&peer.one), figures.two.ratio(&peer.two)]
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_met() { "met" } else { "MISSED" };
        let target = match self.target {
            Target::Ratio { one, two } => format!("≤ {one} × / {two} × {}", self.peers[0].0),
            Target::Nanos(most) => format!("≤ {most} ns"),
        };
        writeln!(f, "{}: {verdict} (target {target})", self.name)?;
        for (name, figures) in &self.ours {
            write!(f, "    {name:<36}{}", Nanos(figures))?;
            if !self.peers.is_empty() {
                let [one, two] = self.ratios(figures);
                write!(f, "  {one:>7.3} × / {two:>7.3} ×")?;
            }
            writeln!(f)?;
        }
        for (name, figures) in &self.peers {
            writeln!(f, "    {name:<36}{}", Nanos(figures))?;
        }
        Ok(())
    }
}

struct Nanos<'a>(&'a Figures);

impl fmt::Display for Nanos<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.1} / {:>9.1} ns", self.0.one.nanos(), self.0.two.nanos())
    }
}

/// A verdict on one number that is not a time per operation.
pub fn verdict(name: &str, figure: f64, unit: &str, most: f64, beside: &str) -> bool {
    let met = figure <= most;
    let word = if met { "met" } else { "MISSED" };
    println!("{name}: {word} (target ≤ {most} {unit})\n    {figure:.1} {unit}  {beside}\n");
    met
}

/// What the command line asked for: how long to measure, and which rows.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long to measure.
    pub plan: Plan,
    /// Whether this run is for figures of record.
    pub full: bool,
    /// Whether figures mean nothing, because `cargo bench` did not start this.
    pub smoke: bool,
    word: Option<String>,
}

impl Options {
    /// The command line of this process.
    pub fn of_this_process() -> Self {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let has = |flag: &str| words.iter().any(|word| word == flag);
        let smoke = !has("--bench");
        let full = !smoke && !has("--quick");
        let plan = if full { Plan::FULL } else { Plan::QUICK };
        let word = words.iter().find(|word| !word.starts_with('-')).cloned();
        Self { plan: if smoke { Plan::SMOKE } else { plan }, full, smoke, word }
    }

    /// Whether a row is wanted.
    pub fn wants(&self, row: &str) -> bool {
        self.word.as_ref().is_none_or(|word| row.contains(word))
    }
}
