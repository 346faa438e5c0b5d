//! Text in, message out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::DEFAULT_FILE;
use super::env::variable;
use super::errors::{ConfigErrors, Origin};
use super::load::from_text;
use super::model::{Config, DatabaseUrl, ObjectStore, RedisUrl};
use super::raw;
use super::read::Entry;

fn load(text: &str, environment: &[(&str, &str)]) -> Result<(Config, Vec<Entry>), ConfigErrors> {
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let file = Some(PathBuf::from("mainstay.toml"));
    from_text(text, environment).map_err(|mistakes| ConfigErrors { file, mistakes })
}

fn loaded(text: &str, environment: &[(&str, &str)]) -> (Config, Vec<Entry>) {
    load(text, environment).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The messages of a configuration that is wrong, without the headline.
fn mistakes(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let errors = load(text, environment)
        .expect_err("it is wrong")
        .to_string();
    errors
        .lines()
        .skip(1)
        .map(|line| line.trim_start().to_owned())
        .collect()
}

fn values(entries: &[Entry]) -> BTreeMap<&str, Option<&str>> {
    entries
        .iter()
        .map(|entry| (entry.key.as_str(), entry.shown.as_deref()))
        .collect()
}

#[test]
fn the_printed_defaults_are_exactly_the_defaults() {
    let (_, from_nothing) = loaded("", &[]);
    let (_, from_file) = loaded(DEFAULT_FILE, &[]);
    pretty_eq(&values(&from_nothing), &values(&from_file));
    let unset = |entry: &&Entry| entry.shown.is_some() && entry.origin == Origin::Default;
    let left_out: Vec<_> = from_file
        .iter()
        .filter(unset)
        .map(|entry| &entry.key)
        .collect();
    assert!(
        left_out.is_empty(),
        "the printed file leaves out {left_out:?}"
    );
}

#[test]
fn settings_without_a_default_are_in_the_printed_file_too() {
    let (_, entries) = loaded("", &[]);
    let is_setting = |line: &&str| {
        line.strip_prefix('#')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
    };
    let uncommented: Vec<_> = DEFAULT_FILE
        .lines()
        .map(|line| if is_setting(&line) { &line[1..] } else { line })
        .collect();
    let leaves = raw::parse(&uncommented.join("\n")).expect("the comments are settings");
    let missing: Vec<_> = entries
        .iter()
        .filter(|entry| !leaves.contains_key(&entry.key))
        .map(|entry| &entry.key)
        .collect();
    assert!(
        missing.is_empty(),
        "the printed file doesn't name {missing:?}"
    );
}

#[test]
fn every_setting_has_a_variable_of_its_own() {
    let (_, entries) = loaded("", &[]);
    let mut owners = BTreeMap::new();
    for entry in &entries {
        if let Some(other) = owners.insert(variable(&entry.key), &entry.key) {
            assert_eq!(
                other,
                &entry.key,
                "two settings share {}",
                variable(&entry.key)
            );
        }
    }
}

#[test]
fn every_setting_can_be_given_by_the_environment_as_it_is_shown() {
    let (_, entries) = loaded("", &[]);
    for entry in entries {
        let Some(shown) = entry.shown else { continue };
        let bare = shown.replace(['"', '[', ']'], "");
        let (_, after) = loaded("", &[(&variable(&entry.key), &bare)]);
        let now = after
            .iter()
            .find(|one| one.key == entry.key)
            .expect("it was there before");
        assert_eq!(now.shown, Some(shown), "{}", entry.key);
        assert_eq!(now.origin, Origin::Variable(variable(&entry.key)));
    }
}

#[test]
fn the_defaults_are_the_numbers_that_the_system_is_described_by() {
    let (config, _) = loaded("", &[]);
    let breakers = &config.breakers;
    let figures = [
        breakers.database,
        breakers.openai,
        breakers.redis,
        breakers.s3,
    ]
    .map(|one| {
        let slow = one.slow.expect("on by default").after.as_millis();
        let row = one.consecutive.expect("on by default").get();
        (
            row,
            one.reset_timeout.as_secs(),
            one.half_open.probes,
            one.half_open.successes,
            slow,
        )
    });
    assert_eq!(
        figures,
        [
            (3, 30, 1, 1, 500),
            (5, 60, 2, 2, 20_000),
            (5, 20, 2, 2, 100),
            (5, 30, 2, 2, 5_000)
        ]
    );
    let leases = [
        breakers.database,
        breakers.openai,
        breakers.redis,
        breakers.s3,
    ]
    .map(|one| one.half_open.lease.as_millis());
    assert_eq!(leases, [6_000, 31_000, 1_250, 6_000]);
    assert_eq!(
        config.degradation,
        mainstay_degradation::Settings::standard()
    );
    assert_eq!(config.journal, mainstay_journal::Settings::default());
    assert_eq!(
        (
            config.database.limit,
            config.redis.limit,
            config.s3.limit,
            config.openai.limit
        ),
        (20, 50, 32, 16)
    );
}

#[test]
fn what_is_wrong_is_named_with_its_place_its_value_and_what_is_allowed() {
    for (text, expected) in [
        (
            "[breakers.redis]\nfail_max = 70000",
            "mainstay.toml:2: breakers.redis.fail_max = 70000: must be a whole number from 1 to 65535, or \"off\"",
        ),
        (
            "[server]\n\nlisten = \"here\"",
            "mainstay.toml:3: server.listen = \"here\": must be an address and a port such as \"127.0.0.1:8080\" or \"[::]:8080\"",
        ),
        (
            "[database]\ncall_deadline = 5",
            "mainstay.toml:2: database.call_deadline = 5: must be a duration such as \"30s\", \"250ms\" or \"1h30m\" from \"1ms\" to \"1h\"",
        ),
        (
            "[journal]\ninline_limit = \"1GiB\"",
            "mainstay.toml:2: journal.inline_limit = \"1GiB\": must be a size such as \"64MiB\", \"512KiB\" or a number of bytes from \"0B\" to \"16MiB\"",
        ),
        (
            "log.level = \"loud\"",
            "mainstay.toml:1: log.level = \"loud\": must be one of \"error\", \"warn\", \"info\", \"debug\", \"trace\"",
        ),
        (
            "[server]\nlisen = \"0.0.0.0:80\"",
            "mainstay.toml:2: server.lisen: is unknown; did you mean server.listen?",
        ),
        (
            "[servre]\nlisten = \"0.0.0.0:80\"",
            "mainstay.toml:2: servre.listen: is unknown; did you mean server.listen?",
        ),
        (
            "colour = 1",
            "mainstay.toml:1: colour: is unknown; `mainstay config default` lists every setting",
        ),
        (
            "server = 5",
            "mainstay.toml:1: server: must be a table: [server]",
        ),
        (
            "breakers.redis.rate = \"on\"",
            "mainstay.toml:1: breakers.redis.rate = \"on\": must be a table, or \"off\"",
        ),
        (
            "[degradation.weights]\ndatabase = 0.75",
            "mainstay.toml:2: degradation.weights: make the weights of all dependencies sum to 1.0 (± 0.001) (it is 1.25)",
        ),
        (
            "[degradation.matrix]\nredis_cache = [\"off\", \"on\", \"on\", \"on\", \"on\"]",
            "mainstay.toml:2: degradation.matrix.redis_cache = [\"off\", \"on\", \"on\", \"on\", \"on\"]: give it no more than at OPTIMAL: off (it is On)",
        ),
        (
            "[s3]\nbucket = \"shop\"",
            "s3.access_key_id: is missing: an S3 store needs it (endpoint = \"local\" is the embedded one)",
        ),
        (
            "[[openai.providers]]\nbase_url = \"https://api.example.com/v1\"",
            "openai.providers[0].model: is missing: a provider needs base_url and model (MAINSTAY_OPENAI_MODEL in the environment)",
        ),
    ] {
        let found = mistakes(text, &[]);
        assert!(
            found.contains(&expected.to_owned()),
            "{text}\nexpected {expected}\nfound    {}",
            found.join("\n         ")
        );
    }
}

#[test]
fn a_wrong_variable_is_named_like_a_wrong_line() {
    assert_eq!(
        mistakes("", &[("MAINSTAY_REDIS_LIMIT", "0")]),
        ["MAINSTAY_REDIS_LIMIT: redis.limit = 0: must be a whole number from 1 to 10000"]
    );
    assert_eq!(
        mistakes("", &[("MAINSTAY_SERVER_LISTN", "0.0.0.0:80")]),
        ["MAINSTAY_SERVER_LISTN: is unknown; did you mean MAINSTAY_SERVER_LISTEN?"]
    );
}

#[test]
fn all_mistakes_come_at_once_in_the_order_of_the_file() {
    let text = "[server]\nlisten = 1\n[redis]\nlimit = 0\nlimits = 3\n[log]\nformat = \"xml\"";
    let found = mistakes(text, &[("MAINSTAY_LOG_LEVEL", "loud")]);
    let places: Vec<_> = found
        .iter()
        .map(|line| line.split(": ").next().unwrap_or_default())
        .collect();
    assert_eq!(
        places,
        [
            "mainstay.toml:2",
            "mainstay.toml:4",
            "mainstay.toml:5",
            "mainstay.toml:7",
            "MAINSTAY_LOG_LEVEL"
        ]
    );
}

#[test]
fn syntax_errors_have_their_lines() {
    let found = mistakes("listen = \nlimit = = 3\n", &[]);
    assert!(found.len() >= 2, "{found:?}");
    assert!(found[0].starts_with("mainstay.toml:1: "), "{found:?}");
    assert!(
        found
            .iter()
            .any(|line| line.starts_with("mainstay.toml:2: ")),
        "{found:?}"
    );
}

#[test]
fn the_environment_wins_and_an_empty_variable_counts_as_not_set() {
    let text = "[redis]\nurl = \"redis://file\"\nlimit = 7";
    let (config, entries) = loaded(
        text,
        &[
            ("MAINSTAY_REDIS_URL", "memory"),
            ("MAINSTAY_REDIS_LIMIT", ""),
        ],
    );
    assert!(matches!(config.redis.url, RedisUrl::Memory));
    assert_eq!(config.redis.limit, 7);
    let origin = |key: &str| {
        entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| entry.origin.clone())
    };
    assert_eq!(
        origin("redis.url"),
        Some(Origin::Variable("MAINSTAY_REDIS_URL".to_owned()))
    );
    assert_eq!(origin("redis.limit"), Some(Origin::Line(3)));
    assert_eq!(origin("redis.call_deadline"), Some(Origin::Default));
}

