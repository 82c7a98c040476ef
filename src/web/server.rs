//! Connections, and what is answered before any route is looked for: documents from memory, which are asked for a hundred
//! times for each page that is read.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, Response, header};
use futures_util::future::Either;
use http_body_util::{Either as Of, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use super::poller::Poll;
use super::{App, cache, router};
use crate::task::dispatch::Stop;

/// How long a connection is kept on which no request comes, or none to the end of its head: longer than any proxy keeps
/// one for the next request, for what a proxy sends into a connection that is being closed is lost.
const HEAD_WITHIN: Duration = Duration::from_mins(3);

/// How long requests under way may take after the word to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// How long nothing is accepted after the system could not give another connection.
const BREATH: Duration = Duration::from_secs(1);

/// Serves until the word to stop; requests under way have [`LAST_ANSWERS`] to be finished.
pub async fn serve(listener: TcpListener, app: Arc<App>, mut stop: Stop) {
    let routes = TowerToHyperService::new(router(Arc::clone(&app)));
    let mut builder = Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    let open = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = stop.given() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // An answer is written whole: there is nothing to wait for.
                let _ = stream.set_nodelay(true);
                let front = Front { app: Arc::clone(&app), routes: routes.clone(), peer };
                let connection = builder.serve_connection(TokioIo::new(stream), front);
                tokio::spawn(open.watch(connection));
            }
            // Whoever wanted it is gone.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            // As with too many open files: it passes.
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                let _ = tokio::time::timeout(BREATH, stop.given()).await;
            }
        }
    }
    drop(listener);
    // A request that is never sent to its end would be waited for as long.
    let _ = tokio::time::timeout(LAST_ANSWERS, open.shutdown()).await;
}

/// What answers on one connection.
#[derive(Debug)]
struct Front {
    app: Arc<App>,
    routes: TowerToHyperService<Router>,
    peer: SocketAddr,
}

type Answer = Response<Of<Full<Bytes>, Body>>;
type Answered = Result<Answer, Infallible>;

impl Service<Request<Incoming>> for Front {
    type Response = Answer;
    type Error = Infallible;
    type Future = Either<Ready<Answered>, Pin<Box<dyn Future<Output = Answered> + Send>>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if matches!(*request.method(), Method::GET | Method::HEAD)
            && let Some(document) = self.app.site.load().documents.get(request.uri().path())
        {
            let poll = Poll::new(&self.app, Some(self.peer.ip()), &request);
            return Either::Left(ready(Ok(poll.answer(&self.app, document).map(Of::Left))));
        }
        if request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        {
            return Either::Left(ready(Ok(cache::preflight().map(Of::Left))));
        }
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let routed = self.routes.call(request);
        Either::Right(Box::pin(async move { Ok(routed.await?.map(Of::Right)) }))
    }
}
