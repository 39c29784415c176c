//! The stub's side of a connection, which knows when everything written has left.
//!
//! hyper throws away what it still buffers when a body ends with an error. A cut must not lose words that the ledger
//! counts, so the body waits for the flush that hyper does when a body has nothing more to say.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;

/// Counts the flushes of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Flushes(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    done: AtomicU64,
    waiting: Mutex<Option<Waker>>,
}

impl Flushes {
    /// Ready once a flush has ended after the call that found `since` empty.
    pub(super) fn poll_next(&self, since: &mut Option<u64>, context: &Context<'_>) -> Poll<()> {
        *self.0.waiting.lock() = Some(context.waker().clone());
        let done = self.0.done.load(Ordering::Acquire);
        if done > *since.get_or_insert(done) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn count(&self) {
        self.0.done.fetch_add(1, Ordering::AcqRel);
        if let Some(waker) = self.0.waiting.lock().take() {
            waker.wake();
        }
    }
}

/// A socket whose flushes are counted.
#[derive(Debug)]
pub(super) struct Connection {
    socket: TokioIo<TcpStream>,
    flushes: Flushes,
}

impl Connection {
    pub(super) fn new(socket: TcpStream, flushes: Flushes) -> Self {
        Self { socket: TokioIo::new(socket), flushes }
    }
}

impl Read for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl Write for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_flush(context))?;
        self.flushes.count();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }
}
