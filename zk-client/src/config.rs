//! Settings of a client, from code or from a configuration file.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use zk_proto::{Acl, OpCode};

use crate::connect_string::ConnectString;
use crate::error::{Error, Kind, Result};
use crate::handle::Client;
use crate::resolve::{Resolve, SystemResolver};
use crate::token::SessionToken;

/// Settings of a client. Durations are written as people write them.
///
/// ```
/// use std::time::Duration;
/// let text = r#"{"connect": "zk1,zk2/app", "session_timeout": "20s", "request_timeout": "500ms"}"#;
/// let config: zk_client::ClientConfig = serde_json::from_str(text)?;
/// assert_eq!(config.session_timeout, Duration::from_secs(20));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientConfig {
    /// The servers and the path below which the client works; see [`ConnectString`].
    pub connect: String,
    /// How long the ensemble keeps a session that it does not hear of. Servers clamp it to bounds
    /// of their own; see [`SessionRef::timeout`](crate::SessionRef::timeout) for what was granted.
    #[serde(with = "humantime_serde")]
    pub session_timeout: Duration,
    /// How long building a client waits for its first session.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long a request may take, waiting for a connection included; none for no bound but the
    /// client's life. Requests may set their own.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Option<Duration>,
    /// The first wait after every server has refused once; it doubles up to
    /// [`backoff_max`](Self::backoff_max), with jitter.
    #[serde(with = "humantime_serde")]
    pub backoff_min: Duration,
    /// The longest wait between two attempts to connect.
    #[serde(with = "humantime_serde")]
    pub backoff_max: Duration,
    /// Most requests without a reply. Further ones wait, or, with `submit()`, are refused.
    pub in_flight_max: usize,
    /// Most bytes of requests without a reply, likewise. One larger request alone is let through.
    pub in_flight_bytes_max: usize,
    /// Longest reply accepted. A longer one costs the connection.
    pub reply_bytes_max: usize,
    /// Most events that wait in one watch stream. Beyond it, all of them become one gap.
    pub watch_events_max: usize,
    /// Whether a server that is cut off from its quorum will do, for reads.
    pub read_only: bool,
    /// Identities to prove on every connection.
    pub auth: Vec<Credentials>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            connect: "localhost:2181".to_owned(),
            session_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(15),
            request_timeout: None,
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
            in_flight_max: 4096,
            in_flight_bytes_max: 16 << 20,
            reply_bytes_max: 64 << 20,
            watch_events_max: 4096,
            read_only: false,
            auth: Vec::new(),
        }
    }
}

/// An identity to prove: a scheme and the proof in its form, such as `digest` and `user:password`.
/// `Debug` does not show the proof.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The scheme.
    pub scheme: String,
    /// The proof.
    pub auth: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({:?}, redacted)", self.scheme)
    }
}

/// Builds a [`Client`].
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing before build()"]
pub struct Builder {
    config: ClientConfig,
    auths: Vec<(String, Redacted)>,
    default_acl: Option<Vec<Acl>>,
    resume: Option<SessionToken>,
    resolver: Option<Arc<dyn Resolve>>,
}

/// Bytes that `Debug` does not show.
#[derive(Clone, Default)]
pub(crate) struct Redacted(pub(crate) Bytes);

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("redacted")
    }
}

/// What the client's task is started with.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) config: ClientConfig,
    pub(crate) servers: ConnectString,
    pub(crate) auths: Vec<(String, Bytes)>,
    pub(crate) default_acl: Vec<Acl>,
    pub(crate) resume: Option<SessionToken>,
    pub(crate) resolver: Arc<dyn Resolve>,
}

impl Builder {
    /// Starts from settings.
    pub fn from_config(config: ClientConfig) -> Self {
        Self {
            config,
            ..Self::default()
        }
    }

    /// The servers and the path below which the client works; see [`ConnectString`].
    pub fn connect(mut self, servers: impl Into<String>) -> Self {
        self.config.connect = servers.into();
        self
    }

