//! The dependencies, which come and go.

use std::net::SocketAddr;
use std::time::Duration;

use mainstay_testkit::{Fault, FaultProxy, Postgres, Redis, S3, S3Mode, eventually};

use super::dice::Dice;

/// What a dependency does while one process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Up,
    Down,
    Rises,
    Falls,
    /// Up, but from the middle of the life on its answers are cut off after so many bytes on each connection.
    Cuts(u64),
    /// The same, but then nothing gets through any more, and nothing is closed.
    Hangs,
    /// The same, but its answers come so many milliseconds late.
    Late(u64),
    /// Rises, and carries uploads with a condition out so many milliseconds late, whoever waits for them: S3 only. That
    /// all others come in time is on purpose: the documentation says that nothing fences them.
    LateUploads(u64),
}

impl Weather {
    fn is_up_in_the_morning(self) -> bool {
        !matches!(self, Self::Down | Self::Rises | Self::LateUploads(_))
    }

    fn is_up_at_noon(self) -> bool {
        !matches!(self, Self::Down | Self::Falls)
    }

    /// What happens on its connections from noon on.
    fn fault(self) -> Fault {
        match self {
            Self::Cuts(after) => Fault::CutAfter(after),
            Self::Hangs => Fault::Blackhole,
            Self::Late(ms) => Fault::DelayAnswers(Duration::from_millis(ms)),
            _ => Fault::Pass,
        }
    }
}

/// Longest pieces of answers that get through on a connection that is cut: Redis' are short.
const REDIS_PIECE: u64 = 200;
const POSTGRES_PIECE: u64 = 3000;
const S3_PIECE: u64 = 3000;
/// How late an answer comes at most, ms: beyond some deadlines.
const LATEST_ANSWER: u64 = 600;
/// The same of an upload: it arrives while the next process lives, or the one after that.
const LATEST_UPLOAD: u64 = 2500;

/// The weather of each for one life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forecast {
    pub(crate) s3: Weather,
    pub(crate) redis: Weather,
    pub(crate) postgres: Weather,
}

impl Forecast {
    pub(crate) const ALL_DOWN: Self = Self {
        s3: Weather::Down,
        redis: Weather::Down,
        postgres: Weather::Down,
    };

    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let plain = [
            Weather::Up,
            Weather::Down,
            Weather::Rises,
            Weather::Rises,
            Weather::Falls,
        ];
        let mut one = |piece| match dice.below(18) {
            0 => Weather::Cuts(dice.below(piece)),
            1 => Weather::Late(20 + dice.below(LATEST_ANSWER)),
            2 => Weather::Hangs,
            _ => *dice.pick(&plain),
        };
        let (s3, redis, postgres) = (one(S3_PIECE), one(REDIS_PIECE), one(POSTGRES_PIECE));
        let s3 = match dice.below(10) {
            0 => Weather::LateUploads(100 + dice.below(LATEST_UPLOAD)),
            _ => s3,
        };
        Self {
            s3,
            redis,
            postgres,
        }
    }

    fn all(self) -> [Weather; 3] {
        [self.s3, self.redis, self.postgres]
    }

    /// Whether a connection breaks, or an answer doesn't come in time.
    pub(crate) fn is_rough(&self) -> bool {
        let is_rough = |weather: &Weather| {
            weather.fault() != Fault::Pass || matches!(weather, Weather::LateUploads(_))
        };
        self.all().iter().any(is_rough)
    }

    /// The same, but such that the program can come to this place.
    pub(crate) fn leading_to(mut self, point: &str) -> Self {
        match point.split_once('.').map(|(part, _)| part) {
            Some("drain") => self.s3 = Weather::Rises,
            Some("reconcile") => self.redis = Weather::Rises,
            Some("command") => self.redis = Weather::Up,
            Some("write") => self.postgres = Weather::Up,
            Some("deferred") if point == "deferred.accepted" => self.postgres = Weather::Down,
            Some("deferred") => self.postgres = Weather::Rises,
            _ => {}
        }
        self
    }
}

