//! `steadfast proxy`: runs the proxy server, or calls the HTTP API of one.
//!
//! The texts that the commands print are those of `toxiproxy-cli`, which scripts read.

mod client;
mod print;
mod serve;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use self::client::{ApiClient, CallError};
use crate::args::proxy::{
    NamedProxy, Proxy, ProxyCommand, ProxyCreate, ToxicAdd, ToxicCommand, ToxicRemove, ToxicUpdate,
    ToxicValues,
};
use crate::env::Environment;
use crate::exit::Failure;
use crate::output;

/// Runs the command.
///
/// # Errors
///
/// When the server fails, cannot be reached, or rejects the request.
pub(crate) fn run(arguments: Proxy, environment: &Environment) -> Result<(), Failure> {
    match arguments.command {
        ProxyCommand::Serve(arguments) => serve::run(&arguments, environment),
        ProxyCommand::List(api) => list(&ApiClient::new(&api, environment)?),
        ProxyCommand::Inspect(named) => inspect(&named, &client(&named, environment)?),
        ProxyCommand::Create(create_) => create(&create_, &client(&create_.proxy, environment)?),
        ProxyCommand::Toggle(named) => toggle(&named, &client(&named, environment)?),
        ProxyCommand::Delete(named) => delete(&named, &client(&named, environment)?),
        ProxyCommand::Toxic(ToxicCommand::Add(add)) => {
            add_toxic(&add, &client(&add.proxy, environment)?)
        }
        ProxyCommand::Toxic(ToxicCommand::Update(update)) => {
            update_toxic(&update, &client(&update.proxy, environment)?)
        }
        ProxyCommand::Toxic(ToxicCommand::Remove(remove)) => {
            remove_toxic(&remove, &client(&remove.proxy, environment)?)
        }
    }
}

fn client(named: &NamedProxy, environment: &Environment) -> Result<ApiClient, Failure> {
    ApiClient::new(&named.api, environment)
}

fn list(api: &ApiClient) -> Result<(), Failure> {
    let proxies = api
        .get(&["proxies"])
        .map_err(|error| error.failure("Failed to retrieve proxies"))?;
    let proxies: BTreeMap<String, print::ProxyView> =
        print::parsed(proxies, "Failed to retrieve proxies")?;
    print::proxies(proxies.values());
    Ok(())
}

fn inspect(named: &NamedProxy, api: &ApiClient) -> Result<(), Failure> {
    let proxy = get_proxy(&named.name, api)?;
    print::toxics(&print::parsed(proxy, "Failed to retrieve proxy")?);
    Ok(())
}

fn create(arguments: &ProxyCreate, api: &ApiClient) -> Result<(), Failure> {
    let name = &arguments.proxy.name;
    let body = json!({
        "name": name,
        "listen": arguments.listen,
        "upstream": arguments.upstream,
        "enabled": true,
    });
    api.post(&["proxies"], &body)
        .map_err(|error| error.failure("Failed to create proxy"))?;
    output::print(&format!("Created new proxy {name}"));
    Ok(())
}

fn toggle(named: &NamedProxy, api: &ApiClient) -> Result<(), Failure> {
    let name = &named.name;
    let mut proxy = get_proxy(name, api)?;
    let is_enabled = proxy.get("enabled").and_then(Value::as_bool) == Some(true);
    if let Some(fields) = proxy.as_object_mut() {
        fields.insert("enabled".to_owned(), json!(!is_enabled));
        // The toxics are not changed, and the server need not compare them.
        fields.remove("toxics");
    }
    api.post(&["proxies", name], &proxy)
        .map_err(|error| error.failure(&format!("Failed to toggle proxy {name}")))?;
    let state = print::enabled(!is_enabled);
    output::print(&format!("Proxy {name} is now {state}"));
    Ok(())
}

fn delete(named: &NamedProxy, api: &ApiClient) -> Result<(), Failure> {
    let name = &named.name;
    get_proxy(name, api)?;
    api.delete(&["proxies", name])
        .map_err(|error| error.failure("Failed to delete proxy"))?;
    output::print(&format!("Deleted proxy {name}"));
    Ok(())
}

fn add_toxic(arguments: &ToxicAdd, api: &ApiClient) -> Result<(), Failure> {
    let proxy = &arguments.proxy.name;
    let failure = |error: CallError| error.failure("Failed to add toxic");
    let stream = if arguments.upstream {
        "upstream"
    } else {
        "downstream"
    };
    let mut body = values(&arguments.values);
    body.insert("type".to_owned(), json!(arguments.kind));
    body.insert("stream".to_owned(), json!(stream));
    if let Some(name) = &arguments.toxic {
        body.insert("name".to_owned(), json!(name));
    }
    api.get(&["proxies", proxy]).map_err(failure)?;
    let toxic = api
        .post(&["proxies", proxy, "toxics"], &Value::Object(body))
        .map_err(failure)?;
    let toxic: print::ToxicView = print::parsed(toxic, "Failed to add toxic")?;
    output::print(&format!(
        "Added {} {} toxic '{}' on proxy '{proxy}'",
        toxic.stream, toxic.kind, toxic.name
    ));
    Ok(())
}

fn update_toxic(arguments: &ToxicUpdate, api: &ApiClient) -> Result<(), Failure> {
    let (proxy, toxic) = (&arguments.proxy.name, &arguments.toxic.name);
    let failure = |error: CallError| error.failure("Failed to update toxic");
    let body = values(&arguments.values);
    api.get(&["proxies", proxy]).map_err(failure)?;
    api.patch(&["proxies", proxy, "toxics", toxic], &Value::Object(body))
        .map_err(failure)?;
    output::print(&format!("Updated toxic '{toxic}' on proxy '{proxy}'"));
    Ok(())
}

fn remove_toxic(arguments: &ToxicRemove, api: &ApiClient) -> Result<(), Failure> {
    let (proxy, toxic) = (&arguments.proxy.name, &arguments.toxic.name);
    let failure = |error: CallError| error.failure("Failed to remove toxic");
    api.get(&["proxies", proxy]).map_err(failure)?;
    api.delete(&["proxies", proxy, "toxics", toxic])
        .map_err(failure)?;
    output::print(&format!("Removed toxic '{toxic}' on proxy '{proxy}'"));
    Ok(())
}

fn get_proxy(name: &str, api: &ApiClient) -> Result<Value, Failure> {
    api.get(&["proxies", name])
        .map_err(|error| error.failure(&format!("Failed to retrieve proxy {name}")))
}

/// The body with what was given on the command line, and nothing else: what is absent keeps its value.
fn values(values: &ToxicValues) -> Map<String, Value> {
    let mut body = Map::new();
    if let Some(toxicity) = values.toxicity {
        body.insert("toxicity".to_owned(), json!(toxicity));
    }
    if !values.attributes.is_empty() {
        let attributes = values.attributes.iter();
        let attributes = attributes.map(|(key, value)| (key.clone(), number_or_text(value)));
        body.insert("attributes".to_owned(), attributes.collect());
    }
    body
}

/// A number as a JSON number, any other text as a string.
fn number_or_text(text: &str) -> Value {
    let integer = text.parse::<i64>().map(Value::from).ok();
    let number = || text.parse::<f64>().ok().filter(|it| it.is_finite());
    integer
        .or_else(|| number().map(Value::from))
        .unwrap_or_else(|| text.into())
}
