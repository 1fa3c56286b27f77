//! The gate in front of every operation of the document: who asks, from where, whether the key is still good and good for
//! this, and whether it has asked too often. What an operation demands is read from the document itself. Not whose
//! things may be seen: that is asked where a thing is named.

use super::demand::Demand;
use super::purse::Rate;
use super::ring::Pass;
use super::{Caller, PREFIX, origin};
use crate::body::check_key;
use crate::metrics;
use crate::problem::{Code, Problem};
use crate::secret;
use crate::state::ApiState;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kabar_engine::hash::HashMap;
use kabar_engine::id::TenantId;
use kabar_schema::records::KeyOwner;
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What the operations of the document demand, by address and method.
#[derive(Debug, Default)]
pub(crate) struct Demands(HashMap<String, Vec<(Method, Demand)>>);

impl Demands {
    /// As the document says.
    pub(crate) fn of(document: &Value) -> Self {
        let mut all: HashMap<String, Vec<(Method, Demand)>> = HashMap::default();
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                let method = Method::from_bytes(method.to_uppercase().as_bytes());
                let method = method.expect("invariant: the document names methods of HTTP");
                let demand = Demand::said(operation).expect("invariant: every operation names its scope");
                all.entry(path.clone()).or_default().push((method, demand));
            }
        }
        Self(all)
    }

    /// As a list says, of what is not in the document.
    pub(crate) fn listed<'a>(list: impl Iterator<Item = (&'a str, Method, Demand)>) -> Self {
        let mut all: HashMap<String, Vec<(Method, Demand)>> = HashMap::default();
        list.for_each(|(path, method, demand)| {
            all.entry(path.to_owned()).or_default().push((method, demand))
        });
        Self(all)
    }

    /// HEAD is GET without its body.
    fn find(&self, path: &str, method: &Method) -> Option<Demand> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.0.get(path)?.iter().find(|(of, _)| of == method).map(|(_, demand)| *demand)
    }
}

/// What the gate is given.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) state: ApiState,
    pub(crate) demands: Arc<Demands>,
}

/// Lets a request through, with its [`Caller`] beside it, or answers it.
pub(crate) async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    // An address without this method: the router says so, and no handler is reached.
    let Some(demand) = gate.demand(path, request.method()) else { return next.run(request).await };
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    gate.through(demand, peer, request, |request| next.run(request)).await
}

impl Gate {
    /// What an operation of the document demands.
    pub(crate) fn demand(&self, path: &str, method: &Method) -> Option<Demand> {
        self.demands.find(path, method)
    }

    /// The same for an operation that is known; `inner` is what lies behind the gate.
    pub(crate) async fn through<F: Future<Output = Response>>(
        &self,
        demand: Demand,
        peer: Option<IpAddr>,
        mut request: Request,
        inner: impl FnOnce(Request) -> F,
    ) -> Response {
        let state = &self.state;
        let caller = match identify(state, request.headers()).await {
            Ok(caller) => caller,
            Err(problem) => return problem.into_response(),
        };
        let Caller::Key(pass) = &caller else {
            request.extensions_mut().insert(caller);
            return enter(request, inner).await;
        };
        let pass = Arc::clone(pass);
        let from = peer.and_then(|peer| {
            origin::address(request.headers(), peer, &state.config.auth.trusted_proxies.networks)
        });
        let mut response = match admit(state, &pass, from, demand) {
            Ok(()) => {
                request.extensions_mut().insert(caller);
                enter(request, inner).await
            }
            Err(problem) => problem.into_response(),
        };
        pass.tell(state.now(), response.headers_mut());
        response
    }
}

