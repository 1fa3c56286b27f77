//! Temporary.
#[path = "schema/backend.rs"]
mod backend;
#[path = "schema/measure.rs"]
mod measure;
#[path = "schema/model.rs"]
mod model;
#[path = "schema/records_suite.rs"]
mod records_suite;
#[path = "schema/snapshot.rs"]
mod snapshot;
#[path = "schema/views_suite.rs"]
mod views_suite;
#[path = "schema/world.rs"]
mod world;
