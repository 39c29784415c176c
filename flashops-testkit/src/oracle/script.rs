use std::time::Duration;

use flashops_core::key::Scope;
use flashops_core::limit::{Algorithm, Limit, Mode, OnExpiry, Policy, Resource, Switches, Window};
use flashops_core::units::{Amounts, Cost, Tokens};
use flashops_core::window::{Calendar, CalendarUnit, CarryDebt};
use proptest::collection::vec;
use proptest::prelude::*;

use super::model::Keys;

/// The unit of all durations: a multiple of whatever stores round instants to.
const UNIT: Duration = Duration::from_micros(1_024);

const SECOND: u32 = 977;
const MINUTE: u32 = 58_594;
const HOUR: u32 = 3_515_625;
const DAY: u32 = 24 * HOUR;

/// A policy, and what is done under it.
#[derive(Clone, Debug)]
pub struct Script {
    /// The limits and switches.
    pub policy: Policy,
    /// One after the other.
    pub steps: Vec<Step>,
}

/// A caller: one of three users of one of two organisations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    /// Which user.
    pub user: usize,
    /// Which organisation.
    pub org: usize,
}

/// What is done.
///
/// `which` picks a reservation or a receipt: mostly of those that are still held, sometimes any that was ever made,
/// or one that never was.
#[derive(Clone, Debug)]
pub enum Step {
    /// Count requests.
    Admit {
        /// Who asks.
        who: Who,
        /// How many.
        requests: u64,
    },
    /// Give back what was counted, unless it was.
    GiveBack {
        /// Which.
        which: usize,
    },
    /// Reserve with a new identity.
    Reserve {
        /// Who asks.
        who: Who,
        /// What is held.
        hold: Amounts,
        /// What expiry charges.
        checkpoint: Amounts,
        /// How long it is held.
        lifetime: Duration,
        /// The limits that do not count, by bit.
        without: u8,
    },
    /// Reserve again with an identity that was used.
    ReserveAgain {
        /// Which.
        which: usize,
    },
    /// Hold more.
    Extend {
        /// Which.
        which: usize,
        /// How much more.
        more: Amounts,
        /// What expiry charges now.
        checkpoint: Amounts,
        /// How long it is held from now on.
        lifetime: Duration,
    },
    /// Settle: for the first time, again, with another amount, too late, or in vain.
    Settle {
        /// Which.
        which: usize,
        /// What was used.
        used: Amounts,
    },
    /// Let time pass.
    Advance(Duration),
    /// Set the clock back, look, and set it right again.
    StepBack(Duration),
}

impl Who {
    const ALL: [(usize, usize); 6] = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)];

    /// Everybody.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().map(|(user, org)| Self { user, org })
    }

    /// So many that each user and each organisation is among them.
    pub(super) fn each_key() -> impl Iterator<Item = Self> {
        [(0, 0), (1, 1), (2, 0)].into_iter().map(|(user, org)| Self { user, org })
    }

    /// His keys, as the model knows them.
    pub(super) fn named(self) -> Keys {
        Keys::new(self.keys())
    }

    /// The text of each key.
    pub(super) fn keys(self) -> [(Scope, &'static str); 3] {
        const USERS: [&str; 3] = ["u0", "u1", "u2"];
        const ORGS: [&str; 2] = ["o0", "o1"];
        [(Scope::User, USERS[self.user]), (Scope::Org, ORGS[self.org]), (Scope::Global, "")]
    }
}

/// Scripts of at most so many steps under random policies.
pub fn script(most: usize) -> impl Strategy<Value = Script> {
    (policy(), vec(step(), 1..=most)).prop_map(|(policy, steps)| Script { policy, steps })
}

fn policy() -> impl Strategy<Value = Policy> {
    (vec(plan(), 1..=6), switches()).prop_map(|(plans, switches)| {
        let limits = plans.into_iter().enumerate().map(|(place, plan)| plan.limit(place)).collect();
        Policy::new(limits).expect("names differ").with_switches(switches)
    })
}

fn switches() -> impl Strategy<Value = Switches> {
    let on_expiry = prop_oneof![Just(OnExpiry::Checkpoint), Just(OnExpiry::Full), Just(OnExpiry::Release)];
    let carry = prop_oneof![Just(CarryDebt::None), Just(CarryDebt::Full), (0..80_u64).prop_map(CarryDebt::Capped)];
    (on_expiry, carry, wait()).prop_map(|(on_expiry, carry_debt, max_lifetime)| {
        let mut switches = Switches::default();
        switches.on_expiry = on_expiry;
        switches.carry_debt = carry_debt;
        switches.max_lifetime = max_lifetime;
        switches
    })
}

