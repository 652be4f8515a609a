//! What every object has.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::Unsupported;
use super::wire::Message;

/// `ObjectMeta.resourceVersion`.
pub(super) const RESOURCE_VERSION: u32 = 6;
/// `ObjectMeta.annotations`.
pub(super) const ANNOTATIONS: u32 = 12;

/// Refuses what is there but has no form.
pub(super) fn absent<T>(field: &Option<T>, path: &'static str) -> Result<(), Unsupported> {
    if field.is_some() { Err(Unsupported(path)) } else { Ok(()) }
}

pub(super) fn time(time: &Time) -> Message {
    let mut message = Message::default();
    message.number(1, Some(time.0.as_second()));
    let nanoseconds = time.0.subsec_nanosecond();
    message.number(2, (nanoseconds != 0).then(|| nanoseconds.into()));
    message
}

pub(super) fn metadata(metadata: &ObjectMeta) -> Result<Message, Unsupported> {
    let ObjectMeta {
        annotations,
        creation_timestamp,
        deletion_grace_period_seconds,
        deletion_timestamp,
        finalizers,
        generate_name,
        generation,
        labels,
        managed_fields,
        name,
        namespace,
        owner_references,
        resource_version,
        self_link,
        uid,
    } = metadata;
    absent(managed_fields, "metadata.managedFields")?;
    absent(owner_references, "metadata.ownerReferences")?;
    let mut message = Message::default();
    message.texts(1, name);
    message.texts(2, generate_name);
    message.texts(3, namespace);
    message.texts(4, self_link);
    message.texts(5, uid);
    message.texts(RESOURCE_VERSION, resource_version);
    message.number(7, *generation);
    creation_timestamp.iter().for_each(|moment| message.message(8, &time(moment)));
    deletion_timestamp.iter().for_each(|moment| message.message(9, &time(moment)));
    message.number(10, *deletion_grace_period_seconds);
    message.map(11, labels);
    message.map(ANNOTATIONS, annotations);
    message.texts(14, finalizers.iter().flatten());
    Ok(message)
}
