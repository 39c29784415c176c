//! The gateway's own numbers, as `GET /api/v1/ai/usage` gives them to an administrator.

use std::collections::BTreeMap;

use serde_json::Value;

/// What the gateway counted, for somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) requests: u64,
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
    pub(crate) total: u64,
    pub(crate) estimated: u64,
}

impl Counted {
    /// What was counted since an earlier time; nothing if a number went down.
    pub(crate) fn since(&self, before: &Self) -> Option<Self> {
        Some(Self {
            requests: self.requests.checked_sub(before.requests)?,
            prompt: self.prompt.checked_sub(before.prompt)?,
            completion: self.completion.checked_sub(before.completion)?,
            total: self.total.checked_sub(before.total)?,
            estimated: self.estimated.checked_sub(before.estimated)?,
        })
    }

    fn parse(value: &Value) -> Result<Self, String> {
        Ok(Self {
            requests: number(value, "requests")?,
            prompt: number(value, "prompt_tokens")?,
            completion: number(value, "completion_tokens")?,
            total: number(value, "total_tokens")?,
            estimated: number(value, "estimated_requests")?,
        })
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.prompt += other.prompt;
        self.completion += other.completion;
        self.total += other.total;
        self.estimated += other.estimated;
    }
}

/// The gateway's numbers at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Over everybody.
    pub(crate) totals: Counted,
    /// By organisation.
    pub(crate) orgs: BTreeMap<String, Counted>,
    /// Limits that were reported.
    pub(crate) limits: usize,
    /// Those of them that still hold something: name, key, amount held.
    pub(crate) held: Vec<(String, String, u64)>,
}

impl Snapshot {
    /// Reads the answer of the gateway.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, String> {
        let usage: Value = serde_json::from_slice(body).map_err(|error| format!("the usage is not JSON: {error}"))?;
        let mut snapshot = Self { totals: Counted::parse(&usage["totals"])?, ..Self::default() };
        for entry in list(&usage, "by")? {
            let org = entry["org"].as_str().unwrap_or_default().to_owned();
            snapshot.orgs.entry(org).or_default().add(&Counted::parse(entry)?);
        }
        for limit in list(&usage, "limits")? {
            snapshot.limits += 1;
            // The amount held of a cost is a decimal string; whatever is not zero is held.
            let held = match &limit["held"] {
                Value::String(held) => u64::from(held.bytes().any(|digit| (b'1'..=b'9').contains(&digit))),
                held => held.as_u64().ok_or("the usage has a limit without a whole number 'held'")?,
            };
            if held > 0 {
                let text = |name: &str| limit[name].as_str().unwrap_or_default().to_owned();
                snapshot.held.push((text("name"), text("key"), held));
            }
        }
        Ok(snapshot)
    }
}

fn list<'a>(usage: &'a Value, name: &str) -> Result<&'a Vec<Value>, String> {
    usage[name].as_array().ok_or_else(|| format!("the usage has no list '{name}'"))
}

fn number(value: &Value, name: &str) -> Result<u64, String> {
    value[name].as_u64().ok_or_else(|| format!("the usage has no whole number '{name}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: &str = r#"{"window_seconds":null,"threshold":{"tokens":100000,"share":0.42},
        "totals":{"requests":3,
        "prompt_tokens":30,"completion_tokens":6,"total_tokens":36,
        "estimated_requests":1,"cost":"0.1","currency":"USD"},
        "by":[
        {"org":"t0","user":"u0","model":"a","route":"/v1/messages","requests":1,
        "prompt_tokens":10,"completion_tokens":2,"total_tokens":12,
        "estimated_requests":0,"cost":null,"currency":null},
        {"org":"t0","user":"u0","model":"b","route":"/v1/chat/completions","requests":1,
        "prompt_tokens":11,"completion_tokens":3,"total_tokens":14,
        "estimated_requests":1,"cost":null,"currency":null},
        {"org":"t1","user":"u1","model":"b","route":"/v1/chat/completions","requests":1,
        "prompt_tokens":9,"completion_tokens":1,"total_tokens":10,
        "estimated_requests":0,"cost":null,"currency":null}],
        "limits":[
        {"name":"org-tokens","scope":"org","key":"t0","resource":"tokens",
        "amount":5,"used":2,"held":7,"remaining":3,"reset_seconds":12.3},
        {"name":"org-cost","scope":"org","key":"t0","resource":"cost",
        "amount":"5","used":"2","held":"0.00","remaining":"3","reset_seconds":1},
        {"name":"org-tokens","scope":"org","key":"t1","resource":"tokens",
        "amount":5,"used":2,"held":0,"remaining":3,"reset_seconds":12.3}]}"#;

    #[test]
    fn an_organisation_is_the_sum_over_its_models_and_routes() {
        let snapshot = Snapshot::parse(USAGE.as_bytes()).unwrap();
        let expected = Counted { requests: 2, prompt: 21, completion: 5, total: 26, estimated: 1 };
        assert_eq!(snapshot.orgs["t0"], expected);
        assert_eq!((snapshot.totals.requests, snapshot.limits), (3, 3));
        assert_eq!(snapshot.held, [("org-tokens".to_owned(), "t0".to_owned(), 7)]);
    }

    #[test]
    fn a_usage_without_its_numbers_is_an_error() {
        for (part, spoilt) in [
            ("\"totals\"", "\"total\""),
            ("\"by\"", "\"of\""),
            ("\"held\":7", "\"held\":-7"),
            ("\"requests\":1", "\"requests\":\"1\""),
            ("\"limits\"", "\"limit\""),
        ] {
            assert!(Snapshot::parse(USAGE.replace(part, spoilt).as_bytes()).is_err(), "{part}");
        }
        assert!(Snapshot::parse(b"nope").is_err());
    }

    #[test]
    fn a_count_that_went_down_is_no_difference_but_nothing() {
        let (less, more) = (Counted { prompt: 1, ..Counted::default() }, Counted { prompt: 3, ..Counted::default() });
        assert_eq!(more.since(&less), Some(Counted { prompt: 2, ..Counted::default() }));
        assert_eq!(less.since(&more), None);
    }
}
