//! The HTTP service: routes, keys, limits, metrics, problem details.
