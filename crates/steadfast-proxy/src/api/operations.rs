//! The operations of the API on the proxies. None of them waits for a connection or its data.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use hyper::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Settings;
use super::batch;
use super::body::{self, NewProxy, ToxicBody, Unknown};
use super::error::{ApiError, ErrorBody};
use super::input;
use super::metrics;
use super::response::Reply;
use super::route::Operation;
use super::view::{ConnectionView, ProxyView, ToxicList, ToxicView};
use crate::proxy::Proxy;
use crate::set::ProxySet;
use crate::{CloseMode, Toxic};

/// The version of Toxiproxy whose API this is; its clients decide by it which requests they send.
pub(super) const VERSION: &str = "2.12.0";

/// The proxies, and what the operations on them share.
#[derive(Debug)]
pub(super) struct Operations {
    pub(super) set: ProxySet,
    settings: Settings,
    /// Held while a toxic is read, changed and written back, which takes microseconds: two updates of one toxic do not
    /// lose the attributes of each other.
    toxic_update: Mutex<()>,
}

/// The body of a response to `populate`.
#[derive(Debug, Serialize)]
struct Populated<'a> {
    #[serde(flatten)]
    error: Option<ErrorBody<'a>>,
    proxies: Option<Vec<ProxyView>>,
}

/// The proxies of a list that were created before an error.
#[derive(Debug)]
pub(super) struct PopulateError {
    pub(super) error: ApiError,
    /// `None` if the list was rejected as a whole.
    done: Option<Vec<ProxyView>>,
}

/// The body of a list of the lab.
#[derive(Debug, Serialize)]
struct Connections {
    seed: u64,
    connections: Vec<ConnectionView>,
}

impl Operations {
    pub(super) fn new(set: ProxySet, settings: Settings) -> Self {
        Self {
            set,
            settings,
            toxic_update: Mutex::new(()),
        }
    }

    /// Executes an operation.
    pub(super) async fn execute(
        &self,
        operation: Operation,
        query: &str,
        body: &str,
    ) -> Result<Reply, ApiError> {
        match operation {
            Operation::ListProxies => Ok(self.list_proxies()),
            Operation::CreateProxy => self.create_proxy(body).await,
            Operation::ShowProxy { proxy } => Ok(Reply::json(
                StatusCode::OK,
                &ProxyView::of(&*self.proxy(&proxy)?),
            )),
            Operation::UpdateProxy { proxy } => self.update_proxy(&proxy, body).await,
            Operation::DeleteProxy { proxy } => {
                self.set.remove(&proxy).await?;
                Ok(Reply::empty())
            }
            Operation::ListToxics { proxy } => {
                let toxics = self.proxy(&proxy)?.toxics();
                Ok(Reply::json(StatusCode::OK, &ToxicList(toxics)))
            }
            Operation::AddToxic { proxy } => self.add_toxic(&proxy, body),
            Operation::ShowToxic { proxy, toxic } => {
                let toxic = find(&*self.proxy(&proxy)?, &toxic)?;
                Ok(Reply::json(StatusCode::OK, &ToxicView::of(&toxic)))
            }
            Operation::UpdateToxic { proxy, toxic } => self.update_toxic(&proxy, &toxic, body),
            Operation::RemoveToxic { proxy, toxic } => {
                self.proxy(&proxy)?.remove_toxic(&toxic)?;
                Ok(Reply::empty())
            }
            Operation::Populate => Ok(self.populate_reply(body).await),
            Operation::Reset => {
                self.set.reset().await?;
                Ok(Reply::empty())
            }
            Operation::Version => Ok(Reply::version(VERSION)),
            Operation::Metrics => Ok(self.metrics()),
            Operation::ListConnections => Ok(self.connections()),
            Operation::CloseConnection { id } => self.close_connection(&id, query),
            Operation::Events => Ok(Reply::events(&self.set)),
            Operation::Batch => self.batch(body),
        }
    }

    fn proxy(&self, name: &str) -> Result<std::sync::Arc<Proxy>, ApiError> {
        self.set.get(name).ok_or_else(ApiError::proxy_not_found)
    }

    fn list_proxies(&self) -> Reply {
        let proxies = self.set.list();
        let views = proxies
            .iter()
            .map(|proxy| (proxy.name(), ProxyView::of(proxy)));
        let views: std::collections::BTreeMap<&str, ProxyView> = views.collect();
        Reply::json(StatusCode::OK, &views)
    }

    async fn create_proxy(&self, body: &str) -> Result<Reply, ApiError> {
        let new = NewProxy::read(value(body)?, None, Unknown::Ignored)?;
        let proxy = self.set.create(new.builder()).await?;
        Ok(Reply::json(StatusCode::CREATED, &ProxyView::of(&proxy)))
    }

    async fn update_proxy(&self, name: &str, body: &str) -> Result<Reply, ApiError> {
        self.proxy(name)?;
        let proxy = self.set.update(name, body::update(value(body)?)?).await?;
        Ok(Reply::json(StatusCode::OK, &ProxyView::of(&proxy)))
    }

    fn add_toxic(&self, proxy: &str, body: &str) -> Result<Reply, ApiError> {
        let proxy = self.proxy(proxy)?;
        let body = ToxicBody::read(value(body)?, Unknown::Ignored)?;
        let toxics = proxy.toxics();
        let toxic = body.create(|name| toxics.iter().any(|toxic| toxic.name == name))?;
        proxy.add_toxic(toxic.clone())?;
        Ok(Reply::json(StatusCode::OK, &ToxicView::of(&toxic)))
    }

