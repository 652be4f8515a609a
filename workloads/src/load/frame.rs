//! The frames of `tcp_crr`, `tcp_rr` and `tcp_stream`: a length that is known from the start, and the name of who answers.
//!
//! ```text
//! request:   "svb1"  length u32  length of the response u32  1 if it is the last u32   zeros ...
//! response:  "svb1"  length u32  family u16 (4, 6)  port u16  1 if it is the last u32  address 16 bytes   zeros ...
//! ```
//! All numbers are big-endian; lengths count the whole frame. IPv4 addresses are followed by zeros.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How every frame begins.
pub(super) const MAGIC: &[u8; 4] = b"svb1";
/// The shortest request, bytes.
pub(super) const SHORTEST_REQUEST: u32 = 16;
/// The shortest response, bytes.
pub(super) const SHORTEST_RESPONSE: u32 = 32;
/// The longest frame, bytes: 64 MiB.
pub(super) const LONGEST: u32 = 1 << 26;

/// The head of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) length: u32,
    pub(super) response: u32,
    pub(super) last: bool,
}

impl Request {
    pub(super) fn head(self) -> [u8; SHORTEST_REQUEST as usize] {
        let mut head = [0; SHORTEST_REQUEST as usize];
        head[..4].copy_from_slice(MAGIC);
        head[4..8].copy_from_slice(&self.length.to_be_bytes());
        head[8..12].copy_from_slice(&self.response.to_be_bytes());
        head[12..].copy_from_slice(&u32::from(self.last).to_be_bytes());
        head
    }

    /// `None`: it is none.
    pub(super) fn parse(head: &[u8; SHORTEST_REQUEST as usize]) -> Option<Request> {
        let number = |at: usize| -> Option<u32> { Some(u32::from_be_bytes(*head.get(at..)?.first_chunk()?)) };
        let (length, response) = (number(4)?, number(8)?);
        let fits = (SHORTEST_REQUEST..=LONGEST).contains(&length)
            && (SHORTEST_RESPONSE..=LONGEST).contains(&response);
        (head.starts_with(MAGIC) && fits).then_some(Request { length, response, last: number(12)? == 1 })
    }
}

/// The head of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) length: u32,
    pub(super) endpoint: SocketAddr,
    /// The connection is closed behind it.
    pub(super) last: bool,
}

impl Response {
    pub(super) fn head(self) -> [u8; SHORTEST_RESPONSE as usize] {
        let mut head = [0; SHORTEST_RESPONSE as usize];
        head[..4].copy_from_slice(MAGIC);
        head[4..8].copy_from_slice(&self.length.to_be_bytes());
        head[10..12].copy_from_slice(&self.endpoint.port().to_be_bytes());
        head[15] = self.last.into();
        match self.endpoint.ip() {
            IpAddr::V4(address) => {
                head[9] = 4;
                head[16..20].copy_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                head[9] = 6;
                head[16..].copy_from_slice(&address.octets());
            }
        }
        head
    }

    /// `None`: it is none.
    pub(super) fn parse(head: &[u8; SHORTEST_RESPONSE as usize]) -> Option<Response> {
        let length = u32::from_be_bytes(*head[4..].first_chunk()?);
        let port = u16::from_be_bytes(*head[10..].first_chunk()?);
        let address: IpAddr = match head[9] {
            4 => Ipv4Addr::from(*head[16..].first_chunk::<4>()?).into(),
            6 => Ipv6Addr::from(*head[16..].first_chunk::<16>()?).into(),
            _ => return None,
        };
        let fits = head.starts_with(MAGIC) && (SHORTEST_RESPONSE..=LONGEST).contains(&length);
        fits.then_some(Response { length, endpoint: SocketAddr::new(address, port), last: head[15] == 1 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn requests_come_back(length in SHORTEST_REQUEST..=LONGEST, response in SHORTEST_RESPONSE..=LONGEST, last: bool) {
            let request = Request { length, response, last };
            prop_assert_eq!(Request::parse(&request.head()), Some(request));
        }

        #[test]
        fn responses_come_back(length in SHORTEST_RESPONSE..=LONGEST, endpoint: SocketAddr, last: bool) {
            let endpoint = SocketAddr::new(endpoint.ip(), endpoint.port());
            let response = Response { length, endpoint, last };
            prop_assert_eq!(Response::parse(&response.head()), Some(response));
        }

        #[test]
        fn anything_may_come(bytes: [u8; 32]) {
            let _ = Response::parse(&bytes);
            let mut bytes = bytes;
            bytes[..4].copy_from_slice(MAGIC);
            if let Some(request) = bytes.first_chunk().and_then(Request::parse) {
                prop_assert!(request.length <= LONGEST && request.response <= LONGEST);
            }
        }
    }
}
