//! Every route on one page. What a route does stands in `routes/<noun>.rs`.

use crate::auth::demand::Demand;
use crate::auth::gate::{self, Demands, Gate};
use crate::dialect;
use crate::edge::threshold::{self, Threshold};
use crate::metrics::Tallies;
use crate::openapi;
use crate::problem::TraceId;
use crate::routes::{
    app, batch, campaign, contact, conversation, docs, event, health, import, key, media, message, optout,
    provider_template, reseller, session, subscription, template, tenant, webhook,
};
use crate::state::ApiState;
use crate::telemetry::trace::Trace;
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::Either;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tower_service::Service;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

/// What describes itself stands with `at`, in the order of the document; the rest is not in the document.
fn described() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        // The operator's and the resellers'.
        .at("/v1/tenants", routes!(tenant::post, tenant::list))
        .at("/v1/tenants/{id}", routes!(tenant::get, tenant::patch))
        .at("/v1/resellers", routes!(reseller::post, reseller::list))
        .at("/v1/resellers/{id}", routes!(reseller::get))
        // A tenant's or a reseller's; the operator names either.
        .at("/v1/key", routes!(key::whoami::get))
        .at("/v1/keys", routes!(key::post, key::list))
        .at("/v1/keys/{id}", routes!(key::get, key::patch, key::delete))
        .at("/v1/keys/{id}/rotate", routes!(key::rotation::post))
        // A tenant's; the operator and its reseller name it with Kabar-Tenant.
        .at("/v1/apps", routes!(app::post, app::list))
        .at("/v1/apps/{id}", routes!(app::get, app::patch))
        .at("/v1/sessions", routes!(session::post, session::list))
        .at("/v1/sessions/{id}", routes!(session::get, session::change::patch, session::change::delete))
        .merge(at_meta())
        .at("/v1/contacts", routes!(contact::post, contact::list))
        .at("/v1/contacts/{id}", routes!(contact::get, contact::patch, contact::delete))
        .at("/v1/contacts/import/preview", routes!(import::preview::post))
        .at("/v1/imports", routes!(import::list))
        .at("/v1/imports/{id}", routes!(import::get))
        .at("/v1/media/{id}", routes!(media::get, media::delete))
        .at("/v1/messages", routes!(message::post))
        .at("/v1/messages/batch", routes!(batch::post))
        .at("/v1/messages/{id}", routes!(message::get, message::delete))
        .at("/v1/messages/{id}/read", routes!(message::read::post))
        .at("/v1/messages/{id}/why", routes!(message::why::get))
        .at("/v1/conversations", routes!(conversation::list))
        .at("/v1/conversations/{id}", routes!(conversation::get))
        .at("/v1/conversations/{id}/messages", routes!(conversation::messages))
        .at("/v1/events", routes!(event::list))
        .at("/v1/webhooks", routes!(subscription::post, subscription::list))
        .at("/v1/webhooks/{id}", routes!(subscription::get, subscription::patch, subscription::delete))
        .at("/v1/webhooks/{id}/rotate-secret", routes!(subscription::rotate))
        .at("/v1/webhooks/{id}/enable", routes!(subscription::enable))
        .at("/v1/webhooks/{id}/test", routes!(subscription::replay::test))
        .at("/v1/webhooks/{id}/replay", routes!(subscription::replay::post))
        .at("/v1/webhooks/{id}/deliveries", routes!(subscription::delivery::list))
        .at("/v1/templates", routes!(template::post, template::list))
        .at("/v1/templates/{id}", routes!(template::get, template::patch, template::delete))
        .at("/v1/templates/{id}/preview", routes!(template::preview::post))
        .at("/v1/campaigns", routes!(campaign::post, campaign::list))
        .at("/v1/campaigns/{id}", routes!(campaign::get))
        .at("/v1/campaigns/{id}/preview", routes!(campaign::report::preview))
        .at("/v1/campaigns/{id}/clone", routes!(campaign::linked::clone))
        .at("/v1/campaigns/{id}/retry", routes!(campaign::linked::retry))
        .at("/v1/campaigns/{id}/recipients", routes!(campaign::recipient::list))
        .at("/v1/campaigns/{id}/{verb}", routes!(campaign::act))
        .at("/v1/optouts", routes!(optout::list, optout::post, optout::delete))
}

