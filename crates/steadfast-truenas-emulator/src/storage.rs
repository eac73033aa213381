//! A small model of data: one pool with datasets.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::errors::{CallError, Errno};

/// The name of the only pool.
pub(crate) const POOL: &str = "tank";
/// The most datasets.
const DATASETS_MAX: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Storage {
    /// By their names.
    datasets: BTreeMap<String, Value>,
}

impl Storage {
    pub(crate) fn new() -> Self {
        let root = (POOL.to_owned(), dataset(POOL, &Map::new()));
        Self {
            datasets: BTreeMap::from([root]),
        }
    }

    pub(crate) fn pools() -> Vec<Value> {
        vec![json!({
            "id": 1,
            "name": POOL,
            "guid": "11262053413374083862",
            "path": format!("/mnt/{POOL}"),
            "status": "ONLINE",
            "healthy": true,
            "size": 1_099_511_627_776_u64,
            "allocated": 109_951_162_776_u64,
            "free": 989_560_465_000_u64,
        })]
    }

    pub(crate) fn datasets(&self) -> Vec<Value> {
        self.datasets.values().cloned().collect()
    }

    /// Creates a dataset. Its parent must exist; the original offers to create it.
    pub(crate) fn create(&mut self, params: &[Value]) -> Result<Value, CallError> {
        const NAME: &str = "pool_dataset_create.name";
        let fields = params.first().and_then(Value::as_object);
        let fields = fields.ok_or_else(|| CallError::required("pool_dataset_create"))?;
        let name = fields.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(|| CallError::required(NAME))?;
        let invalid = |text: String, errno| Err(CallError::invalid(NAME, text, errno));
        if self.datasets.contains_key(name) {
            return invalid(format!("Path {name} already exists"), Errno::Exists);
        }
        let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
        if !self.datasets.contains_key(parent) {
            return invalid(
                format!("Parent dataset {parent} does not exist"),
                Errno::NoEntry,
            );
        }
        if self.datasets.len() >= DATASETS_MAX {
            return invalid(
                "the emulator has too many datasets".to_owned(),
                Errno::Invalid,
            );
        }
        let created = dataset(name, fields);
        self.datasets.insert(name.to_owned(), created.clone());
        Ok(created)
    }

    /// Removes a dataset without children, and returns its name.
    pub(crate) fn delete(&mut self, params: &[Value]) -> Result<String, CallError> {
        let name = params.first().and_then(Value::as_str);
        let name = name.ok_or_else(|| CallError::required("id"))?;
        let children = format!("{name}/");
        if self.datasets.keys().any(|it| it.starts_with(&children)) {
            return Err(CallError::failed(
                Errno::Busy,
                &format!(
                    "Failed to delete dataset: cannot destroy '{name}': filesystem has children"
                ),
            ));
        }
        match self.datasets.remove(name) {
            Some(_) => Ok(name.to_owned()),
            None => Err(CallError::invalid(
                "None",
                format!("PoolDataset {name} does not exist"),
                Errno::NoEntry,
            )),
        }
    }
}

fn dataset(name: &str, fields: &Map<String, Value>) -> Value {
    let kind = fields.get("type").cloned();
    let user_properties = fields.get("user_properties").cloned();
    json!({
        "id": name,
        "name": name,
        "pool": POOL,
        "type": kind.unwrap_or_else(|| json!("FILESYSTEM")),
        "mountpoint": format!("/mnt/{name}"),
        "encrypted": false,
        "locked": false,
        "children": [],
        "comments": fields.get("comments").cloned().unwrap_or_else(|| json!("")),
        "user_properties": user_properties.unwrap_or_else(|| json!([])),
    })
}
