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

/// After so long without a sign that what was sent has arrived, the kernel gives it up. Otherwise it would go on to send it once the
/// network is back, also for a process that has ended: a write of one leader after those of the next. A leader stops five
/// seconds before another may begin.
#[cfg(target_os = "linux")]
const UNHEARD: Duration = Duration::from_secs(5);

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
    // Else a time limit for answers begins when its connection was last used, long before the request.
    config.reset_reader_on_write = true;
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
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(UNHEARD));
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(tcp)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Answers every request on a connection, each after `delay`.
    fn answer_all(mut socket: TcpStream, delay: Duration) {
        let mut heard = Vec::new();
        let mut piece = [0; 1024];
        while let Ok(read @ 1..) = socket.read(&mut piece) {
            heard.extend_from_slice(&piece[..read]);
            if heard.ends_with(b"\r\n\r\n") {
                heard.clear();
                std::thread::sleep(delay);
                if socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").is_err() {
                    return;
                }
            }
        }
    }

    #[tokio::test]
    async fn the_time_for_an_answer_begins_with_its_request_however_long_the_connection_was_idle() {
        const LIMIT: Duration = Duration::from_secs(2);
        let (idle, delay) = (LIMIT * 3 / 4, LIMIT / 2);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = Config::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
        config.read_timeout = Some(LIMIT);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let socket = socket.unwrap();
                std::thread::spawn(move || answer_all(socket, delay));
            }
        });
        let client = connect(config).unwrap();
        let ask = || client.request_text(http::Request::get("/").body(Vec::new()).unwrap());
        assert_eq!(ask().await.unwrap(), "{}");
        // What is tested is that this time does not count.
        tokio::time::sleep(idle).await;
        assert_eq!(ask().await.unwrap(), "{}");
    }
}
