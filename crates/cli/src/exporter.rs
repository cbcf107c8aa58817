//! Serves a node's counters over HTTP in the text format of OpenMetrics, for Prometheus to collect.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clusterluck::Cluster;
use clusterluck::metrics::{Kind, Metric};
use clusterluck::netkernel::Address;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// Listens for collectors.
pub(crate) struct Exporter {
    listener: TcpListener,
}

impl Exporter {
    pub(crate) async fn bind(address: &Address) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind((address.host(), address.port())).await? })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves for ever; dropped, it ends every connection.
    pub(crate) async fn serve(&self, cluster: &Cluster) {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Counters(cluster.clone())));
        let registry = Arc::new(registry);
        let mut connections = JoinSet::new();
        let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    while connections.try_join_next().is_some() {}
                    oldest_first.retain(|connection| !connection.is_finished());
                    // A collector is served in a millisecond: those that are slow give way, or a few of them would
                    // keep all others out.
                    if oldest_first.len() == CONNECTIONS_MAX
                        && let Some(oldest) = oldest_first.pop_front()
                    {
                        oldest.abort();
                    }
                    let served =
                        tokio::time::timeout(SERVED_WITHIN, connection(stream, Arc::clone(&registry)));
                    oldest_first.push_back(connections.spawn(async { drop(served.await) }));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a collector");
                    tokio::time::sleep(ACCEPTS_AGAIN_AFTER).await;
                }
            }
        }
    }
}

async fn connection(stream: TcpStream, registry: Arc<Registry>) {
    let service = service_fn(|request| {
        let response = respond(&request, &registry);
        async { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(REQUEST_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a collector's connection broke");
    }
}

fn respond(request: &Request<Incoming>, registry: &Registry) -> Response<Full<Bytes>> {
    if request.uri().path() != PATH {
        return said(StatusCode::NOT_FOUND, "the counters are at /metrics\n");
    }
    if request.method() != Method::GET {
        let mut response = said(StatusCode::METHOD_NOT_ALLOWED, "");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return response;
    }
    let mut body = String::new();
    match text::encode(&mut body, registry) {
        Ok(()) => {
            let mut response = said(StatusCode::OK, body);
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
            response
        }
        Err(error) => said(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn said(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}

/// The counters, read whenever they are collected.
struct Counters(Cluster);

impl fmt::Debug for Counters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Counters").field(&self.0).finish()
    }
}

impl Collector for Counters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.metrics().iter().try_for_each(|metric| encode(metric, &mut encoder))
    }
}

fn encode(metric: &Metric, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    let kind = match metric.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
    };
    let mut encoder = encoder.encode_descriptor(&metric.name, &metric.help, None, kind)?;
    for sample in &metric.samples {
        if sample.labels.is_empty() {
            // The node itself, which is measured once.
            return value(metric.kind, sample.value, encoder);
        }
        value(metric.kind, sample.value, encoder.encode_family(&sample.labels)?)?;
    }
    Ok(())
}

fn value(kind: Kind, value: f64, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
    match kind {
        Kind::Counter => ConstCounter::new(value).encode(encoder),
        Kind::Gauge => ConstGauge::new(value).encode(encoder),
    }
}

const PATH: &str = "/metrics";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Collectors come one at a time; the rest is for people with a browser.
const CONNECTIONS_MAX: usize = 16;
/// Whoever takes longer than this to ask and to read holds a place for nothing.
const SERVED_WITHIN: Duration = Duration::from_secs(10);
/// As much as hyper takes for a minimum.
const REQUEST_BYTES_MAX: usize = 8_192;
/// When the system gives no more connections, asking again at once would not help.
const ACCEPTS_AGAIN_AFTER: Duration = Duration::from_millis(100);
