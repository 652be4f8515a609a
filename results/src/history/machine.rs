//! What must agree, or figures of two runs are not of one series.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::environment::Environment;
use crate::record::Clock;

/// What must agree, or figures of two runs are not of one series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Machine {
    /// Clock.
    pub clock: Clock,
    /// What the kernel ran on; see [`crate::record::CellKey::hypervisor`].
    pub hypervisor: String,
    /// Architecture.
    pub machine: String,
    /// Processor model.
    pub cpu_model: String,
    /// Cores online.
    pub cores: u32,
    /// Hypervisor or container by its name.
    pub virtualisation: String,
    /// What else was in the kernel.
    pub background: String,
}

impl Machine {
    /// The machine of a lane.
    pub fn of(environment: &Environment) -> Self {
        Machine {
            clock: environment.clock,
            hypervisor: environment.hypervisor.clone(),
            machine: environment.machine.clone(),
            cpu_model: environment.cpu_model.clone(),
            cores: environment.cores,
            virtualisation: environment.virtualisation.clone(),
            background: environment.background.clone(),
        }
    }

    /// `wall clock · Intel Xeon, 2 cores · KVM`.
    pub fn label(&self) -> String {
        let environment = Environment {
            hypervisor: self.hypervisor.clone(),
            cpu_model: self.cpu_model.clone(),
            cores: self.cores,
            virtualisation: self.virtualisation.clone(),
            ..Environment::default()
        };
        let mut parts = vec![self.clock.in_words().to_owned(), environment.caption()];
        parts.extend((!self.background.is_empty()).then(|| format!("beside {}", self.background)));
        parts.retain(|part| !part.is_empty());
        parts.join(" · ")
    }
}

/// Kernel, tools and settings of a run: name to value.
pub type Facts = BTreeMap<String, String>;
