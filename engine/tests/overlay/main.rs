//! The overlay's promises: no message is lost, doubled or left hanging, whatever comes in whatever order, and
//! whatever of a flush survives a crash. Nothing here waits; the time is a number.

mod action;
mod campaigns;
mod cast;
mod causes;
mod details;
mod messages;
mod once;
mod property;
mod settle;
mod steps;
mod views;
mod watch;
mod why;
mod wire;
mod world;
