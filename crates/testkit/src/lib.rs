//! Real servers, a fault proxy and a patient wait for tests.
