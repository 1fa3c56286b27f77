//! `/docs`: the description of the API as a page for people, `/openapi.json` for machines, `/docs/errors`: what every
//! code means. Everything comes from this binary; the page may ask no other server.

use crate::problem::page;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;
use bytes::Bytes;

/// Redoc 2.5.4, MIT; see `api/vendor/redoc`.
const VIEWER: &str = include_str!("../../vendor/redoc/redoc.standalone.js");
/// What the page may load: this server's script and document, nothing else in the world.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; \
                      img-src 'self' data:; font-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'";
const PAGE: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Kabar API</title>\n\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
    <body>\n<redoc spec-url=\"/openapi.json\" disable-google-font></redoc>\n\
    <script src=\"/docs/viewer.js\"></script>\n</body>\n</html>\n";

/// `GET /docs`
pub(crate) async fn reader() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY)], PAGE)
}

/// `GET /docs/viewer.js`
pub(crate) async fn viewer() -> impl IntoResponse {
    let headers = [(CONTENT_TYPE, "text/javascript; charset=utf-8"), (CACHE_CONTROL, "public, max-age=3600")];
    (headers, VIEWER)
}

/// `GET /docs/errors`: what every code means.
pub(crate) async fn errors() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/markdown; charset=utf-8")], page())
}

/// `GET /openapi.json`: the description of the API.
pub(crate) async fn description(document: Bytes) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], document)
}
