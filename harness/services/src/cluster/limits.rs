//! How large a file and each of its objects may be, counted while it is read.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

/// A larger file is refused before it is read, a longer stream while it is read: twice what 50,000 Services x 10 endpoints
/// take as JSON.
pub const MAX_BYTES: u64 = 1 << 30;
/// So is a larger object. The API server takes 3 MiB in one request, and etcd 1.5 MiB; indented JSON is some three times
/// as long.
pub const MAX_OBJECT_BYTES: u64 = 16 << 20;

/// How much is read.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of the whole.
    pub total: u64,
    /// Bytes of one object.
    pub object: u64,
}

/// Those of everybody but tests.
pub(super) const LIMITS: Limits = Limits { total: MAX_BYTES, object: MAX_OBJECT_BYTES };

/// How a reader of one language failed.
pub(super) enum Failure {
    /// The system does not give more out, or more was asked for than [`Meter`] allows.
    Read(io::Error),
    /// With line and column.
    Syntax(String),
}

/// How much was read, shared by who reads and who knows where objects begin.
pub(super) struct Meter {
    pub limits: Limits,
    read: Cell<u64>,
    object: Cell<u64>,
    pub exceeded: Cell<Option<Exceeded>>,
}

#[derive(Clone, Copy)]
pub(super) enum Exceeded {
    Total,
    Object,
}

impl Meter {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, read: Cell::new(0), object: Cell::new(0), exceeded: Cell::new(None) }
    }

    /// Here a new object begins. A reader may be ahead by its buffer.
    pub(super) fn object(&self) {
        self.object.set(self.read.get());
    }

    fn count(&self, bytes: usize) -> io::Result<()> {
        let read = self.read.get() + bytes as u64;
        self.read.set(read);
        let exceeded = if read > self.limits.total {
            Exceeded::Total
        } else if read - self.object.get() > self.limits.object {
            Exceeded::Object
        } else {
            return Ok(());
        };
        self.exceeded.set(Some(exceeded));
        Err(io::Error::from(io::ErrorKind::FileTooLarge))
    }
}

/// Counts what is read.
pub(super) struct Metered<R> {
    pub reader: R,
    pub meter: Rc<Meter>,
}

impl<R: BufRead> Read for Metered<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.reader.read(into)?;
        self.meter.count(bytes)?;
        Ok(bytes)
    }
}

impl<R: BufRead> BufRead for Metered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        // What was taken in [`BufRead::consume`] could not be refused there.
        self.meter.count(0)?;
        self.reader.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        // What goes beyond is refused when more is asked for.
        let _ = self.meter.count(bytes);
        self.reader.consume(bytes);
    }
}
