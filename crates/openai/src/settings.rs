//! Which providers there are, in order of preference, and the bounds on using them.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::time::Duration;

use mainstay_breaker::{HalfOpen, Settings as BreakerSettings, SlowRule};
use mainstay_runtime::{EndpointSpec, Error, Secret};
use reqwest::Url;

/// Everything the adapter is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// In order of preference. Empty: the dependency is absent.
    pub providers: Vec<ProviderSettings>,
    /// Longest time for one operation over all its attempts and providers.
    pub total_deadline: Duration,
    /// Longest wait for a stream's first content from one provider; at most its `deadline`.
    pub first_content: Duration,
    /// Longest wait between two chunks of a stream after that.
    pub idle: Duration,
    /// Longest time for one streamed answer, until its caller has read it.
    pub stream_deadline: Duration,
    /// Most bytes of earlier answers kept for when no provider can answer. 0 keeps none.
    pub cache_bytes: usize,
    /// For the breaker of each provider.
    pub breaker: BreakerSettings,
    /// Calls in flight at most, for each provider.
    pub limit: usize,
    /// Whether the providers after the first are asked a question of our own about once an hour while all is well. It
    /// goes to companies that would otherwise hear of nobody, and is paid for.
    pub exercise_providers: bool,
}

/// One OpenAI-compatible API.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// Its name in answers, metrics and `openai/<name>`: `a-z`, `0-9`, `-` and `_`, at most 32 characters.
    pub name: String,
    /// Where its API begins, usually with `/v1` at the end.
    pub base_url: String,
    /// The model that chats.
    pub model: String,
    /// The model that embeds; `None`: this provider doesn't.
    pub embedding_model: Option<String>,
    /// The model that moderates; `None`: this provider doesn't.
    pub moderation_model: Option<String>,
    /// Sent as a bearer token; `None` for local servers without keys.
    pub api_key: Option<Secret>,
    /// Longest time for one attempt.
    pub deadline: Duration,
}

impl ProviderSettings {
    /// Longest time for one attempt, unless set otherwise.
    pub const DEADLINE: Duration = Duration::from_secs(30);

    /// A provider that chats, without a key.
    pub fn new(
        name: impl Into<String>,
        base_url: impl Into<String>,
        model: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            base_url: base_url.into(),
            model: model.into(),
            embedding_model: None,
            moderation_model: None,
            api_key: None,
            deadline: Self::DEADLINE,
        }
    }
}

impl Settings {
    /// What the engine is told of the providers' endpoints, at the start and whenever settings change.
    pub fn endpoints(&self) -> Vec<EndpointSpec> {
        self.providers
            .iter()
            .map(|one| self.endpoint(one))
            .collect()
    }

    pub(crate) fn endpoint(&self, provider: &ProviderSettings) -> EndpointSpec {
        EndpointSpec {
            name: format!("openai/{}", provider.name),
            breaker: self.breaker,
            limit: self.limit,
            call_deadline: provider.deadline,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            providers: Vec::new(),
            total_deadline: Duration::from_secs(60),
            first_content: Duration::from_secs(30),
            idle: Duration::from_secs(20),
            stream_deadline: Duration::from_secs(300),
            cache_bytes: 32 << 20,
            breaker: BreakerSettings {
                consecutive: NonZeroU32::new(5),
                slow: Some(SlowRule {
                    after: Duration::from_secs(20),
                    threshold: 0.8,
                    min_calls: 20,
                }),
                reset_timeout: Duration::from_secs(60),
                half_open: HalfOpen {
                    probes: 2,
                    successes: 2,
                    lease: ProviderSettings::DEADLINE + Duration::from_secs(1),
                },
                ..BreakerSettings::default()
            },
            limit: 16,
            exercise_providers: false,
        }
    }
}

