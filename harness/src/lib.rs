//! The experiment: plans, their application, sweeps, and the svcbench binary.
