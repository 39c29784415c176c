//! Budgets and rate limits that several instances of a service share, on Redis or Valkey.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use flashops_core::key::{Key, Scope, Scopes};
//! use flashops_core::limit::{Limit, Policy, Resource, Window};
//! use flashops_core::store::{Admit, Store};
//! use flashops_redis::{Options, RedisStore};
//! # use flashops_testkit::redis_server::RedisServer;
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # let server = RedisServer::start();
//! # let address = server.address();
//! # runtime.block_on(async {
//! let minute = Window::Sliding(Duration::from_secs(60));
//! let policy = Arc::new(Policy::new(vec![Limit::new("rpm", Scope::User, Resource::Requests, 2, minute)?])?);
//! // Two instances of one service.
//! let mut options = Options::default();
//! options.deadline = Duration::from_secs(1);
//! let one = RedisStore::open(Arc::clone(&policy), &address, options.clone())?;
//! let other = RedisStore::open(Arc::clone(&policy), &address, options)?;
//!
//! let scopes = Scopes::new().with(Key::new(Scope::User, "ann"));
//! let admit = Admit { scopes: &scopes, limits: policy.request_limits(), requests: 1, report: false };
//! assert!(one.admit(&admit).await?.is_ok());
//! assert!(other.admit(&admit).await?.is_ok());
//! assert!(one.admit(&admit).await?.is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`RedisStore`] is a [`Store`](flashops_core::store::Store) like the one in memory: it runs the same conformance
//! suite and is compared with the same model. Every command is one script, which the server runs as one step: a
//! reservation takes all limits of all its scopes or none, and a settlement is one more. The server's clock decides,
//! and no instance's does; time never goes back for an account.
//!
//! | key | what it has |
//! | --- | --- |
//! | `flashops:{all}:user:<hash>` | one account: when it was last used, and a cell for each limit |
//! | `flashops:{all}:held` | what is held, by identity, with the accounts that it is held in |
//! | `flashops:{all}:deadlines` | when each hold expires |
//! | `flashops:{all}:held:<number>` | what was settled in one span of time |
//!
//! The names of callers are hashed under a secret; nobody reads in the keys who is counted. Every key has an end, but
//! for accounts with a lifetime limit. Numbers are whole and below 2⁵³, which a script's numbers hold exactly; amounts
//! stop there.
//!
//! Edge cases: instants are whole microseconds, and sub-buckets are whole microseconds long, so a ring begins its
//! buckets elsewhere than the one in memory does. Instances with different policies can share accounts while a
//! deployment goes on: a changed amount keeps what is used, and a limit that counts in another way begins anew. A
//! command whose answer is lost is sent once more if doing it twice does nothing twice: every one but
//! [`admit`](flashops_core::store::Store::admit) and [`give_back`](flashops_core::store::Store::give_back).
//!
//! Without the server an instance gives out its share of what was left, for a while; `docs/operations.md` of the
//! repository says what is promised and what is not, and what the server needs.
//!
//! What this crate does not do: run a server, speak to several at once (a cluster, sentinels), speak TLS, or lease
//! units to instances.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod options;
mod plan;
mod script;
mod reply;
mod breaker;
mod local;
mod shared;
mod link;
mod exchange;
mod decide;
mod deliver;
mod driver;
mod answer;
mod store;

pub use answer::Answer;
pub use options::Options;
pub use store::{OpenError, RedisStore, StoreStats};
