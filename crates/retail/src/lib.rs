//! inventario, the retail back office: AI tasks with rule-based versions.