/// What is kept at Meta for a number and its account.
fn at_meta() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .at("/v1/sessions/{id}/check", routes!(session::change::check))
        .at("/v1/sessions/{id}/profile", routes!(session::profile::get, session::profile::put))
        .at(
            "/v1/sessions/{id}/blocks",
            routes!(session::block::list, session::block::post, session::block::delete),
        )
        .at(
            "/v1/sessions/{id}/registration",
            routes!(session::registration::post, session::registration::delete),
        )
        .at("/v1/sessions/{id}/registration/code", routes!(session::registration::code))
        .at("/v1/sessions/{id}/registration/verify", routes!(session::registration::verify))
        .at("/v1/sessions/{id}/two-step", routes!(session::registration::two_step))
        .at(
            "/v1/sessions/{id}/subscribed-apps",
            routes!(
                session::subscribed_app::list,
                session::subscribed_app::post,
                session::subscribed_app::delete
            ),
        )
        .at(
            "/v1/sessions/{id}/provider-templates",
            routes!(provider_template::list, provider_template::post, provider_template::delete_named),
        )
        .at(
            "/v1/sessions/{id}/provider-templates/{template}",
            routes!(provider_template::get, provider_template::patch, provider_template::delete),
        )
        .at("/v1/sessions/{id}/provider-templates/{template}/unpause", routes!(provider_template::unpause))
}

/// What reads or writes a whole file or audience takes as long as it takes: no deadline.
fn untimed() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .at("/v1/events/stream", routes!(event::stream::get))
        .at("/v1/events/socket", routes!(event::socket::get))
        .at("/v1/media", routes!(media::post, media::list))
        .at("/v1/media/{id}/content", routes!(media::content::get))
        .at("/v1/contacts/import", routes!(import::post))
        .at("/v1/contacts/export", routes!(contact::export::get))
        .at("/v1/imports/{id}/errors", routes!(import::errors::get))
        .at("/v1/campaigns/{id}/preflight", routes!(campaign::report::preflight))
        .at("/v1/campaigns/{id}/export", routes!(campaign::recipient::export))
}

/// A route whose handlers say the same address.
trait At {
    fn at(self, path: &str, routes: UtoipaMethodRouter<ApiState>) -> Self;
}

impl At for OpenApiRouter<ApiState> {
    fn at(self, path: &str, routes: UtoipaMethodRouter<ApiState>) -> Self {
        assert!(routes.1.paths.keys().eq([path]), "a handler at {path} says it stands elsewhere");
        self.routes(routes)
    }
}

/// The OpenAPI document.
pub(crate) fn description() -> Value {
    openapi::document(&described().merge(untimed()).into_openapi())
}

/// What every operation of `/v1` has in front of it.
fn guarded(routes: OpenApiRouter<ApiState>, gate: &Gate) -> Router<ApiState> {
    routes.split_for_parts().0.layer(from_fn_with_state(gate.clone(), gate::pass))
}

/// The whole API, as the server asks it.
pub(crate) struct Routes {
    router: Router,
    /// Three webhooks come back for each message: they go straight to their route. Finding it in the router and
    /// passing the layers in front of it would cost as much as reading what they say.
    webhooks: Option<Arc<Threshold>>,
    /// And so does a single message.
    sends: Option<Arc<Sends>>,
}

/// What a single message passes on its way, as its route in the router does.
struct Sends {
    threshold: Threshold,
    gate: Gate,
    demand: Demand,
}

