//! Settings that make no sense are refused, all of them at once.

use std::time::Duration;

use mainstay_degradation::{
    Criticality, FeatureMode, Gating, Impact, Level, Presence, Settings, SettingsError, Tuning,
};

fn errors(change: impl FnOnce(&mut Settings)) -> Vec<(String, String)> {
    let mut settings = Settings::standard();
    change(&mut settings);
    let errors = settings.validate().err().unwrap_or_default();
    for error in &errors {
        assert!(
            !error.value.is_empty() && !error.remedy.is_empty(),
            "{error}"
        );
    }
    errors
        .into_iter()
        .map(|error| (error.field, error.remedy))
        .collect()
}

fn fields(change: impl FnOnce(&mut Settings)) -> Vec<String> {
    errors(change).into_iter().map(|(field, _)| field).collect()
}

#[test]
fn the_defaults_make_sense_and_are_the_described_ones() {
    let rules = Settings::standard().validate().unwrap();
    assert_eq!(rules.features().count(), 22);
    let tuning = rules.tuning(Level::Limited);
    assert_eq!((tuning.retries, tuning.limit, tuning.batch), (1, 0.75, 0.5));
    assert_eq!(tuning.ttl, Duration::from_secs(900));
    let weights: Vec<_> = rules
        .dependencies()
        .map(|(_, one)| (one.name.as_str(), one.weight))
        .collect();
    assert_eq!(
        weights,
        [
            ("database", 0.5),
            ("openai", 0.3),
            ("redis", 0.15),
            ("s3", 0.05)
        ]
    );
    assert_eq!(
        Tuning::defaults()[4].request_deadline,
        Duration::from_secs(30)
    );
}

#[test]
fn weights_must_sum_to_one_within_a_thousandth() {
    assert!(fields(|settings| settings.dependencies[0].weight = 0.5009).is_empty());
    assert_eq!(
        fields(|settings| settings.dependencies[0].weight = 0.502),
        ["dependencies.*.weight"]
    );
    assert!(!fields(|settings| settings.dependencies[0].weight = f64::NAN).is_empty());
}

