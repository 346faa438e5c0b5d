//! HTTP to one provider: no retries, no redirects, no proxies from the environment, every body bounded.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method};
use mainstay_runtime::{Clock, Error, ErrorKind, Secret};
use reqwest::{Client, RequestBuilder, Response};

use crate::fault::Fault;
use crate::refusal;
use crate::settings::ProviderSettings;

/// Largest answer that is read, in bytes.
pub(crate) const LARGEST_ANSWER: usize = 16 << 20;
/// How much of an error's body is read, in bytes.
const LARGEST_REFUSAL: usize = 64 << 10;
const CONNECT: Duration = Duration::from_secs(10);
const USER_AGENT: &str = concat!("mainstay/", env!("CARGO_PKG_VERSION"));

/// The one HTTP client of all providers. Its pool keeps their connections apart.
///
/// # Errors
/// `Internal` when TLS can't be set up, which no configuration causes.
pub(crate) fn client(providers: &[ProviderSettings]) -> Result<Client, Error> {
    let secure = providers.iter().any(|p| p.base_url.starts_with("https:"));
    Client::builder()
        .tls_backend_preconfigured(tls(secure)?)
        .user_agent(USER_AGENT)
        .retry(reqwest::retry::never())
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(CONNECT)
        .build()
        .map_err(|_| no_client())
}

/// rustls with ring and the system's roots. They are read only when a provider needs them; on a system without
/// any, handshakes fail and the rest works.
fn tls(secure: bool) -> Result<rustls::ClientConfig, Error> {
    let mut roots = rustls::RootCertStore::empty();
    if secure {
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            tracing::warn!(
                dependency = "openai",
                "the system has no root certificates: no https provider can be used"
            );
        }
    }
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .map_err(|_| no_client())?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

fn no_client() -> Error {
    Error::new(ErrorKind::Internal, "the HTTP client can't be set up").dependency("openai")
}

/// Speaks to one provider.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    client: Client,
    base: String,
    key: Option<Secret>,
    authorization: Option<HeaderValue>,
    deadline: Duration,
    clock: Clock,
}

impl Transport {
    /// # Errors
    /// `InvalidInput` when the key can't stand in a header.
    pub(crate) fn new(
        client: Client,
        provider: &ProviderSettings,
        clock: Clock,
    ) -> Result<Self, Error> {
        let authorization = provider.api_key.as_ref().map(bearer).transpose()?;
        Ok(Self {
            client,
            base: provider.base_url.trim_end_matches('/').to_owned(),
            key: provider.api_key.clone(),
            authorization,
            deadline: provider.deadline,
            clock,
        })
    }

    /// Sends JSON and reads the whole answer.
    pub(crate) async fn post(&self, path: &str, body: Bytes) -> Result<Bytes, Fault> {
        let request = self.request(Method::POST, path).timeout(self.deadline);
        read_whole(self.send(with_json(request, body)).await?).await
    }

    /// Reads the whole answer to a GET.
    pub(crate) async fn get(&self, path: &str) -> Result<Bytes, Fault> {
        let request = self.request(Method::GET, path).timeout(self.deadline);
        read_whole(self.send(request).await?).await
    }

    /// Sends JSON and leaves the answer to be read, without a deadline of its own.
    pub(crate) async fn open(&self, path: &str, body: Bytes) -> Result<Response, Fault> {
        self.send(with_json(self.request(Method::POST, path), body))
            .await
    }

    /// The key that is sent, so that nothing that repeats it is passed on.
    pub(crate) fn key(&self) -> Option<&Secret> {
        self.key.as_ref()
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}/{path}", self.base));
        match &self.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization.clone()),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Fault> {
        let response = request.send().await.map_err(|error| fault(&error))?;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(self.refused(response).await),
        }
    }

    /// The status counts even if the body that explains it doesn't arrive.
    async fn refused(&self, mut response: Response) -> Fault {
        let mut body = BytesMut::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST_REFUSAL {
                break;
            }
        }
        let key = self.key.as_ref().map(Secret::expose);
        let (status, now) = (response.status(), self.clock.wall());
        Fault::Refused(Box::new(refusal::read(
            status,
            response.headers(),
            &body,
            key,
            now,
        )))
    }
}

fn bearer(key: &Secret) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose()))
        .map_err(|_| Error::invalid("api_key", "holds characters that a header can't carry"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn with_json(request: RequestBuilder, body: Bytes) -> RequestBuilder {
    request.header(CONTENT_TYPE, "application/json").body(body)
}

/// Reads what is left of an answer.
pub(crate) async fn read_whole(mut response: Response) -> Result<Bytes, Fault> {
    let too_large = || Fault::TooLarge {
        limit: LARGEST_ANSWER,
    };
    if response
        .content_length()
        .is_some_and(|n| n > LARGEST_ANSWER as u64)
    {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| fault(&error))? {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// What the driver's error is about. Its own text is dropped: it holds the URL.
pub(crate) fn fault(error: &reqwest::Error) -> Fault {
    if let Some(tls) = tls_error(error) {
        return Fault::Tls(tls_words(tls));
    }
    if error.is_connect() {
        return Fault::Connect;
    }
    match error.is_timeout() {
        true => Fault::Timeout,
        false => Fault::Broken,
    }
}

/// The TLS error among the causes. An `io::Error` names as its source what lies below the error it wraps, so
/// that one has to be asked for.
fn tls_error<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = cause.downcast_ref() {
        return Some(found);
    }
    match cause.downcast_ref::<std::io::Error>() {
        Some(io) => tls_error(io.get_ref()?),
        None => tls_error(cause.source()?),
    }
}

fn tls_words(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(_) => "its certificate is not trusted",
        rustls::Error::InvalidMessage(_) => "it does not speak TLS",
        _ => "the handshake failed",
    }
}
