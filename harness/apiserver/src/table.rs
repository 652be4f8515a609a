//! `Table` objects: what `kubectl get` prints, with the columns that the real API server has (pkg/printers/internalversion).

mod age;
mod columns;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use self::columns::Column;
use crate::clock;
use crate::object::Stored;
use crate::resource::Resource;

/// What of an object goes with its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    None,
    Metadata,
    Object,
}

impl Include {
    /// `includeObject`; `None`: it is none of these.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "Metadata" => Some(Include::Metadata),
            "None" => Some(Include::None),
            "Object" => Some(Include::Object),
            _ => None,
        }
    }
}

/// A list.
pub(crate) fn of_list(
    resource: Resource,
    objects: &[Arc<Stored>],
    metadata: &Value,
    include: Include,
) -> String {
    let rows = objects.iter().map(|object| row(resource, &object.json, include)).collect();
    table(resource, rows, metadata)
}

/// One object, by its JSON.
pub(crate) fn of_one(resource: Resource, object: &[u8], include: Include) -> String {
    table(resource, vec![row(resource, object, include)], &json!({}))
}

fn table(resource: Resource, rows: Vec<Value>, metadata: &Value) -> String {
    let column = |column: &Column| {
        json!({
            "name": column.name, "type": "string", "format": if column.name == "Name" { "name" } else { "" },
            "description": "", "priority": column.priority,
        })
    };
    let columns: Vec<Value> = columns::of(resource).iter().map(column).collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": columns,
        "rows": rows,
    })
    .to_string()
}

fn row(resource: Resource, object: &[u8], include: Include) -> Value {
    // What is stored was written as JSON.
    let object: Value = serde_json::from_slice(object).unwrap_or(Value::Null);
    let now = clock::now();
    let cells: Vec<String> = columns::of(resource).iter().map(|column| (column.cell)(&object, now)).collect();
    let mut row = Map::from_iter([("cells".to_owned(), cells.into())]);
    match include {
        Include::None => {}
        Include::Metadata => {
            let partial = json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object.get("metadata"),
            });
            row.insert("object".into(), partial);
        }
        Include::Object => {
            row.insert("object".into(), object);
        }
    }
    row.into()
}
