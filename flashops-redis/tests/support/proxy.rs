use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a proxy does with what passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing.
    Pass,
    /// Answers come so much later.
    Delay(Duration),
    /// Commands go through, and answers never come, on this connection never again.
    SwallowAnswers,
    /// Nothing goes through in either direction, and nobody is told.
    Silence,
    /// Answers come byte by byte.
    Slices,
    /// Connections are closed as soon as something passes.
    Reset,
}

/// Something in the way between a client and a server.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    target: Arc<AtomicU16>,
    mode: Arc<watch::Sender<Mode>>,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        let mode = Arc::new(watch::Sender::new(Mode::Pass));
        let modes = Arc::clone(&mode);
        let target = Arc::new(AtomicU16::new(port));
        let port = Arc::clone(&target);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port.load(Ordering::Relaxed))).await else {
                    continue;
                };
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                tokio::spawn(pass(from_client, to_server, modes.subscribe(), false));
                tokio::spawn(pass(from_server, to_client, modes.subscribe(), true));
            }
        });
        Self { address, target, mode }
    }

    pub(crate) fn address(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// New connections go to another server.
    pub(crate) fn point_to(&self, port: u16) {
        self.target.store(port, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut modes: watch::Receiver<Mode>, answers: bool) {
    let (mut buffer, mut swallowed) = (vec![0; 65_536], false);
    loop {
        let Ok(size @ 1..) = from.read(&mut buffer).await else { return };
        let mode = *modes.borrow();
        match mode {
            Mode::Reset => return,
            Mode::Silence => {
                // What was under way comes when the silence is over, as on a network that was cut.
                let _gone = modes.wait_for(|mode| *mode != Mode::Silence).await;
            }
            _ if swallowed => continue,
            Mode::SwallowAnswers if answers => {
                swallowed = true;
                continue;
            }
            Mode::Delay(time) if answers => tokio::time::sleep(time).await,
            _ => {}
        }
        let slice = if answers && mode == Mode::Slices { 1 } else { size };
        for part in buffer[..size].chunks(slice) {
            if to.write_all(part).await.is_err() {
                return;
            }
        }
    }
}
