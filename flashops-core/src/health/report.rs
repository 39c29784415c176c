use std::sync::Arc;

use super::check::Check;
use super::registry::SHUTDOWN;
use super::state::{Reading, State};
use super::status::Groups;
use super::{Component, Finding, Group, Status};

/// What all checks found last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    checks: Vec<CheckReport>,
    /// The worst of each group.
    worst: [Status; Group::ALL.len()],
}

/// What one check found last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    name: Arc<str>,
    groups: Groups,
    component: Component,
    affected: Arc<[String]>,
    finding: Finding,
    /// Liveness passes while there is no answer, whatever is assumed elsewhere.
    unknown: bool,
    reading: Option<Reading>,
}

impl Report {
    pub(super) fn new(checks: Vec<CheckReport>) -> Self {
        let worst = Group::ALL.map(|group| worst(checks.iter().filter_map(|check| check.status_in(group))));
        Self { checks, worst }
    }

    /// The worst of a group; pass if it has no checks.
    pub const fn status(&self, group: Group) -> Status {
        self.worst[group.index()]
    }

    /// The worst of all groups.
    pub fn overall(&self) -> Status {
        worst(self.worst.iter().copied())
    }

    /// The worst of a group, less the checks whose names are excluded.
    pub fn status_without(&self, group: Group, excluded: impl Fn(&str) -> bool) -> Status {
        let counted = self.group(group).filter(|(check, _)| !excluded(check.name()));
        worst(counted.map(|(_, status)| status))
    }

    /// All checks, in the order in which they were registered; last `shutdown`, once the service shuts down.
    pub fn checks(&self) -> &[CheckReport] {
        &self.checks
    }

    /// The checks of a group in the same order, and how well each is there.
    pub fn group(&self, group: Group) -> impl Iterator<Item = (&CheckReport, Status)> {
        self.checks.iter().filter_map(move |check| check.status_in(group).map(|status| (check, status)))
    }
}

impl CheckReport {
    pub(super) fn new(check: &Check, state: &State) -> Self {
        let reading = state.last().cloned();
        let unanswered = || Finding::fail("it has not been asked yet");
        let initial = || check.initial.clone().unwrap_or_else(unanswered).weighed(check.critical);
        Self {
            name: Arc::clone(&check.name),
            groups: check.groups,
            component: check.component,
            affected: Arc::clone(&check.affected),
            finding: reading.as_ref().map_or_else(initial, |reading| reading.finding.clone()),
            unknown: reading.is_none() && check.initial.is_none(),
            reading,
        }
    }

    /// What stands in for a check while the service shuts down.
    pub(super) fn shutdown() -> Self {
        Self {
            name: SHUTDOWN.into(),
            groups: Groups::of([Group::Readiness]),
            component: Component::System,
            affected: Arc::default(),
            finding: Finding::fail("the service is shutting down"),
            unknown: false,
            reading: None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What kind of thing it looks at.
    pub const fn component(&self) -> Component {
        self.component
    }

    /// The routes that do not work while it fails.
    pub fn affected(&self) -> &[String] {
        &self.affected
    }

    /// How well it is; no worse than a warning if the check is not critical.
    pub const fn status(&self) -> Status {
        self.finding.status
    }

    /// Why, if not well. It can name internals: show it to operators only.
    pub fn output(&self) -> Option<&str> {
        self.finding.output.as_deref()
    }

    /// Its last answer; `None` if it has never answered.
    pub const fn reading(&self) -> Option<&Reading> {
        self.reading.as_ref()
    }

    /// How well it is in a group; `None` if it is not in it.
    fn status_in(&self, group: Group) -> Option<Status> {
        let innocent = self.unknown && group == Group::Liveness;
        self.groups.contains(group).then_some(if innocent { Status::Pass } else { self.finding.status })
    }

    /// Whether it keeps traffic away: a critical check for readiness that was asked and failed.
    pub(super) fn sheds(&self) -> bool {
        let failed = self.reading.as_ref().is_some_and(|reading| reading.finding.status == Status::Fail);
        failed && self.groups.contains(Group::Readiness)
    }
}

fn worst(all: impl Iterator<Item = Status>) -> Status {
    all.max().unwrap_or(Status::Pass)
}
