use std::borrow::Cow;
use std::fmt::Display;

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Well.
    Pass,
    /// Working, with something an operator should look at.
    Warn,
    /// Not working.
    Fail,
}

impl Status {
    /// The word for it in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What a check is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// Whether a restart would help.
    Liveness,
    /// Whether the service should get traffic.
    Readiness,
    /// Whether the service has started.
    Startup,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Liveness, Self::Readiness, Self::Startup];

    /// Its place in [`Group::ALL`].
    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

/// The groups of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Groups([bool; Group::ALL.len()]);

impl Groups {
    pub(super) fn of(groups: impl IntoIterator<Item = Group>) -> Self {
        let mut all = [false; Group::ALL.len()];
        groups.into_iter().for_each(|group| all[group.index()] = true);
        Self(all)
    }

    pub(super) const fn contains(self, group: Group) -> bool {
        self.0[group.index()]
    }
}

/// What kind of thing a check looks at, in the words of the health-check draft.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Component {
    /// Another service, or a part of this one.
    #[default]
    Service,
    /// A database, a cache, a queue.
    Datastore,
    /// The machine: its disk, its memory.
    System,
}

impl Component {
    /// The word for it in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Service => "component",
            Self::Datastore => "datastore",
            Self::System => "system",
        }
    }
}

/// What a check found.
///
/// ```
/// use flashops_core::health::{Finding, Status};
///
/// let (pong, refused) = (Ok::<_, &str>("PONG"), Err::<(), _>("connection refused"));
/// assert_eq!(Finding::from(pong), Finding::pass());
/// assert_eq!(Finding::from(refused), Finding::fail("connection refused"));
/// assert_eq!(Finding::pass().status, Status::Pass);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How well.
    pub status: Status,
    /// Why, if not well. It can name internals: show it to operators only. [`Finding::MAX_OUTPUT`] characters of it
    /// are kept, on one line.
    pub output: Option<Cow<'static, str>>,
}

impl Finding {
    /// The most characters of an output that are kept.
    pub const MAX_OUTPUT: usize = 500;

    /// Well.
    pub const fn pass() -> Self {
        Self { status: Status::Pass, output: None }
    }

    /// Working, with something to look at.
    pub fn warn(output: impl Into<Cow<'static, str>>) -> Self {
        Self { status: Status::Warn, output: Some(output.into()) }
    }

    /// Not working.
    pub fn fail(output: impl Into<Cow<'static, str>>) -> Self {
        Self { status: Status::Fail, output: Some(output.into()) }
    }

    /// The same with an output that a log can have: one line of bounded length.
    pub(super) fn printable(self) -> Self {
        let fits = |text: &str| text.len() <= Self::MAX_OUTPUT && !text.contains(char::is_control);
        let output = self.output.map(|output| if fits(&output) { output } else { on_one_line(&output).into() });
        Self { output, ..self }
    }

    /// The same, no worse than a warning unless it is critical.
    pub(super) fn weighed(self, critical: bool) -> Self {
        let status = if critical { self.status } else { self.status.min(Status::Warn) };
        Self { status, ..self }
    }
}

fn on_one_line(text: &str) -> String {
    text.chars().take(Finding::MAX_OUTPUT).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A ping that is answered passes, whatever the answer; an error fails with what it says.
impl<T, E: Display> From<Result<T, E>> for Finding {
    fn from(answer: Result<T, E>) -> Self {
        answer.map_or_else(|error| Self::fail(error.to_string()), |_| Self::pass())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_cannot_break_a_line_of_a_log_and_is_bounded() {
        let hostile = format!("down\n{{\"level\":\"info\"}}\u{7}{}", "x".repeat(1_000));
        let output = Finding::fail(hostile).printable().output.unwrap();
        assert!(output.starts_with("down {\"level\":\"info\"} xxx"), "{output}");
        assert_eq!(output.chars().count(), Finding::MAX_OUTPUT);
        assert_eq!(Finding::fail("down").printable(), Finding::fail("down"));
    }

    #[test]
    fn the_worst_is_the_greatest() {
        assert!(Status::Fail > Status::Warn && Status::Warn > Status::Pass);
    }
}
