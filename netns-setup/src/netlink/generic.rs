//! Generic netlink: families are found by name (include/uapi/linux/genetlink.h).

use std::io;

use super::Requester;
use super::message::{HEADER, Malformed, Writer, attributes};

const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
/// `struct genlmsghdr`: command, version, reserved.
pub(crate) const GENERIC_HEADER: usize = 4;

/// The number of a family; the kernel loads its module if it has one for the name (ctrl_getfamily in
/// net/netlink/genetlink.c).
///
/// # Errors
/// `ENOENT` if there is no such family.
pub(crate) fn family(requester: &mut Requester, name: &str) -> io::Result<u16> {
    let mut number = None;
    requester.exchange(GENL_ID_CTRL, &request(name), |body| {
        number = Some(answer(body)?);
        Ok(())
    })?;
    number.ok_or_else(|| Malformed(format!("no description of family {name}")).into())
}

fn request(name: &str) -> Vec<u8> {
    let mut buffer = Vec::new();
    let mut writer = Writer::start(&mut buffer, 0, 0, 0);
    writer.raw(&[CTRL_CMD_GETFAMILY, 1, 0, 0]);
    writer.attribute(CTRL_ATTR_FAMILY_NAME, &[name.as_bytes(), &[0]].concat());
    writer.finish();
    buffer.split_off(HEADER)
}

fn answer(body: &[u8]) -> Result<u16, Malformed> {
    for attribute in attributes(body.get(GENERIC_HEADER..).unwrap_or_default()) {
        if let (CTRL_ATTR_FAMILY_ID, value) = attribute? {
            let number = value.try_into().map(u16::from_ne_bytes);
            return number.map_err(|_| Malformed(format!("a family's number has {} bytes", value.len())));
        }
    }
    Err(Malformed("a family without a number".into()))
}

#[cfg(test)]
mod tests {
    use netlink_sys::protocols::NETLINK_GENERIC;
    use proptest::prelude::*;

    use super::*;

    /// Needs no privilege: the controller's own family is always there.
    #[test]
    fn the_controller_knows_itself_and_not_others() {
        let mut requester = Requester::open(NETLINK_GENERIC).unwrap();
        assert_eq!(family(&mut requester, "nlctrl").unwrap(), GENL_ID_CTRL);
        let unknown = family(&mut requester, "svcbench-none").unwrap_err();
        assert_eq!(unknown.raw_os_error(), Some(nix::libc::ENOENT));
        assert_eq!(family(&mut requester, "nlctrl").unwrap(), GENL_ID_CTRL, "and again after a refusal");
    }

    #[test]
    fn the_number_is_found_among_other_attributes() {
        let mut buffer = Vec::new();
        let mut writer = Writer::start(&mut buffer, GENL_ID_CTRL, 0, 0);
        writer.raw(&[1, 2, 0, 0]);
        writer.attribute(CTRL_ATTR_FAMILY_NAME, b"IPVS\0");
        writer.attribute(CTRL_ATTR_FAMILY_ID, &0x1cu16.to_ne_bytes());
        writer.finish();
        assert_eq!(answer(&buffer[HEADER..]), Ok(0x1c));
        assert_eq!(answer(&buffer[HEADER..HEADER + 16]), Err(Malformed("a family without a number".into())));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = answer(&bytes);
        }
    }
}
