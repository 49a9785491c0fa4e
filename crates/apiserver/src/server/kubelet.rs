//! What the API server passes on to nodes: logs and the node proxy.

use std::collections::HashMap;

use axum::body::Body;
use futures::future::BoxFuture;
use serde_json::Value;

use super::request::Query;
use crate::status::ApiError;

/// What a log request asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogQuery {
    /// Container name, already checked against the pod.
    pub container: String,
    /// Go on with new lines.
    pub follow: bool,
    /// The terminated instance before the current one.
    pub previous: bool,
    /// Prefix lines with their time.
    pub timestamps: bool,
    /// Only the last lines.
    pub tail_lines: Option<u64>,
    /// Only lines younger than this many seconds.
    pub since_seconds: Option<u64>,
    /// At most this many bytes.
    pub limit_bytes: Option<u64>,
}

impl LogQuery {
    pub(crate) fn from(query: &Query, container: String) -> Self {
        LogQuery {
            container,
            follow: query.flag("follow"),
            previous: query.flag("previous"),
            timestamps: query.flag("timestamps"),
            tail_lines: query.number("tailLines"),
            since_seconds: query.number("sinceSeconds"),
            limit_bytes: query.number("limitBytes"),
        }
    }
}

/// The nodes' side of `pods/log` and `nodes/proxy`.
pub trait Kubelets: Send + Sync + 'static {
    /// The log of a container of this pod (the object as stored).
    fn logs(&self, pod: Value, query: LogQuery) -> BoxFuture<'static, Result<Body, ApiError>>;

    /// A GET on a path of a node's kubelet (without the leading slash), e.g. `stats/summary`.
    fn proxy(
        &self,
        node: Value,
        path: String,
        query: HashMap<String, String>,
    ) -> BoxFuture<'static, Result<Body, ApiError>>;
}
