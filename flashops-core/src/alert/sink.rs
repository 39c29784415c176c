use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::alert::Alert;
use crate::sync::{AtomicU64, Ordering};

/// Somebody who is told of alerts.
///
/// It is called on the thread of the request, from destructors too: it hands on what it gets, and does not wait, block
/// or panic. Closures are sinks.
pub trait AlertSink: Send + Sync + 'static {
    /// Takes an alert.
    fn send(&self, alert: &Arc<Alert>);
}

impl<F: Fn(&Arc<Alert>) + Send + Sync + 'static> AlertSink for F {
    fn send(&self, alert: &Arc<Alert>) {
        self(alert);
    }
}

/// Puts alerts into a channel of this process, for a thread that waits for them. Clones feed the same channel.
///
/// What has no room is dropped and counted. When the receiver is gone, nothing has room.
#[derive(Clone, Debug)]
pub struct ChannelSink {
    sender: SyncSender<Arc<Alert>>,
    dropped: Arc<AtomicU64>,
}

impl ChannelSink {
    /// A channel with room for so many alerts, at least one.
    pub fn new(room: usize) -> (Self, Receiver<Arc<Alert>>) {
        let (sender, receiver) = sync_channel(room.max(1));
        (Self { sender, dropped: Arc::new(AtomicU64::new(0)) }, receiver)
    }

    /// How many alerts had no room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl AlertSink for ChannelSink {
    fn send(&self, alert: &Arc<Alert>) {
        if self.sender.try_send(Arc::clone(alert)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
