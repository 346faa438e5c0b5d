//! The map in ARCHITECTURE.md is the dependencies that Cargo sees.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Which layer a crate lies in; an arrow may only point to a lower one.
const LAYERS: [(&str, u8); 13] = [
    ("breaker", 0),
    ("degradation", 1),
    ("runtime", 2),
    ("simulator", 2),
    ("journal", 2),
    ("database", 3),
    ("redis", 3),
    ("s3", 3),
    ("openai", 3),
    ("server", 4),
    ("retail", 5),
    ("cli", 6),
    ("bench", 7),
];

/// Real servers for tests: depends on no crate of ours, and nothing that is shipped depends on it.
const TESTKIT: &str = "testkit";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()]);
    command
        .exec()
        .expect("cargo, which built this test, can be run")
}

/// Each crate's folder name with those of the crates it uses, tests' dependencies apart.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata();
    let folder = |path: &Path| {
        path.file_name()
            .expect("a crate lies in a folder")
            .to_string_lossy()
            .into_owned()
    };
    let packages = metadata.packages.iter().map(|package| {
        let shipped = package
            .dependencies
            .iter()
            .filter(|one| one.kind != DependencyKind::Development);
        let ours = shipped
            .filter_map(|one| Some(folder(one.path.as_ref()?.as_std_path())))
            .collect();
        let manifest = package.manifest_path.as_std_path();
        (
            folder(manifest.parent().expect("a manifest lies in a folder")),
            ours,
        )
    });
    packages.collect()
}

/// The names in the map: the first code block of ARCHITECTURE.md, where a line begins with one or more of them.
fn mapped() -> BTreeSet<String> {
    let text =
        std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let map = text
        .split("```")
        .nth(1)
        .expect("its first code block is the map");
    let mut names = BTreeSet::new();
    for line in map.lines() {
        let line = line.trim_start_matches([' ', '│', '├', '└', '─']);
        // Names, then two blanks or more, then what they hold.
        let mut gap = line.splitn(2, "   ");
        names.extend(
            gap.next()
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned),
        );
    }
    names
}

#[test]
fn arrows_between_crates_point_downward() {
    let layers = BTreeMap::from(LAYERS);
    for (from, uses) in arrows() {
        for to in uses {
            if to == TESTKIT {
                assert_eq!(
                    from, "bench",
                    "{from} ships with testkit, which is for tests"
                );
                continue;
            }
            let (high, low) = (layers.get(&*from), layers.get(&*to));
            assert!(
                high > low,
                "{from} must not depend on {to}: arrows point downward"
            );
        }
    }
}

#[test]
fn testkit_depends_on_no_crate_of_ours() {
    assert_eq!(arrows()[TESTKIT], BTreeSet::new());
}

#[test]
fn the_map_names_every_crate_and_no_other() {
    let crates: BTreeSet<_> = arrows().into_keys().collect();
    assert_eq!(
        mapped(),
        crates,
        "left: the map of ARCHITECTURE.md; right: the folders of crates/"
    );
    let known: BTreeSet<_> = LAYERS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .chain([TESTKIT.to_owned()])
        .collect();
    assert_eq!(
        known, crates,
        "left: the layers of this test; right: the folders of crates/"
    );
}

/// What observes is not there to be read back.
#[test]
fn decisions_know_no_metrics_and_no_logs() {
    let metadata = metadata();
    let deciding = ["mainstay-breaker", "mainstay-degradation"];
    let mut seen = 0;
    for package in &metadata.packages {
        if !deciding.contains(&package.name.as_str()) {
            continue;
        }
        seen += 1;
        for dependency in &package.dependencies {
            let observes = ["metrics", "tracing", "log", "prometheus"]
                .iter()
                .any(|word| dependency.name.starts_with(word));
            assert!(!observes, "{} uses {}", package.name, dependency.name);
        }
    }
    assert_eq!(seen, deciding.len());
}

/// All of a folder's Rust sources, one after the other.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    let entries = std::fs::read_dir(folder).expect("a folder of sources can be read");
    for entry in entries {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            text += &sources(&path);
        } else if path.extension().is_some_and(|e| e == "rs") {
            text += &std::fs::read_to_string(&path).expect("a source can be read");
        }
    }
    text
}

#[test]
fn every_test_that_the_invariants_name_exists_in_its_crate() {
    let page =
        std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let table = page
        .split("## What always holds")
        .nth(1)
        .and_then(|rest| rest.split("\n## ").next())
        .expect("the invariants have a section");
    let crates = arrows();
    let mut named = 0;
    let mut within = String::new();
    for word in table.split('`').skip(1).step_by(2) {
        if crates.contains_key(word) {
            within = sources(&root().join("crates").join(word));
        } else if word.matches('_').count() >= 3 {
            named += 1;
            assert!(
                within.contains(&format!("fn {word}(")),
                "ARCHITECTURE.md names a test that is gone: {word}"
            );
        }
    }
    assert!(named > 20, "only {named} tests were found in the table");
}
