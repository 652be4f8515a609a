//! Ending early: Ctrl-C and the like, seen by everything that waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Whether somebody asked to stop. Cheap to clone and to look at.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A stop that nothing triggers but [`Stop::request`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Follows SIGINT, SIGTERM and SIGHUP. The second signal ends the process at once, which is safe:
    /// everything that the harness makes in the kernel dies with it.
    ///
    /// # Errors
    /// If the operating system refuses a handler.
    pub fn on_signals() -> std::io::Result<Self> {
        let stop = Self::new();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop.0))?;
            signal_hook::flag::register(signal, Arc::clone(&stop.0))?;
        }
        Ok(stop)
    }

    /// For those that look at it more often than a call should cost.
    pub fn flag(&self) -> &AtomicBool {
        &self.0
    }

    /// Asks to stop.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked for.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
