//! Watches: a cursor into the history of a resource, never a queue of its own.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::accept::Form;
use crate::delivery::Delivery;
use crate::history::{Event, Expired, What};
use crate::list_options::ListOptions;
use crate::lock::lock;
use crate::object::Stored;
use crate::protobuf;
use crate::resource::Resource;
use crate::response::{Body, PIECE};
use crate::selector::Selector;
use crate::shared::Shared;
use crate::status::ApiError;
use crate::store::Part;
use crate::table::{self, Include};

/// A watch that is under way.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    resource: Resource,
    selector: Selector,
    form: Form,
    include: Include,
    bookmarks: bool,
    /// Resource version up to which everything is sent.
    seen: u64,
    epoch: u64,
    /// What is left of the initial state.
    initial: std::vec::IntoIter<Arc<Stored>>,
    /// The bookmark behind it is still to be sent.
    initial_ends: bool,
    signal: watch::Receiver<()>,
    delivery: Arc<Delivery>,
    ends: Option<Instant>,
    next_bookmark: Instant,
    ended: bool,
}

/// What comes next in a watch.
enum Step {
    Send(Bytes),
    Wait,
}

impl Watch {
    /// Begins one.
    ///
    /// # Errors
    /// If it asks for a future that is not there yet. That its past is forgotten is said in the watch.
    pub(crate) fn begin(
        shared: &Arc<Shared>,
        resource: Resource,
        options: &ListOptions,
        (form, include): (Form, Include),
        delivery: &Arc<Delivery>,
    ) -> Result<Self, ApiError> {
        // Before the state is read: what happens afterwards wakes it.
        let signal = shared.signal(resource);
        let store = lock(&shared.store);
        let now = store.rv();
        let asked = options.rv.filter(|rv| *rv > 0);
        let wants_state = options.send_initial_events.unwrap_or(asked.is_none());
        if options.send_initial_events == Some(true)
            && let Some(asked) = asked.filter(|asked| *asked > now)
        {
            return Err(ApiError::too_large_resource_version(asked, now));
        }
        let seen = if wants_state { now } else { asked.unwrap_or(now) };
        let initial = match wants_state {
            true => store.page(resource, &Part::default(), &options.selector).map(|page| page.items),
            false => store.can_resume(resource, seen).map(|()| Vec::new()),
        };
        let epoch = if initial.is_err() { u64::MAX } else { store.epoch() };
        drop(store);
        let begin = Instant::now();
        Ok(Self {
            resource,
            selector: options.selector.clone(),
            form,
            include,
            bookmarks: options.bookmarks,
            seen,
            epoch,
            initial: initial.unwrap_or_default().into_iter(),
            initial_ends: options.send_initial_events == Some(true) && options.bookmarks,
            signal,
            delivery: Arc::clone(delivery),
            ends: options.timeout.map(|timeout| begin + timeout),
            next_bookmark: begin + shared.options.bookmark_every,
            ended: false,
            shared: Arc::clone(shared),
        })
    }

    /// As a response's body.
    pub(crate) fn body(self) -> Body {
        let frames = stream::unfold(self, |mut watch| async move {
            let piece = watch.next().await?;
            Some((Ok::<_, Infallible>(Frame::data(piece)), watch))
        });
        StreamBody::new(frames).boxed_unsync()
    }

