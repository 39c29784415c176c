//! What each token class costs by the size of the prompt, under one tariff.

use super::class::TokenClass;
use crate::units::Tokens;

/// The prices of every class in nano-units of the currency for 1,000,000 tokens.
pub(super) type Rates = [u64; TokenClass::COUNT];

/// The prices that a tariff or a tier names; the others it leaves to somebody else.
pub(super) type Named = [Option<u64>; TokenClass::COUNT];

/// One tariff: prices by the size of the prompt. The size re-rates the whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tariff {
    /// The least prompt and its prices; never empty, the first from 0, each from more than the one before.
    steps: Vec<(u64, Rates)>,
}

impl Tariff {
    /// The prices of a request with a prompt of so many tokens, of all input classes together.
    pub(super) fn at(&self, prompt: Tokens) -> &Rates {
        let reached = self.steps.partition_point(|(from, _)| *from <= prompt.get());
        &self.steps[reached - 1].1
    }

    /// The prices that a request with a prompt of at most so many tokens can get.
    pub(super) fn up_to(&self, prompt: Tokens) -> impl Iterator<Item = &Rates> {
        self.steps.iter().take_while(move |(from, _)| *from <= prompt.get()).map(|(_, rates)| rates)
    }

    /// The least prompts from which on a request is rated anew.
    pub(super) fn thresholds(&self) -> impl Iterator<Item = u64> {
        self.steps.iter().skip(1).map(|(from, _)| *from)
    }
}

/// What a price book says of one tariff: prices for every prompt, and what larger prompts change.
#[derive(Clone, Debug, Default)]
pub(in crate::price) struct Sheet {
    pub(super) base: Named,
    /// The least prompt and what it changes, from the smallest on.
    pub(super) tiers: Vec<(u64, Named)>,
}

impl Sheet {
    /// The tariff of a sheet that stands alone.
    pub(super) fn tariff(&self) -> Result<Tariff, TokenClass> {
        self.over(&Self::default())
    }

    /// The tariff of this sheet where another one says what this one leaves open.
    pub(super) fn over(&self, below: &Self) -> Result<Tariff, TokenClass> {
        let mut thresholds: Vec<u64> = self.tiers.iter().chain(&below.tiers).map(|(from, _)| *from).collect();
        thresholds.push(0);
        thresholds.sort_unstable();
        thresholds.dedup();
        let steps = thresholds.into_iter().map(|from| {
            let layers: Vec<&Named> = self.layers(from).chain(below.layers(from)).collect();
            Ok((from, rates(&layers)?))
        });
        Ok(Tariff { steps: steps.collect::<Result<_, _>>()? })
    }

    /// What is said for a prompt of so many tokens, the last word first.
    fn layers(&self, prompt: u64) -> impl Iterator<Item = &Named> {
        let reached = self.tiers.iter().filter(move |(from, _)| *from <= prompt);
        reached.map(|(_, named)| named).rev().chain([&self.base])
    }

    /// Every price times so many thousandths, rounded up; `None` if one is too large.
    pub(super) fn times(&self, thousandths: u64) -> Option<Self> {
        let times = |price: u64| u64::try_from((u128::from(price) * u128::from(thousandths)).div_ceil(1_000)).ok();
        let all = |named: &Named| {
            let mut product = [None; TokenClass::COUNT];
            for (to, price) in product.iter_mut().zip(named) {
                *to = match price {
                    Some(price) => Some(times(*price)?),
                    None => None,
                };
            }
            Some(product)
        };
        let tiers = self.tiers.iter().map(|(from, named)| Some((*from, all(named)?)));
        Some(Self { base: all(&self.base)?, tiers: tiers.collect::<Option<_>>()? })
    }
}

/// The price of every class, or the one that has none and falls back to none.
fn rates(layers: &[&Named]) -> Result<Rates, TokenClass> {
    let mut rates = [0; TokenClass::COUNT];
    for class in TokenClass::ALL {
        rates[class.index()] = rate(layers, class)?;
    }
    Ok(rates)
}

fn rate(layers: &[&Named], class: TokenClass) -> Result<u64, TokenClass> {
    match (layers.iter().find_map(|named| named[class.index()]), fallback(class)) {
        (Some(price), _) => Ok(price),
        (None, Some(other)) => rate(layers, other),
        (None, None) => Err(class),
    }
}

/// The class whose price another has that has none of its own.
const fn fallback(class: TokenClass) -> Option<TokenClass> {
    match class {
        TokenClass::Input | TokenClass::Output => None,
        TokenClass::CacheRead | TokenClass::CacheWrite5m | TokenClass::AudioIn | TokenClass::ImageIn => {
            Some(TokenClass::Input)
        }
        TokenClass::CacheWrite1h => Some(TokenClass::CacheWrite5m),
        TokenClass::Reasoning | TokenClass::AudioOut => Some(TokenClass::Output),
    }
}

#[cfg(test)]
mod tests;
