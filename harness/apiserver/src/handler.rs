//! One request, one response.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};

use crate::accept::{self, Form};
use crate::client_events::ClientEvent;
use crate::connection::Connection;
use crate::list_options::ListOptions;
use crate::query::Query;
use crate::resource::Resource;
use crate::response::{self, Body};
use crate::route::{Route, route};
use crate::shared::Shared;
use crate::status::ApiError;
use crate::table::Include;
use crate::watch::Watch;
use crate::{discovery, list};

/// Bytes of an event that a client sends; the real API server takes 3 MiB, and real events have 1 KiB.
const MOST_OF_EVENT: usize = 1 << 20;

/// Answers a request; every error is a `Status`.
pub(crate) async fn handle(
    shared: &Arc<Shared>,
    connection: &Connection,
    request: Request<Incoming>,
) -> Response<Body> {
    let user_agent = header(&request, &USER_AGENT).to_owned();
    let found = route(request.uri().path());
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let (verb, resource) =
        kind(request.method(), found.as_ref().ok().and_then(Option::as_ref), query.as_ref().ok());
    shared.counters.request(verb, resource, &user_agent);
    let answer = async {
        let found = found.map_err(ApiError::bad_request)?;
        let query = query.map_err(ApiError::bad_request)?;
        let route = found.ok_or_else(ApiError::unknown_path)?;
        if route == Route::Events {
            return events(shared, request, user_agent).await;
        }
        if request.method() != Method::GET {
            return Err(ApiError::not_allowed());
        }
        let accept = request.headers().contains_key(ACCEPT).then(|| header(&request, &ACCEPT));
        read(shared, connection, route, &query, accept, &user_agent)
    };
    answer.await.unwrap_or_else(|error| response::error(&error))
}

fn header<'a>(request: &'a Request<Incoming>, name: &HeaderName) -> &'a str {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// What a request is counted as.
fn kind(method: &Method, route: Option<&Route>, query: Option<&Query>) -> (&'static str, &'static str) {
    let watches = || query.is_some_and(|query| !["", "0", "false"].contains(&query.text("watch")));
    let verb = match (method, route) {
        (&Method::GET, Some(Route::Collection { .. })) if watches() => "watch",
        (&Method::GET, Some(Route::Collection { .. })) => "list",
        (&Method::GET, _) => "get",
        (&Method::POST, _) => "create",
        _ => "other",
    };
    let resource = match route {
        Some(Route::Collection { resource, .. } | Route::Object { resource, .. }) => resource.plural(),
        Some(Route::Events) => "events",
        Some(_) => "discovery",
        None => "",
    };
    (verb, resource)
}

fn read(
    shared: &Arc<Shared>,
    connection: &Connection,
    route: Route,
    query: &Query,
    accept: Option<&str>,
    user_agent: &str,
) -> Result<Response<Body>, ApiError> {
    let form = || {
        let form = accept::choose(accept).ok_or_else(ApiError::not_acceptable)?;
        let include = query.text("includeObject");
        let include = Include::parse(include).ok_or_else(|| {
            ApiError::bad_request(format!(
                "includeObject: unrecognized value {include:?}; expected None, Metadata or Object"
            ))
        })?;
        Ok::<_, ApiError>((form, include))
    };
    let said = match route {
        Route::Collection { resource, namespace } => {
            let options = ListOptions::parse(query, resource, &namespace)?;
            return match options.watch {
                true => watch(shared, connection, resource, &options, form()?, user_agent),
                false => {
                    let delivery = || {
                        let list = shared.deliveries.list(resource, user_agent, connection.peer);
                        connection.answers(&list);
                        list
                    };
                    list::list(shared, resource, &options, form()?, delivery)
                }
            };
        }
        Route::Object { resource, namespace, name } => {
            return list::get(shared, resource, (&namespace, &name), form()?);
        }
        Route::Events => return Err(ApiError::not_allowed()),
        Route::Health => {
            let body = Full::new(Bytes::from_static(b"ok")).boxed_unsync();
            return Ok(response::response(StatusCode::OK, &HeaderValue::from_static("text/plain"), body));
        }
        Route::Version => discovery::version(shared.options.kubernetes),
        Route::CoreVersions => discovery::core_versions(),
        Route::Groups => discovery::groups(),
        Route::Group(name) => discovery::group(&name),
        Route::Resources(group) => discovery::resources(&group),
    };
    Ok(response::json(StatusCode::OK, said.to_string()))
}

fn watch(
    shared: &Arc<Shared>,
    connection: &Connection,
    resource: Resource,
    options: &ListOptions,
    form: (Form, Include),
    user_agent: &str,
) -> Result<Response<Body>, ApiError> {
    let delivery = shared.deliveries.open(resource, user_agent, connection.peer);
    let begun = Watch::begin(shared, resource, options, form, &delivery);
    let watch = begun.inspect_err(|_| shared.deliveries.close(&delivery))?;
    connection.answers(&delivery);
    let content_type = HeaderValue::from_static(match form.0 {
        Form::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        Form::Json | Form::Table => "application/json",
    });
    Ok(response::response(StatusCode::OK, &content_type, watch.body()))
}

/// Takes an event and gives it back as it came, in the encoding of the client, which is all that clients look at.
async fn events(
    shared: &Shared,
    request: Request<Incoming>,
    user_agent: String,
) -> Result<Response<Body>, ApiError> {
    if request.method() != Method::POST {
        return Err(ApiError::not_allowed());
    }
    let content_type = request.headers().get(CONTENT_TYPE).cloned();
    let content_type = content_type.unwrap_or(HeaderValue::from_static("application/json"));
    let body = Limited::new(request.into_body(), MOST_OF_EVENT).collect().await;
    let body = body.map_err(|_| ApiError::too_large())?.to_bytes();
    let is_json = content_type.to_str().is_ok_and(|text| text.starts_with("application/json"));
    if is_json && serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&body).is_err() {
        return Err(ApiError::bad_request("the event is no JSON object"));
    }
    let text = content_type.to_str().unwrap_or_default().to_owned();
    shared.events.add(ClientEvent { user_agent, content_type: text, body: body.clone() });
    Ok(response::response(StatusCode::CREATED, &content_type, Full::new(body).boxed_unsync()))
}
