//! One connection: counts its bytes, and tells when what a watch has handed over is in the socket.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::counters::Counters;
use crate::delivery::Delivery;
use crate::lock::lock;

/// What a connection and the requests on it share.
pub(crate) struct Connection {
    pub peer: SocketAddr,
    /// The watch or list that is being answered; HTTP/1.1 has one response at a time.
    answered: Mutex<Option<Arc<Delivery>>>,
}

impl Connection {
    pub(crate) fn new(peer: SocketAddr) -> Self {
        Self { peer, answered: Mutex::default() }
    }

    /// The watch or list that is answered from now on.
    pub(crate) fn answers(&self, delivery: &Arc<Delivery>) {
        *lock(&self.answered) = Some(Arc::clone(delivery));
    }
}

/// A stream whose bytes are counted.
pub(crate) struct Counted<T> {
    stream: T,
    connection: Arc<Connection>,
    counters: Arc<Counters>,
    /// When the last byte was written.
    written: Instant,
}

impl<T> Counted<T> {
    pub(crate) fn new(stream: T, connection: Arc<Connection>, counters: Arc<Counters>) -> Self {
        Self { stream, connection, counters, written: Instant::now() }
    }

    fn count(&mut self, bytes: usize) {
        self.written = Instant::now();
        self.counters.wrote(bytes);
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        self.counters.read(buffer.filled().len().saturating_sub(before));
        Poll::Ready(outcome)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.count(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        self.count(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        // hyper flushes only when all that it has been handed is written.
        if let Some(answered) = &*lock(&self.connection.answered) {
            answered.flushed(self.written);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
