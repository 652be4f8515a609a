//! Fast text for rules: appending bytes, no formatting machinery on the hot path.

use std::io::{Cursor, Write as _};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

/// Appends pieces (string slices or byte slices) to a `Vec<u8>`.
macro_rules! put {
    ($out:expr, $($piece:expr),+ $(,)?) => {{
        $( $out.extend_from_slice($piece.as_ref()); )+
    }};
}
pub(super) use put;

/// `[`, the longest IPv6 address without a zone, `]:` and a port.
const LONGEST: usize = 1 + 39 + 2 + 5;

/// `ip:port` (`[ip]:port` in IPv6) as text, made once per endpoint and used for its address, its hash and its rules.
#[derive(Clone, Copy)]
pub(crate) struct AddressText {
    bytes: [u8; LONGEST],
    /// Where the IP starts: behind the bracket of IPv6.
    start: u8,
    /// Where it ends.
    end: u8,
    /// Where the port starts.
    port: u8,
    len: u8,
}

/// Decimal digits of every octet, and how many there are. Digits vary too much for branches to be predicted.
const OCTETS: [([u8; 3], u8); 256] = {
    let mut octets = [([0; 3], 0); 256];
    let mut octet = 0;
    while octet < 256 {
        let [hundreds, tens, ones] =
            [b'0' + (octet / 100) as u8, b'0' + (octet / 10 % 10) as u8, b'0' + (octet % 10) as u8];
        octets[octet] = match octet {
            0..10 => ([ones, 0, 0], 1),
            10..100 => ([tens, ones, 0], 2),
            _ => ([hundreds, tens, ones], 3),
        };
        octet += 1;
    }
    octets
};

impl AddressText {
    /// The text of an address.
    pub(crate) fn new(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::v4(address),
            SocketAddr::V6(address) => Self::v6(address),
        }
    }

    fn v4(address: SocketAddrV4) -> Self {
        let mut text = Self { bytes: [0; LONGEST], start: 0, end: 0, port: 0, len: 0 };
        for (index, octet) in address.ip().octets().into_iter().enumerate() {
            if index > 0 {
                text.push(b'.');
            }
            text.octet(octet);
        }
        text.end = text.len;
        text.push(b':');
        text.port = text.len;
        text.decimal(address.port());
        text
    }

    fn v6(address: SocketAddrV6) -> Self {
        let mut bytes = [0; LONGEST];
        let mut cursor = Cursor::new(&mut bytes[..]);
        // The longest fits.
        let _ = write!(cursor, "[{}", address.ip());
        let end = cursor.position() as u8;
        let _ = write!(cursor, "]:{}", address.port());
        let len = cursor.position() as u8;
        Self { bytes, start: 1, end, port: end + 2, len }
    }

    /// `ip:port` or `[ip]:port`.
    pub(crate) fn whole(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// `ip`.
    pub(crate) fn ip(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..usize::from(self.end)]
    }

    /// `port`.
    pub(crate) fn port(&self) -> &[u8] {
        &self.bytes[usize::from(self.port)..usize::from(self.len)]
    }

    fn octet(&mut self, octet: u8) {
        // Always three bytes, a constant length: those that are no digits are overwritten by what follows.
        let start = usize::from(self.len);
        let (digits, count) = OCTETS[usize::from(octet)];
        self.bytes[start..start + 3].copy_from_slice(&digits);
        self.len += count;
    }

    fn push(&mut self, byte: u8) {
        self.bytes[usize::from(self.len)] = byte;
        self.len += 1;
    }

    fn decimal(&mut self, number: u16) {
        // Unrolled, so that each division is one by a constant.
        for divisor in [10_000, 1_000, 100, 10] {
            if number >= divisor {
                self.digit(number / divisor % 10);
            }
        }
        self.digit(number % 10);
    }

    fn digit(&mut self, digit: u16) {
        // Below 10, so it fits.
        self.push(b'0' + digit as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_address_reads_as_the_standard_library_writes_it(ip in any::<std::net::IpAddr>(), port in any::<u16>()) {
            let address = SocketAddr::new(ip, port);
            let text = AddressText::new(address);
            let parts = [text.whole(), text.ip(), text.port()].map(|part| String::from_utf8_lossy(part).into_owned());
            prop_assert_eq!(parts, [address.to_string(), address.ip().to_string(), port.to_string()]);
        }
    }
}
