//! The comparison of both sides, and how it is shown.

use std::fmt;
use std::ops::RangeInclusive;

use super::progress::{Sums, Tenant};
use super::usage::{Counted, Snapshot};

/// Lines of what is still held that are shown.
const MAX_HELD_SHOWN: usize = 10;

/// Both sides of every tenant, and what differs.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    /// The tenants, and all of them together.
    rows: Vec<Row>,
    differences: Vec<String>,
    latest_ms: u128,
    limits: usize,
}

#[derive(Clone, Debug)]
struct Row {
    name: String,
    own: Tenant,
    /// Nothing where a count of the gateway went down.
    gateway: Option<Counted>,
    agrees: bool,
}

impl Verdict {
    /// Nothing differs, nothing failed, and nothing is held.
    pub(crate) const fn is_clean(&self) -> bool {
        self.differences.is_empty()
    }

    /// The replay's own sums over all tenants.
    #[cfg(test)]
    pub(crate) fn all(&self) -> Tenant {
        self.rows.last().map_or_else(Tenant::default, |row| row.own)
    }
}

/// Compares the replay's sums with what the gateway counted between two snapshots.
pub(crate) fn compare(own: &Sums, before: &Snapshot, after: &Snapshot) -> Verdict {
    let mut differences = Vec::new();
    let mut rows = Vec::new();
    for (index, tenant) in own.tenants.iter().enumerate() {
        let org = format!("t{index}");
        let at = |snapshot: &Snapshot| snapshot.orgs.get(&org).copied().unwrap_or_default();
        let gateway = at(after).since(&at(before));
        rows.push(row(org, *tenant, gateway, &mut differences));
    }
    let gateway = after.totals.since(&before.totals);
    rows.push(row("all".to_owned(), own.all(), gateway, &mut differences));

    for (message, times) in &own.messages {
        differences.push(format!("failed {times} times: {message}"));
    }
    for (name, key, held) in after.held.iter().take(MAX_HELD_SHOWN) {
        differences.push(format!("still reserved: {held} of {name} for {key}"));
    }
    Verdict { rows, differences, latest_ms: own.latest.as_millis(), limits: after.limits }
}

fn row(name: String, own: Tenant, gateway: Option<Counted>, differences: &mut Vec<String>) -> Row {
    let before = differences.len();
    match gateway {
        None => differences.push(format!("{name}: a count of the gateway went down during the run")),
        Some(gateway) => {
            differences.extend(differing(&own, &gateway).map(|what| format!("{name}: {what}")));
        }
    }
    if own.failed > 0 {
        differences.push(format!("{name}: {} requests failed", own.failed));
    }
    let agrees = differences.len() == before;
    Row { name, own, gateway, agrees }
}

/// What differs between the two sides.
fn differing(own: &Tenant, gateway: &Counted) -> impl Iterator<Item = String> {
    let requests = own.admitted + own.cut;
    let checks = [
        ("requests", gateway.requests, requests..=requests),
        ("prompt tokens", gateway.prompt, prompt(own)),
        ("completion tokens", gateway.completion, completion(own)),
        // Only a cut may have to be estimated; one whose end the gateway had already seen is not.
        ("estimated requests", gateway.estimated, 0..=own.cut),
        ("total tokens", gateway.total, sum(gateway)..=sum(gateway)),
    ];
    checks
        .into_iter()
        .filter(|(_, seen, expected)| !expected.contains(seen))
        .map(|(what, seen, expected)| format!("the gateway reports {seen} {what}, expected {}", shown(&expected)))
}

fn prompt(own: &Tenant) -> RangeInclusive<u64> {
    own.exact.prompt + own.cut_least.prompt..=own.exact.prompt + own.cut_most.prompt
}

fn completion(own: &Tenant) -> RangeInclusive<u64> {
    own.exact.completion + own.cut_least.completion..=own.exact.completion + own.cut_most.completion
}

const fn sum(gateway: &Counted) -> u64 {
    gateway.prompt + gateway.completion
}

