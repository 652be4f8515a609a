//! kube-proxy's hash names: the first characters of standard base32 of SHA-256.

use data_encoding::BASE32;
use sha2::{Digest, Sha256};

/// First `N` base32 characters of the SHA-256 of `input`; `N` is a multiple of 8, at most 48.
///
/// iptables chains use 16 (`portProtoHash` in pkg/proxy/iptables/proxier.go), nftables chains 8
/// (`hashAndTruncate` in pkg/proxy/nftables/proxier.go).
pub(crate) fn hash<const N: usize>(input: &[u8]) -> [u8; N] {
    const { assert!(N.is_multiple_of(8) && N <= 48) };
    let mut name = [0; N];
    // Five bytes make eight base32 characters, without padding.
    BASE32.encode_mut(&Sha256::digest(input)[..N / 8 * 5], &mut name);
    name
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn names_are_those_of_the_real_kube_proxy() {
        // Observed on kube-proxy 1.30.5 (shared/KUBE_PROXY_FACTS.md, sections 2.1 and 4.1).
        assert_eq!(&hash::<16>(b"demo/web:httptcp"), b"XRY76EGRC3BSCIIJ");
        assert_eq!(&hash::<16>(b"f/unnamedtcp"), b"FHXI4WKWJCXGFIQE");
        assert_eq!(&hash::<16>(b"demo/web:httptcp10.244.0.11:8080"), b"QRUEL26JRDPVFLID");
        assert_eq!(&hash::<8>(b"demo/web/tcp/http"), b"AXK6CI2C");
        assert_eq!(&hash::<8>(b"demo/web/tcp/http__10.244.0.11/8080"), b"JXY4WP3I");
    }
}
