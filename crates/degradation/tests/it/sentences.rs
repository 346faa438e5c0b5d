//! Every word that is published, and every sentence in both languages.

use std::time::Duration;

use mainstay_breaker::{FailureKind, Mode, Rule, State, Transition};
use mainstay_degradation::health::MachineChange;
use mainstay_degradation::words::span;
use mainstay_degradation::{
    Alert, Cause, CauseKind, Criticality, DependencyId, EndpointId, Event, FeatureId, FeatureMode,
    FeatureReason, FeatureState, Gating, HeldBy, Language, Level, LevelCause, Machine, Moment,
    Need, NextUp, Presence, Recoveries, Repeating, Rules, Settings, Status, Trend, Warning,
};

use crate::words::{PREDICTION, RECOVERIES};
use crate::world::{SECOND, at};

const NOW: u64 = 1_000_000;
const REDIS: DependencyId = DependencyId(2);
const S3: DependencyId = DependencyId(3);

fn rules() -> Rules {
    Settings::standard().validate().unwrap()
}

fn in_seconds(seconds: u32) -> Moment {
    at(NOW) + seconds * SECOND
}

#[test]
fn every_word_of_a_reply_is_what_clients_know_it_as() {
    use Status::{Absent, Degraded, Down, Healthy, Unknown};
    let statuses = [Healthy, Degraded, Down, Unknown, Absent].map(Status::as_str);
    assert_eq!(
        statuses,
        ["healthy", "degraded", "down", "unknown", "absent"]
    );
    let machines = [
        Machine::Healthy,
        Machine::Degraded,
        Machine::Failing,
        Machine::Critical,
    ];
    let words = ["HEALTHY", "DEGRADED", "FAILING", "CRITICAL"];
    assert_eq!(machines.map(Machine::as_str), words);
    assert_eq!(machines.map(|one| one.to_string()), words);
    let trends = [Trend::Improving, Trend::Stable, Trend::Declining].map(Trend::as_str);
    assert_eq!(trends, ["improving", "stable", "declining"]);
    let presences = [Presence::Configured, Presence::Embedded, Presence::Absent];
    let words = ["configured", "embedded", "absent"];
    assert_eq!(presences.map(Presence::as_str), words);
    let criticalities = [
        Criticality::None,
        Criticality::Low,
        Criticality::Medium,
        Criticality::High,
        Criticality::Critical,
    ];
    let words = ["none", "low", "medium", "high", "critical"];
    assert_eq!(criticalities.map(Criticality::as_str), words);
    let gatings = [Gating::Strict, Gating::Causal].map(Gating::as_str);
    assert_eq!(gatings, ["strict", "causal"]);
}

#[test]
fn modes_of_features_are_read_from_their_words_and_nothing_else() {
    let words = [
        "on", "fallback", "queued", "local", "limited", "partial", "off",
    ];
    assert_eq!(FeatureMode::ALL.map(FeatureMode::as_str), words);
    assert_eq!(
        FeatureMode::ALL.map(FeatureMode::rank),
        [0, 1, 1, 1, 1, 2, 3]
    );
    for mode in FeatureMode::ALL {
        assert_eq!(mode.to_string().parse(), Ok(mode));
    }
    let unknown = "On".parse::<FeatureMode>().expect_err("no such mode");
    assert_eq!(
        unknown.to_string(),
        "not a mode: use on, fallback, queued, local, limited, partial or off"
    );
}

#[test]
fn a_span_is_told_in_the_unit_that_suits_it() {
    let cases = [
        (0, "0 s"),
        (1, "1 ms"),
        (999, "999 ms"),
        (1_000, "1 s"),
        (119_999, "119 s"),
        (120_000, "2 min"),
        (7_199_999, "119 min"),
        (7_200_000, "2 h"),
    ];
    for (millis, words) in cases {
        assert_eq!(span(Duration::from_millis(millis)), words);
    }
    assert_eq!(span(Duration::from_micros(999)), "0 s");
}

