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
        let invalid = |why: String| {
            Error::invalid(
                "url",
                format!("{why}; expected postgres://user:password@host:port/database"),
            )
        };
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(invalid("it does not begin with postgres://".to_owned()));
        }
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut mode, mut root_certificates, mut others) = (SslMode::Prefer, None, Vec::new());
        let mut verify = false;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", "disable")) => mode = SslMode::Disable,
                Some(("sslmode", "prefer" | "allow")) => mode = SslMode::Prefer,
                Some(("sslmode", "require")) => mode = SslMode::Require,
                Some(("sslmode", "verify-full" | "verify-ca")) => {
                    (mode, verify) = (SslMode::Require, true)
                }
                Some(("sslmode", _)) => {
                    return Err(invalid(
                        "sslmode is one of disable, prefer, require, verify-full".to_owned(),
                    ));
                }
                Some(("sslrootcert", path)) => root_certificates = Some(PathBuf::from(path)),
                _ => others.push(pair),
            }
        }
        let rest = if others.is_empty() {
            base.to_owned()
        } else {
            format!("{base}?{}", others.join("&"))
        };
        // The parser's own words may repeat the password.
        let mut config = Config::from_str(&rest)
            .map_err(|_| invalid("it can't be read as a connection URL".to_owned()))?;
        if config.get_hosts().is_empty() {
            return Err(invalid("it names no host".to_owned()));
        }
        config.ssl_mode(mode);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("mainstay");
        }
        Ok(Self {
            config,
            verify,
            root_certificates,
        })
    }
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
