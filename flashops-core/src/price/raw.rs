//! `[[model.price]]`: what the text of one price says, and the tariffs that follow.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::class::TokenClass;
use super::rates::PRICED_TOKENS;
use super::tariff::{Named, Sheet, Tariff};
use super::value::{Day, Nanos, Per, Thousandths, TokenCount};
use crate::place::Mistake;
use crate::units::MAX_AMOUNT;
use crate::usage::ServiceTier;

/// The most tiers of one tariff.
pub const MAX_TIERS: usize = 16;

/// The place of a mistake in the text.
type Span = Range<usize>;

/// A table with a price for each class beside its other keys. `flatten` would do, but with it serde lets unknown keys
/// pass.
macro_rules! with_classes {
    ($(#[$about:meta])* struct $name:ident { $($(#[$rule:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            flat: Option<Nanos>,
            input: Option<Nanos>,
            cache_read: Option<Nanos>,
            cache_write_5m: Option<Nanos>,
            cache_write_1h: Option<Nanos>,
            audio_in: Option<Nanos>,
            image_in: Option<Nanos>,
            output: Option<Nanos>,
            reasoning: Option<Nanos>,
            audio_out: Option<Nanos>,
            $($(#[$rule])* pub(super) $field: $type,)*
        }

        impl $name {
            /// What it names, for 1,000,000 tokens.
            fn named(&self, per: Per) -> Result<Named, String> {
                // In the order of `TokenClass::ALL`.
                let own = [
                    self.input,
                    self.cache_read,
                    self.cache_write_5m,
                    self.cache_write_1h,
                    self.audio_in,
                    self.image_in,
                    self.output,
                    self.reasoning,
                    self.audio_out,
                ];
                named(self.flat, own, per)
            }
        }
    };
}

with_classes! {
    /// A price.
    struct RawPrice {
        effective_from: Option<Day>,
        #[serde(default)]
        per: Per,
        fast: Option<Thousandths>,
        us: Option<Thousandths>,
        #[serde(default)]
        per_request: Nanos,
        #[serde(default)]
        per_search: Nanos,
        #[serde(default)]
        per_search_once: bool,
        #[serde(default)]
        tier: Vec<Spanned<RawTier>>,
        batch: Option<Spanned<RawTariff>>,
        flex: Option<Spanned<RawTariff>>,
        priority: Option<Spanned<RawTariff>>,
    }
}

with_classes! {
    /// What larger prompts change.
    struct RawTier {
        above: Option<TokenCount>,
        from: Option<TokenCount>,
    }
}

with_classes! {
    /// A tariff beside the standard one.
    struct RawTariff {
        multiplier: Option<Thousandths>,
        #[serde(default)]
        tier: Vec<Spanned<RawTier>>,
    }
}

fn named(flat: Option<Nanos>, own: [Option<Nanos>; TokenClass::COUNT], per: Per) -> Result<Named, String> {
    let factor = PRICED_TOKENS / per.0;
    let scaled = |price: Nanos| price.0.checked_mul(factor).ok_or("a price is too large for 1000000 tokens");
    if let Some(flat) = flat {
        let beside = TokenClass::ALL.into_iter().zip(own).find(|(_, own)| own.is_some());
        return match beside {
            Some((class, _)) => Err(format!("`flat` is the price of every class; `{class}` cannot stand beside it")),
            None => Ok([Some(scaled(flat)?); TokenClass::COUNT]),
        };
    }
    let mut named = [None; TokenClass::COUNT];
    for (to, price) in named.iter_mut().zip(own) {
        *to = price.map(scaled).transpose()?;
    }
    Ok(named)
}

impl RawPrice {
    /// The standard tariff and the others.
    pub(super) fn tariffs(&self, place: &Span) -> Result<(Tariff, Vec<(ServiceTier, Tariff)>), Mistake> {
        let at_place = |message: String| (place.clone(), message);
        let sheet = Sheet { base: self.named(self.per).map_err(at_place)?, tiers: tiers(&self.tier, self.per)? };
        let standard = sheet.tariff().map_err(|class| {
            at_place(format!("a price needs `{class}`, or `flat` for all classes; \"0\" if it costs nothing"))
        })?;
        let mut special = Vec::new();
        for (tier, raw) in ServiceTier::SPECIAL.into_iter().zip([&self.batch, &self.flex, &self.priority]) {
            if let Some(raw) = raw {
                let tariff = raw.get_ref().tariff(&sheet, self.per, &raw.span())?;
                special.push((tier, tariff));
            }
        }
        Ok((standard, special))
    }
}

impl RawTariff {
    fn tariff(&self, standard: &Sheet, per: Per, place: &Span) -> Result<Tariff, Mistake> {
        let at_place = |message: &str| (place.clone(), message.to_owned());
        let own = Sheet {
            base: self.named(per).map_err(|message| (place.clone(), message))?,
            tiers: tiers(&self.tier, per)?,
        };
        if self.multiplier.is_none() && own.base.iter().all(Option::is_none) && own.tiers.is_empty() {
            return Err(at_place("a tariff has a `multiplier`, or prices of its own"));
        }
        let below = match self.multiplier {
            Some(multiplier) => standard.times(multiplier.0).ok_or_else(|| at_place("a price is too large"))?,
            None => standard.clone(),
        };
        Ok(own.over(&below).expect("the standard tariff has a price for every class"))
    }
}

/// The tiers from the smallest prompt on.
fn tiers(raw: &[Spanned<RawTier>], per: Per) -> Result<Vec<(u64, Named)>, Mistake> {
    let mut tiers: Vec<(u64, Named)> = Vec::with_capacity(raw.len());
    for raw in raw {
        let at_place = |message: String| (raw.span(), message);
        let tier = raw.get_ref();
        let from = tier.least().map_err(|message| at_place(message.to_owned()))?;
        let place = tiers.partition_point(|(earlier, _)| *earlier < from);
        if tiers.get(place).is_some_and(|(same, _)| *same == from) {
            return Err(at_place("another tier begins at the same prompt".to_owned()));
        }
        let named = tier.named(per).map_err(at_place)?;
        if named.iter().all(Option::is_none) {
            return Err(at_place("a tier changes at least one price".to_owned()));
        }
        if tiers.len() == MAX_TIERS {
            return Err(at_place(format!("a tariff has at most {MAX_TIERS} tiers")));
        }
        tiers.insert(place, (from, named));
    }
    Ok(tiers)
}

impl RawTier {
    /// The least prompt that it is for.
    fn least(&self) -> Result<u64, &'static str> {
        match (self.above, self.from) {
            (Some(above), None) if above.0.get() < MAX_AMOUNT => Ok(above.0.get() + 1),
            (None, Some(from)) if from.0.get() > 0 => Ok(from.0.get()),
            (Some(_), None) => Err("no prompt is `above` that"),
            (None, Some(_)) => Err("`from` is at least 1; what holds for every prompt is the price itself"),
            _ => Err("a tier begins `above` a prompt of so many tokens, or `from` it on"),
        }
    }
}
