//! Requests that failed, said with the request, the kernel's answer and a way out.

use std::io;

use nix::errno::Errno;

use super::types::Scheduler;

/// A request that failed, alone or in a batch.
#[derive(Debug, thiserror::Error)]
#[error("ipvs {} `{request}`{}: {cause}{}", verb(.cause), place(*.index, *.total), others(*.refused))]
pub struct IpvsError {
    /// The request, as its `ipvsadm` line.
    pub request: String,
    /// Its place in the batch, from 0.
    pub index: usize,
    /// Requests in the batch.
    pub total: usize,
    /// Requests that were handed to the kernel: those before this index. Of them, all were carried out but the refused
    /// ones, the requests after `index` included; none of the others was.
    pub sent: usize,
    /// Requests that the kernel refused; this one is the first of them.
    pub refused: usize,
    /// Why.
    pub cause: Cause,
}

impl IpvsError {
    /// The kernel's error number (errno(3)), if the kernel refused.
    pub fn raw_os_error(&self) -> Option<i32> {
        match &self.cause {
            Cause::Refused { errno, .. } => Some(*errno),
            Cause::NoScheduler(_) => Some(Errno::ENOENT as i32),
            Cause::Socket(cause) => cause.raw_os_error(),
            Cause::Malformed(_) | Cause::Foreign(_) | Cause::Interrupted | Cause::Read => None,
        }
    }
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The kernel refused it.
    #[error("{}{}", refusal(*.errno), said(.message.as_deref()))]
    Refused {
        /// errno(3).
        errno: i32,
        /// What the kernel added in words (`NLMSGERR_ATTR_MSG`).
        message: Option<String>,
    },
    /// The kernel does not have the scheduler.
    #[error("this kernel has no scheduler {0}; modprobe {module}, or use a kernel with that module", module = .0.module())]
    NoScheduler(Scheduler),
    /// Sending or receiving failed.
    #[error("{}", crate::error::answer(.0))]
    Socket(io::Error),
    /// The answer is not what the kernel's headers say.
    #[error("{0}")]
    Malformed(String),
    /// There is an object of a kind that this module neither makes nor understands.
    #[error("there is {0}, which this program does not know; remove what other programs set up")]
    Foreign(String),
    /// The tables changed while they were listed (`NLM_F_DUMP_INTR`).
    #[error("the tables changed meanwhile; try again when nobody changes them")]
    Interrupted,
    /// Only changes can be batched.
    #[error("a read cannot be part of a batch; send it alone")]
    Read,
}

fn verb(cause: &Cause) -> &'static str {
    match cause {
        Cause::Refused { .. } | Cause::NoScheduler(_) => "refused",
        _ => "failed at",
    }
}

fn place(index: usize, total: usize) -> String {
    if total > 1 { format!(" (message {} of {total})", index + 1) } else { String::new() }
}

fn others(refused: usize) -> String {
    if refused > 1 { format!(" (and {} more refused)", refused - 1) } else { String::new() }
}

fn said(message: Option<&str>) -> String {
    message.map(|message| format!(" ({message})")).unwrap_or_default()
}

fn refusal(errno: i32) -> String {
    let errno = Errno::from_raw(errno);
    let help = match errno {
        Errno::EPERM | Errno::EACCES => "; run as root, or with CAP_NET_ADMIN",
        Errno::ESRCH => "; there is no such virtual server",
        _ => "",
    };
    errno.desc().to_owned() + help
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(cause: Cause) -> IpvsError {
        let request = "-A -t 10.96.0.10:80 -s mh".to_owned();
        IpvsError { request, index: 16, total: 2000, sent: 1000, refused: 1, cause }
    }

    #[test]
    fn a_refusal_names_the_request_its_place_and_the_answer() {
        let refused = error(Cause::Refused { errno: Errno::EEXIST as i32, message: None });
        assert_eq!(
            refused.to_string(),
            "ipvs refused `-A -t 10.96.0.10:80 -s mh` (message 17 of 2000): File exists"
        );
        assert_eq!(refused.raw_os_error(), Some(17));

        let many = IpvsError { refused: 3, ..refused };
        assert!(many.to_string().ends_with("File exists (and 2 more refused)"), "{many}");

        let alone = IpvsError { index: 0, total: 1, ..error(Cause::NoScheduler(Scheduler::Mh)) };
        assert_eq!(
            alone.to_string(),
            "ipvs refused `-A -t 10.96.0.10:80 -s mh`: this kernel has no scheduler mh; modprobe ip_vs_mh, or use a \
             kernel with that module"
        );
        assert_eq!(alone.raw_os_error(), Some(2));
    }

    #[test]
    fn what_the_kernel_adds_in_words_is_passed_on() {
        let cause =
            Cause::Refused { errno: Errno::EINVAL as i32, message: Some("Attribute failed policy".into()) };
        assert!(error(cause).to_string().ends_with(": Invalid argument (Attribute failed policy)"));
    }
}
