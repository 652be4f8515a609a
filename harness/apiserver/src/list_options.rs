//! Options of a list or watch, checked as the real API server does (apimachinery, internalversion/validation).

use std::time::Duration;

use crate::continue_token::Token;
use crate::query::Query;
use crate::resource::Resource;
use crate::selector::Selector;
use crate::status::ApiError;

/// What a list or watch asks for.
#[derive(Clone, Debug)]
pub(crate) struct ListOptions {
    pub selector: Selector,
    pub watch: bool,
    /// `resourceVersion`; `None` if it is empty.
    pub rv: Option<u64>,
    /// `resourceVersionMatch=Exact`.
    pub exact: bool,
    /// `resourceVersionMatch` is there.
    pub has_match: bool,
    pub limit: Option<usize>,
    pub token: Option<Token>,
    pub bookmarks: bool,
    pub send_initial_events: Option<bool>,
    pub timeout: Option<Duration>,
}

impl ListOptions {
    /// Reads and checks them.
    pub(crate) fn parse(query: &Query, resource: Resource, namespace: &str) -> Result<Self, ApiError> {
        let selector =
            Selector::parse(resource, namespace, query.text("labelSelector"), query.text("fieldSelector"))
                .map_err(ApiError::bad_request)?;
        let rv =
            match query.text("resourceVersion") {
                "" => None,
                text => Some(text.parse().map_err(|_| {
                    ApiError::bad_request(format!("resourceVersion: Invalid value: {text:?}"))
                })?),
            };
        let limit: i64 = number(query, "limit")?.unwrap_or(0);
        let token = match query.text("continue") {
            "" => None,
            text => Some(Token::parse(text).ok_or_else(|| {
                ApiError::bad_request(format!(
                    "continue key is not valid: {:?}",
                    text.get(..80).unwrap_or(text)
                ))
            })?),
        };
        let timeout: Option<i64> = number(query, "timeoutSeconds")?;
        let options = Self {
            selector,
            watch: flag(query, "watch").unwrap_or(false),
            rv,
            exact: query.text("resourceVersionMatch") == "Exact",
            has_match: !query.text("resourceVersionMatch").is_empty(),
            limit: usize::try_from(limit).ok().filter(|limit| *limit > 0),
            token,
            bookmarks: flag(query, "allowWatchBookmarks").unwrap_or(false),
            send_initial_events: flag(query, "sendInitialEvents"),
            timeout: timeout
                .and_then(|seconds| u64::try_from(seconds).ok())
                .filter(|seconds| *seconds > 0)
                // Longer than a year is never: a clock must not overflow.
                .map(|seconds| Duration::from_secs(seconds.min(366 * 86_400))),
        };
        options.check(query.text("resourceVersionMatch"))?;
        Ok(options)
    }

    fn check(&self, matching: &str) -> Result<(), ApiError> {
        let wrong = |message: &str| Err(ApiError::invalid_option("resourceVersionMatch", message));
        if self.has_match && !["Exact", "NotOlderThan"].contains(&matching) {
            return wrong("supported values: \"Exact\", \"NotOlderThan\", \"\"");
        }
        if self.has_match && self.token.is_some() {
            return wrong("resourceVersionMatch is forbidden when continue is provided");
        }
        if self.watch {
            return match self.send_initial_events {
                Some(_) if !self.has_match || self.exact => {
                    wrong("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
                }
                None if self.has_match => {
                    wrong("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
                }
                _ => Ok(()),
            };
        }
        if self.has_match && self.rv.is_none() {
            return wrong("resourceVersionMatch is forbidden unless resourceVersion is provided");
        }
        if self.exact && self.rv == Some(0) {
            return wrong("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
        }
        if self.send_initial_events.is_some() {
            let message = "sendInitialEvents is forbidden for list";
            return Err(ApiError::invalid_option("sendInitialEvents", message));
        }
        if self.token.is_some() && self.rv.is_some_and(|rv| rv != 0) {
            let message = "specifying resource version is not allowed when using continue";
            return Err(ApiError::bad_request(message));
        }
        Ok(())
    }
}

fn number(query: &Query, name: &str) -> Result<Option<i64>, ApiError> {
    match query.text(name) {
        "" => Ok(None),
        text => match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => {
                Err(ApiError::bad_request(format!("{name}: Invalid value: {text:?}: must be an integer")))
            }
        },
    }
}

/// As Go's conversion of query parameters has it: without a value it is true, and so is whatever is not false or 0.
fn flag(query: &Query, name: &str) -> Option<bool> {
    query.has(name).then(|| !["0", "false"].contains(&query.text(name).to_ascii_lowercase().as_str()))
}