#[test]
fn the_environment_alone_makes_the_first_provider() {
    let (config, _) = loaded(
        "",
        &[
            ("MAINSTAY_OPENAI_BASE_URL", "http://127.0.0.1:9/v1"),
            ("MAINSTAY_OPENAI_API_KEY", "s3cret"),
            ("MAINSTAY_OPENAI_MODEL", "small"),
        ],
    );
    let provider = &config.openai.providers[0];
    assert_eq!(
        (provider.name.as_str(), provider.model.as_str()),
        ("primary", "small")
    );
    assert_eq!(
        provider.api_key.as_ref().map(|key| key.expose()),
        Some("s3cret")
    );
}

#[test]
fn the_environment_alone_makes_further_providers() {
    let (config, _) = loaded(
        "",
        &[
            ("MAINSTAY_OPENAI_BASE_URL", "http://127.0.0.1:9/v1"),
            ("MAINSTAY_OPENAI_MODEL", "small"),
            ("MAINSTAY_OPENAI_PROVIDERS_1_NAME", "second"),
            ("MAINSTAY_OPENAI_PROVIDERS_1_BASE_URL", "http://[::1]:9/v1"),
            ("MAINSTAY_OPENAI_PROVIDERS_1_MODEL", "large"),
            ("MAINSTAY_OPENAI_PROVIDERS_1_API_KEY", "s3cret"),
            ("MAINSTAY_OPENAI_PROVIDERS_2_BASE_URL", "http://[::1]:9/v2"),
            ("MAINSTAY_OPENAI_PROVIDERS_2_MODEL", "other"),
        ],
    );
    let found: Vec<_> = config
        .openai
        .providers
        .iter()
        .map(|one| (one.name.as_str(), one.model.as_str(), one.api_key.is_some()))
        .collect();
    assert_eq!(
        found,
        [
            ("primary", "small", false),
            ("second", "large", true),
            ("provider-3", "other", false)
        ]
    );
}

