//! The one connection to the server, made again when it breaks.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Value};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::shared::Shared;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(1);
/// How long a connection may be silent while commands wait on it.
const SILENCE: Duration = Duration::from_secs(1);
/// Between two attempts to connect: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A connection with its number: one more for each that is made.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    number: u64,
    /// One more for each that may be to another server, or to one that has forgotten.
    epoch: u64,
    pub(crate) pipe: MultiplexedConnection,
    /// When something was last heard of the server.
    heard: Arc<Mutex<Instant>>,
}

impl Connection {
    /// Something was heard.
    pub(crate) fn heard(&self) {
        *self.heard.lock() = Instant::now();
    }

    /// Whether nothing was heard for so long that nobody is there any more, or nobody who knows of this connection.
    fn is_silent(&self) -> bool {
        self.heard.lock().elapsed() >= SILENCE
    }
}

/// Where the connection is found, once it stands.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    current: watch::Receiver<Option<Connection>>,
    broken: Arc<Notify>,
}

impl Link {
    /// A link that a task keeps connected, until nobody has it any more.
    pub(crate) fn open(runtime: &Handle, client: Client, shared: Arc<Shared>) -> Self {
        let (found, current) = watch::channel(None);
        let broken = Arc::new(Notify::new());
        runtime.spawn(keep_connected(client, shared, found, Arc::clone(&broken)));
        Self { current, broken }
    }

    /// The connection, as soon as there is one.
    pub(crate) async fn connection(&mut self) -> Option<Connection> {
        let found = self.current.wait_for(Option::is_some).await.ok()?;
        found.clone()
    }

    /// Waits for a connection to a server that may have forgotten, after the one of this epoch.
    pub(crate) async fn epoch_after(&mut self, seen: u64) -> u64 {
        let later = |found: &Option<Connection>| found.as_ref().is_some_and(|found| found.epoch > seen);
        let epoch = self.current.wait_for(later).await.ok().and_then(|found| Some(found.as_ref()?.epoch));
        match epoch {
            Some(epoch) => epoch,
            // Nobody connects any more.
            None => std::future::pending().await,
        }
    }

    /// Says that a connection is of no more use, if it is still the current one.
    pub(crate) fn is_broken(&self, connection: &Connection) {
        if self.current.borrow().as_ref().is_some_and(|current| current.number == connection.number) {
            self.broken.notify_one();
        }
    }

    /// Says that a command was not answered in time: where nothing else was heard for a while either, that is the end
    /// of the connection.
    pub(crate) fn is_late(&self) {
        let silent = self.current.borrow().as_ref().filter(|current| current.is_silent()).cloned();
        if let Some(silent) = silent {
            self.is_broken(&silent);
        }
    }
}

async fn keep_connected(
    client: Client,
    shared: Arc<Shared>,
    found: watch::Sender<Option<Connection>>,
    broken: Arc<Notify>,
) {
    let (mut number, mut epoch, mut pause) = (0, 0, FIRST_PAUSE);
    let mut last = None;
    loop {
        let connected = tokio::select! {
            connected = tokio::time::timeout(CONNECT, connect(&client, &shared)) => connected,
            () = found.closed() => return,
        };
        let wait = async {
            if let Ok(Ok((pipe, server))) = connected {
                number += 1;
                epoch += u64::from(number > 1 && (server.is_none() || server != last));
                last = server;
                pause = FIRST_PAUSE;
                let heard = Arc::new(Mutex::new(Instant::now()));
                found.send_replace(Some(Connection { number, epoch, pipe, heard }));
                broken.notified().await;
                found.send_replace(None);
            } else {
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
            }
        };
        tokio::select! {
            () = wait => {}
            () = found.closed() => return,
        }
    }
}

/// Connects, and tells the server the scripts, so that no command has to be sent twice for want of one. Tells which run
/// of which server it is, if the server says so.
async fn connect(client: &Client, shared: &Shared) -> Result<(MultiplexedConnection, Option<String>), RedisError> {
    // How long to wait for an answer is for whoever asks.
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let mut pipe = client.get_multiplexed_async_connection_with_config(&config).await?;
    for text in shared.scripts.texts() {
        let answer = pipe.send_packed_command(redis::cmd("SCRIPT").arg("LOAD").arg(text)).await?;
        // A server that does not allow it gets the text when it asks for it.
        let _known = answer.extract_error();
    }
    let info = pipe.send_packed_command(redis::cmd("INFO").arg("server")).await?;
    Ok((pipe, run_of(info)))
}

fn run_of(info: Value) -> Option<String> {
    let Value::BulkString(text) = info else { return None };
    let text = String::from_utf8(text).ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix("run_id:")?.trim().to_owned()))
}
