//! A connection URL, read once and refused early.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use mainstay_runtime::Error;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Where a PostgreSQL server is, and how its connection is protected.
///
/// `sslmode` in the URL: `disable` (never TLS), `prefer` (the default: TLS if the server offers it, its certificate
/// isn't checked), `require` (always TLS, its certificate isn't checked), `verify-full` (always TLS; the certificate
/// must be valid for the host, by the system's roots or those in `sslrootcert=<file>`). `verify-ca` is taken as
/// `verify-full`. Other parameters are those of libpq that tokio-postgres knows.
#[derive(Clone)]
pub struct PostgresUrl {
    pub(crate) config: Config,
    pub(crate) verify: bool,
    pub(crate) root_certificates: Option<PathBuf>,
}

impl FromStr for PostgresUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(invalid("it does not begin with postgres://"));
        }
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let options = Options::read(query)?;
        let rest = match options.others.is_empty() {
            true => base.to_owned(),
            false => format!("{base}?{}", options.others.join("&")),
        };
        // The parser's own words may repeat the password.
        let mut config =
            Config::from_str(&rest).map_err(|_| invalid("it can't be read as a connection URL"))?;
        if config.get_hosts().is_empty() {
            return Err(invalid("it names no host"));
        }
        config.ssl_mode(options.mode);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("mainstay");
        }
        Ok(Self {
            config,
            verify: options.verify,
            root_certificates: options.root_certificates,
        })
    }
}

impl PostgresUrl {
    /// Which database this is and who asks it, without the password.
    pub(crate) fn identity(&self) -> String {
        let config = &self.config;
        format!(
            "postgres {:?} {:?} {:?} {:?} {:?}",
            config.get_hosts(),
            config.get_ports(),
            config.get_dbname(),
            config.get_user(),
            config.get_options()
        )
    }
}

/// The part behind the question mark: what decides on TLS, and what the driver reads itself.
struct Options<'a> {
    mode: SslMode,
    verify: bool,
    root_certificates: Option<PathBuf>,
    others: Vec<&'a str>,
}

impl<'a> Options<'a> {
    fn read(query: &'a str) -> Result<Self, Error> {
        let mut options = Self {
            mode: SslMode::Prefer,
            verify: false,
            root_certificates: None,
            others: Vec::new(),
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", mode)) => (options.mode, options.verify) = tls(mode)?,
                Some(("sslrootcert", path)) => {
                    options.root_certificates = Some(PathBuf::from(path))
                }
                _ => options.others.push(pair),
            }
        }
        Ok(options)
    }
}

/// Whether to encrypt, and whether to check the certificate.
fn tls(sslmode: &str) -> Result<(SslMode, bool), Error> {
    match sslmode {
        "disable" => Ok((SslMode::Disable, false)),
        "prefer" | "allow" => Ok((SslMode::Prefer, false)),
        "require" => Ok((SslMode::Require, false)),
        "verify-full" | "verify-ca" => Ok((SslMode::Require, true)),
        _ => Err(invalid(
            "sslmode is one of disable, prefer, require, verify-full",
        )),
    }
}

fn invalid(why: &str) -> Error {
    Error::invalid(
        "url",
        format!("{why}; expected postgres://user:password@host:port/database"),
    )
}

impl std::fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = self.config.get_hosts().first();
        write!(f, "PostgresUrl({host:?}, {:?})", self.config.get_dbname())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sslmode_decides_on_tls_and_on_checking_the_certificate() {
        for (mode, expected, verify) in [
            ("", SslMode::Prefer, false),
            ("?sslmode=disable", SslMode::Disable, false),
            (
                "?sslmode=require&connect_timeout=3",
                SslMode::Require,
                false,
            ),
            ("?sslmode=verify-full", SslMode::Require, true),
            (
                "?connect_timeout=3&sslmode=verify-ca",
                SslMode::Require,
                true,
            ),
        ] {
            let url: PostgresUrl = format!("postgres://u:p@h/d{mode}").parse().unwrap();
            assert_eq!(
                (url.config.get_ssl_mode(), url.verify),
                (expected, verify),
                "{mode}"
            );
        }
    }

    #[test]
    fn a_wrong_url_is_refused_without_showing_the_password() {
        for text in [
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h/d?sslmode=maybe",
            "postgres://u:hunter2@h:port/d",
            "postgres:///d",
        ] {
            let error = text.parse::<PostgresUrl>().unwrap_err();
            assert_eq!(error.field.as_deref(), Some("url"));
            assert!(!error.detail.contains("hunter2"), "{}", error.detail);
        }
        let url: PostgresUrl = "postgres://u:hunter2@h/d".parse().unwrap();
        assert!(!format!("{url:?}").contains("hunter2"));
    }
}