    /// The next piece; `None`: the watch has ended.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.ended {
                return None;
            }
            self.signal.borrow_and_update();
            if let Step::Send(piece) = self.step() {
                return Some(piece);
            }
            let now = Instant::now();
            if self.ends.is_some_and(|ends| ends <= now) {
                self.ended = true;
                // So that who resumes begins as late as it can.
                return self.bookmarks.then(|| self.bookmark(false));
            }
            if self.bookmarks && self.next_bookmark <= now {
                return Some(self.bookmark(false));
            }
            let bookmark = self.bookmarks.then_some(self.next_bookmark);
            let changed = pin!(self.signal.changed());
            let Some(wake) = self.ends.into_iter().chain(bookmark).min() else {
                // That there is no sender any more cannot be: `shared` has it.
                let _ = changed.await;
                continue;
            };
            if let Either::Left((changed, _)) = select(changed, pin!(sleep_until(wake))).await {
                let _ = changed;
            }
        }
    }

    fn step(&mut self) -> Step {
        let mut piece = Piece::default();
        let mut objects = 0;
        while piece.bytes.len() < PIECE {
            let Some(object) = self.initial.next() else { break };
            piece.add("ADDED", self.form, self.include, &object, object.rv);
            objects += 1;
        }
        if objects > 0 {
            self.shared.counters.sent_events(objects);
            return Step::Send(piece.bytes.freeze());
        }
        if std::mem::take(&mut self.initial_ends) {
            self.delivery.hand_initial();
            return Step::Send(self.bookmark(true));
        }
        match self.gather(&mut piece) {
            Ok(()) if piece.rvs.is_empty() => Step::Wait,
            Ok(()) => self.send(piece),
            Err(now) => {
                self.ended = true;
                let status = ApiError::expired(self.seen, now);
                match self.form {
                    Form::Protobuf => protobuf::frame(&mut piece.bytes, "ERROR", &status.protobuf()),
                    Form::Json | Form::Table => piece.add_json("ERROR", &status.json()),
                }
                Step::Send(piece.bytes.freeze())
            }
        }
    }

    /// Events that it has not seen, at most a piece of them.
    fn gather(&mut self, piece: &mut Piece) -> Result<(), u64> {
        let store = lock(&self.shared.store);
        let now = store.rv();
        if store.epoch() != self.epoch {
            return Err(now);
        }
        // What it has read may be taken out of the history while it is encoded: events are cheap to copy.
        let mut wanted: Vec<Event> = Vec::new();
        let mut bytes = 0;
        let mut seen = self.seen.max(now);
        for event in store.after(self.resource, self.seen).map_err(|Expired| now)? {
            if bytes >= PIECE {
                seen = wanted.last().map_or(seen, |event| event.rv);
                break;
            }
            if concerns(event, &self.selector) {
                bytes += size(event);
                wanted.push(event.clone());
            }
        }
        drop(store);
        self.seen = seen;
        for event in &wanted {
            piece.event(event, &self.selector, self.form, self.include);
        }
        Ok(())
    }

    fn send(&mut self, piece: Piece) -> Step {
        self.delivery.hand(&piece.rvs);
        self.shared.counters.sent_events(piece.rvs.len());
        Step::Send(piece.bytes.freeze())
    }

    /// The resource version up to which everything is sent, without an object.
    fn bookmark(&mut self, ends_initial_state: bool) -> Bytes {
        self.next_bookmark = Instant::now() + self.shared.options.bookmark_every;
        let mut piece = Piece::default();
        if self.form == Form::Protobuf {
            let object = protobuf::bookmark(self.resource, self.seen, ends_initial_state);
            protobuf::frame(&mut piece.bytes, "BOOKMARK", &object);
            return piece.bytes.freeze();
        }
        let mut metadata = json!({"resourceVersion": self.seen.to_string(), "creationTimestamp": null});
        if ends_initial_state {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = json!({
            "kind": self.resource.kind(), "apiVersion": self.resource.api_version(), "metadata": metadata,
        });
        piece.add_json("BOOKMARK", object.to_string().as_bytes());
        piece.bytes.freeze()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.deliveries.close(&self.delivery);
    }
}

/// Whether an event is one for a selector.
fn concerns(event: &Event, selector: &Selector) -> bool {
    match &event.what {
        What::Put { now, before } => {
            selector.matches(now) || before.as_ref().is_some_and(|before| selector.matches(before))
        }
        What::Deleted { before } => selector.matches(before),
    }
}

fn size(event: &Event) -> usize {
    match &event.what {
        What::Put { now, .. } => now.json.len(),
        What::Deleted { before } => before.json.len(),
    }
}

/// A piece of a watch that is being put together.
#[derive(Default)]
struct Piece {
    bytes: BytesMut,
    /// Resource versions of the events in it.
    rvs: Vec<u64>,
}

impl Piece {
    /// An object that comes to match a selector is added for who watches with it, and one that ceases to is deleted.
    fn event(&mut self, event: &Event, selector: &Selector, form: Form, include: Include) {
        match &event.what {
            What::Put { now, before } => {
                let matched = before.as_ref().filter(|before| selector.matches(before));
                match (matched, selector.matches(now)) {
                    (Some(_), true) => self.add("MODIFIED", form, include, now, event.rv),
                    (None, true) => self.add("ADDED", form, include, now, event.rv),
                    (Some(before), false) => self.add("DELETED", form, include, before, event.rv),
                    (None, false) => return,
                }
            }
            What::Deleted { before } => self.add("DELETED", form, include, before, event.rv),
        }
        self.rvs.push(event.rv);
    }

    fn add(&mut self, kind: &str, form: Form, include: Include, object: &Stored, rv: u64) {
        match form {
            Form::Json => self.add_json(kind, &object.json_at(rv)),
            Form::Protobuf => protobuf::frame(&mut self.bytes, kind, &object.protobuf_at(rv)),
            Form::Table => {
                let table = table::of_one(object.resource, &object.json_at(rv), include);
                self.add_json(kind, table.as_bytes());
            }
        }
    }

    fn add_json(&mut self, kind: &str, json: &[u8]) {
        for part in [b"{\"type\":\"", kind.as_bytes(), b"\",\"object\":", json, b"}\n"] {
            self.bytes.extend_from_slice(part);
        }
    }
}