#[test]
fn what_holds_the_level_is_told_with_no_less_than_the_time_that_is_left() {
    let dwell = |until| HeldBy::Dwell { until };
    let cases = [
        (
            HeldBy::Confirming { count: 1, of: 3 },
            "confirming 1/3",
            "confirmando 1/3",
        ),
        (
            HeldBy::Margin { needed: 72.0 },
            "margin: the next level up needs a score of 72.0",
            "margen: el nivel superior requiere un puntaje de 72.0",
        ),
        (
            dwell(in_seconds(7)),
            "dwell: 7 s until the next step up",
            "permanencia: faltan 7 s para el siguiente paso",
        ),
        (
            dwell(in_seconds(6) + Duration::from_nanos(1)),
            "dwell: 7 s until the next step up",
            "permanencia: faltan 7 s para el siguiente paso",
        ),
        (
            HeldBy::Pin {
                until: Some(in_seconds(300)),
            },
            "pinned by an operator for another 5 min",
            "fijado por un operador por 5 min más",
        ),
        (
            HeldBy::Pin { until: None },
            "pinned by an operator",
            "fijado por un operador",
        ),
    ];
    for (held, english, spanish) in cases {
        assert_eq!(held.words(Language::English, at(NOW)), english);
        assert_eq!(held.words(Language::Spanish, at(NOW)), spanish);
    }
}

#[test]
fn the_next_level_up_is_told_with_all_that_it_needs() {
    let rules = rules();
    let up = |needs: Vec<Need>| NextUp {
        level: Some(Level::Degraded),
        needs,
    };
    let until = Some(in_seconds(90));
    let cases = [
        (
            NextUp::default(),
            "everything is at its best",
            "todo está en su mejor nivel",
        ),
        (
            up(vec![]),
            "DEGRADED follows with the next evaluation",
            "DEGRADED sigue en la próxima evaluación",
        ),
        (
            up(vec![Need::FirstRound]),
            "DEGRADED when the first round of probes is over",
            "DEGRADED cuando termina la primera ronda de sondeos",
        ),
        (
            up(vec![Need::Unpin { until }]),
            "DEGRADED when the operator's pin ends (90 s)",
            "DEGRADED cuando termina la fijación del operador (90 s)",
        ),
        (
            up(vec![Need::Unpin { until: None }]),
            "DEGRADED when an operator takes the pin back",
            "DEGRADED cuando un operador quita la fijación",
        ),
        (
            up(vec![Need::Back(REDIS), Need::Back(S3)]),
            "DEGRADED when redis works again and s3 works again",
            "DEGRADED cuando redis vuelve a funcionar y s3 vuelve a funcionar",
        ),
        (
            up(vec![Need::Retried {
                dependency: REDIS,
                by: in_seconds(36),
            }]),
            "DEGRADED when redis works at the next try of its circuit breaker, within 36 s",
            "DEGRADED cuando redis funciona en la próxima prueba de su circuito, dentro de 36 s",
        ),
        (
            up(vec![Need::Released(REDIS)]),
            "DEGRADED when an operator lets go of the circuit breaker of redis",
            "DEGRADED cuando un operador suelta el circuito de redis",
        ),
        (
            up(vec![Need::Fewer {
                at_most: 1,
                down: 3,
            }]),
            "DEGRADED when at most 1 dependencies are down (3 are)",
            "DEGRADED cuando hay como máximo 1 dependencias caídas (hay 3)",
        ),
        (
            up(vec![
                Need::Score {
                    at_least: 72.0,
                    now: 65.25,
                },
                Need::Wait {
                    until: in_seconds(4),
                },
            ]),
            "DEGRADED when the score reaches 72.0 (it is 65.2) and 4 s pass",
            "DEGRADED cuando el puntaje llega a 72.0 (es 65.2) y pasan 4 s",
        ),
    ];
    for (next, english, spanish) in cases {
        assert_eq!(next.words(Language::English, &rules, at(NOW)), english);
        assert_eq!(next.words(Language::Spanish, &rules, at(NOW)), spanish);
    }
}

