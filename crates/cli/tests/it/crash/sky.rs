//! The dependencies, which come and go.

use std::net::SocketAddr;

use mainstay_testkit::{Fault, FaultProxy, Postgres, Redis, S3};

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
}

/// Longest pieces of answers that get through on a connection that is cut: Redis' are short.
const REDIS_PIECE: u64 = 200;
const POSTGRES_PIECE: u64 = 3000;

/// The weather of each for one life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forecast {
    pub(crate) s3: Weather,
    pub(crate) redis: Weather,
    pub(crate) postgres: Weather,
}

impl Forecast {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let plain = [
            Weather::Up,
            Weather::Down,
            Weather::Rises,
            Weather::Rises,
            Weather::Falls,
        ];
        let s3 = *dice.pick(&plain);
        let mut one = |piece| match dice.below(6) {
            0 => Weather::Cuts(dice.below(piece)),
            _ => *dice.pick(&plain),
        };
        Self {
            s3,
            redis: one(REDIS_PIECE),
            postgres: one(POSTGRES_PIECE),
        }
    }

    /// Whether anything is cut off.
    pub(crate) fn has_cuts(&self) -> bool {
        let is_cut = |weather| matches!(weather, Weather::Cuts(_));
        is_cut(self.redis) || is_cut(self.postgres)
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
        let (to_redis, to_postgres) = (to(redis.port()).await, to(postgres.port()).await);
        Self {
            s3,
            redis,
            postgres,
            to_redis,
            to_postgres,
            up: [true; 3],
        }
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
        let is_up = |weather| matches!(weather, Weather::Up | Weather::Falls | Weather::Cuts(_));
        let Forecast {
            s3,
            redis,
            postgres,
        } = forecast;
        self.cut([Weather::Up; 2]).await;
        self.set([is_up(s3), is_up(redis), is_up(postgres)]).await;
    }

    /// As it becomes in the middle of its life.
    pub(crate) async fn noon(&mut self, forecast: Forecast) {
        let is_up = |weather| matches!(weather, Weather::Up | Weather::Rises | Weather::Cuts(_));
        let Forecast {
            s3,
            redis,
            postgres,
        } = forecast;
        self.set([is_up(s3), is_up(redis), is_up(postgres)]).await;
        self.cut([redis, postgres]).await;
    }

    pub(crate) async fn clear(&mut self) {
        self.cut([Weather::Up; 2]).await;
        self.set([true; 3]).await;
    }

    async fn cut(&self, weather: [Weather; 2]) {
        let [redis, postgres] = weather.map(|weather| match weather {
            Weather::Cuts(after) => Fault::CutAfter(after),
            _ => Fault::Pass,
        });
        tokio::join!(self.to_redis.set(redis), self.to_postgres.set(postgres));
    }

    async fn set(&mut self, up: [bool; 3]) {
        let [s3, redis, postgres] = std::array::from_fn(|at| (self.up[at], up[at]));
        let s3 = async {
            match s3 {
                (false, true) => self.s3.restart().await,
                (true, false) => self.s3.kill().await,
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
