//! `labelSelector` and `fieldSelector`: which objects a client wants.

mod field;
mod label;

use crate::object::Stored;
use crate::resource::Resource;
use field::FieldTerm;
use label::LabelTerm;

/// Which objects: all terms must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    /// Of this namespace only; empty: of all.
    pub namespace: String,
    labels: Vec<LabelTerm>,
    fields: Vec<FieldTerm>,
}

impl Selector {
    /// Reads both; says in words what is wrong.
    pub(crate) fn parse(
        resource: Resource,
        namespace: &str,
        labels: &str,
        fields: &str,
    ) -> Result<Self, String> {
        Ok(Self {
            namespace: namespace.to_owned(),
            labels: label::parse(labels)?,
            fields: field::parse(fields, resource)?,
        })
    }

    /// Whether it lets everything through, wherever it is.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether it lets an object through.
    pub(crate) fn matches(&self, object: &Stored) -> bool {
        (self.namespace.is_empty() || *self.namespace == *object.name.namespace)
            && self.labels.iter().all(|term| term.matches(object))
            && self.fields.iter().all(|term| term.matches(object))
    }
}