#[test]
fn a_cause_is_told_with_its_rule_and_its_last_failure() {
    let rules = rules();
    let since = at(NOW) - 5 * SECOND;
    let down = |rule, failure| CauseKind::Down {
        since,
        rule,
        failure,
    };
    let by_rule = [
        (Rule::Consecutive, "failures in a row", "fallas seguidas"),
        (Rule::Rate, "its share of failures", "proporción de fallas"),
        (
            Rule::Slow,
            "its share of slow calls",
            "proporción de llamadas lentas",
        ),
        (Rule::Probes, "failed probes", "sondeos fallidos"),
        (Rule::Operator, "an operator", "un operador"),
    ];
    let by_failure = [
        (FailureKind::Connect, "no connection", "sin conexión"),
        (FailureKind::Timeout, "timeout", "tiempo agotado"),
        (
            FailureKind::Protocol,
            "an answer against the protocol",
            "respuesta fuera de protocolo",
        ),
        (FailureKind::Unavailable, "unavailable", "no disponible"),
        (FailureKind::Internal, "an internal error", "error interno"),
        (
            FailureKind::Config,
            "refused by its configuration or permissions",
            "rechazo por configuración o permisos",
        ),
        (FailureKind::Overload, "overload", "sobrecarga"),
    ];
    let mut cases = vec![
        (
            down(None, None),
            "redis has been down for 5 s".to_owned(),
            "redis no funciona desde hace 5 s".to_owned(),
        ),
        (
            CauseKind::NeverAnswered {
                since,
                failure: None,
            },
            "redis has not answered since the start 5 s ago (no answer)".to_owned(),
            "redis no respondió desde el inicio, hace 5 s (sin respuesta)".to_owned(),
        ),
        (
            CauseKind::Unwell { score: 61.7 },
            "redis works badly (health 62 of 100)".to_owned(),
            "redis funciona mal (salud 62 de 100)".to_owned(),
        ),
    ];
    cases.extend(by_rule.map(|(rule, english, spanish)| {
        (
            down(Some(rule), None),
            format!("redis has been down for 5 s, opened by {english}"),
            format!("redis no funciona desde hace 5 s, abierto por {spanish}"),
        )
    }));
    cases.extend(by_failure.map(|(failure, english, spanish)| {
        (
            down(None, Some(failure)),
            format!("redis has been down for 5 s (last failure: {english})"),
            format!("redis no funciona desde hace 5 s (última falla: {spanish})"),
        )
    }));
    for (kind, english, spanish) in cases {
        let cause = Cause {
            dependency: REDIS,
            kind,
            forces: Level::Degraded,
        };
        assert_eq!(cause.words(Language::English, &rules, at(NOW)), english);
        assert_eq!(cause.words(Language::Spanish, &rules, at(NOW)), spanish);
    }
}

#[test]
fn why_a_feature_has_its_mode_is_told_with_the_remark_of_its_row_where_that_helps() {
    let rules = rules();
    let until = Some(in_seconds(60));
    let cases = [
        (
            FeatureReason::Unaffected,
            "nothing that it requires is a cause",
            "nada de lo que requiere es una causa",
        ),
        (
            FeatureReason::Cause(REDIS),
            "it requires redis, which is a cause of the level",
            "requiere redis, que es causa del nivel",
        ),
        (
            FeatureReason::ManyDown(2),
            "2 dependencies are down: the table applies to everything",
            "2 dependencias caídas: la tabla se aplica a todo",
        ),
        (
            FeatureReason::Strict,
            "the table always applies",
            "la tabla se aplica siempre",
        ),
        (
            FeatureReason::Pinned,
            "the level is pinned by an operator",
            "un operador fijó el nivel",
        ),
        (
            FeatureReason::Absent(REDIS),
            "redis is not configured",
            "redis no está configurado",
        ),
        (
            FeatureReason::Knob { until },
            "set by an operator for another 60 s",
            "puesto por un operador por 60 s más",
        ),
        (
            FeatureReason::Knob { until: None },
            "set by an operator",
            "puesto por un operador",
        ),
    ];
    let id = rules.feature_id("redis_cache").unwrap();
    let note = rules.feature(id).note.as_ref().unwrap();
    for (reason, english, spanish) in cases {
        for (mode, explained) in [
            (FeatureMode::Fallback, false),
            (FeatureMode::Limited, true),
            (FeatureMode::Partial, true),
            (FeatureMode::Off, false),
        ] {
            let state = FeatureState {
                id,
                mode,
                cell: mode,
                reason,
            };
            let with = |words: &str, note: &str| {
                let note = if explained {
                    format!("; {note}")
                } else {
                    String::new()
                };
                format!("{words}{note}")
            };
            let told = |language| state.words(language, &rules, at(NOW));
            assert_eq!(told(Language::English), with(english, &note.english));
            assert_eq!(told(Language::Spanish), with(spanish, &note.spanish));
        }
    }
}

