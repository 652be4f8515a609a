//! A real kube-proxy as the system under test.
//!
//! * [`Binary`]: the file: its hash, its architecture, and whether it is a kube-proxy at all
//! * [`Config`]: what it is started with, for the versions 1.34 to 1.37
//! * [`Process`]: started in a namespace, watched, asked, stopped; nothing of it outlives this process
//! * [`System`]: a lab whose node has one, an API server for it, and the probe that sees what it does
//! * [`log`](mod@log): what it says, with times of arrival
//! * [`metrics`]: what it measures of itself, and what changed between two readings
//! * [`programs`]: what it starts, when, for how long, and what that costs
//! * [`recorder`]: what these programs are given, for comparison: not while anything is timed
//! * [`usage`]: what the process itself costs
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use dataplane::Mode;
//! use kube_proxy::{Binary, Config, ProxyMode, Process, programs};
//! use lab::{stop::Stop, tools::Tools};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let node = netns_setup::Namespace::create("node")?;
//! let (stop, limit) = (Stop::new(), Duration::from_secs(30));
//! let binary = Binary::open("/usr/local/bin/kube-proxy")?;
//! let version = binary.version(&stop, limit)?;
//! let config = Config::new(ProxyMode::Nftables, "http://127.0.0.1:6443", "node1");
//! let watch = programs::Watch::open();
//! let mut proxy = Process::start(&node, &binary, &version, &config, Tools::of(Mode::Nftables))?;
//! if let Ok(watch) = &watch {
//!     watch.follow(proxy.pid());
//! }
//! proxy.wait_until_ready(&stop, limit)?;
//! let before = proxy.metrics()?;
//! // ... something changes in the API server ...
//! let change = proxy.metrics()?.since(&before);
//! let ended = proxy.stop(limit)?;
//! # Ok(())
//! # }
//! ```

mod binary;
mod config;
mod elf;
mod error;
mod http;
pub mod log;
pub mod metrics;
mod process;
pub mod programs;
mod quoted;
pub mod recorder;
mod subject;
mod system;
pub mod usage;
mod version;

pub use binary::Binary;
pub use config::{Config, ConfigError, ContentType, ProxyMode};
pub use error::{BinaryError, LastLines, ProcessError};
pub use http::HttpError;
pub use process::{Ended, Process};
pub use subject::Subject;
pub use system::{Changed, System, proxy_mode};
pub use version::Version;