/// A limit that has no name yet.
#[derive(Clone, Debug)]
struct Plan {
    scope: Scope,
    resource: Resource,
    amount: u64,
    window: Window,
    algorithm: Algorithm,
    mode: Mode,
    thresholds: Vec<u16>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let scope = prop_oneof![4 => Just(Scope::User), 2 => Just(Scope::Org), 1 => Just(Scope::Global)];
    let resource = prop_oneof![3 => Just(Resource::Requests), 4 => prop::sample::select(&Resource::ALL[..])];
    let amount = prop_oneof![1 => Just(0), 10 => 3..=16_u64, 20 => 17..=64_u64, 30 => 65..=400_u64];
    let algorithm = prop_oneof![
        5 => Just(Algorithm::Ring),
        1 => Just(Algorithm::Approximate),
        1 => Just(Algorithm::Gcra)
    ];
    let mode = prop_oneof![6 => Just(Mode::Enforce), 1 => Just(Mode::Warn), 1 => Just(Mode::Shadow)];
    let thresholds = prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::btree_set(100..1_500_u16, 1..3).prop_map(|set| set.into_iter().collect())
    ];
    (scope, resource, amount, window(), algorithm, mode, thresholds).prop_map(
        |(scope, resource, amount, window, algorithm, mode, thresholds)| Plan {
            scope,
            resource,
            amount,
            window,
            algorithm,
            mode,
            thresholds,
        },
    )
}

impl Plan {
    fn limit(self, place: usize) -> Limit {
        let name = format!("l{place}");
        if self.resource == Resource::Concurrency {
            let limit =
                Limit::concurrency(name, self.scope, self.amount.min(1) + self.amount % 8).expect("the name is valid");
            return limit.with_mode(self.mode);
        }
        // What never comes back is soon spent, and nothing more is learnt from it.
        let amount = match (&self.window, self.resource) {
            (Window::Lifetime, _) => self.amount * 20,
            (_, Resource::Requests) => self.amount,
            _ => self.amount * 2,
        };
        let limit = Limit::new(name, self.scope, self.resource, amount, self.window).expect("the name is valid");
        let limit = limit.with_mode(self.mode).with_thresholds(self.thresholds).expect("thresholds are different");
        // Some windows and amounts have no choice.
        limit.clone().with_algorithm(self.algorithm).unwrap_or(limit)
    }
}

fn window() -> impl Strategy<Value = Window> {
    let days = Calendar::new(CalendarUnit::Day, "UTC", None).expect("UTC has days");
    prop_oneof![
        2 => Just(Window::Sliding(UNIT * SECOND)),
        5 => Just(Window::Sliding(UNIT * MINUTE)),
        2 => Just(Window::Sliding(UNIT * HOUR)),
        2 => Just(Window::Calendar(days)),
        1 => Just(Window::Lifetime),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<usize>;
    let requests = prop_oneof![60 => Just(1), 20 => 2..6_u64, 10 => 5..30_u64, 1 => 0..100_u64];
    prop_oneof![
        8 => (who(), requests).prop_map(|(who, requests)| Step::Admit { who, requests }),
        2 => which().prop_map(|which| Step::GiveBack { which }),
        10 => (who(), amounts(), amounts(), wait(), prop_oneof![3 => Just(0), 1 => any::<u8>()]).prop_map(
            |(who, hold, checkpoint, lifetime, without)| Step::Reserve { who, hold, checkpoint, lifetime, without }
        ),
        1 => which().prop_map(|which| Step::ReserveAgain { which }),
        3 => (which(), amounts(), amounts(), wait()).prop_map(
            |(which, more, checkpoint, wait)| Step::Extend { which, more, checkpoint, lifetime: wait + UNIT }
        ),
        8 => (which(), used()).prop_map(|(which, used)| Step::Settle { which, used }),
        8 => wait().prop_map(Step::Advance),
        1 => wait().prop_map(Step::StepBack),
    ]
}

fn who() -> impl Strategy<Value = Who> {
    (prop_oneof![4 => Just(0), 1 => 1..3_usize], 0..2_usize).prop_map(|(user, org)| Who { user, org })
}

fn amounts() -> impl Strategy<Value = Amounts> {
    let amount = || prop_oneof![10 => Just(0), 50 => 1..=12_u64, 20 => 5..=60_u64, 3 => 0..=500_u64];
    let requests = prop_oneof![8 => Just(1), 1 => 0..4_u64];
    (requests, amount(), amount(), amount()).prop_map(|(requests, input, output, cost)| Amounts {
        requests,
        input: Tokens::saturating(input),
        output: Tokens::saturating(output),
        cost: Cost::saturating(cost),
    })
}

fn used() -> impl Strategy<Value = Amounts> {
    prop_oneof![1 => Just(Amounts::ZERO), 6 => amounts()]
}

/// Nothing at all, parts of a window, some windows, or some days.
fn wait() -> impl Strategy<Value = Duration> {
    let units = prop_oneof![
        1 => Just(0),
        3 => 1..SECOND,
        4 => SECOND..MINUTE,
        3 => MINUTE..3 * MINUTE,
        2 => MINUTE..2 * HOUR,
        1 => HOUR..3 * DAY,
    ];
    units.prop_map(|units| UNIT * units)
}
