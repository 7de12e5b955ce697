//! /metrics, /healthz and /readyz.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// How often histograms are drained, so that they do not grow while nobody reads them.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Whether the process serves, or stands by.
static READY: AtomicBool = AtomicBool::new(false);

/// Says whether the process is ready (/readyz): a service sets it once it serves or stands by.
pub fn set_ready(ready: bool) {
    READY.store(ready, Ordering::Release);
}

/// Installs the recorder of metrics and serves the three pages. Must be called inside the runtime.
pub(crate) async fn serve(address: SocketAddr) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("listen on {address} for /metrics; is the address in use?"))?;
    let metrics = PrometheusBuilder::new().install_recorder().context("install the recorder of metrics")?;
    tokio::spawn(upkeep(metrics.clone()));
    tracing::info!(%address, "serving metrics and health");
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, pages(metrics)).await {
            tracing::error!(%error, "serving metrics and health ended");
        }
    });
    Ok(())
}

fn pages(metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/metrics", get(move || std::future::ready(metrics.render())))
        .route("/healthz", get(|| std::future::ready("ok\n")))
        .route("/readyz", get(|| std::future::ready(readiness(READY.load(Ordering::Acquire)))))
}

fn readiness(ready: bool) -> (StatusCode, &'static str) {
    if ready { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
}

async fn upkeep(metrics: PrometheusHandle) {
    let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        interval.tick().await;
        metrics.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn page(address: SocketAddr, path: &str) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_process_shows_health_metrics_and_readiness_once_it_says_so() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        serve(free).await.unwrap();
        let name = "muster_test_things_total";
        metrics::counter!(name).increment(3);
        assert!(page(free, "/healthz").await.starts_with("HTTP/1.1 200"));
        assert!(page(free, "/metrics").await.contains("muster_test_things_total 3"));
        assert!(page(free, "/readyz").await.starts_with("HTTP/1.1 503"));
        set_ready(true);
        assert!(page(free, "/readyz").await.starts_with("HTTP/1.1 200"));
        let taken = serve(free).await.unwrap_err();
        assert!(format!("{taken:#}").contains("in use"), "{taken:#}");
    }
}
