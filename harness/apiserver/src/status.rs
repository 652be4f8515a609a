//! `Status` objects: how every error is said.

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::protobuf;
use crate::resource::Resource;

/// An error that a client hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub code: StatusCode,
    reason: &'static str,
    message: String,
    details: Value,
}

impl ApiError {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Value::Null }
    }

    /// 400.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// 422, of one option of a list or watch.
    pub(crate) fn invalid_option(option: &str, message: &str) -> Self {
        let text = format!("ListOptions.meta.k8s.io \"\" is invalid: {option}: {message}");
        let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", text);
        let cause = json!({"reason": "FieldValueForbidden", "message": message, "field": option});
        error.details = json!({"group": "meta.k8s.io", "kind": "ListOptions", "causes": [cause]});
        error
    }

    /// 404: no such path or resource.
    pub(crate) fn unknown_path() -> Self {
        let message = "the server could not find the requested resource";
        Self { details: json!({}), ..Self::new(StatusCode::NOT_FOUND, "NotFound", message) }
    }

    /// 404: no such object.
    pub(crate) fn not_found(resource: Resource, name: &str) -> Self {
        let message = format!("{} {name:?} not found", resource.qualified());
        let facts = resource.facts();
        let mut details = json!({"name": name, "kind": facts.plural});
        if !facts.group.is_empty() {
            details["group"] = facts.group.into();
        }
        Self { details, ..Self::new(StatusCode::NOT_FOUND, "NotFound", message) }
    }

    /// 405.
    pub(crate) fn not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        let code = StatusCode::METHOD_NOT_ALLOWED;
        Self { details: json!({}), ..Self::new(code, "MethodNotAllowed", message) }
    }

    /// 406.
    pub(crate) fn not_acceptable() -> Self {
        let message = "only the following media types are accepted: application/json, \
                       application/json;as=Table;g=meta.k8s.io;v=v1, application/vnd.kubernetes.protobuf";
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    /// 410: what was asked for is compacted.
    pub(crate) fn expired(asked: u64, now: u64) -> Self {
        Self::new(StatusCode::GONE, "Expired", format!("too old resource version: {asked} ({now})"))
    }

    /// 410, of a list in chunks.
    pub(crate) fn continue_expired() -> Self {
        let message = "The provided continue parameter is too old to display a consistent list result. \
                       Start a new list without the continue parameter.";
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// 413.
    pub(crate) fn too_large() -> Self {
        let message = "the request is larger than this server takes";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    /// 504: a resource version that does not exist yet (`NewTooLargeResourceVersionError`); clients then list anew.
    pub(crate) fn too_large_resource_version(asked: u64, now: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {now}");
        let cause = json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
        let details = json!({"causes": [cause], "retryAfterSeconds": 1});
        Self { details, ..Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message) }
    }

    /// The `Status` object as protobuf, without details.
    pub(crate) fn protobuf(&self) -> Bytes {
        protobuf::status(&self.message, self.reason, self.code.as_u16())
    }

    /// The `Status` object.
    pub(crate) fn json(&self) -> Bytes {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code.as_u16(),
        });
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        Bytes::from(status.to_string())
    }
}
