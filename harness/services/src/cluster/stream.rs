//! One object after another out of documents of whatever language: lists are never held as a whole.

use std::fmt;
use std::rc::Rc;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::error::{Position, Problem};
use super::limits::Meter;
use super::objects::Objects;

/// Where objects go, and what stopped them.
pub(super) struct Stream {
    /// What was read so far.
    pub objects: Objects,
    /// Set when an object is refused; nothing is read after it.
    pub problem: Option<Problem>,
    /// Where the reader is.
    pub position: Position,
    meter: Rc<Meter>,
    needs_kind: bool,
}

impl Stream {
    pub(super) fn new(meter: Rc<Meter>) -> Self {
        let (objects, position) = (Objects::default(), Position::default());
        Self { objects, problem: None, position, meter, needs_kind: false }
    }

    /// In YAML nothing else tells a list that is cut off between two items: kubectl writes the kind behind them.
    pub(super) fn lists_need_a_kind(&mut self) {
        self.needs_kind = true;
    }

    /// Another document begins.
    pub(super) fn next_document(&mut self) {
        self.position = Position { document: self.position.document + 1, item: None };
        self.meter.object();
    }

    fn take<E: Error>(&mut self, object: Value, kind_of_list: Option<&str>) -> Result<(), E> {
        match self.objects.take(self.position, object, kind_of_list) {
            Ok(()) => Ok(()),
            Err(problem) => Err(self.stop(problem)),
        }
    }

    /// An error for the reader's sake; what is reported is the problem.
    fn stop<E: Error>(&mut self, problem: Problem) -> E {
        self.problem = Some(problem);
        E::custom("refused")
    }
}

/// A document: a list of objects, or one object.
pub(super) struct Document<'a>(pub &'a mut Stream);

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a List of objects of Kubernetes")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        Items { stream: self.0, kind: None }.visit_seq(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut object = Map::new();
        let mut is_list = false;
        while let Some(name) = fields.next_key::<String>()? {
            if name != "items" {
                object.insert(name, fields.next_value()?);
                continue;
            }
            if is_list {
                let place = self.0.position.before(None);
                let problem = "it has `items` twice; expected one list".into();
                return Err(self.0.stop(Problem { place, problem }));
            }
            is_list = true;
            let kind = object.get("kind").and_then(Value::as_str).map(str::to_owned);
            fields.next_value_seed(Items { stream: &mut *self.0, kind })?;
        }
        self.0.position.item = None;
        if is_list && self.0.needs_kind && !object.contains_key("kind") {
            let place = self.0.position.before(None);
            let problem = "the list has no `kind`, which kubectl writes behind the items; expected the whole of its output";
            return Err(self.0.stop(Problem { place, problem: problem.into() }));
        }
        if is_list { Ok(()) } else { self.0.take(Value::Object(object), None) }
    }
}

/// The objects of a list.
struct Items<'a> {
    stream: &'a mut Stream,
    /// The list's kind, if that stands before its items.
    kind: Option<String>,
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl Items<'_> {
    fn no_list<E: Error>(self, found: &str) -> Result<(), E> {
        let place = self.stream.position.before(None);
        let problem = format!("`items` is {found}; expected a list of objects");
        Err(self.stream.stop(Problem { place, problem }))
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        // Go writes an empty list so.
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.no_list("an object")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.no_list("a boolean")
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.no_list("a number")
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.no_list("a number")
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.no_list("a number")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.no_list("a string")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        for item in 0.. {
            self.stream.position.item = Some(item);
            self.stream.meter.object();
            match list.next_element::<Value>()? {
                Some(object) => self.stream.take(object, self.kind.as_deref())?,
                None => break,
            }
        }
        self.stream.position.item = None;
        self.stream.meter.object();
        Ok(())
    }
}
