//! The client that all requests go through.

use std::time::Duration;

use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{ClientBuilder, ConfigExt};
use kube::{Client, Config};
use tower::ServiceBuilder;
use tower::buffer::BufferLayer;

use super::traffic::{Guarded, Traffic};

/// Requests that wait for a connection that several share.
const BUFFER: usize = 1024;

/// After so much silence the other end of a connection is asked whether it is there, and given up after as much again.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A client by `config` that repeats no request by itself and sends without delay.
///
/// A request is written in two pieces, its head and its body. Without `TCP_NODELAY` the second waits until the API
/// server's kernel has acknowledged the first, which it puts off by 40 ms: longer than the whole rest of a write.
/// Answers are not compressed, since compressing costs the API server more than the bytes are worth. Behind a proxy
/// of the kubeconfig, kube's own connection is used as it is.
///
/// # Errors
/// The certificates or the credentials of `config` cannot be used.
pub fn connect(config: Config) -> kube::Result<Client> {
    connect_through(config, &Traffic::default())
}

/// As [`connect`], with each request passing `traffic` on its way out.
///
/// # Errors
/// The certificates or the credentials of `config` cannot be used.
pub fn connect_through(mut config: Config, traffic: &Traffic) -> kube::Result<Client> {
    config.default_retry = false;
    if config.proxy_url.is_some() {
        let builder = ClientBuilder::try_from(config)?;
        return Ok(builder.with_layer(&BufferLayer::new(BUFFER)).with_layer(traffic).build());
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    // A watch has nothing to send: only so is it noticed that the other end is gone without a word.
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE / 3));
    tcp.set_keepalive_retries(Some(3));
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(tcp)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    let exchange: hyper_util::client::legacy::Client<_, Guarded> =
        hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .layer(traffic)
        .map_request(traffic.guard())
        .service(exchange);
    Ok(Client::new(service, config.default_namespace))
}
