//! Netlink messages and attributes as bytes (include/uapi/linux/netlink.h).

/// `struct nlmsghdr`: length, type, flags, sequence, port.
pub(crate) const HEADER: usize = 16;
/// `struct nlattr`: length, type.
const ATTRIBUTE_HEADER: usize = 4;
/// `NLMSG_ALIGNTO` and `NLA_ALIGNTO`.
const ALIGNMENT: usize = 4;
const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;
const NLM_F_DUMP_INTR: u16 = 0x10;
/// In an acknowledgement: the request's payload is left out.
const NLM_F_CAPPED: u16 = 0x100;
/// In an acknowledgement: attributes follow.
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLA_F_NESTED: u16 = 0x8000;
/// Without `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
const NLA_TYPE_MASK: u16 = 0x3fff;

/// Bytes that are not what netlink says they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed netlink answer: {0}")]
pub(crate) struct Malformed(pub(crate) String);

impl From<Malformed> for std::io::Error {
    fn from(malformed: Malformed) -> Self {
        std::io::Error::new(std::io::ErrorKind::InvalidData, malformed)
    }
}

/// Appends messages and their attributes to a buffer.
pub(crate) struct Writer<'b> {
    buffer: &'b mut Vec<u8>,
    start: usize,
}

impl<'b> Writer<'b> {
    /// Starts a message; its length is set by [`finish`](Writer::finish).
    pub(crate) fn start(buffer: &'b mut Vec<u8>, kind: u16, flags: u16, sequence: u32) -> Self {
        let start = buffer.len();
        buffer.extend(0u32.to_ne_bytes());
        buffer.extend(kind.to_ne_bytes());
        buffer.extend(flags.to_ne_bytes());
        buffer.extend(sequence.to_ne_bytes());
        buffer.extend(0u32.to_ne_bytes());
        Writer { buffer, start }
    }

    /// Bytes as they are: the header of a family, say.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend(bytes);
        self.align();
    }

    /// An attribute. `value` must be shorter than 64 KiB.
    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) {
        let at = self.buffer.len();
        self.buffer.extend([0; ATTRIBUTE_HEADER]);
        self.buffer.extend(value);
        self.close(at, kind);
    }

    /// An attribute that holds those which `fill` adds.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let at = self.buffer.len();
        self.buffer.extend([0; ATTRIBUTE_HEADER]);
        fill(self);
        self.close(at, kind | NLA_F_NESTED);
    }

    /// The length counts padding inside, not behind.
    fn close(&mut self, at: usize, kind: u16) {
        let length = (self.buffer.len() - at) as u16;
        self.buffer[at..at + 2].copy_from_slice(&length.to_ne_bytes());
        self.buffer[at + 2..at + 4].copy_from_slice(&kind.to_ne_bytes());
        self.align();
    }

    fn align(&mut self) {
        let length = (self.buffer.len() - self.start).next_multiple_of(ALIGNMENT);
        self.buffer.resize(self.start + length, 0);
    }

    pub(crate) fn finish(self) {
        let length = (self.buffer.len() - self.start) as u32;
        self.buffer[self.start..self.start + 4].copy_from_slice(&length.to_ne_bytes());
    }
}

/// Adds flags to the message that starts at `start`.
pub(crate) fn add_flags(buffer: &mut [u8], start: usize, flags: u16) {
    let field = &mut buffer[start + 6..start + 8];
    let flags = flags | u16::from_ne_bytes([field[0], field[1]]);
    field.copy_from_slice(&flags.to_ne_bytes());
}

/// A message from the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'d> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) body: &'d [u8],
}

/// What a message means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content<'d> {
    /// `NLMSG_ERROR` with errno 0: carried out.
    Acknowledged,
    /// `NLMSG_ERROR`, or the end of a dump that failed, with errno(3) and what the kernel adds in words.
    Refused { errno: i32, message: Option<String> },
    /// `NLMSG_DONE`: the end of a dump.
    Done,
    /// Of the family with this number: its header and attributes.
    Data { family: u16, body: &'d [u8] },
    /// To be passed over.
    Nothing,
}

impl<'d> Message<'d> {
    /// Whether a dump found its table changed (`NLM_F_DUMP_INTR`).
    pub(crate) fn interrupted(&self) -> bool {
        self.flags & NLM_F_DUMP_INTR != 0
    }

