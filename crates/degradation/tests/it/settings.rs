//! Settings that make no sense are refused, all of them at once.

use std::time::Duration;

use mainstay_degradation::{FeatureMode, Impact, Level, Settings, Tuning};

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
