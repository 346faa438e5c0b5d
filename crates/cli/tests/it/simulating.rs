//! Made-up outages, and what other settings would do.

use std::fs;

use crate::support::run;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The figure of this name, column by column.
fn figure<'a>(out: &'a str, name: &str) -> Vec<&'a str> {
    let line = out.lines().find_map(|line| line.strip_prefix(name));
    let line = line.unwrap_or_else(|| panic!("{name} in {out}"));
    line.split("  ")
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect()
}

#[test]
fn an_outage_is_told_with_its_figures_and_drawn() {
    let folder = folder();
    let arguments = [
        "simulate",
        "--scenario",
        "hang",
        "--dependency",
        "redis",
        "--svg",
        "it.svg",
    ];
    let ran = run(folder.path(), &arguments);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for words in [
        "every decision came out as it was recorded",
        "redis is down",
        "level OPTIMAL → DEGRADED",
        "the breaker of redis opened",
        "redis is back after",
    ] {
        assert!(ran.out.contains(words), "{words} in\n{}", ran.out);
    }
    assert_eq!(figure(&ran.out, "times away from OPTIMAL"), ["1"]);
    assert_eq!(figure(&ran.out, "time at EMERGENCY"), ["0.0 s"]);
    let picture = fs::read_to_string(folder.path().join("it.svg")).expect("the picture");
    assert!(picture.starts_with("<svg ") && picture.trim_end().ends_with("</svg>"));
}

#[test]
fn the_same_seed_gives_the_same_story_and_another_one_another() {
    let folder = folder();
    let story = |seed: &str| {
        let arguments = [
            "simulate",
            "--scenario",
            "drawn",
            "--details",
            "--seed",
            seed,
        ];
        let ran = run(folder.path(), &arguments);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.out
    };
    assert_eq!(story("7"), story("7"));
    assert_ne!(story("7"), story("8"));
}

#[test]
fn another_policy_is_played_in_a_world_of_its_own_and_shown_side_by_side() {
    let folder = folder();
    let file = "[degradation]\ndwell = \"2m\"\n";
    fs::write(folder.path().join("patient.toml"), file).expect("the file is written");
    let arguments = [
        "--config",
        "patient.toml",
        "simulate",
        "--scenario",
        "flapping",
        "--dependency",
        "redis",
    ];
    let ran = run(folder.path(), &arguments);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for words in [
        "WITH THE EMBEDDED DEFAULTS",
        "WITH PATIENT.TOML",
        "every decision came out as it was recorded",
        "a world of its own",
    ] {
        assert!(ran.out.contains(words), "{words} in\n{}", ran.out);
    }
    let again = run(folder.path(), &arguments);
    assert_eq!(ran.out, again.out);
    let changes = figure(&ran.out, "level changes");
    let [before, after, _] = changes[..] else {
        panic!("{changes:?}")
    };
    let number = |text: &str| text.parse::<u32>().expect("a count");
    assert!(number(after) < number(before), "{changes:?}");
}

#[test]
fn other_breakers_and_probes_are_played_and_not_estimated() {
    let folder = folder();
    let file = "[breakers.redis]\nfail_max = 50\nrate = \"off\"\nslow = \"off\"\n\
                [degradation.probes.redis]\ntrip_after = 1000\n";
    fs::write(folder.path().join("lenient.toml"), file).expect("the file is written");
    let arguments = [
        "--config",
        "lenient.toml",
        "simulate",
        "--scenario",
        "flaky",
        "--dependency",
        "redis",
    ];
    let ran = run(folder.path(), &arguments);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.out.contains("an estimate"), "{}", ran.out);
    let opened = figure(&ran.out, "breakers opened");
    assert_ne!(opened[0], "0", "{}", ran.out);
    assert_eq!(opened[1], "0", "{}", ran.out);
}

#[test]
fn the_file_in_force_is_what_is_played_and_what_another_policy_is_compared_with() {
    let folder = folder();
    let file = "[degradation.criticality]\nredis = \"critical\"\n";
    fs::write(folder.path().join("mainstay.toml"), file).expect("the file is written");
    let arguments = ["simulate", "--scenario", "hang", "--dependency", "redis"];
    let ran = run(folder.path(), &arguments);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("with mainstay.toml"), "{}", ran.out);
    assert!(ran.out.contains("→ EMERGENCY"), "{}", ran.out);
    assert_ne!(figure(&ran.out, "time at EMERGENCY"), ["0.0 s"]);
    let lines = ran.out.lines();
    let told = lines.filter(|line| line.contains(" level ") && line.contains(" → "));
    assert_eq!(
        figure(&ran.out, "level changes"),
        [told.count().to_string()]
    );

    fs::write(folder.path().join("mild.toml"), "").expect("the file is written");
    let arguments = [&["--config", "mild.toml"][..], &arguments[..]].concat();
    let both = run(folder.path(), &arguments);
    assert_eq!(both.code, Some(0), "{both:?}");
    let emergency = figure(&both.out, "time at EMERGENCY");
    assert_eq!(emergency[..1], figure(&ran.out, "time at EMERGENCY")[..]);
    assert_eq!(emergency[1], "0.0 s", "{}", both.out);
}

#[test]
fn every_scenario_can_be_played_and_breaks_no_invariant() {
    let folder = folder();
    for name in [
        "crash",
        "hang",
        "flapping",
        "slow",
        "overload",
        "flaky",
        "deceptive",
        "blackout",
        "drawn",
    ] {
        let arguments = ["simulate", "--scenario", name, "--dependency", "s3"];
        let ran = run(folder.path(), &arguments);
        assert_eq!(ran.code, Some(0), "{name}: {ran:?}");
    }
}

#[test]
fn a_policy_that_others_follow_says_so() {
    let folder = folder();
    let mut seen = [false, false];
    for seed in ["1", "2", "3", "4", "5", "6", "7", "8"] {
        let arguments = ["simulate", "--scenario", "drawn", "--seed", seed];
        let told = run(folder.path(), &arguments).out;
        let reloads = told.contains("new settings are in force");
        let head = told.lines().next().expect("who and when");
        assert_eq!(
            head.contains("until others are reloaded"),
            reloads,
            "{told}"
        );
        seen[usize::from(reloads)] = true;
    }
    assert_eq!(seen, [true, true]);
}

#[test]
fn what_can_not_be_played_is_named() {
    let folder = folder();
    let unknown = run(folder.path(), &["simulate", "--dependency", "mysql"]);
    assert_eq!(unknown.code, Some(2));
    let known = "no endpoint mysql: there are database, openai, redis, s3";
    assert!(unknown.err.contains(known), "{unknown:?}");
    let short = run(folder.path(), &["simulate", "--length", "1s"]);
    assert_eq!(short.code, Some(2));
    assert!(short.err.contains("2m to 168h"), "{short:?}");
    for other in [
        "",
        "nothing of the kind",
        "nothing of the kind, at some length",
    ] {
        fs::write(folder.path().join("no.rec.gz"), other).expect("a file");
        let damaged = run(folder.path(), &["replay", "no.rec.gz"]);
        assert_eq!(damaged.code, Some(1));
        for words in [
            "no.rec.gz",
            "no recording",
            "recordings/ of its data directory",
        ] {
            assert!(damaged.err.contains(words), "{damaged:?}");
        }
    }
    let missing = run(folder.path(), &["replay", "none.rec.gz"]);
    assert!(missing.err.contains("No such file"), "{missing:?}");
    let none = run(folder.path(), &["replay"]);
    assert_eq!(none.code, Some(0));
    assert!(none.out.contains("no recordings in"), "{none:?}");
}
