use std::sync::Arc;

use flashops_core::health::Check;
use tokio::net::TcpStream;

/// A check that somebody accepts a connection at an address: a host with a port, such as `redis.internal:6379`.
///
/// An address that cannot be one fails each time it is asked. It needs a tokio runtime with its driver of sockets.
pub fn tcp_check(name: &str, address: impl Into<Arc<str>>) -> Check {
    let address = address.into();
    Check::new(name, move || {
        let address = Arc::clone(&address);
        async move { TcpStream::connect(&*address).await.map(drop) }
    })
}
