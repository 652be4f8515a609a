//! Sets that no API server could hold.

/// Why a set has no objects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectsError {
    /// Ports of one Service object differ in what the object has only once.
    #[error("the ports of Service {service} differ in {what}, which a Service has once for all its ports")]
    PortsDiffer {
        /// `namespace/name`.
        service: String,
        /// In words.
        what: &'static str,
    },
    /// A port that is there twice.
    #[error("Service {service} has port {port:?} twice")]
    Twice {
        /// `namespace/name`.
        service: String,
        /// Its name.
        port: String,
    },
    /// Something that an API server refuses or kube-proxy would never see.
    #[error("Service {service}: {what}")]
    Impossible {
        /// `namespace/name`.
        service: String,
        /// In words.
        what: &'static str,
    },
}