    /// See [`ClientConfig::session_timeout`].
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.config.session_timeout = timeout;
        self
    }

    /// See [`ClientConfig::connect_timeout`].
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_timeout = timeout;
        self
    }

    /// See [`ClientConfig::request_timeout`].
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.config.request_timeout = Some(timeout);
        self
    }

    /// See [`ClientConfig::backoff_min`] and [`ClientConfig::backoff_max`].
    pub fn backoff(mut self, min: Duration, max: Duration) -> Self {
        self.config.backoff_min = min;
        self.config.backoff_max = max;
        self
    }

    /// See [`ClientConfig::in_flight_max`] and [`ClientConfig::in_flight_bytes_max`].
    pub fn in_flight(mut self, requests_max: usize, bytes_max: usize) -> Self {
        self.config.in_flight_max = requests_max;
        self.config.in_flight_bytes_max = bytes_max;
        self
    }

    /// See [`ClientConfig::read_only`].
    pub fn read_only(mut self, allowed: bool) -> Self {
        self.config.read_only = allowed;
        self
    }

    /// An identity to prove on every connection.
    pub fn auth(mut self, scheme: impl Into<String>, auth: impl Into<Bytes>) -> Self {
        self.auths.push((scheme.into(), Redacted(auth.into())));
        self
    }

    /// The ACL of znodes that are created without one. Open to everybody by default.
    pub fn default_acl(mut self, acl: impl Into<Vec<Acl>>) -> Self {
        self.default_acl = Some(acl.into());
        self
    }

    /// Takes over the session of a [`SessionToken`] instead of opening one. When that session is
    /// over, building fails with [`Kind::SessionEnded`].
    pub fn resume(mut self, token: SessionToken) -> Self {
        self.resume = Some(token);
        self
    }

    /// Who turns names of servers into addresses, instead of the system.
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Some(Arc::new(resolver));
        self
    }

    /// Connects, and returns once there is a session.
    ///
    /// # Errors
    /// [`Kind::InvalidConnectString`], [`Kind::BadArguments`]; [`Kind::Unreachable`] when no server
    /// gave a session within [`ClientConfig::connect_timeout`]; [`Kind::AuthFailed`];
    /// [`Kind::SessionEnded`] when the session to resume is over.
    ///
    /// # Cancel safety
    /// Dropping the future closes what it opened.
    pub async fn build(self) -> Result<Client> {
        Client::start(self.into_settings()?).await
    }

    fn into_settings(self) -> Result<Settings> {
        let refuse = |kind| Error::not_applied(OpCode::CREATE_SESSION, None, kind);
        let config = self.config;
        let servers = config
            .connect
            .parse()
            .map_err(|error| refuse(Kind::InvalidConnectString(error)))?;
        let timeout_ms_max = u128::from(i32::MAX.unsigned_abs());
        if config.session_timeout.is_zero() || config.session_timeout.as_millis() > timeout_ms_max {
            return Err(refuse(Kind::BadArguments("session timeout out of range")));
        }
        let bounds = [
            config.in_flight_max,
            config.in_flight_bytes_max,
            config.reply_bytes_max,
            config.watch_events_max,
        ];
        if bounds.contains(&0) || config.in_flight_bytes_max > u32::MAX as usize >> 3 {
            return Err(refuse(Kind::BadArguments("a bound is out of range")));
        }
        if config.backoff_min.is_zero() || config.backoff_min > config.backoff_max {
            return Err(refuse(Kind::BadArguments("backoff out of range")));
        }
        let configured = config.auth.iter().map(|credentials| {
            (
                credentials.scheme.clone(),
                Bytes::from(credentials.auth.clone()),
            )
        });
        let auths = configured
            .chain(
                self.auths
                    .into_iter()
                    .map(|(scheme, auth)| (scheme, auth.0)),
            )
            .collect();
        Ok(Settings {
            auths,
            servers,
            default_acl: self.default_acl.unwrap_or_else(|| vec![Acl::open()]),
            resume: self.resume,
            resolver: self.resolver.unwrap_or_else(|| Arc::new(SystemResolver)),
            config,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_written_as_people_write_it() {
        let text = r#"{
            "session_timeout": "1m 30s", "connect_timeout": "2s", "request_timeout": "500ms",
            "backoff_min": "10ms", "backoff_max": "1h"
        }"#;
        let config: ClientConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.session_timeout, Duration::from_secs(90));
        assert_eq!(config.request_timeout, Some(Duration::from_millis(500)));
        // A duration in any other form would show as a number or an object.
        let json = serde_json::to_value(&config).unwrap();
        let durations = json.as_object().unwrap().values().filter_map(|value| {
            let text = value.as_str()?;
            text.ends_with(['s', 'h']).then(|| text.to_owned())
        });
        let durations = durations.collect::<Vec<_>>();
        assert_eq!(durations, ["1h", "10ms", "2s", "500ms", "1m 30s"]);
        assert!(
            json.as_object()
                .unwrap()
                .values()
                .all(|value| !value.is_object())
        );
        assert_eq!(
            serde_json::from_value::<ClientConfig>(json).unwrap(),
            config
        );
        let number = serde_json::from_str::<ClientConfig>(r#"{"session_timeout": 30}"#);
        assert!(number.is_err());
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let refused = |change: fn(&mut ClientConfig)| {
            let mut config = ClientConfig::default();
            change(&mut config);
            let error = Builder::from_config(config).into_settings().unwrap_err();
            assert!(matches!(error.kind(), Kind::BadArguments(_)), "{error}");
        };
        refused(|config| config.session_timeout = Duration::ZERO);
        refused(|config| config.session_timeout = Duration::from_secs(1 << 32));
        refused(|config| config.in_flight_max = 0);
        refused(|config| config.in_flight_bytes_max = usize::MAX);
        refused(|config| config.watch_events_max = 0);
        refused(|config| config.backoff_min = Duration::ZERO);
        refused(|config| config.backoff_max = Duration::from_millis(1));
    }
}
