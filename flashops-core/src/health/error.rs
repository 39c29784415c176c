use std::fmt;

use super::HealthRegistry;

/// Why a check was not registered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HealthError {
    /// The name is malformed or taken.
    BadName(String),
    /// The registry is full.
    TooMany,
}

impl fmt::Display for HealthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName(name) => {
                let most = HealthRegistry::MAX_NAME;
                write!(f, "{name:?} is no free name for a check: 1 to {most} letters, digits, `-`, `_` or `.`")
            }
            Self::TooMany => write!(f, "a registry has at most {} checks", HealthRegistry::MAX_CHECKS),
        }
    }
}

impl std::error::Error for HealthError {}
