//! x
/// x
#[derive(Debug)]
pub struct HideUsage;
/// y
#[derive(Debug)]
pub struct Passed;
