//! The real dependencies, and what goes wrong with them.
//!
//! The store is never frozen: what it would carry out long after it failed to answer it may overwrite what came since, and
//! that is a limit the documents name.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use mainstay_testkit::{
    Fault, FaultProxy, ModelApi, ModelApiMode, Postgres, Redis, S3, S3Mode, pause,
};

use crate::crash::dice::Dice;

const NAMES: [&str; 4] = ["database", "redis", "s3", "openai"];

/// One way to fail.
#[derive(Clone, Copy, Debug)]
enum Failing {
    /// The process dies. Redis keeps nothing then: it is cut off instead.
    Killed,
    /// The process stands still.
    Frozen,
    /// The network does this.
    Network(Fault),
    /// It answers wrongly.
    Wrong,
}

pub(crate) struct Dependencies {
    pub(crate) s3: S3,
    postgres: Postgres,
    redis: Redis,
    models: ModelApi,
    proxies: BTreeMap<&'static str, FaultProxy>,
    dice: Mutex<Dice>,
}

impl Dependencies {
    pub(crate) async fn start(seed: u64) -> Self {
        let (postgres, redis, s3, models) = (
            Postgres::start().await,
            Redis::start().await,
            S3::start().await,
            ModelApi::start().await,
        );
        let ports = [postgres.port(), redis.port(), s3.port(), models.port()];
        let mut proxies = BTreeMap::new();
        for (name, port) in NAMES.into_iter().zip(ports) {
            let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            proxies.insert(name, FaultProxy::start(upstream).await);
        }
        Self {
            s3,
            postgres,
            redis,
            models,
            proxies,
            dice: Mutex::new(Dice::new(seed)),
        }
    }

    /// How the program reaches them: through the proxies.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let behind = |name: &str, url: String, port: u16| {
            let address = self.proxies[name].addr().to_string();
            url.replace(&format!("127.0.0.1:{port}"), &address)
        };
        let s3 = &self.s3;
        vec![
            (
                "DATABASE_URL",
                behind("database", self.postgres.url(), self.postgres.port()),
            ),
            (
                "REDIS_URL",
                behind("redis", self.redis.url(), self.redis.port()),
            ),
            ("S3_ENDPOINT", behind("s3", s3.endpoint(), s3.port())),
            ("S3_BUCKET", s3.bucket().to_owned()),
            ("S3_REGION", s3.region().to_owned()),
            ("S3_ACCESS_KEY_ID", s3.access_key().to_owned()),
            ("S3_SECRET_ACCESS_KEY", s3.secret_key().to_owned()),
            (
                "OPENAI_BASE_URL",
                behind("openai", self.models.base_url(), self.models.port()),
            ),
            ("OPENAI_API_KEY", self.models.api_key().to_owned()),
            ("OPENAI_MODEL", ModelApi::CHAT_MODEL.to_owned()),
        ]
    }

    /// Lets one after the other fail for a while; at the end all are well. Tells how often each did.
    pub(crate) async fn fail_for(&self, length: Duration) -> BTreeMap<&'static str, u32> {
        let (mut passed, mut tally) = (Duration::ZERO, BTreeMap::new());
        while passed < length {
            let (name, failing) = self.draw();
            let (down, up) = (self.span(1_000, 5_000), self.span(500, 4_000));
            *tally.entry(name).or_default() += 1;
            self.begin(name, failing).await;
            pause(down).await;
            self.end(name, failing).await;
            pause(up).await;
            passed += down + up;
        }
        tally
    }

    fn draw(&self) -> (&'static str, Failing) {
        let mut dice = self.dice.lock().expect("no test panics here");
        let name = *dice.pick(&NAMES);
        let network = Failing::Network(*dice.pick(&[
            Fault::RefuseConnections,
            Fault::Reset,
            Fault::Blackhole,
            Fault::Delay(Duration::from_millis(120)),
            Fault::CutAfter(700),
            Fault::Throttle(20_000),
        ]));
        let failing = match (dice.below(3), name) {
            (0, "database" | "s3" | "openai") => Failing::Killed,
            (1, "database" | "redis" | "openai") => Failing::Frozen,
            (2, "s3" | "openai") => Failing::Wrong,
            _ => network,
        };
        (name, failing)
    }

    fn span(&self, least: u64, most: u64) -> Duration {
        let mut dice = self.dice.lock().expect("no test panics here");
        Duration::from_millis(least + dice.below(most - least))
    }

    async fn begin(&self, name: &str, failing: Failing) {
        match (failing, name) {
            (Failing::Killed, "database") => self.postgres.kill().await,
            (Failing::Killed, "s3") => self.s3.kill().await,
            (Failing::Killed, _) => self.models.kill().await,
            (Failing::Frozen, "database") => self.postgres.stop().await,
            (Failing::Frozen, "redis") => self.redis.stop().await,
            (Failing::Frozen, _) => self.models.stop().await,
            (Failing::Network(fault), _) => self.proxies[name].set(fault).await,
            (Failing::Wrong, "s3") => self.s3.set(S3Mode::Internal).await,
            (Failing::Wrong, _) => self.models.set(ModelApiMode::CutMidway).await,
        }
    }

    async fn end(&self, name: &str, failing: Failing) {
        match (failing, name) {
            (Failing::Killed, "database") => self.postgres.restart().await,
            (Failing::Killed, "s3") => self.s3.restart().await,
            (Failing::Killed, _) => self.models.restart().await,
            (Failing::Frozen, "database") => self.postgres.cont(),
            (Failing::Frozen, "redis") => self.redis.cont(),
            (Failing::Frozen, _) => self.models.cont(),
            (Failing::Network(_), _) => self.proxies[name].set(Fault::Pass).await,
            (Failing::Wrong, "s3") => self.s3.set(S3Mode::Ok).await,
            (Failing::Wrong, _) => self.models.set(ModelApiMode::Ok).await,
        }
    }
}