fn shown(range: &RangeInclusive<u64>) -> String {
    if range.start() == range.end() { range.start().to_string() } else { format!("{}..{}", range.start(), range.end()) }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{:<7}{:>9}{:>9}{:>7}{:>8}  {:>21}{:>12}  {:>19}{:>12}",
            "tenant", "admitted", "refused", "cut", "failed", "prompt: own", "gateway", "completion: own", "gateway"
        )?;
        for row in &self.rows {
            writeln!(formatter, "{row}")?;
        }
        writeln!(formatter, "\nThe latest request started {} ms behind its time.", self.latest_ms)?;
        if self.differences.is_empty() {
            let nothing = format!("nothing stays reserved in {} limits", self.limits);
            return writeln!(formatter, "Both sides agree, and {nothing}.");
        }
        writeln!(formatter, "\n{} differences:", self.differences.len())?;
        self.differences.iter().try_for_each(|difference| writeln!(formatter, "  {difference}"))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tenant { admitted, refused, cut, failed, .. } = self.own;
        let gateway = |number: fn(&Counted) -> u64| {
            self.gateway.as_ref().map_or_else(|| "-".to_owned(), |counted| number(counted).to_string())
        };
        write!(
            formatter,
            "{:<7}{admitted:>9}{refused:>9}{cut:>7}{failed:>8}  {:>21}{:>12}  {:>19}{:>12}{}",
            self.name,
            shown(&prompt(&self.own)),
            gateway(|counted| counted.prompt),
            shown(&completion(&self.own)),
            gateway(|counted| counted.completion),
            if self.agrees { "" } else { "  DIFFERS" },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::Tokens;
    use super::*;

    fn tokens(prompt: u64, completion: u64) -> Tokens {
        Tokens { prompt, completion }
    }

    fn counted(requests: u64, prompt: u64, completion: u64, estimated: u64) -> Counted {
        Counted { requests, prompt, completion, total: prompt + completion, estimated }
    }

    /// One tenant with exact numbers only, one with a cut.
    fn own() -> Sums {
        let exact = Tenant { admitted: 3, refused: 2, exact: tokens(300, 30), ..Tenant::default() };
        let cut = Tenant {
            admitted: 1,
            cut: 1,
            exact: tokens(100, 10),
            cut_least: tokens(50, 5),
            cut_most: tokens(400, 20),
            ..Tenant::default()
        };
        Sums { tenants: vec![exact, cut], ..Sums::default() }
    }

    fn after(exact: Counted, cut: Counted) -> Snapshot {
        let totals = counted(
            exact.requests + cut.requests,
            exact.prompt + cut.prompt,
            exact.completion + cut.completion,
            exact.estimated + cut.estimated,
        );
        let orgs = [("t0".to_owned(), exact), ("t1".to_owned(), cut)].into();
        Snapshot { totals, orgs, limits: 4, held: Vec::new() }
    }

    fn is_clean(exact: Counted, cut: Counted) -> bool {
        compare(&own(), &Snapshot::default(), &after(exact, cut)).is_clean()
    }

    const EXACT: (u64, u64, u64, u64) = (3, 300, 30, 0);

    fn exact() -> Counted {
        counted(EXACT.0, EXACT.1, EXACT.2, EXACT.3)
    }

    #[test]
    fn requests_that_were_not_cut_are_compared_exactly() {
        let cut = counted(2, 150, 15, 1);
        assert!(is_clean(exact(), cut));
        for wrong in [
            (2, 300, 30, 0),
            (4, 300, 30, 0),
            (3, 299, 30, 0),
            (3, 301, 30, 0),
            (3, 300, 29, 0),
            (3, 300, 31, 0),
            (3, 300, 30, 1),
        ] {
            assert!(!is_clean(counted(wrong.0, wrong.1, wrong.2, wrong.3), cut), "{wrong:?}");
        }
    }

    #[test]
    fn cut_requests_are_between_what_was_received_and_what_was_reserved() {
        for right in [(2, 150, 15, 1), (2, 500, 30, 1), (2, 150, 30, 0), (2, 321, 21, 1)] {
            assert!(is_clean(exact(), counted(right.0, right.1, right.2, right.3)), "{right:?}");
        }
        for wrong in
            [(1, 150, 15, 1), (2, 149, 15, 1), (2, 501, 15, 1), (2, 150, 14, 1), (2, 150, 31, 1), (2, 150, 15, 2)]
        {
            assert!(!is_clean(exact(), counted(wrong.0, wrong.1, wrong.2, wrong.3)), "{wrong:?}");
        }
    }

    #[test]
    fn totals_that_are_not_the_sum_of_the_tenants_differ() {
        let mut after = after(exact(), counted(2, 150, 15, 1));
        after.totals.requests += 1;
        let verdict = compare(&own(), &Snapshot::default(), &after);
        assert_eq!(verdict.differences, ["all: the gateway reports 6 requests, expected 5"]);
    }

    #[test]
    fn what_was_counted_before_the_run_is_subtracted() {
        let before = after(counted(7, 70, 7, 1), counted(1, 1, 1, 0));
        let mut now = after(counted(10, 370, 37, 1), counted(3, 151, 16, 1));
        assert!(compare(&own(), &before, &now).is_clean());
        now.orgs.clear();
        assert!(!compare(&own(), &before, &now).is_clean());
    }

    #[test]
    fn anything_that_stays_reserved_or_failed_is_a_difference() {
        let mut now = after(exact(), counted(2, 150, 15, 1));
        now.held.push(("org-tokens".to_owned(), "t0".to_owned(), 9));
        let verdict = compare(&own(), &Snapshot::default(), &now);
        assert_eq!(verdict.differences, ["still reserved: 9 of org-tokens for t0"]);

        now.held.clear();
        let mut own = own();
        own.tenants[0].failed = 1;
        own.messages.insert("500: oops".to_owned(), 1);
        let verdict = compare(&own, &Snapshot::default(), &now);
        assert!(verdict.to_string().contains("failed 1 times: 500: oops"));
        assert!(!verdict.is_clean());
    }

    #[test]
    fn the_report_shows_both_sides_and_marks_what_differs() {
        let verdict = compare(&own(), &Snapshot::default(), &after(exact(), counted(2, 150, 14, 1)));
        let shown = verdict.to_string();
        let line = |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert!(line("t1").contains("150..500") && line("t1").ends_with("DIFFERS"), "{shown}");
        assert!(!line("t0").contains("DIFFERS"), "{shown}");
        assert!(shown.contains("t1: the gateway reports 14 completion tokens, expected 15..30"), "{shown}");
        let clean = compare(&own(), &Snapshot::default(), &after(exact(), counted(2, 150, 15, 1))).to_string();
        assert!(clean.ends_with("Both sides agree, and nothing stays reserved in 4 limits.\n"), "{clean}");
    }
}