impl Settings {
    /// Checks what can be checked without a network.
    ///
    /// # Errors
    /// Names the first setting that makes no sense, and what is allowed.
    pub fn validate(&self) -> Result<(), Error> {
        let times = [
            ("openai.total_deadline", self.total_deadline),
            ("openai.first_content", self.first_content),
            ("openai.idle", self.idle),
            ("openai.stream_deadline", self.stream_deadline),
        ];
        if let Some((name, _)) = times.iter().find(|(_, time)| time.is_zero()) {
            return Err(Error::invalid(*name, "must be above zero"));
        }
        if self.limit == 0 {
            return Err(Error::invalid("openai.limit", "must be at least 1"));
        }
        let mut names = HashSet::new();
        for (index, provider) in self.providers.iter().enumerate() {
            let field = |name: &str| format!("openai.providers[{index}].{name}");
            provider.validate(field)?;
            if !names.insert(provider.name.as_str()) {
                return Err(Error::invalid(
                    field("name"),
                    format!("two providers are named `{}`", provider.name),
                ));
            }
        }
        Ok(())
    }
}

impl ProviderSettings {
    fn validate(&self, field: impl Fn(&str) -> String) -> Result<(), Error> {
        if !is_name(&self.name) {
            return Err(Error::invalid(
                field("name"),
                "must be 1 to 32 characters of a-z, 0-9, - and _",
            ));
        }
        self.url()
            .map_err(|why| Error::invalid(field("base_url"), why))?;
        let models = [
            ("model", Some(&self.model)),
            ("embedding_model", self.embedding_model.as_ref()),
            ("moderation_model", self.moderation_model.as_ref()),
        ];
        for (name, model) in models {
            if model.is_some_and(|model| model.trim().is_empty()) {
                return Err(Error::invalid(field(name), "must not be empty"));
            }
        }
        if self.deadline.is_zero() {
            return Err(Error::invalid(field("deadline"), "must be above zero"));
        }
        let key = self.api_key.as_ref().map(Secret::expose);
        if key.is_some_and(|key| key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(Error::invalid(
                field("api_key"),
                "must be visible ASCII characters without spaces",
            ));
        }
        Ok(())
    }

    /// The base URL, parsed. The texts of its errors never repeat it: it may hold a password.
    pub(crate) fn url(&self) -> Result<Url, &'static str> {
        let url = Url::parse(&self.base_url)
            .map_err(|_| "must be a URL, for example https://api.example.com/v1")?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("must begin with http:// or https:// and name a host");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must hold no user or password; give the key as api_key");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must hold no query and no fragment");
        }
        Ok(url)
    }
}

fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=32).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut ProviderSettings), field: &str) {
        let mut provider = ProviderSettings::new("a", "http://127.0.0.1:1/v1", "m");
        change(&mut provider);
        let settings = Settings {
            providers: vec![provider],
            ..Settings::default()
        };
        let error = settings.validate().unwrap_err();
        let expected = format!("openai.providers[0].{field}");
        assert_eq!(error.field, Some(expected));
        assert!(!error.detail.contains("hunter2"), "{error}");
    }

    #[test]
    fn senseless_settings_are_refused_by_name_without_repeating_secrets() {
        check(|p| p.name = String::new(), "name");
        check(|p| p.name = "Primary Provider".into(), "name");
        check(|p| p.base_url = "api.example.com".into(), "base_url");
        check(|p| p.base_url = "ftp://host/v1".into(), "base_url");
        check(
            |p| p.base_url = "https://me:hunter2@host/v1".into(),
            "base_url",
        );
        check(
            |p| p.base_url = "https://host/v1?key=hunter2".into(),
            "base_url",
        );
        check(|p| p.model = " ".into(), "model");
        check(
            |p| p.embedding_model = Some(String::new()),
            "embedding_model",
        );
        check(|p| p.deadline = Duration::ZERO, "deadline");
        check(|p| p.api_key = Some(Secret::new("hunter2\n")), "api_key");
    }

    #[test]
    fn two_providers_must_not_share_a_name() {
        let provider = ProviderSettings::new("a", "http://127.0.0.1:1/v1", "m");
        let settings = Settings {
            providers: vec![provider.clone(), provider],
            ..Settings::default()
        };
        let error = settings.validate().unwrap_err();
        assert_eq!(error.field.as_deref(), Some("openai.providers[1].name"));
    }

    #[test]
    fn the_defaults_are_sound() {
        Settings::default().validate().unwrap();
        Settings::default().breaker.validate().unwrap();
    }
}
