//! Lists and single objects.

use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::header::HeaderValue;
use hyper::{Response, StatusCode};
use serde_json::json;

use crate::accept::Form;
use crate::continue_token::Token;
use crate::delivery::Delivery;
use crate::list_options::ListOptions;
use crate::lock::lock;
use crate::object::Name;
use crate::protobuf;
use crate::resource::Resource;
use crate::response::{self, Body, ListBody, PROTOBUF};
use crate::shared::Shared;
use crate::status::ApiError;
use crate::store::{Page, Part};
use crate::table::{self, Include};

/// One object.
pub(crate) fn get(
    shared: &Shared,
    resource: Resource,
    (namespace, name): (&str, &str),
    (form, include): (Form, Include),
) -> Result<Response<Body>, ApiError> {
    let key = Name { namespace: namespace.into(), name: name.into() };
    let found = lock(&shared.store).get(resource, &key).cloned();
    let object = found.ok_or_else(|| ApiError::not_found(resource, name))?;
    Ok(match form {
        Form::Json => response::json(StatusCode::OK, object.json.clone()),
        Form::Protobuf => response::whole(&PROTOBUF, object.protobuf_at(object.rv)),
        Form::Table => response::json(StatusCode::OK, table::of_one(resource, &object.json, include)),
    })
}

/// A list, or a chunk of it. `delivery`: of a list, or of its last chunk.
pub(crate) fn list(
    shared: &Shared,
    resource: Resource,
    options: &ListOptions,
    (form, include): (Form, Include),
    delivery: impl FnOnce() -> Arc<Delivery>,
) -> Result<Response<Body>, ApiError> {
    let page = page(shared, resource, options)?;
    let token = page.last().map(|last| Token::new(page.rv, last).text());
    // The real API server does not count what a selector would let through.
    let remaining = token.is_some().then_some(page.remaining).filter(|_| options.selector.is_empty());
    // Chunks that are followed by others are no list yet.
    let delivery = token.is_none().then(delivery);
    if form == Form::Protobuf {
        let metadata = (page.rv, token.as_deref(), remaining);
        let body = ListBody::protobuf(|items| protobuf::list_head(resource, metadata, items), page.items);
        let body = body.for_delivery(delivery).boxed_unsync();
        return Ok(response::response(StatusCode::OK, &PROTOBUF, body));
    }
    let mut metadata = json!({"resourceVersion": page.rv.to_string()});
    if let Some(token) = token {
        metadata["continue"] = token.into();
    }
    if let Some(remaining) = remaining {
        metadata["remainingItemCount"] = remaining.into();
    }
    if form == Form::Table {
        let table = table::of_list(resource, &page.items, &metadata, include);
        return Ok(response::json(StatusCode::OK, table));
    }
    let head = format!(
        "{{\"kind\":\"{}List\",\"apiVersion\":\"{}\",\"metadata\":{metadata},\"items\":[",
        resource.kind(),
        resource.api_version()
    );
    let body = ListBody::json(head, page.items, b"]}\n").for_delivery(delivery).boxed_unsync();
    Ok(response::response(StatusCode::OK, &HeaderValue::from_static("application/json"), body))
}

/// What the options ask for. Version 0 is "any", for which the real API server answers from its watch cache and does not
/// cut the list into chunks; neither is done here.
fn page(shared: &Shared, resource: Resource, options: &ListOptions) -> Result<Page, ApiError> {
    let store = lock(&shared.store);
    let now = store.rv();
    let asked = options.rv.filter(|rv| *rv > 0);
    let (limit, token) = match options.rv {
        Some(0) => (None, None),
        _ => (options.limit, options.token.as_ref()),
    };
    if let Some(asked) = asked.filter(|asked| *asked > now) {
        return Err(ApiError::too_large_resource_version(asked, now));
    }
    // Without a match, a limit makes a version exact (the table in the documentation of the Kubernetes API, "Resource versions").
    let exact = options.exact || (!options.has_match && limit.is_some());
    let at = match token {
        Some(token) => Some(token.rv),
        None => asked.filter(|_| exact),
    };
    if let Some(token) = token.filter(|token| token.rv > now) {
        return Err(ApiError::bad_request(format!(
            "continue key is not valid: it is of version {}",
            token.rv
        )));
    }
    let part = Part { at, after: token.map(Token::behind), limit };
    store.page(resource, &part, &options.selector).map_err(|_| match token {
        Some(_) => ApiError::continue_expired(),
        None => ApiError::expired(at.unwrap_or_default(), now),
    })
}
