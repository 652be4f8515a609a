//! Events that clients report, such as "kube-proxy has started": counted, and the last of them kept.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;

use crate::lock::lock;

/// How many are kept.
const MOST: usize = 32;

/// An event as a client sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientEvent {
    /// Who.
    pub user_agent: String,
    /// What the body is: `application/json`, or `application/vnd.kubernetes.protobuf`.
    pub content_type: String,
    /// The event.
    pub body: Bytes,
}

/// What clients have reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientEvents {
    /// How many.
    pub count: u64,
    /// The last 32 of them, the oldest first.
    pub last: Vec<ClientEvent>,
}

#[derive(Default)]
pub(crate) struct EventLog(Mutex<(u64, VecDeque<ClientEvent>)>);

impl EventLog {
    pub(crate) fn add(&self, event: ClientEvent) {
        let (count, last) = &mut *lock(&self.0);
        *count += 1;
        if last.len() == MOST {
            last.pop_front();
        }
        last.push_back(event);
    }

    pub(crate) fn all(&self) -> ClientEvents {
        let (count, last) = &*lock(&self.0);
        ClientEvents { count: *count, last: last.iter().cloned().collect() }
    }
}