pub(crate) struct Sky {
    pub(crate) s3: S3,
    pub(crate) redis: Redis,
    pub(crate) postgres: Postgres,
    to_s3: FaultProxy,
    to_redis: FaultProxy,
    to_postgres: FaultProxy,
    /// S3, Redis, PostgreSQL.
    up: [bool; 3],
}

impl Sky {
    pub(crate) async fn start() -> Self {
        // Every answer follows a write to its file, which outlives the process: nobody pulls a plug here.
        let redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "no"]);
        let (s3, redis, postgres) = tokio::join!(S3::start(), redis, Postgres::start());
        let to = |port| FaultProxy::start(SocketAddr::from(([127, 0, 0, 1], port)));
        let (to_s3, to_redis) = (to(s3.port()).await, to(redis.port()).await);
        let to_postgres = to(postgres.port()).await;
        Self {
            s3,
            redis,
            postgres,
            to_s3,
            to_redis,
            to_postgres,
            up: [true; 3],
        }
    }

    /// Where the program finds S3.
    pub(crate) fn s3_endpoint(&self) -> String {
        format!("http://{}", self.to_s3.addr())
    }

    /// Where the program finds Redis.
    pub(crate) fn redis_url(&self) -> String {
        format!("redis://{}/", self.to_redis.addr())
    }

    /// Where the program finds PostgreSQL.
    pub(crate) fn postgres_url(&self) -> String {
        let at = |port| format!(":{port}/");
        let there = at(self.to_postgres.addr().port());
        self.postgres
            .url()
            .replace(&at(self.postgres.port()), &there)
    }

    /// As the program finds it.
    pub(crate) async fn morning(&mut self, forecast: Forecast) {
        let up = forecast.all().map(Weather::is_up_in_the_morning);
        self.change(up, [Fault::Pass; 3], S3Mode::Ok).await;
    }

    /// As it becomes in the middle of its life.
    pub(crate) async fn noon(&mut self, forecast: Forecast) {
        let all = forecast.all();
        let mode = match forecast.s3 {
            Weather::LateUploads(ms) => S3Mode::LateUploads { ms },
            _ => S3Mode::Ok,
        };
        let up = all.map(Weather::is_up_at_noon);
        self.change(up, all.map(Weather::fault), mode).await;
    }

    pub(crate) async fn clear(&mut self) {
        self.change([true; 3], [Fault::Pass; 3], S3Mode::Ok).await;
    }

    /// Waits until no upload is late any more.
    pub(crate) async fn all_have_arrived(&self) {
        let soon = Duration::from_millis(4 * LATEST_UPLOAD);
        eventually(soon, "late uploads to arrive", async || {
            self.s3.under_way("client").await == 0
        })
        .await;
    }

    async fn change(&mut self, up: [bool; 3], faults: [Fault; 3], mode: S3Mode) {
        self.set(up).await;
        if up[0] {
            // What is late already stays late.
            self.s3.set(mode).await;
        }
        let [s3, redis, postgres] = faults;
        // Nobody listens where nothing runs.
        let s3 = if up[0] { s3 } else { Fault::RefuseConnections };
        tokio::join!(
            self.to_s3.set(s3),
            self.to_redis.set(redis),
            self.to_postgres.set(postgres)
        );
    }

    async fn set(&mut self, up: [bool; 3]) {
        let [s3, redis, postgres] = std::array::from_fn(|at| (self.up[at], up[at]));
        let s3 = async {
            match s3 {
                (false, true) => self.s3.restart().await,
                (true, false) => {
                    // In the middle of no write: a real store has content and metadata of an object both or neither.
                    self.to_s3.set(Fault::RefuseConnections).await;
                    self.s3.requests().await;
                    self.s3.kill().await;
                }
                _ => {}
            }
        };
        let redis = async {
            match redis {
                (false, true) => self.redis.restart().await,
                (true, false) => self.redis.kill().await,
                _ => {}
            }
        };
        let postgres = async {
            match postgres {
                (false, true) => self.postgres.restart().await,
                (true, false) => self.postgres.kill().await,
                _ => {}
            }
        };
        tokio::join!(s3, redis, postgres);
        self.up = up;
    }
}
