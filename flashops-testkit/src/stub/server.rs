//! The stub on a socket.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::body::StubBody;
use super::connection::{Connection, Flushes};
use super::ledger::{Ledger, Produced, Requests, Sums};
use super::respond::{MAX_BODY, answer, too_large};

/// Connections served at a time; more wait in the system's queue.
pub const MAX_CONNECTIONS: usize = 4_096;

/// A stub provider that listens on loopback. It stops when it is dropped.
///
/// ```
/// use flashops_testkit::stub::StubProvider;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let provider = StubProvider::start().await?;
/// assert!(provider.base_url().starts_with("http://127.0.0.1:"));
/// assert_eq!(provider.requests().total(), 0);
/// provider.shutdown().await;
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct StubProvider {
    address: SocketAddr,
    ledger: Arc<Ledger>,
    accepting: JoinHandle<()>,
}

impl StubProvider {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When no socket can be bound.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O and time.
    pub async fn start() -> io::Result<Self> {
        Self::start_on((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// Starts on an address.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O and time.
    pub async fn start_on(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let ledger = Arc::new(Ledger::default());
        let accepting = tokio::spawn(accept(listener, Arc::clone(&ledger)));
        Ok(Self { address, ledger, accepting })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS`, without a path and without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests came. A request counts from when its body has been read.
    pub fn requests(&self) -> Requests {
        self.ledger.requests()
    }

    /// What was produced for each request, oldest first; of more than [`MAX_PRODUCED`](super::MAX_PRODUCED)
    /// requests, for the newest.
    pub fn produced(&self) -> Vec<Produced> {
        self.ledger.produced()
    }

    /// What was produced for all requests.
    pub fn sums(&self) -> Sums {
        self.ledger.sums()
    }

    /// Waits until no answer is being sent. An answer that hangs runs until its client leaves.
    pub async fn idle(&self) {
        self.ledger.idle().await;
    }

    /// Stops listening and drops every connection.
    pub async fn shutdown(mut self) {
        self.accepting.abort();
        // Cancelled, which is what was asked.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for StubProvider {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Dropped with its set, so that aborting this task ends every connection.
async fn accept(listener: TcpListener, ledger: Arc<Ledger>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(serve(socket, Arc::clone(&ledger)));
                }
                // Out of descriptors: they come back when a connection ends, not by asking again at once.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(socket: TcpStream, ledger: Arc<Ledger>) {
    // Without it, paced words would wait for each other's acknowledgement; if it fails they do.
    let _ = socket.set_nodelay(true);
    let flushes = Flushes::default();
    let connection = Connection::new(socket, flushes.clone());
    let service = service_fn(move |request| handle(request, Arc::clone(&ledger), flushes.clone()));
    // An error is a client that left or a cut; the ledger knows of both.
    let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(connection, service).await;
}

async fn handle(
    request: Request<Incoming>,
    ledger: Arc<Ledger>,
    flushes: Flushes,
) -> Result<Response<StubBody>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let (response, produced) = match read(body).await? {
        Some(body) => answer(&parts.method, path, &parts.headers, &body),
        None => too_large(path, &parts.headers),
    };
    let entry = ledger.open(produced);
    let mut response = response.map(|body| body.on_connection(entry, flushes));
    let wait = response.body_mut().take_head_wait();
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    Ok(response)
}

/// The body, or nothing where it is too large.
async fn read(body: Incoming) -> Result<Option<bytes::Bytes>, hyper::Error> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(Some(body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Ok(None),
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(error) => Err(*error),
            Err(_) => Ok(None),
        },
    }
}
