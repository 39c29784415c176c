//! Errors without a body, and of plain text, as clients expect them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Response};
use http_body::Body;
use pin_project_lite::pin_project;

use super::layer::Shared;
use crate::budget::ModelRoute;
use crate::path::plain;
use crate::reject::headers::{REQUEST_ID, X_REQUEST_ID, X_TRACE_ID, insert};
use crate::reject::{Dialect, RefusableBody, Refusal, RequestId};

/// The longest plain text that becomes the message of an error, in bytes. Of it, so much is sent as any message has.
pub const MAX_TEXT: usize = 4_096;

/// What is known of a request when its response comes.
pub(super) struct Answering {
    pub(super) id: HeaderValue,
    pub(super) dialect: Dialect,
    /// For errors of plain text.
    pub(super) path: Option<PathAndQuery>,
    pub(super) has_body: bool,
    pub(super) shared: Arc<Shared>,
}

/// What a response is.
pub(super) enum Kind {
    /// An error that says nothing.
    Nothing,
    /// An error of plain text.
    Text,
    /// Whatever passes as it is.
    Other,
}

impl Answering {
    /// Puts the identity where the clients of the dialect look for it.
    pub(super) fn mark(&self, headers: &mut HeaderMap) {
        if self.dialect == Dialect::Anthropic {
            insert(headers, REQUEST_ID, Some(self.id.clone()));
        }
        insert(headers, X_REQUEST_ID, Some(self.id.clone()));
        insert(headers, X_TRACE_ID, Some(self.id.clone()));
    }

    #[inline]
    pub(super) fn kind_of<R: Body>(&self, response: &Response<R>) -> Kind {
        let status = response.status();
        let is_error = status.is_client_error() || status.is_server_error();
        if is_error && self.has_body { self.kind_of_error(response) } else { Kind::Other }
    }

    #[cold]
    fn kind_of_error<R: Body>(&self, response: &Response<R>) -> Kind {
        let (headers, body) = (response.headers(), response.body());
        let length = body.size_hint().upper();
        match headers.get(CONTENT_TYPE) {
            None if body.is_end_stream() || length == Some(0) => Kind::Nothing,
            Some(kind) if is_plain_text(kind) && !headers.contains_key(CONTENT_ENCODING) && self.takes_text() => {
                if length.is_some_and(|length| length <= MAX_TEXT as u64) {
                    Kind::Text
                } else {
                    Kind::Other
                }
            }
            _ => Kind::Other,
        }
    }

    /// Whether plain text is taken for a message: not of models, and not where programs read it.
    fn takes_text(&self) -> bool {
        let path = self.path.as_ref().map_or("", PathAndQuery::path);
        let Shared { refuser, text_routes, .. } = &*self.shared;
        let plain = plain(path);
        let of_model = ModelRoute::any_has(&refuser.routes, &plain) || Dialect::of_path(path).is_some();
        !of_model && !text_routes.contains(&plain)
    }

    /// The error with a body. What it says of an error of the service is dropped: it may tell of the inside.
    #[cold]
    pub(super) fn write<R>(&self, response: Response<()>, text: Option<&str>) -> Response<RefusableBody<R>> {
        let status = response.status();
        let message = text.map(str::trim).filter(|text| !text.is_empty() && status.is_client_error());
        let id = RequestId::from_value(&self.id);
        let written = self.shared.refuser.reject(self.dialect, id, &Refusal::Status { status, message });
        let (mut head, ()) = response.into_parts();
        let (answer, body) = written.into_parts();
        for name in [CONTENT_TYPE, CONTENT_LENGTH, TRANSFER_ENCODING] {
            head.headers.remove(name);
        }
        for (name, value) in &answer.headers {
            if !head.headers.contains_key(name) {
                let _full = head.headers.try_append(name, value.clone());
            }
        }
        Response::from_parts(head, RefusableBody::refused(body))
    }
}

fn is_plain_text(kind: &HeaderValue) -> bool {
    let kind = kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"text/plain")
}

pin_project! {
    /// Reads a short text.
    pub(super) struct Text<R> {
        #[pin]
        body: R,
        text: Vec<u8>,
    }
}

impl<R: Body<Data = Bytes>> Text<R> {
    pub(super) const fn new(body: R) -> Self {
        Self { body, text: Vec::new() }
    }

    /// The text; `None` if it broke off, is longer than it said, or is no UTF-8.
    pub(super) fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<String>> {
        let mut this = self.project();
        while let Some(frame) = ready!(this.body.as_mut().poll_frame(cx)) {
            let Ok(frame) = frame else { return Poll::Ready(None) };
            let Ok(data) = frame.into_data() else { continue };
            if this.text.len() + data.len() > MAX_TEXT {
                return Poll::Ready(None);
            }
            this.text.extend_from_slice(&data);
        }
        Poll::Ready(String::from_utf8(std::mem::take(this.text)).ok())
    }
}
