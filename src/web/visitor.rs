//! Where a request comes from, as far as it can be known.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, header};

use super::App;
use crate::domain::forwarded;
use crate::domain::limits::{Network, is_local};

/// See [`forwarded`].
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visitor {
    /// Their address.
    pub(super) ip: Option<IpAddr>,
    /// What they are counted by. None where everyone comes from the same address: from a proxy beside us that is not
    /// named in `serve.trusted_proxies`.
    pub(super) network: Option<Network>,
}

/// Where a request that was routed came from.
pub(super) fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip())
}

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        Ok(Self::of(app, peer(&parts.extensions), &parts.headers))
    }
}

impl Visitor {
    /// Who sent a request from there, with these headers.
    pub(super) fn of(app: &App, peer: Option<IpAddr>, headers: &HeaderMap) -> Self {
        peer.map_or(Self { ip: None, network: None }, |peer| seen(app, peer, headers))
    }
}

fn seen(app: &App, peer: IpAddr, headers: &HeaderMap) -> Visitor {
    let trusted = &app.publication.config.trusted_proxies;
    let values =
        |name: &str| -> Vec<&str> { headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect() };
    let (forwarded_for, forwarded) = (values(FORWARDED_FOR), values(header::FORWARDED.as_str()));
    if trusted.is_empty() && is_local(peer) {
        let says_more = !forwarded_for.is_empty() || !forwarded.is_empty();
        if says_more && !app.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a proxy says where requests come from and is not believed: name it in serve.trusted_proxies"
            );
        }
        return Visitor { ip: Some(peer), network: None };
    }
    let ip = forwarded::visitor(peer, trusted, &forwarded_for, &forwarded);
    Visitor { ip: Some(ip), network: Some(Network::of(ip)) }
}