#[test]
fn patterns_warnings_and_predictions_are_told_in_spanish_too() {
    let rules = rules();
    let warning = Warning::Cascade {
        from: REDIS,
        to: S3,
        impact: 0.299,
    };
    assert_eq!(
        warning.words(Language::English, &rules),
        "redis being down may cost s3 29 % of its health"
    );
    assert_eq!(
        PREDICTION.words(Language::Spanish),
        "probablemente de vuelta en 40 s, en nueve de diez casos en 5 min (cortes anteriores: 12)"
    );
    let recoveries = Recoveries {
        longest: 61 * SECOND,
        ..RECOVERIES
    };
    assert_eq!(
        recoveries.words(Language::Spanish),
        "3 cortes anteriores: la mitad duró hasta 7 s, nueve de diez hasta 60 s, el más largo 61 s, el último 5 s"
    );
}

/// Each event with its word and its sentence in English and Spanish.
fn events() -> Vec<(Event, &'static str, &'static str, &'static str)> {
    let (endpoint, feature) = (EndpointId(2), FeatureId(1));
    let (dependency, until) = (REDIS, Some(in_seconds(60)));
    let unwell = Cause {
        dependency,
        kind: CauseKind::Unwell { score: 12.0 },
        forces: Level::Optimal,
    };
    let changed = |cause, causes| Event::LevelChanged {
        from: Level::Optimal,
        to: Level::Degraded,
        target: Level::Degraded,
        score: 85.04,
        cause,
        causes,
    };
    let moved = |rule, kind| Event::Breaker {
        endpoint,
        transition: Transition {
            from: State::Closed,
            to: State::Open,
            at: at(NOW),
            generation: 1,
            rule,
            kind,
            retry_at: None,
        },
    };
    let repeating = Repeating {
        sequence: vec![REDIS, S3],
        repeats: 3,
        next: REDIS,
    };
    vec![
        (
            Event::FirstRoundOver {
                score: 99.96,
                level: Level::Optimal,
            },
            "first_round_over",
            "first round of probes over: score 100.0, level OPTIMAL",
            "terminó la primera ronda de sondeos: puntaje 100.0, nivel OPTIMAL",
        ),
        (
            changed(LevelCause::Opened(endpoint), vec![unwell]),
            "level_changed",
            "level OPTIMAL → DEGRADED at score 85.0: the breaker of redis opened; redis works badly (health 12 of 100)",
            "nivel OPTIMAL → DEGRADED con puntaje 85.0: se abrió el disyuntor de redis; redis funciona mal (salud 12 de 100)",
        ),
        (
            changed(LevelCause::Confirmed, vec![]),
            "level_changed",
            "level OPTIMAL → DEGRADED at score 85.0: the score stayed below",
            "nivel OPTIMAL → DEGRADED con puntaje 85.0: el puntaje siguió por debajo",
        ),
        (
            changed(LevelCause::Recovered, vec![]),
            "level_changed",
            "level OPTIMAL → DEGRADED at score 85.0: the score recovered",
            "nivel OPTIMAL → DEGRADED con puntaje 85.0: el puntaje se recuperó",
        ),
        (
            changed(LevelCause::Pinned, vec![]),
            "level_changed",
            "level OPTIMAL → DEGRADED at score 85.0: an operator set it",
            "nivel OPTIMAL → DEGRADED con puntaje 85.0: lo fijó un operador",
        ),
        (
            changed(LevelCause::Unpinned, vec![]),
            "level_changed",
            "level OPTIMAL → DEGRADED at score 85.0: the operator's pin ended",
            "nivel OPTIMAL → DEGRADED con puntaje 85.0: terminó la fijación del operador",
        ),
        (
            Event::Recovered { took: 70 * SECOND },
            "recovered",
            "back at OPTIMAL after 70 s",
            "de vuelta en OPTIMAL tras 70 s",
        ),
        (
            moved(None, None),
            "breaker_changed",
            "breaker of redis: closed → open",
            "disyuntor de redis: closed → open",
        ),
        (
            moved(Some(Rule::Rate), Some(FailureKind::Timeout)),
            "breaker_changed",
            "breaker of redis: closed → open, by its share of failures (timeout)",
            "disyuntor de redis: closed → open, por proporción de fallas (tiempo agotado)",
        ),
        (
            Event::ModeChanged {
                endpoint,
                from: Mode::Auto,
                to: Mode::Shadow,
            },
            "mode_changed",
            "breaker of redis: mode auto → shadow",
            "disyuntor de redis: modo auto → shadow",
        ),
        (
            Event::ProbesFailed {
                endpoint,
                kind: FailureKind::Connect,
            },
            "probes_failed",
            "probes of redis keep failing (no connection)",
            "los sondeos de redis siguen fallando (sin conexión)",
        ),
        (
            Event::ProbesPassed { endpoint },
            "probes_passed",
            "probes of redis pass again",
            "los sondeos de redis vuelven a pasar",
        ),
        (
            Event::DependencyDown { dependency },
            "dependency_down",
            "redis is down",
            "redis no funciona",
        ),
        (
            Event::DependencyUp {
                dependency,
                outage: 3 * SECOND,
            },
            "dependency_up",
            "redis is back after 3 s",
            "redis volvió tras 3 s",
        ),
        (
            Event::FailingTogether {
                dependencies: vec![REDIS, S3],
            },
            "failing_together",
            "began to fail within seconds of each other: redis, s3",
            "empezaron a fallar con segundos de diferencia: redis, s3",
        ),
        (
            Event::FailingInTurn { repeating },
            "failing_in_turn",
            "failures repeat in the order redis → s3 (3 times so far); next would be redis",
            "las fallas se repiten en el orden redis → s3 (3 veces hasta ahora); seguiría redis",
        ),
        (
            Event::HealthChanged {
                dependency,
                change: MachineChange {
                    at: at(NOW),
                    from: Machine::Healthy,
                    to: Machine::Failing,
                    score: 55.4,
                },
            },
            "health_changed",
            "health of redis: HEALTHY → FAILING at 55",
            "salud de redis: HEALTHY → FAILING con 55",
        ),
        (
            Event::Pinned {
                level: Level::Limited,
                until,
            },
            "level_pinned",
            "level pinned to LIMITED for 60 s",
            "nivel fijado en LIMITED por 60 s",
        ),
        (
            Event::Pinned {
                level: Level::Limited,
                until: None,
            },
            "level_pinned",
            "level pinned to LIMITED",
            "nivel fijado en LIMITED",
        ),
        (
            Event::Unpinned { expired: true },
            "level_unpinned",
            "the level's pin ran out",
            "venció la fijación del nivel",
        ),
        (
            Event::Unpinned { expired: false },
            "level_unpinned",
            "the level's pin was taken back",
            "se quitó la fijación del nivel",
        ),
        (
            Event::KnobSet {
                feature,
                mode: FeatureMode::Off,
                until,
            },
            "feature_set",
            "feature redis_cache set to off for 60 s",
            "función redis_cache puesta en off por 60 s",
        ),
        (
            Event::KnobCleared {
                feature,
                expired: true,
            },
            "feature_cleared",
            "the setting of feature redis_cache ran out",
            "venció el ajuste de la función redis_cache",
        ),
        (
            Event::KnobCleared {
                feature,
                expired: false,
            },
            "feature_cleared",
            "the setting of feature redis_cache was taken back",
            "se quitó el ajuste de la función redis_cache",
        ),
        (
            Event::Refused {
                what: "endpoint",
                index: 9,
            },
            "refused",
            "there is no endpoint number 9",
            "no existe endpoint número 9",
        ),
        (
            Event::SettingsChanged,
            "settings_changed",
            "new settings are in force",
            "rige una nueva configuración",
        ),
        (
            Event::AlertRaised(Alert::JournalFaulted),
            "alert_raised",
            "alert: the journal can't keep what it is given",
            "alerta: el registro no puede guardar lo que recibe",
        ),
        (
            Event::AlertOver(Alert::JournalFaulted),
            "alert_over",
            "alert over: the journal keeps again what it is given",
            "fin de alerta: el registro vuelve a guardar lo que recibe",
        ),
    ]
}

#[test]
fn every_event_has_its_own_word_and_sentence() {
    let rules = rules();
    for (event, kind, english, spanish) in events() {
        assert_eq!(event.kind(), kind);
        let told = |language| event.words(language, &rules, at(NOW));
        assert_eq!(told(Language::English), english);
        assert_eq!(told(Language::Spanish), spanish);
    }
    let slow = Alert::SlowRecovery { took: 90 * SECOND };
    let words = slow.end_words(Language::Spanish, &rules, at(NOW));
    assert_eq!(words, "la recuperación tardó 90 s");
    let kinds = [
        slow,
        Alert::Degraded {
            since: at(NOW),
            level: Level::Limited,
        },
        Alert::Latency {
            dependency: REDIS,
            p95: SECOND,
            threshold: SECOND,
        },
    ];
    assert_eq!(
        kinds.map(|alert| alert.kind()),
        ["slow_recovery", "degraded", "latency"]
    );
    assert_eq!(
        kinds.map(|alert| alert.dependency()),
        [None, None, Some(REDIS)]
    );
}