    pub(crate) fn content(&self) -> Result<Content<'d>, Malformed> {
        match self.kind {
            NLMSG_ERROR => {
                let errno = i32_at(self.body, "an acknowledgement")?;
                if errno == 0 {
                    return Ok(Content::Acknowledged);
                }
                Ok(Content::Refused { errno: errno.saturating_neg(), message: self.words() })
            }
            // The result of the dump; old kernels send none.
            NLMSG_DONE => match self.body.is_empty() {
                true => Ok(Content::Done),
                false => match i32_at(self.body, "the end of a dump")? {
                    errno if errno < 0 => {
                        Ok(Content::Refused { errno: errno.saturating_neg(), message: None })
                    }
                    _ => Ok(Content::Done),
                },
            },
            NLMSG_OVERRUN => Err(Malformed("NLMSG_OVERRUN: data was lost".into())),
            NLMSG_NOOP => Ok(Content::Nothing),
            family => Ok(Content::Data { family, body: self.body }),
        }
    }

    /// `NLMSGERR_ATTR_MSG`. It decorates a refusal, so that a malformed one is none.
    fn words(&self) -> Option<String> {
        if self.flags & NLM_F_ACK_TLVS == 0 {
            return None;
        }
        let header = size_of::<i32>() + HEADER;
        let after = match self.flags & NLM_F_CAPPED {
            0 => {
                let request = u32_at(self.body.get(size_of::<i32>()..)?)? as usize;
                size_of::<i32>().checked_add(request.checked_next_multiple_of(ALIGNMENT)?)?
            }
            _ => header,
        };
        let found = attributes(self.body.get(after..)?)
            .filter_map(Result::ok)
            .find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG);
        found.map(|(_, value)| text(value)).filter(|message| !message.is_empty())
    }
}

/// The bytes before the first NUL, as text.
pub(crate) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|&byte| byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

fn u32_at(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_ne_bytes)
}

fn u16_at(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().copied().map(u16::from_ne_bytes)
}

fn i32_at(bytes: &[u8], what: &str) -> Result<i32, Malformed> {
    let number = u32_at(bytes).map(u32::cast_signed);
    number.ok_or_else(|| Malformed(format!("{what} has {} bytes, too few for an errno", bytes.len())))
}

/// The messages of one datagram. Ends after an error.
pub(crate) fn messages(datagram: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Malformed>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let message = first_message(rest);
        rest = match &message {
            Ok(message) => {
                rest.get((HEADER + message.body.len()).next_multiple_of(ALIGNMENT)..).unwrap_or_default()
            }
            Err(_) => &[],
        };
        Some(message)
    })
}

fn first_message(bytes: &[u8]) -> Result<Message<'_>, Malformed> {
    let header = || Malformed(format!("{} bytes left, too few for a message", bytes.len()));
    let length = u32_at(bytes).ok_or_else(header)? as usize;
    let kind = bytes.get(4..).and_then(u16_at).ok_or_else(header)?;
    let flags = bytes.get(6..).and_then(u16_at).ok_or_else(header)?;
    let sequence = bytes.get(8..).and_then(u32_at).ok_or_else(header)?;
    let body = bytes.get(HEADER..length).ok_or_else(|| {
        Malformed(format!("a message of type {kind} claims {length} bytes of {}", bytes.len()))
    })?;
    Ok(Message { kind, flags, sequence, body })
}

/// The attributes in `bytes`: type, without its flags, and value. Ends after an error.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = Result<(u16, &[u8]), Malformed>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let attribute = first_attribute(rest);
        rest = match &attribute {
            Ok((_, value)) => {
                rest.get((ATTRIBUTE_HEADER + value.len()).next_multiple_of(ALIGNMENT)..).unwrap_or_default()
            }
            Err(_) => &[],
        };
        Some(attribute)
    })
}

fn first_attribute(bytes: &[u8]) -> Result<(u16, &[u8]), Malformed> {
    let header = || Malformed(format!("{} bytes left, too few for an attribute", bytes.len()));
    let length = usize::from(u16_at(bytes).ok_or_else(header)?);
    let kind = bytes.get(2..).and_then(u16_at).ok_or_else(header)? & NLA_TYPE_MASK;
    let value = bytes.get(ATTRIBUTE_HEADER..length);
    let lies = || Malformed(format!("attribute {kind} claims {length} bytes of {}", bytes.len()));
    Ok((kind, value.ok_or_else(lies)?))
}

#[cfg(test)]
mod tests;