#[test]
fn the_environment_extends_and_changes_the_providers_of_the_file() {
    let (config, _) = loaded(
        "[[openai.providers]]\nname = \"mine\"\nbase_url = \"http://h/v1\"\nmodel = \"m\"",
        &[
            ("MAINSTAY_OPENAI_MODEL", "small"),
            ("MAINSTAY_OPENAI_PROVIDERS_1_BASE_URL", "http://h/v2"),
            ("MAINSTAY_OPENAI_PROVIDERS_1_MODEL", "large"),
        ],
    );
    let found: Vec<_> = config
        .openai
        .providers
        .iter()
        .map(|one| (one.name.as_str(), one.model.as_str()))
        .collect();
    assert_eq!(found, [("mine", "small"), ("provider-2", "large")]);
}

#[test]
fn a_provider_that_nothing_leads_up_to_is_named_by_its_variable() {
    let first = [
        ("MAINSTAY_OPENAI_BASE_URL", "http://h/v1"),
        ("MAINSTAY_OPENAI_MODEL", "m"),
    ];
    let third = ("MAINSTAY_OPENAI_PROVIDERS_2_MODEL", "m");
    assert_eq!(
        mistakes("", &[first[0], first[1], third]),
        [
            "MAINSTAY_OPENAI_PROVIDERS_2_MODEL: openai.providers[2]: there is no provider 1 before it: set MAINSTAY_OPENAI_PROVIDERS_1_BASE_URL and MAINSTAY_OPENAI_PROVIDERS_1_MODEL, or number the providers without a gap"
        ]
    );
    let found = mistakes("", &[("MAINSTAY_OPENAI_PROVIDERS_1_MODEL", "m")]);
    assert!(
        found[0].contains("no provider 0") && found[0].contains("MAINSTAY_OPENAI_BASE_URL"),
        "{found:?}"
    );
    let far = mistakes("", &[("MAINSTAY_OPENAI_PROVIDERS_4000000000_MODEL", "m")]);
    assert_eq!(far.len(), 1, "{far:?}");
}