    fn update_toxic(&self, proxy: &str, toxic: &str, body: &str) -> Result<Reply, ApiError> {
        let proxy = self.proxy(proxy)?;
        let _guard = self.lock_toxics();
        let toxic = find(&proxy, toxic)?;
        let body = ToxicBody::read(value(body)?, Unknown::Ignored)?;
        let toxic = body.merge_into(toxic)?;
        proxy.update_toxic(toxic.clone())?;
        Ok(Reply::json(StatusCode::OK, &ToxicView::of(&toxic)))
    }

    fn lock_toxics(&self) -> std::sync::MutexGuard<'_, ()> {
        // It guards no data that a panic could leave half changed.
        self.toxic_update
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn populate_reply(&self, body: &str) -> Reply {
        let outcome = match value(body) {
            Ok(value) => self.populate(value, Unknown::Ignored).await,
            Err(error) => Err(PopulateError { error, done: None }),
        };
        match outcome {
            Ok(proxies) => {
                let body = Populated {
                    error: None,
                    proxies: Some(proxies),
                };
                Reply::json(StatusCode::CREATED, &body)
            }
            Err(PopulateError { error, done }) => {
                let body = Populated {
                    error: Some(error.body()),
                    proxies: done,
                };
                Reply::json(error.status, &body)
            }
        }
    }

    /// Creates or changes the proxies of a list: all entries are checked first, then applied in order until the first
    /// error.
    pub(super) async fn populate(
        &self,
        value: &RawValue,
        unknown: Unknown,
    ) -> Result<Vec<ProxyView>, PopulateError> {
        let rejected = |error| PopulateError { error, done: None };
        let values = input::array(value).map_err(|error| rejected(ApiError::bad_body(error)))?;
        let mut entries = Vec::with_capacity(values.len());
        for (index, value) in values.into_iter().enumerate() {
            let entry = NewProxy::read(value, Some(index + 1), unknown).map_err(rejected)?;
            entries.push((value, entry));
        }
        let mut done = Vec::with_capacity(entries.len());
        for (value, entry) in entries {
            let builder = entry.builder();
            let populated = self.set.populate(builder, entry.is_enabled, entry.toxics);
            match populated.await {
                Ok(proxy) => done.push(ProxyView::of(&proxy)),
                Err(error) => {
                    return Err(PopulateError {
                        error: ApiError::from(error).at(value),
                        done: Some(done),
                    });
                }
            }
        }
        Ok(done)
    }

    fn metrics(&self) -> Reply {
        if !self.settings.proxy_metrics && !self.settings.runtime_metrics {
            return Reply::not_found();
        }
        Reply::metrics(metrics::text(&self.set, self.settings))
    }

    fn connections(&self) -> Reply {
        let proxies = self.set.list();
        let connections = proxies.iter().flat_map(|proxy| {
            let name = proxy.name().to_owned();
            let connections = proxy.connections().into_iter();
            connections.map(move |connection| ConnectionView::of(&name, connection))
        });
        let body = Connections {
            seed: self.set.seed().as_u64(),
            connections: connections.collect(),
        };
        Reply::json(StatusCode::OK, &body)
    }

    /// Ends a connection; its id is the name of the proxy and the number of the connection.
    fn close_connection(&self, id: &str, query: &str) -> Result<Reply, ApiError> {
        let mode = match query.strip_prefix("mode=") {
            None if query.is_empty() => CloseMode::default(),
            Some(mode) => CloseMode::parse(mode).ok_or_else(invalid_mode)?,
            None => return Err(invalid_mode()),
        };
        let (proxy, number) = id
            .rsplit_once(':')
            .ok_or_else(ApiError::connection_not_found)?;
        let number = number
            .parse()
            .map_err(|_error| ApiError::connection_not_found())?;
        let proxy = self.set.get(proxy);
        let proxy = proxy.ok_or_else(ApiError::connection_not_found)?;
        proxy.close_connection(number, mode)?;
        Ok(Reply::empty())
    }

    fn batch(&self, body: &str) -> Result<Reply, ApiError> {
        let value = value(body)?;
        let _guard = self.lock_toxics();
        let changes = batch::read(value, &self.set)?;
        Ok(Reply::json(
            StatusCode::OK,
            &batch::apply(changes, &self.set)?,
        ))
    }
}

fn invalid_mode() -> ApiError {
    ApiError::bad_query("`mode` must be fin, rst or silent")
}

/// Finds a toxic of a proxy.
fn find(proxy: &Proxy, name: &str) -> Result<Toxic, ApiError> {
    let toxics = proxy.toxics();
    let toxic = toxics.into_iter().find(|toxic| toxic.name == name);
    toxic.ok_or_else(ApiError::toxic_not_found)
}

/// The JSON value of a body.
fn value(body: &str) -> Result<&RawValue, ApiError> {
    input::first_value(body).map_err(ApiError::bad_body)
}

/// The response to a request that is rejected.
pub(super) fn rejection(error: &ApiError) -> Reply {
    let mut body = serde_json::to_vec(&error.body()).unwrap_or_default();
    body.push(b'\n');
    Reply::text(error.status, Bytes::from(body))
}
