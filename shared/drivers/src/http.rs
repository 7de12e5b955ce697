//! One HTTP request, to a Redfish service or a webhook: a connection of its own, a JSON body both ways, nothing longer than a limit.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, HeaderName};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::{Deadline, DriverError};

/// Longest answer, bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const HTTPS_PORT: u16 = 443;
const HTTP_PORT: u16 = 80;

/// What a service answered.
pub(crate) struct Answered {
    /// How it went.
    pub(crate) status: StatusCode,
    /// What it says; null where it says nothing that is JSON.
    pub(crate) body: Value,
}

/// Where requests go, and who asks.
pub(crate) struct Client {
    base: Uri,
    host: String,
    port: u16,
    /// None for plain http.
    tls: Option<TlsConnector>,
    /// Headers beside the usual ones. May hold a password.
    headers: Vec<(HeaderName, String)>,
}

/// Why there is no answer.
enum Trouble {
    /// Before anything was asked.
    Unasked(String),
    /// Afterwards.
    Broken(String),
}

impl Client {
    /// A client for the service of a URL.
    pub(crate) fn new(base: &str, tls: TlsConnector, headers: Vec<(HeaderName, String)>) -> Result<Self, DriverError> {
        let unable = || DriverError::Unable(format!("`{base}` is no URL"));
        let uri: Uri = base.parse().map_err(|_| unable())?;
        let host = uri.host().ok_or_else(unable)?.trim_matches(['[', ']']).to_owned();
        let is_plain = uri.scheme_str() == Some("http");
        let port = uri.port_u16().unwrap_or(if is_plain { HTTP_PORT } else { HTTPS_PORT });
        Ok(Self { base: uri, host, port, tls: Some(tls).filter(|_| !is_plain), headers })
    }

    /// Path of the URL.
    pub(crate) fn path(&self) -> &str {
        self.base.path()
    }

    /// Path of the URL, with its query.
    pub(crate) fn path_and_query(&self) -> &str {
        self.base.path_and_query().map_or("/", |path| path.as_str())
    }

    /// Asks, within a deadline. A redirection is not followed: the password belongs to this host.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        deadline: Deadline,
    ) -> Result<Answered, DriverError> {
        let (host, port) = (&self.host, self.port);
        match timeout_at(deadline.at(), self.exchange(method, path, body)).await {
            Ok(Ok(answered)) => Ok(answered),
            Ok(Err(Trouble::Unasked(why))) => Err(DriverError::Unable(format!("reach {host}:{port}: {why}"))),
            Ok(Err(Trouble::Broken(why))) => Err(DriverError::Unclear(format!("ask {host}:{port}: {why}"))),
            Err(_) => Err(DriverError::Unclear(format!("{host}:{port} did not answer within {:?}", deadline.given()))),
        }
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answered, Trouble> {
        let unasked = |error: io::Error| Trouble::Unasked(error.to_string());
        let request = self.request(method, path, body).map_err(|error| Trouble::Unasked(error.to_string()))?;
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unasked)?;
        match &self.tls {
            None => send(stream, request).await,
            Some(tls) => {
                let name =
                    ServerName::try_from(self.host.clone()).map_err(|error| Trouble::Unasked(error.to_string()))?;
                send(tls.connect(name, stream).await.map_err(unasked)?, request).await
            }
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let authority = self.base.authority().map_or(self.host.as_str(), |authority| authority.as_str());
        // A user and a password may stand before the host.
        let host = authority.rsplit('@').next().unwrap_or(authority);
        let mut builder = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .header(CONNECTION, "close");
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        builder.body(Full::new(body.map(Value::to_string).unwrap_or_default().into()))
    }
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Answered, Trouble> {
    let broken = |error: hyper::Error| Trouble::Broken(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let asking = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = read(response.into_body()).await?;
        Ok(Answered { status, body: serde_json::from_slice(&body).unwrap_or_default() })
    };
    tokio::pin!(asking);
    // The connection has to be driven; it ends when the service closes it, perhaps before the answer was read from it.
    tokio::select! {
        answered = &mut asking => answered,
        _ = connection => asking.await,
    }
}

async fn read(body: impl Body<Data = Bytes, Error = hyper::Error>) -> Result<Bytes, Trouble> {
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    body.map(|body| body.to_bytes()).map_err(|error| Trouble::Broken(error.to_string()))
}
