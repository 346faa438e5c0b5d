//! The dependencies, which come and go.

use mainstay_testkit::{Postgres, Redis, S3};

use super::dice::Dice;

/// What a dependency does while one process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Up,
    Down,
    Rises,
    Falls,
}

/// The weather of each for one life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forecast {
    pub(crate) s3: Weather,
    pub(crate) redis: Weather,
    pub(crate) postgres: Weather,
}

impl Forecast {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let mut one = || {
            *dice.pick(&[
                Weather::Up,
                Weather::Down,
                Weather::Rises,
                Weather::Rises,
                Weather::Falls,
            ])
        };
        Self {
            s3: one(),
            redis: one(),
            postgres: one(),
        }
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
    /// In this order.
    up: [bool; 3],
}

impl Sky {
    pub(crate) async fn start() -> Self {
        // Every answer follows a write to its file, which outlives the process: nobody pulls a plug here.
        let redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "no"]);
        let (s3, redis, postgres) = tokio::join!(S3::start(), redis, Postgres::start());
        Self {
            s3,
            redis,
            postgres,
            up: [true; 3],
        }
    }

    /// As the program finds it.
    pub(crate) async fn morning(&mut self, forecast: Forecast) {
        let is_up = |weather| matches!(weather, Weather::Up | Weather::Falls);
        let Forecast {
            s3,
            redis,
            postgres,
        } = forecast;
        self.set([is_up(s3), is_up(redis), is_up(postgres)]).await;
    }

    /// As it becomes in the middle of its life.
    pub(crate) async fn noon(&mut self, forecast: Forecast) {
        let is_up = |weather| matches!(weather, Weather::Up | Weather::Rises);
        let Forecast {
            s3,
            redis,
            postgres,
        } = forecast;
        self.set([is_up(s3), is_up(redis), is_up(postgres)]).await;
    }

    pub(crate) async fn clear(&mut self) {
        self.set([true; 3]).await;
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
