use std::convert::Infallible;
use std::io;
use std::time::Duration;

use flashops_core::store::Succeed;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::Reloader;

impl<T: Succeed> Reloader<T> {
    /// [Looks](Reloader::look) again and again, with pauses of `every` (at least a millisecond), and
    /// [checks](Reloader::check) at once when the process gets SIGHUP. It goes on until it is dropped.
    ///
    /// # Errors
    ///
    /// That nobody can be told of the signal, or that the runtime shuts down.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its timer and its signals.
    pub async fn run(mut self, every: Duration) -> io::Result<Infallible> {
        let mut hangups = Hangups::new()?;
        let mut ticks = interval(every.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_whole = tokio::select! {
                _ = ticks.tick() => false,
                () = hangups.next() => true,
            };
            // Reading may wait for a disk, or for one that is somewhere else.
            self = spawn_blocking(move || {
                if is_whole {
                    self.check()
                } else {
                    self.look()
                };
                self
            })
            .await?;
        }
    }
}

/// SIGHUP, which tells a service to read its configuration.
#[cfg(unix)]
struct Hangups(tokio::signal::unix::Signal);

#[cfg(unix)]
impl Hangups {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self(signal(SignalKind::hangup())?))
    }

    async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// There is no such signal.
#[cfg(not(unix))]
struct Hangups;

#[cfg(not(unix))]
impl Hangups {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        std::future::pending().await
    }
}