impl Sends {
    fn of(threshold: Threshold, gate: Gate) -> Self {
        let demand = gate.demand(message::PATH, &Method::POST);
        let demand = demand.expect("invariant: the document has the route of a single message");
        Self { threshold, gate, demand }
    }

    async fn answer(&self, mut request: Request, peer: SocketAddr) -> Response {
        let trace = Trace::of(request.headers());
        request.extensions_mut().insert(TraceId(trace.id()));
        let state = &self.gate.state;
        // Boxed, since every step of the threshold moves it once.
        let send = |request| {
            let inner = |request| message::post.call(request, state.clone());
            self.gate.through(self.demand, Some(peer.ip()), request, inner).boxed()
        };
        self.threshold.over(message::PATH, trace, request, send).await
    }
}

impl From<Router> for Routes {
    fn from(router: Router) -> Self {
        Self { router, webhooks: None, sends: None }
    }
}

impl Routes {
    /// Answers a request.
    pub(crate) fn answer(
        &self,
        mut request: Request,
        peer: SocketAddr,
    ) -> impl Future<Output = Response> + use<> {
        if let Some((threshold, app)) = self.webhooks.as_ref().zip(webhook::addressed(&request)) {
            let threshold = Arc::clone(threshold);
            let answering = async move {
                let state = &threshold.state;
                // Boxed, since every step of the threshold moves it once.
                let take = |request: Request| {
                    async move { webhook::take(state, app, request).await.into_response() }.boxed()
                };
                let trace = Trace::of(request.headers());
                threshold.over(webhook::PATH, trace, request, take).await
            };
            // And so is the whole: the server moves it some times before it is asked.
            return Either::Left(answering.boxed());
        }
        if let Some(sends) = self.sends.as_ref().filter(|_| message::is_sent(&request)) {
            let sends = Arc::clone(sends);
            return Either::Left(async move { sends.answer(request, peer).await }.boxed());
        }
        dialect::tidy(&mut request);
        request.extensions_mut().insert(ConnectInfo(peer));
        Either::Right(
            self.router.clone().call(request).map(|answered| answered.unwrap_or_else(|never| match never {})),
        )
    }
}

/// The whole API.
pub(crate) fn routes(state: ApiState) -> Routes {
    let deadline = Duration::from_millis(state.config.server.request_timeout_ms);
    let description = description();
    let gate = Gate { state: state.clone(), demands: Arc::new(Demands::of(&description)) };
    // Made once: anybody may ask for it, as often as they like.
    let document = Bytes::from(description.to_string());
    let dialected = Bytes::from(dialect::operation::document().to_string());
    let timed = guarded(described(), &gate)
        // Providers'; signed instead of keyed.
        .route(webhook::PATH, get(webhook::challenge).post(webhook::receive))
        // For machines that watch.
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        // For people who read.
        .route("/docs", get(docs::reader))
        .route("/docs/viewer.js", get(docs::viewer))
        .route("/docs/errors", get(docs::errors))
        .route(openapi::PATH, get(move || docs::description(document.clone())))
        // For programs written for Meta.
        .route(dialect::operation::PATH, get(move || docs::description(dialected.clone())))
        .merge(dialect::router(&state));
    let tallies = Arc::<Tallies>::default();
    let threshold = |limit| Threshold { state: state.clone(), tallies: Arc::clone(&tallies), limit };
    let across = |limit| from_fn_with_state(threshold(limit), threshold::cross);
    let webhooks = Some(Arc::new(threshold(Some(deadline))));
    let sends = Some(Arc::new(Sends::of(threshold(Some(deadline)), gate.clone())));
    let router = timed
        .layer(across(Some(deadline)))
        .merge(guarded(untimed(), &gate).layer(across(None)))
        .merge(Router::new().fallback(health::nowhere).layer(across(None)))
        .with_state(state);
    Routes { router, webhooks, sends }
}