#[test]
fn the_first_providers_variables_have_no_index_and_that_is_said() {
    let found = mistakes("", &[("MAINSTAY_OPENAI_PROVIDERS_01_MODEL", "m")]);
    assert!(found[0].contains("is unknown"), "{found:?}");
    let found = mistakes("", &[("MAINSTAY_OPENAI_PROVIDERS_0_MODEL", "m")]);
    assert_eq!(
        found,
        ["MAINSTAY_OPENAI_PROVIDERS_0_MODEL: is unknown; did you mean MAINSTAY_OPENAI_MODEL?"]
    );
}

#[test]
fn secrets_come_from_files_and_are_shown_nowhere() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("url");
    std::fs::write(&path, "postgres://ana:s3cret@db/shop\n").expect("it is writable");
    let text = format!(
        "admin_key = \"hunter2\"\n[database]\nurl_file = {path:?}\n[s3]\nbucket = \"b\"\naccess_key_id = \"id\"\nsecret_access_key = \"hunter2\"\n[[openai.providers]]\nbase_url = \"http://h/v1\"\nmodel = \"m\"\napi_key = \"hunter2\"\n"
    );
    let (config, entries) = loaded(&text, &[]);
    assert!(matches!(config.database.url, DatabaseUrl::Postgres(_)));
    assert!(matches!(config.s3.store, ObjectStore::Bucket(_)));
    let shown = format!("{entries:?} {config:?}");
    assert!(
        !shown.contains("s3cret") && !shown.contains("hunter2"),
        "{shown}"
    );
    let url = entries
        .iter()
        .find(|entry| entry.key == "database.url_file")
        .expect("it was read");
    assert_eq!(url.shown.as_deref(), Some("\"postgres://ana:***@db/shop\""));
}

