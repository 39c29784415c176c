use std::error::Error;
use std::future::poll_fn;
use std::pin::pin;

use bytes::Buf;
use flashops_core::health::{Check, Finding};
use http::{Request, Response, StatusCode, Uri};
use http_body::Body;
use tower_service::Service;

/// The most bytes of an answer's body that are read.
pub const MAX_BODY: usize = 64 << 10;

/// The most causes of an error that are told.
const MAX_CAUSES: usize = 4;

/// A check that an HTTP service answers GET with a status from 200 to 399. See the [module docs](super).
pub fn http_check<S, B, R>(name: &str, client: S, uri: Uri) -> Check
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::Future: Send,
    B: Default + Send + 'static,
    R: Body<Data: Send, Error: Send> + Send + 'static,
{
    Check::new(name, move || {
        let (client, uri) = (client.clone(), uri.clone());
        async move {
            match ask(client, uri).await {
                Ok(status) if status.is_success() || status.is_redirection() => Finding::pass(),
                Ok(status) => Finding::fail(status.to_string()),
                Err(error) => Finding::fail(causes(&*error.into())),
            }
        }
    })
}

/// The client is a clone that nobody has polled, so it is made ready first.
async fn ask<S, B, R>(mut client: S, uri: Uri) -> Result<StatusCode, S::Error>
where
    S: Service<Request<B>, Response = Response<R>>,
    B: Default,
    R: Body,
{
    let mut request = Request::new(B::default());
    *request.uri_mut() = uri;
    exchange(&mut client, request).await
}

/// Sends a request, and reads what is answered.
pub(crate) async fn exchange<S, B, R>(client: &mut S, request: Request<B>) -> Result<StatusCode, S::Error>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    poll_fn(|cx| client.poll_ready(cx)).await?;
    let (head, body) = client.call(request).await?.into_parts();
    read(body).await;
    Ok(head.status)
}

async fn read<R: Body>(body: R) {
    let mut body = pin!(body);
    let mut size = 0_usize;
    while size <= MAX_BODY && !body.is_end_stream() {
        let Some(Ok(frame)) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await else { break };
        size = size.saturating_add(frame.data_ref().map_or(0, Buf::remaining));
    }
}

/// An error of a client tells little without what caused it.
fn causes(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    let texts: Vec<_> = chain.take(MAX_CAUSES).map(ToString::to_string).collect();
    texts.join(": ")
}
