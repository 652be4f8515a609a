//! Responses, whole or piece by piece.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use crate::delivery::Delivery;
use crate::object::Stored;
use crate::protobuf;
use crate::status::ApiError;

/// Bytes of a piece: large enough that system calls do not count, small enough that it stays in a processor's cache.
pub(crate) const PIECE: usize = 64 << 10;

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A response with a body of a type.
pub(crate) fn response(code: StatusCode, content_type: &HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, content_type.clone());
    response
}

/// Of protobuf.
pub(crate) const PROTOBUF: HeaderValue = HeaderValue::from_static("application/vnd.kubernetes.protobuf");

/// Something that is there as a whole.
pub(crate) fn whole(content_type: &HeaderValue, body: Bytes) -> Response<Body> {
    response(StatusCode::OK, content_type, Full::new(body).boxed_unsync())
}

/// JSON that is there as a whole.
pub(crate) fn json(code: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    response(code, &HeaderValue::from_static("application/json"), Full::new(body.into()).boxed_unsync())
}

/// An error as its `Status`.
pub(crate) fn error(error: &ApiError) -> Response<Body> {
    let mut response = json(error.code, error.json());
    if error.code == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    }
    response
}

/// A list: its head, its objects, its tail. Its length is known from the start.
pub(crate) struct ListBody {
    head: Bytes,
    items: std::vec::IntoIter<Arc<Stored>>,
    tail: &'static [u8],
    is_protobuf: bool,
    /// Nothing is before the next item.
    first: bool,
    left: u64,
    /// To be told when all of it is handed over; `None`: more chunks follow.
    delivery: Option<Arc<Delivery>>,
}

impl ListBody {
    /// As JSON, with commas between the objects.
    pub(crate) fn json(head: String, items: Vec<Arc<Stored>>, tail: &'static [u8]) -> Self {
        let objects: usize = items.iter().map(|object| object.json.len()).sum();
        let left = (head.len() + objects + items.len().saturating_sub(1) + tail.len()) as u64;
        Self {
            head: head.into(),
            items: items.into_iter(),
            tail,
            is_protobuf: false,
            first: true,
            left,
            delivery: None,
        }
    }

    /// As protobuf; `head` is made for as many bytes of items as it is told.
    pub(crate) fn protobuf(head: impl FnOnce(usize) -> Bytes, items: Vec<Arc<Stored>>) -> Self {
        let size =
            |object: &Arc<Stored>| protobuf::item_header(object.protobuf.len()).len() + object.protobuf.len();
        let objects = items.iter().map(size).sum();
        let head = head(objects);
        let left = (head.len() + objects) as u64;
        Self {
            head,
            items: items.into_iter(),
            tail: b"",
            is_protobuf: true,
            first: true,
            left,
            delivery: None,
        }
    }

    /// Who is to be told when all of it is handed over.
    pub(crate) fn for_delivery(self, delivery: Option<Arc<Delivery>>) -> Self {
        Self { delivery, ..self }
    }

    fn add(&mut self, piece: &mut BytesMut, object: &Stored) {
        if self.is_protobuf {
            piece.extend_from_slice(&protobuf::item_header(object.protobuf.len()));
            piece.extend_from_slice(&object.protobuf);
            return;
        }
        if !std::mem::replace(&mut self.first, false) {
            piece.extend_from_slice(b",");
        }
        piece.extend_from_slice(&object.json);
    }
}

impl HttpBody for ListBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let mut piece = BytesMut::with_capacity(PIECE + (PIECE >> 2));
        piece.extend_from_slice(&std::mem::take(&mut self.head));
        while piece.len() < PIECE {
            let Some(object) = self.items.next() else {
                piece.extend_from_slice(std::mem::take(&mut self.tail));
                break;
            };
            self.add(&mut piece, &object);
        }
        self.left = self.left.saturating_sub(piece.len() as u64);
        if self.left == 0
            && let Some(delivery) = self.delivery.take()
        {
            delivery.hand_initial();
        }
        Poll::Ready(Some(Ok(Frame::data(piece.freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
