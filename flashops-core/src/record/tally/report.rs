use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::Totals;
use super::minutes::first_minute;
use super::row::{RowId, RowKey};
use super::shard::{Row, Shard};
use super::threshold::TokenThreshold;
use crate::clock::Moment;
use crate::key::Fingerprint;

/// What a [`Tally`](super::Tally) counted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The window that was counted; `None` is since the start.
    pub window: Option<Duration>,
    /// All visible rows together.
    pub totals: Totals,
    /// The visible rows in which anything was counted, in the order of organisation, user, model and route.
    pub rows: Vec<ReportRow>,
    /// How the visible organisations stand to the threshold, over its own window and not the report's.
    pub threshold: ThresholdReport,
}

/// One row of a [`Report`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReportRow {
    /// Whose.
    pub key: RowKey,
    /// What was counted.
    pub totals: Totals,
}

/// How organisations stand to the threshold. An organisation is visible if one of its rows is, and counts whole then.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThresholdReport {
    /// The threshold, in tokens.
    pub amount: u64,
    /// Its window.
    pub window: Duration,
    /// What the visible organisations used in its window together.
    pub tokens: u64,
    /// `tokens` as a part of `amount`, in thousandths, rounded down. It can be above 1,000, and, with several
    /// organisations, without any of them having reached the threshold.
    pub share: u64,
    /// The visible organisations, in the order of names.
    pub orgs: Vec<OrgShare>,
}

/// How one organisation stands to the threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OrgShare {
    /// The organisation, as its rows show it.
    pub org: Arc<str>,
    /// What it used in the window of the threshold.
    pub tokens: u64,
    /// `tokens` as a part of the threshold, in thousandths, rounded down.
    pub share: u64,
}

/// What a report can be grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// By organisation.
    Org,
    /// By user; the users of two organisations are two, whatever their names.
    User,
    /// By model.
    Model,
    /// By route.
    Route,
}

/// Several rows of a [`Report`] together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Group {
    /// What they have in common, as the rows show it.
    pub name: Arc<str>,
    /// Whether they are what had no room in rows of its own, so that nothing else is known in common; its name is
    /// `other`.
    pub is_rest: bool,
    /// What was counted.
    pub totals: Totals,
}

impl Report {
    /// The rows, put together by what they have in common, in the order of names.
    pub fn grouped(&self, dimension: Dimension) -> Vec<Group> {
        let mut groups: HashMap<GroupId, Group> = HashMap::new();
        for row in &self.rows {
            let (id, name) = row.key.in_group(dimension);
            let empty = || Group { name: Arc::clone(name), is_rest: id == GroupId::Rest, totals: Totals::default() };
            groups.entry(id).or_insert_with(empty).totals.add(&row.totals);
        }
        let mut groups: Vec<Group> = groups.into_values().collect();
        groups.sort_by(|a, b| (&a.name, a.is_rest).cmp(&(&b.name, b.is_rest)));
        groups
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum GroupId {
    One(Fingerprint),
    User { org: Fingerprint, user: Fingerprint },
    Rest,
}

impl RowKey {
    fn in_group(&self, dimension: Dimension) -> (GroupId, &Arc<str>) {
        let name = self.name(dimension);
        let id = match (dimension, self.id) {
            (Dimension::Org, id) => id.org().map_or(GroupId::Rest, GroupId::One),
            (Dimension::User, RowId::Own { org, user, .. }) => GroupId::User { org, user },
            (Dimension::Model, RowId::Own { model, .. }) => GroupId::One(model),
            (Dimension::Route, RowId::Own { route, .. }) => GroupId::One(route),
            (_, RowId::RestOfOrg { .. } | RowId::Rest) => GroupId::Rest,
        };
        (id, name)
    }
}

/// A report in the making.
pub(super) struct Draft {
    report: Report,
    /// The first minute of the report's window, and of the threshold's.
    first: [Option<u64>; 2],
    threshold: TokenThreshold,
}

impl Draft {
    pub(super) fn new(window: Option<Duration>, now: Moment, threshold: TokenThreshold) -> Self {
        let (amount, length) = (threshold.tokens(), threshold.window());
        let standing = ThresholdReport { amount, window: length, tokens: 0, share: 0, orgs: Vec::new() };
        Self {
            report: Report { window, totals: Totals::default(), rows: Vec::new(), threshold: standing },
            first: [window.map(|window| first_minute(window, now)), Some(first_minute(length, now))],
            threshold,
        }
    }

    /// Reads the visible rows, and what the organisations that they belong to have used.
    pub(super) fn read(&mut self, shard: &Shard, visible: impl Fn(&RowKey) -> bool) {
        let [first, first_of_threshold] = self.first;
        let mut orgs: HashMap<Option<Fingerprint>, OrgShare> = HashMap::new();
        for row in shard.rows().filter(|row| visible(&row.key)) {
            let org = || OrgShare { org: Arc::clone(&row.key.org), tokens: 0, share: 0 };
            orgs.entry(row.key.id.org()).or_insert_with(org);
            let totals = row.since(first);
            if !totals.is_empty() {
                self.report.totals.add(&totals);
                self.report.rows.push(ReportRow { key: row.key.clone(), totals });
            }
        }
        if orgs.is_empty() {
            return;
        }
        for row in shard.rows() {
            if let Some(org) = orgs.get_mut(&row.key.id.org()) {
                org.tokens = org.tokens.saturating_add(row.since(first_of_threshold).total_tokens());
            }
        }
        self.report.threshold.orgs.extend(orgs.into_values());
    }

    pub(super) fn finish(self) -> Report {
        let Self { mut report, threshold, .. } = self;
        report.rows.sort_by(|a, b| a.key.names().cmp(&b.key.names()));
        let standing = &mut report.threshold;
        standing.orgs.sort_by(|a, b| a.org.cmp(&b.org));
        for org in &mut standing.orgs {
            org.share = threshold.share(org.tokens);
            standing.tokens = standing.tokens.saturating_add(org.tokens);
        }
        standing.share = threshold.share(standing.tokens);
        report
    }
}

impl Row {
    fn since(&self, first: Option<u64>) -> Totals {
        first.map_or(self.totals, |first| self.minutes.since(first))
    }
}
