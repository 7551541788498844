//! Who may use the console.

use std::sync::Arc;

use axum::{
    extract::{Query, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::api::Shared;
use crate::web::token;

/// What may follow a question mark.
#[derive(Deserialize)]
pub struct Given {
    token: Option<String>,
}

/// Passes on what is allowed. With a token, who shows it. Without one the console is on loopback:
/// then a page from elsewhere must not speak for the operator, so requests name this machine, and
/// those that change something are such as browsers send to strangers only when they may.
pub async fn check(
    State(shared): State<Arc<Shared>>,
    Query(given): Query<Given>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let wanted = shared.config.token.as_ref();
    if !token::may(wanted, given.token.as_deref(), &headers) {
        return token::refusal();
    }
    if wanted.is_none() && !names_this_machine(&headers) {
        let hint = "without a token the console answers to localhost only\n";
        return (StatusCode::FORBIDDEN, hint).into_response();
    }
    let changes = ![Method::GET, Method::HEAD].contains(request.method());
    if changes && !headers.contains_key("x-flvcast") {
        let hint = "requests that change something need the header X-Flvcast: 1\n";
        return (StatusCode::FORBIDDEN, hint).into_response();
    }
    next.run(request).await
}

fn names_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_will_do() {
        let is_ours = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            names_this_machine(&headers)
        };
        for host in ["localhost:8090", "127.0.0.1:8090", "[::1]:8090", "LOCALHOST", "127.0.0.1"] {
            assert!(is_ours(host), "{host}");
        }
        for host in ["evil.example:8090", "localhost.evil.example", "192.0.2.1:8090", ""] {
            assert!(!is_ours(host), "{host}");
        }
    }
}
