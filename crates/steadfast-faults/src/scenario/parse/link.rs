//! Parses `[link."LOAD->SERVICE"]`: the ways in which a load may reach a service.

use steadfast_toml::FileError;

use crate::scenario::model::{Link, Via};
use crate::scenario::table::Table;

const LINK: [&str; 1] = ["via"];

pub(super) fn link((name, table): (String, Table<'_>)) -> Result<Link, FileError> {
    table.allow(&LINK)?;
    let Some((load, service)) = name.split_once("->") else {
        let message = format!("`{name}` does not name a load and a service");
        let help = "write [link.\"LOAD->SERVICE\"], for example [link.\"chat->gateway\"]";
        return Err(table.error("", message, Some(help.to_owned())));
    };
    Ok(Link {
        load: load.trim().to_owned(),
        service: service.trim().to_owned(),
        via: table.required("via", vias(&table, "via")?)?,
    })
}

/// A list of ways, best first.
pub(super) fn vias(table: &Table<'_>, key: &str) -> Result<Option<Vec<Via>>, FileError> {
    let Some(names) = table.names(key)? else {
        return Ok(None);
    };
    let known = Via::ALL.map(|via| (via.name(), via));
    let mut vias = Vec::new();
    for name in names {
        let via = Via::from_name(&name).ok_or_else(|| table.unknown(key, &name, &known))?;
        if vias.contains(&via) {
            return Err(table.error(key, format!("duplicate value `{name}`"), None));
        }
        vias.push(via);
    }
    if vias.is_empty() {
        return Err(table.error(key, "at least one way is required".to_owned(), None));
    }
    Ok(Some(vias))
}
