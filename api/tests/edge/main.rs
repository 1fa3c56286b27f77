//! The edge through real ports: what callers are promised, asked over HTTP. One binary, a server per test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod audience;
mod auth;
mod backup;
mod busy;
mod campaign;
mod catalogue;
mod contact;
mod conversation;
mod coverage;
mod demo;
mod deploy;
mod drain;
mod event;
mod follow;
mod house;
mod import;
mod key;
mod killed;
mod limit;
mod matrix;
mod message;
mod notice;
mod once;
mod operations;
mod page;
mod place;
mod private;
mod receiver;
mod remote;
mod request;
mod reseller;
mod rotation;
mod sample;
mod silent;
mod subscription;
mod template;
mod tour;
mod trace;
mod watch;
mod webhook;
mod why;
