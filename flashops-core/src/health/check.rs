use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::status::Groups;
use super::{Component, Finding, Group};

/// Something to ask for, and when.
///
/// ```
/// use std::time::Duration;
/// use flashops_core::health::{Check, Component, Finding, Group};
///
/// let check = Check::new("redis", || async { Finding::pass() })
///     .with_component(Component::Datastore)
///     .with_groups([Group::Readiness, Group::Startup])
///     .with_interval(Duration::from_secs(10))
///     .with_affected(["/v1/chat/{anything}"]);
/// assert_eq!(check.name(), "redis");
/// ```
///
/// What it asks must not block its thread; blocking work belongs on a thread of its own. After the timeout its future
/// is dropped.
pub struct Check {
    pub(super) name: Arc<str>,
    pub(super) groups: Groups,
    pub(super) component: Component,
    pub(super) critical: bool,
    pub(super) timing: Timing,
    pub(super) affected: Arc<[String]>,
    pub(super) initial: Option<Finding>,
    pub(super) ask: Box<dyn Fn() -> Pending + Send + Sync>,
}

/// An answer that is waited for.
pub(super) type Pending = Pin<Box<dyn Future<Output = Finding> + Send>>;

/// When a check is run, and for how long it may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) timeout: Duration,
    pub(super) interval: Duration,
    pub(super) delay: Duration,
}

impl Check {
    /// How long an answer may take, unless told otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(2);
    /// The time from one start to the next, unless told otherwise; each is up to a fifth shorter or longer.
    pub const INTERVAL: Duration = Duration::from_secs(30);
    /// The time before the first start, unless told otherwise; up to a fifth shorter or longer.
    pub const START_DELAY: Duration = Duration::from_secs(5);
    /// The shortest interval. A shorter one is lengthened to this.
    pub const MIN_INTERVAL: Duration = Duration::from_millis(10);
    /// The most routes that a check names as affected; more are left out.
    pub const MAX_AFFECTED: usize = 64;

    /// A critical check for readiness that asks what this closure's futures ask.
    pub fn new<F, A>(name: &str, ask: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output: Into<Finding>> + Send + 'static,
    {
        Self {
            name: name.into(),
            groups: Groups::of([Group::Readiness]),
            component: Component::default(),
            critical: true,
            timing: Timing { timeout: Self::TIMEOUT, interval: Self::INTERVAL, delay: Self::START_DELAY },
            affected: Arc::default(),
            initial: None,
            ask: Box::new(move || {
                let answer = ask();
                Box::pin(async move { answer.await.into() })
            }),
        }
    }

    /// A check named `ping` in all groups that always passes: the process answers.
    pub fn ping() -> Self {
        Self::new("ping", || async { Finding::pass() }).with_groups(Group::ALL).with_initial(Finding::pass())
    }

    /// The groups that it counts for, in place of readiness. In none, it is seen in details only.
    #[must_use]
    pub fn with_groups(self, groups: impl IntoIterator<Item = Group>) -> Self {
        Self { groups: Groups::of(groups), ..self }
    }

    /// What kind of thing it looks at.
    #[must_use]
    pub fn with_component(self, component: Component) -> Self {
        Self { component, ..self }
    }

    /// Warns where it would fail: the service works without.
    #[must_use]
    pub fn not_critical(self) -> Self {
        Self { critical: false, ..self }
    }

    /// How long an answer may take.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timing: Timing { timeout, ..self.timing }, ..self }
    }

    /// The time from one start to the next, at least [`Check::MIN_INTERVAL`].
    #[must_use]
    pub fn with_interval(self, interval: Duration) -> Self {
        Self { timing: Timing { interval: interval.max(Self::MIN_INTERVAL), ..self.timing }, ..self }
    }

    /// The time before the first start; zero is at once.
    #[must_use]
    pub fn with_start_delay(self, delay: Duration) -> Self {
        Self { timing: Timing { delay, ..self.timing }, ..self }
    }

    /// The routes that do not work while it fails, as URI templates, for those who see details.
    #[must_use]
    pub fn with_affected<T: Into<String>>(self, routes: impl IntoIterator<Item = T>) -> Self {
        Self { affected: routes.into_iter().take(Self::MAX_AFFECTED).map(Into::into).collect(), ..self }
    }

    /// What it is taken to have found until it has answered once.
    #[must_use]
    pub fn with_initial(self, finding: Finding) -> Self {
        Self { initial: Some(finding), ..self }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("name", &self.name)
            .field("critical", &self.critical)
            .field("timing", &self.timing)
            .finish_non_exhaustive()
    }
}
