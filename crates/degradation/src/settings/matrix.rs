//! The feature matrix by default.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::{FeatureSettings, Note};
use crate::features::FeatureMode::{self, Fallback, Limited, Local, Off, On, Partial, Queued};

type Row = (
    &'static str,
    [FeatureMode; 5],
    &'static [&'static str],
    Option<(&'static str, &'static str)>,
);

const ALWAYS: [FeatureMode; 5] = [On; 5];
const UNTIL_LIMITED: [FeatureMode; 5] = [On, On, On, Off, Off];
const UNTIL_MINIMAL: [FeatureMode; 5] = [On, On, On, On, Off];

const ROWS: [Row; 22] = [
    (
        "core_application",
        [On, On, On, On, Partial],
        &["database"],
        Some(("reads only", "solo lecturas")),
    ),
    (
        "redis_cache",
        [On, Fallback, Partial, Off, Off],
        &["redis"],
        Some((
            "partial: no writes to shared keys",
            "parcial: sin escrituras en claves compartidas",
        )),
    ),
    (
        "realtime_updates",
        [On, Off, Off, Off, Off],
        &["redis"],
        Some((
            "publishing of live updates",
            "publicación de novedades en vivo",
        )),
    ),
    (
        "openai_api",
        [On, On, Limited, Off, Off],
        &["openai"],
        Some((
            "limited: second provider or cache only",
            "limitado: solo segundo proveedor o caché",
        )),
    ),
    (
        "s3_uploads",
        [On, Queued, Partial, Off, Off],
        &["s3"],
        Some((
            "partial: journal bound halved",
            "parcial: cola local a la mitad",
        )),
    ),
    (
        "file_storage",
        [On, Local, Local, Partial, Off],
        &["s3"],
        Some(("partial: reads only", "parcial: solo lecturas")),
    ),
    ("write_operations", UNTIL_MINIMAL, &["database"], None),
    (
        "complex_queries",
        [On, On, Partial, Partial, Off],
        &["database"],
        Some((
            "partial: statement limit 1 s",
            "parcial: límite de 1 s por consulta",
        )),
    ),
    (
        "ai_enhancement",
        UNTIL_LIMITED,
        &["openai"],
        Some((
            "AI tasks of the back office",
            "tareas de IA de la administración",
        )),
    ),
    (
        "full_ai_pipeline",
        [On, Off, Off, Off, Off],
        &["openai", "s3"],
        Some(("picture to invoice", "de la imagen a la factura")),
    ),
    (
        "session_storage",
        [On, Fallback, Fallback, Off, Off],
        &["redis"],
        None,
    ),
    ("rate_limiting", ALWAYS, &[], None),
    ("image_processing", UNTIL_LIMITED, &["s3", "openai"], None),
    (
        "backup_operations",
        UNTIL_MINIMAL,
        &["database", "s3"],
        None,
    ),
    (
        "advanced_analytics",
        UNTIL_LIMITED,
        &["database"],
        Some(("reports", "informes")),
    ),
    (
        "real_time_inventory",
        [On, On, Off, Off, Off],
        &["database", "redis"],
        None,
    ),
    (
        "batch_processing",
        [On, On, Partial, Partial, Off],
        &["database"],
        Some(("partial: smaller batches", "parcial: lotes más chicos")),
    ),
    ("recommendations", UNTIL_LIMITED, &["openai"], None),
    ("health_check", ALWAYS, &[], None),
    ("status_page", ALWAYS, &[], None),
    ("metrics_export", ALWAYS, &[], None),
    ("database_read_readonly", ALWAYS, &[], None),
];

pub(super) fn standard() -> Vec<FeatureSettings> {
    ROWS.iter().map(feature).collect()
}

fn feature((name, modes, requires, note): &Row) -> FeatureSettings {
    FeatureSettings {
        name: (*name).to_string(),
        modes: *modes,
        requires: requires.iter().map(|name| (*name).to_string()).collect(),
        note: note.map(|(english, spanish)| Note {
            english: english.to_string(),
            spanish: spanish.to_string(),
        }),
    }
}
