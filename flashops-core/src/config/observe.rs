//! `[observe]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::schema::{Text, Whole};
use super::value::{bounded, bounded_duration, choose};
use crate::place::Mistake;

/// How long a request may take before it is called slow.
const SLOW: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(86_400);

/// How many organisations may have labels of their own.
const TENANTS: RangeInclusive<u64> = 0..=10_000;

/// What is told of requests and calls.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Observe {
    /// Whether requests and calls are measured, for whatever exporter the service installed.
    pub metrics: bool,
    /// Whether requests and calls are logged, for whatever subscriber the service installed.
    pub log: bool,
    /// A request that takes longer is logged as slow.
    pub slow: Duration,
    /// How many organisations have labels of their own in metrics.
    pub max_tenants: usize,
    /// Which names of OpenTelemetry's conventions for generative models metrics have.
    pub gen_ai: GenAiSets,
}

/// Sets of names of OpenTelemetry's conventions for generative models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GenAiSets {
    /// The latest ones.
    pub latest: bool,
    /// Those of version 1.41.
    pub v1_41: bool,
}

impl GenAiSets {
    /// None of them.
    pub const NONE: Self = Self { latest: false, v1_41: false };
}

impl Default for Observe {
    fn default() -> Self {
        Self {
            metrics: true,
            log: true,
            slow: Duration::from_secs(10),
            max_tenants: 100,
            gen_ai: GenAiSets { latest: true, ..GenAiSets::NONE },
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawObserve {
    metrics: Option<Spanned<bool>>,
    log: Option<Spanned<bool>>,
    slow: Option<Text>,
    max_tenants: Option<Whole>,
    gen_ai: Option<Vec<Text>>,
}

type Set = fn(&mut GenAiSets) -> &mut bool;

const SETS: [(&str, Set); 2] = [("latest", |sets| &mut sets.latest), ("v1.41", |sets| &mut sets.v1_41)];

pub(super) fn read(raw: &RawObserve) -> Result<Observe, Mistake> {
    let mut observe = Observe::default();
    if let Some(metrics) = &raw.metrics {
        observe.metrics = *metrics.get_ref();
    }
    if let Some(log) = &raw.log {
        observe.log = *log.get_ref();
    }
    if let Some(slow) = &raw.slow {
        observe.slow = bounded_duration(slow, "slow", SLOW)?;
    }
    if let Some(most) = &raw.max_tenants {
        // The bound fits everywhere.
        observe.max_tenants = usize::try_from(bounded(most, "max_tenants", TENANTS)?).unwrap_or_default();
    }
    if let Some(words) = &raw.gen_ai {
        observe.gen_ai = sets(words)?;
    }
    Ok(observe)
}

fn sets(words: &[Text]) -> Result<GenAiSets, Mistake> {
    let mut sets = GenAiSets::NONE;
    for word in words {
        if std::mem::replace(choose(word, &SETS)?(&mut sets), true) {
            return Err((word.span(), "a set stands twice in `gen_ai`".to_owned()));
        }
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, NoSources};

    fn read(text: &str) -> Result<Observe, String> {
        let config = Config::from_toml(&format!("[observe]\n{text}"), &NoSources);
        config.map(|config| config.observe().clone()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_written_has_its_default() {
        assert_eq!(Config::from_toml("", &NoSources).unwrap().observe(), &Observe::default());
        let read = read("metrics = false\nlog = false\nslow = \"2s\"\nmax_tenants = 7\ngen_ai = [\"v1.41\"]").unwrap();
        let gen_ai = GenAiSets { latest: false, v1_41: true };
        let slow = Duration::from_secs(2);
        assert_eq!(read, Observe { metrics: false, log: false, slow, max_tenants: 7, gen_ai });
    }

    #[test]
    fn a_mistake_is_named() {
        for (text, named) in [
            ("slow = \"0s\"", "`slow` is from \"1ms\" to \"1d\""),
            ("max_tenants = 10001", "`max_tenants` is a number from 0 to 10000"),
            ("gen_ai = [\"lates\"]", "did you mean `latest`?"),
            ("gen_ai = [\"latest\", \"latest\"]", "a set stands twice in `gen_ai`"),
            ("metric = true", "unknown key `metric`; did you mean `metrics`?"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
