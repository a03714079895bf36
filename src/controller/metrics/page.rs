//! `/metrics`.

use std::time::Duration;

use axum::Router;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::{mpsc, oneshot};

use super::super::clock::wall;
use super::{Access, Metrics};
use crate::ledger::Figures;

/// Asks the controller's loop for figures, and hears what is asked.
pub(in super::super) type Questions = mpsc::Sender<oneshot::Sender<Option<Figures>>>;
pub(in super::super) type Asked = mpsc::Receiver<oneshot::Sender<Option<Figures>>>;

/// How long the loop may take to answer; after that there are figures of requests and writes alone.
const PATIENCE: Duration = Duration::from_secs(2);
/// The form of the text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `/metrics`, for those whom `access` lets in, or for everybody where there is none.
pub(in super::super) fn router(metrics: Metrics, questions: Questions, access: Option<Access>) -> Router {
    let page = move |headers: HeaderMap| answer(metrics.clone(), questions.clone(), access.clone(), headers);
    Router::new().route(PATH, get(page))
}

const PATH: &str = "/metrics";

async fn answer(
    metrics: Metrics,
    questions: Questions,
    access: Option<Access>,
    headers: HeaderMap,
) -> Response {
    if let Some(access) = access {
        let authorization = headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok());
        if let Err(denial) = access.check(authorization, PATH).await {
            return denial.into_response();
        }
    }
    let figures = ask(&questions).await;
    match metrics.text(figures.as_ref(), wall().as_second()) {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn ask(questions: &Questions) -> Option<Figures> {
    let (tell, told) = oneshot::channel();
    questions.try_send(tell).ok()?;
    tokio::time::timeout(PATIENCE, told).await.ok()?.ok()?
}
