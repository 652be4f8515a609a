//! Where traffic of a Service goes, since 1.25.

use services::service::{Policy, Service};

use super::ports::Traffic;

/// All that the Service asks for: both policies, and endpoints that terminate where none is ready.
pub(crate) fn traffic(service: &Service) -> Traffic<'_> {
    let is_local = service.external_policy == Policy::Local && service.is_externally_accessible();
    Traffic { routes: service.routes(), is_local }
}