#[test]
fn each_mistake_is_named() {
    type Mistake = (&'static str, fn(&mut Settings));
    let cases: [Mistake; 16] = [
        ("level.bands", |settings| {
            settings.level.bands = [90.0, 90.0, 60.0, 40.0]
        }),
        ("level.caps[1]", |settings| settings.level.caps[1] = 75.0),
        ("level.confirm", |settings| settings.level.confirm = 0),
        ("level.margin", |settings| settings.level.margin = 50.0),
        ("features.redis_cache.MINIMAL", |settings| {
            settings.features[1].modes[3] = FeatureMode::On
        }),
        ("features.core_application.requires", |settings| {
            settings.features[0].requires = vec!["databse".into()]
        }),
        ("dependencies.s3.endpoints", |settings| {
            settings.dependencies[3].endpoints.clear()
        }),
        ("dependencies.redis.health.p95_threshold", |settings| {
            settings.dependencies[2].health.p95_threshold = Duration::ZERO;
        }),
        ("dependencies.redis.health.better_from", |settings| {
            settings.dependencies[2].health.better_from = [70.0, 65.0, 45.0];
        }),
        ("dependencies.openai.probes.failing", |settings| {
            settings.dependencies[1].probes.failing.clear()
        }),
        ("facts.fallback_for", |settings| {
            settings.facts.fallback_for = Duration::ZERO
        }),
        ("facts.journal_oldest", |settings| {
            settings.facts.journal_oldest = Duration::MAX
        }),
        ("patterns.within", |settings| {
            settings.patterns.within = Duration::ZERO
        }),
        ("patterns.last", |settings| settings.patterns.last = 0),
        ("patterns.longest_period", |settings| {
            settings.patterns.longest_period = 0
        }),
        ("tuning.MINIMAL.limit", |settings| {
            settings.tuning[3].limit = 1.5
        }),
    ];
    for (field, change) in cases {
        let found = fields(change);
        assert!(
            found.iter().any(|found| found == field),
            "{field}: {found:?}"
        );
    }
}

#[test]
fn the_remedy_for_an_unknown_dependency_lists_the_known_ones() {
    let found = errors(|settings| {
        settings.cascade.push(Impact {
            from: "databse".into(),
            to: "redis".into(),
            share: 0.5,
        })
    });
    assert_eq!(found[0].0, "cascade[3].from");
    assert!(
        found[0].1.contains("database, openai, redis, s3"),
        "{}",
        found[0].1
    );
}

#[test]
fn all_mistakes_are_reported_together() {
    let found = fields(|settings| {
        settings.dependencies[0].weight = 7.0;
        settings.dependencies[2].name = "database".into();
        settings.level.confirm = 0;
        settings.tuning[0].ttl = Duration::ZERO;
        settings.features[0].name.clear();
    });
    assert!(found.len() >= 7, "{found:?}");
}

type Change = fn(&mut Settings);

const WEEK: Duration = Duration::from_secs(7 * 86_400);
const INSTANT: Duration = Duration::from_nanos(1);

#[test]
fn what_is_just_within_its_bounds_is_taken() {
    let cases: [Change; 16] = [
        |one| one.alerts.degraded_for = Duration::from_millis(1),
        |one| one.alerts.recovery_over = WEEK,
        |one| one.level.dwell = Duration::ZERO,
        |one| one.level.dwell = WEEK,
        |one| one.level.confirm = 1,
        |one| one.level.confirm = 1_000,
        |one| one.level.caps = [72.0, 62.0, 42.0, 0.0],
        |one| {
            one.level.margin = 0.0;
            one.level.caps = [70.0, 60.0, 40.0, 0.0];
        },
        |one| {
            one.level.bands = [90.0, 60.0, 40.0, 20.0];
            one.level.caps = [89.0, 59.0, 39.0, 19.0];
            one.level.margin = 10.0;
        },
        |one| one.tuning[2].retries = 100,
        |one| {
            one.dependencies[0].health.worse_below = [75.0, 60.0, 40.0];
            one.dependencies[0].health.better_from = [75.0, 60.0, 40.0];
        },
        |one| {
            one.dependencies[0].health.worse_below = [100.0, 60.0, 0.0];
            one.dependencies[0].health.better_from = [100.0, 99.0, 60.0];
        },
        |one| one.dependencies[0].health.better_from = [80.0, 75.0, 60.0],
        |one| one.dependencies[0].health.trend_step = one.dependencies[0].health.trend_window,
        |one| one.dependencies[0].probes.jitter = 0.0,
        |one| {
            one.dependencies[3].presence = Presence::Absent;
            one.dependencies[3].endpoints.clear();
        },
    ];
    for (number, change) in cases.into_iter().enumerate() {
        assert_eq!(errors(change), [], "case {number}");
    }
}

#[test]
fn what_is_just_beyond_its_bounds_is_refused() {
    let cases: [(&str, Change); 30] = [
        ("alerts.degraded_for", |one| {
            one.alerts.degraded_for = Duration::from_millis(1) - INSTANT
        }),
        ("alerts.recovery_over", |one| {
            one.alerts.recovery_over = WEEK + INSTANT
        }),
        ("level.first_round", |one| {
            one.level.first_round = Duration::ZERO
        }),
        ("level.dwell", |one| one.level.dwell = WEEK + INSTANT),
        ("level.confirm", |one| one.level.confirm = 1_001),
        ("level.bands", |one| one.level.bands[0] = 100.5),
        ("level.bands", |one| one.level.bands[3] = -0.5),
        ("level.caps[0]", |one| one.level.caps[0] = 90.0),
        ("level.caps[0]", |one| one.level.caps[0] = 69.5),
        ("level.caps[0]", |one| one.level.caps[0] = 71.5),
        ("level.caps[2]", |one| one.level.caps[2] = 41.5),
        ("level.caps[3]", |one| one.level.caps[3] = 40.0),
        ("level.caps[3]", |one| one.level.caps[3] = -0.5),
        ("level.margin", |one| one.level.margin = 10.5),
        ("level.margin", |one| one.level.margin = -0.5),
        ("tuning.LIMITED.retries", |one| one.tuning[2].retries = 101),
        ("tuning.LIMITED.backoff", |one| {
            one.tuning[2].backoff = 100.5
        }),
        ("tuning.LIMITED.batch", |one| one.tuning[2].batch = -0.5),
        ("tuning.LIMITED.ttl", |one| {
            one.tuning[2].ttl = Duration::ZERO
        }),
        ("tuning.LIMITED.request_deadline", |one| {
            one.tuning[2].request_deadline = Duration::ZERO
        }),
        ("dependencies.database.weight", |one| {
            one.dependencies[0].weight = 1.5
        }),
        ("dependencies.database.health.worse_below", |one| {
            one.dependencies[0].health.worse_below[0] = 60.0
        }),
        ("dependencies.database.health.better_from", |one| {
            one.dependencies[0].health.better_from = [80.0, 75.5, 45.0]
        }),
        ("dependencies.database.health.better_from", |one| {
            one.dependencies[0].health.better_from = [80.0, 65.0, 60.5]
        }),
        ("dependencies.database.health.trend_step", |one| {
            let health = &mut one.dependencies[0].health;
            health.trend_step = health.trend_window + INSTANT;
        }),
        ("dependencies.s3.health.recent_error.fade", |one| {
            let error = one.dependencies[3].health.recent_error.as_mut();
            error.unwrap().fade = Duration::ZERO;
        }),
        ("dependencies.database.probes.jitter", |one| {
            one.dependencies[0].probes.jitter = 1.0
        }),
        ("dependencies.openai.probes.failing[1]", |one| {
            one.dependencies[1].probes.failing[1] = Duration::ZERO
        }),
        ("cascade[0].share", |one| one.cascade[0].share = 1.5),
        ("cascade[0].to", |one| one.cascade[0].to = "database".into()),
    ];
    for (field, change) in cases {
        let found = fields(change);
        assert!(found.iter().any(|one| one == field), "{field}: {found:?}");
    }
}

#[test]
fn names_are_unique_not_empty_and_not_too_many() {
    assert_eq!(
        fields(|one| one.features[3].name.clear()),
        ["features[3].name"]
    );
    assert_eq!(
        fields(|one| one.features[3].name = "redis_cache".into()),
        ["features[3].name"]
    );
    assert_eq!(
        fields(|one| one.dependencies[3].endpoints[0].name = "redis".into()),
        ["endpoints[3].name"]
    );
    let many = |count: usize| {
        fields(move |one| {
            let row = one.features[0].clone();
            let named = |number: usize| mainstay_degradation::FeatureSettings {
                name: number.to_string(),
                ..row.clone()
            };
            one.features = (0..count).map(named).collect();
        })
    };
    assert!(many(65_535).is_empty());
    assert_eq!(many(65_536), ["features"]);
}

#[test]
fn a_mistake_is_told_with_its_value_and_its_remedy() {
    let error = SettingsError {
        field: "level.confirm".into(),
        value: "0".into(),
        remedy: "set it to 1 to 1000".into(),
    };
    let told = "level.confirm is 0: set it to 1 to 1000";
    assert_eq!(error.to_string(), told);
    let mut settings = Settings::standard();
    settings.level.confirm = 0;
    assert_eq!(settings.validate().unwrap_err(), [error]);
}

#[test]
fn each_dependency_is_judged_and_probed_as_described() {
    use Criticality::{Critical, High, Low, Medium};
    let settings = Settings::standard();
    assert_eq!(settings.gating, Gating::Causal);
    let millis = Duration::from_millis;
    let second = Duration::from_secs;
    // Name, criticality, p95 in ms, its cap, points and seconds of a recent error, seconds between failing probes, jitter,
    // seconds of a probe, watched by the latency alert.
    let table = [
        ("database", Critical, 500, 40.0, None, vec![1], 0.2, 1, true),
        (
            "openai",
            High,
            10_000,
            40.0,
            None,
            vec![10, 20, 40],
            0.0,
            5,
            false,
        ),
        (
            "redis",
            Medium,
            100,
            30.0,
            Some((20.0, 60)),
            vec![1],
            0.2,
            1,
            true,
        ),
        (
            "s3",
            Low,
            5_000,
            40.0,
            Some((30.0, 120)),
            vec![1],
            0.2,
            1,
            false,
        ),
    ];
    for (one, row) in settings.dependencies.iter().zip(table) {
        let (name, criticality, p95, cap, error, failing, jitter, deadline, watched) = row;
        assert_eq!((one.name.as_str(), one.criticality), (name, criticality));
        let health = &one.health;
        let found = (
            health.p95_threshold,
            health.latency_cap,
            health.latency_alert,
        );
        assert_eq!(found, (millis(p95), cap, watched), "{name}");
        let found = health.recent_error.map(|error| (error.points, error.fade));
        assert_eq!(found, error.map(|(points, fade)| (points, second(fade))));
        let probes = &one.probes;
        let failing: Vec<_> = failing.into_iter().map(second).collect();
        assert_eq!((&probes.failing, probes.jitter), (&failing, jitter));
        assert_eq!(probes.deadline, second(deadline), "{name}");
        assert_eq!(
            (probes.heartbeat, probes.recovered_for),
            (second(30), second(60))
        );
        assert_eq!((probes.recovered, probes.confirm), (second(1), millis(200)));
        assert_eq!((probes.trip_after, probes.early_after), (3, 2));
    }
    let shares = settings
        .cascade
        .iter()
        .map(|one| (&*one.from, &*one.to, one.share));
    assert_eq!(
        shares.collect::<Vec<_>>(),
        [
            ("database", "redis", 0.2),
            ("database", "s3", 0.1),
            ("redis", "database", 0.3)
        ]
    );
}