#[test]
fn a_secret_given_wrongly_is_not_repeated() {
    for (text, expected) in [
        (
            "[database]\nurl = \"mysql://ana:s3cret@db\"",
            "mainstay.toml:2: database.url: ",
        ),
        (
            "[redis]\nurl = \"http://ana:s3cret@db\"",
            "mainstay.toml:2: redis.url: must be redis://",
        ),
        (
            "[database]\nurl = \"sqlite\"\nurl_file = \"/s3cret\"",
            "mainstay.toml:3: database.url: is given twice",
        ),
        (
            "[database]\nurl_file = \"/nowhere/at/all\"",
            "mainstay.toml:2: database.url_file = \"/nowhere/at/all\": can't be read",
        ),
    ] {
        let found = mistakes(text, &[]).join("\n");
        assert!(found.starts_with(expected), "{found}");
        assert!(!found.contains("s3cret@"), "{found}");
    }
}

#[test]
fn rules_and_tables_can_be_switched_off() {
    let text = "[breakers.s3]\nfail_max = \"off\"\nrate = \"off\"\nramp = \"off\"\n[ratelimit]\ncontrol_per_minute = \"off\"";
    let (config, _) = loaded(text, &[("MAINSTAY_BREAKERS_S3_SLOW", "off")]);
    let breaker = config.breakers.s3;
    assert!(
        breaker.consecutive.is_none()
            && breaker.rate.is_none()
            && breaker.slow.is_none()
            && breaker.ramp.is_none()
    );
    assert_eq!(config.rates.control, None);
}

#[test]
fn statements_that_may_be_deferred_have_plain_names() {
    let text = "[database.deferred.statements]\nadd_sale = \"insert into sales values ($1)\"";
    let (config, _) = loaded(text, &[]);
    let (name, query) = config.database.deferred.first_key_value().unwrap();
    assert_eq!(
        (name.as_str(), query.as_str()),
        ("add_sale", "insert into sales values ($1)")
    );
    let odd = "[database.deferred.statements]\n\"a b\" = \"select 1\"\nc = 5";
    let found = mistakes(odd, &[]).join("\n");
    for expected in [
        "up to 64 letters",
        "mainstay.toml:3: database.deferred.statements.c",
    ] {
        assert!(found.contains(expected), "{expected}: {found}");
    }
}

#[test]
fn classes_of_keys_are_by_prefix() {
    let text = "[redis.classes]\nsession = [\"session:\"]\nqueue = [\"jobs\"]";
    let (config, _) = loaded(
        text,
        &[("MAINSTAY_REDIS_CLASSES_COUNTER", "visits:,quota:")],
    );
    let rules: Vec<_> = config
        .redis
        .classes
        .iter()
        .map(|rule| (rule.prefix.as_str(), rule.class.as_str()))
        .collect();
    assert_eq!(
        rules,
        [
            ("visits:", "counter"),
            ("quota:", "counter"),
            ("session:", "session"),
            ("jobs", "queue")
        ]
    );
}

#[test]
fn a_class_that_makes_no_sense_names_its_key_and_the_remedy() {
    let text = "[redis.classes]\nsession = [\"a:\"]\ncounter = [\"a:\"]\nlock = [\"\"]\nqueues = [\"q:\"]\nqueue = \"mainstay:\"";
    let found = mistakes(text, &[]).join("\n");
    for expected in [
        "mainstay.toml:2: redis.classes.session = [\"a:\"]: holds \"a:\", which stands in redis.classes.counter too",
        "mainstay.toml:4: redis.classes.lock = [\"\"]: holds an empty prefix",
        "mainstay.toml:5: redis.classes.queues: ",
        "mainstay.toml:6: redis.classes.queue = \"mainstay:\": must be a list",
    ] {
        assert!(found.contains(expected), "{expected}\n{found}");
    }
    let found = mistakes("[redis.classes]\nqueue = [\"mainstay:q\"]", &[]).join("\n");
    assert!(found.contains("choose another prefix"), "{found}");
}

fn pretty_eq(left: &BTreeMap<&str, Option<&str>>, right: &BTreeMap<&str, Option<&str>>) {
    let differ: Vec<_> = left
        .iter()
        .filter(|(key, value)| right.get(*key) != Some(*value))
        .collect();
    let more: Vec<_> = right
        .keys()
        .filter(|key| !left.contains_key(*key))
        .collect();
    assert!(
        differ.is_empty() && more.is_empty(),
        "not as in the file: {differ:?}; only there: {more:?}"
    );
}
