//! Health for Kubernetes, in its own text, and for people and monitors, as `application/health+json`.

mod query;
mod text;
mod json;

pub use json::{health, health_detailed, health_liveness, health_readiness};
pub use text::{livez, livez_check, readyz, readyz_check};
