//! A TUN device: packets written to it arrive in the namespace, packets routed to it are read.

use std::fs::OpenOptions;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::libc;

use crate::error::SetupError;
use crate::link::check_name;
use crate::namespace::Namespace;

/// How a [`Tun`] is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TunOptions {
    /// Reads return `WouldBlock` instead of waiting.
    pub nonblocking: bool,
    /// Packets that wait to be read before the kernel drops more of them (`txqueuelen`). The kernel's default is 500
    /// (TUN_READQ_SIZE in drivers/net/tun.c).
    pub queue: u32,
}

impl Default for TunOptions {
    fn default() -> Self {
        TunOptions { nonblocking: false, queue: 8192 }
    }
}

/// A TUN device without packet information (`IFF_TUN | IFF_NO_PI`): each read and each write is one IP packet.
///
/// It is not persistent: the kernel removes it when the descriptor is closed. The descriptor may be used from any
/// thread, inside or outside the namespace.
#[derive(Debug)]
pub struct Tun {
    fd: OwnedFd,
    name: String,
}

impl Tun {
    /// Creates the device in `namespace`, with its queue, and up. Give it addresses and routes with
    /// [`Namespace::links`].
    ///
    /// # Errors
    /// `ENOENT` without `/dev/net/tun`, `ENODEV` without the module, `EPERM` without CAP_NET_ADMIN, `EBUSY` if the name
    /// is taken.
    pub fn open(namespace: &Namespace, name: &str, options: TunOptions) -> Result<Tun, SetupError> {
        check_name(name, namespace.label())?;
        // Both the descriptor and the device belong to the opener's namespace.
        let fd = namespace.run(|| create(name, options.nonblocking)).map_err(|cause| {
            SetupError::kernel(
                format!("create TUN {name} in {} (/dev/net/tun, module tun)", namespace.label()),
                cause,
            )
        })?;
        namespace.links(|links| {
            links.set_queue(name, options.queue)?;
            links.set_up(name)
        })?;
        Ok(Tun { fd, name: name.to_owned() })
    }

    /// The interface's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Hands one IP packet to the kernel as if it had arrived on the device. Returns when the kernel has carried it
    /// through its whole path (tun_get_user in drivers/net/tun.c runs the receive path in place).
    ///
    /// # Errors
    /// `EINVAL` if it is no IP packet, `EIO` if the device is down.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        let written = nix::unistd::write(&self.fd, packet)?;
        if written == packet.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Reads one packet that the kernel has routed to the device, cut to `buffer`, and returns its length in bytes.
    ///
    /// # Errors
    /// `WouldBlock` if there is none and the device was opened so.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(nix::unistd::read(&self.fd, buffer)?)
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Tun> for OwnedFd {
    fn from(tun: Tun) -> OwnedFd {
        tun.fd
    }
}

/// `name` has been checked: it fits with its closing NUL.
fn create(name: &str, nonblocking: bool) -> io::Result<OwnedFd> {
    let flags = if nonblocking { libc::O_NONBLOCK } else { 0 };
    let device = OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/net/tun")?;
    let mut request = Request {
        name: [0; libc::IFNAMSIZ],
        flags: (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short,
        rest: [0; 22],
    };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // TUNSETIFF is declared with an int but takes a struct ifreq (include/uapi/linux/if_tun.h, tun.rst).
    const TUNSETIFF: libc::Ioctl = nix::request_code_write!(b'T', 202, size_of::<libc::c_int>());
    // SAFETY: the kernel reads and writes one struct ifreq; `request` has its size and layout and outlives the call.
    #[expect(unsafe_code, reason = "no crate in use offers TUNSETIFF")]
    let result = unsafe { libc::ioctl(device.as_raw_fd(), TUNSETIFF, &mut request) };
    nix::errno::Errno::result(result)?;
    Ok(device.into())
}

/// `struct ifreq` with the one member of its union that TUNSETIFF uses (netdevice(7)).
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    flags: libc::c_short,
    rest: [u8; 22],
}
const _: () = assert!(size_of::<Request>() == size_of::<libc::ifreq>());