/// What is the same for every operation is looked at once here: a layer of its own costs each request as much as a handler.
async fn enter<F: Future<Output = Response>>(request: Request, inner: impl FnOnce(Request) -> F) -> Response {
    match check_key(&request) {
        Ok(()) => inner(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Who has this key, whether it is still good or not.
async fn identify(state: &ApiState, headers: &HeaderMap) -> Result<Caller, Problem> {
    let missing = || Problem::new(Code::MissingKey, "There is no Authorization header with a bearer key.");
    let header = headers.get(AUTHORIZATION).ok_or_else(missing)?;
    let (scheme, given) = header.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    let given = given.trim();
    let invalid = || Problem::new(Code::InvalidKey, "The key is not known here, or was revoked.");
    let is_api_key = given.starts_with(PREFIX);
    // An operator may have chosen a key that looks like one of ours.
    let may_be_operator = !is_api_key || state.operator_key.starts_with(PREFIX);
    if may_be_operator && secret::same(given, &state.operator_key) {
        return Ok(Caller::Operator);
    }
    if !is_api_key {
        return Err(invalid());
    }
    let pass = state.ring.pass(state.nouns(), given, state.now()).await?.ok_or_else(invalid)?;
    if pass.key.revoked.is_some() { Err(invalid()) } else { Ok(Caller::Key(pass)) }
}

/// The tenant whose key a request was made with; none: it is the operator's, a reseller's or nobody's.
pub(crate) async fn tenant(state: &ApiState, headers: &HeaderMap) -> Option<TenantId> {
    match identify(state, headers).await.ok()? {
        Caller::Key(pass) => match pass.key.owner {
            KeyOwner::Tenant(tenant) => Some(tenant),
            KeyOwner::Reseller(_) => None,
        },
        Caller::Operator => None,
    }
}

/// Whether the key is good now, from here, often enough, and for this.
fn admit(state: &ApiState, pass: &Pass, from: Option<IpAddr>, demand: Demand) -> Result<(), Problem> {
    let now = state.now();
    if pass.key.expires.is_some_and(|expires| expires <= now) {
        return Err(Problem::new(Code::KeyExpired, "The time of the key is over."));
    }
    if !pass.networks.is_empty() && !from.is_some_and(|address| pass.networks.hold(address)) {
        let detail = "The key may not be used from the address this request came from.";
        return Err(Problem::new(Code::AddressNotAllowed, detail));
    }
    pass.enter(now, from).map_err(|wait_ms| limited(Rate::Api, wait_ms))?;
    let scope = match demand {
        Demand::AnyKey => return Ok(()),
        Demand::Operator => {
            return Err(Problem::new(Code::OperatorOnly, "This needs the operator's key."));
        }
        Demand::Scope(scope) => scope,
    };
    if scope.is_resellers() && matches!(pass.key.owner, KeyOwner::Tenant(_)) {
        return Err(Problem::new(Code::OperatorOnly, "This needs the operator's key, or a reseller's."));
    }
    match &pass.key.scopes {
        Some(scopes) if !scopes.contains(&scope) => {
            let detail = format!("This needs a key with the scope `{}`.", scope.word());
            Err(Problem::new(Code::ScopeMissing, detail).with("scope", scope.word()))
        }
        _ => Ok(()),
    }
}

/// Too many of these.
pub(crate) fn limited(rate: Rate, wait_ms: u64) -> Problem {
    metrics::limited(rate.word());
    let detail = match rate {
        Rate::Api => "The key has sent as many requests as it may.",
        Rate::Send => "The key has sent as many messages as it may.",
    };
    Problem::new(Code::RateLimited, detail).after(wait_ms).with("bucket", rate.word())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_behind_the_gate_and_head_is_get() {
        let document = crate::router::description();
        let demands = Demands::of(&document);
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                assert!(demands.find(path, &method).is_some(), "{method} {path}");
            }
        }
        let get = demands.find("/v1/messages/{id}", &Method::GET);
        assert!(get.is_some() && demands.find("/v1/messages/{id}", &Method::HEAD) == get);
        assert_eq!(demands.find("/v1/messages/{id}", &Method::PUT), None);
    }
}
