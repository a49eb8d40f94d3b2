//! Runs one request: credential, body, handler, answer; and mounts the table of routes.
//!
//! Order matters. The credential comes before the body, so that strangers cannot make us hold a
//! megabyte. The handler is a plain function on a blocking thread: when the caller hangs up or the time
//! is over, it still runs to its end, so no committed change goes unannounced.
//!
//! Bounds: bodies of 1 MiB, 30 seconds, [`AT_ONCE`] requests on blocking threads; reaching one is an
//! answer, never a silent cut. Start at [`mount`].

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, RawPathParams, Request, State};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use bytes::Bytes;
use http::header::{ETAG, IF_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use lw_core::error::Dialect;
use lw_core::{Code, Error};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::caller::{Permit, authorize, touch};
use crate::edge::{self, Family};
use crate::input::{BODY, HEADER, refuse};
use crate::permission::Permission;
use crate::routes::{Open, Table};
use crate::{Admin, open};

/// The largest request body.
const MAX_BODY: usize = 1024 * 1024;
/// The longest that a request may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Requests that may occupy a blocking thread at the same time; the others wait for their turn.
const AT_ONCE: usize = 32;

/// What the running router holds.
pub(crate) struct App {
    pub(crate) admin: Admin,
    turns: Arc<Semaphore>,
}

/// One authorized request, as a handler sees it.
pub(crate) struct Call<P> {
    app: Arc<App>,
    /// Proof that the caller may do what this route does.
    pub(crate) permit: Permit<P>,
    id: Option<String>,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
}

/// What a handler answers with.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    body: Value,
    revision: Option<i64>,
}

impl Answer {
    /// 200.
    pub(crate) const fn ok(body: Value) -> Self {
        Self {
            status: StatusCode::OK,
            body,
            revision: None,
        }
    }

    /// 201.
    pub(crate) const fn created(body: Value) -> Self {
        Self {
            status: StatusCode::CREATED,
            body,
            revision: None,
        }
    }

    /// Says which revision of a row this is (`ETag`).
    pub(crate) const fn at_revision(mut self, revision: i64) -> Self {
        self.revision = Some(revision);
        self
    }
}

impl<P> Call<P> {
    /// What the control plane works with.
    pub(crate) fn admin(&self) -> &Admin {
        &self.app.admin
    }

    /// The id in the path; empty on routes without one.
    pub(crate) fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    /// The first value of a query parameter.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body, which must be a JSON object.
    ///
    /// # Errors
    /// `validation_error` at `json`.
    pub(crate) fn object(&self) -> Result<Map<String, Value>, Error> {
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(map)) => Ok(map),
            Ok(_) => Err(refuse(
                BODY,
                "body",
                "invalid_type",
                "must be a JSON object",
            )),
            // serde_json names a line, a column and what it expected; it never quotes the input.
            Err(error) => Err(refuse(
                BODY,
                "body",
                "invalid_json",
                format!("is not valid JSON: {error}"),
            )),
        }
    }

    /// Like [`Self::object`] for routes whose body may be left out.
    ///
    /// # Errors
    /// `validation_error` at `json`.
    pub(crate) fn object_or_nothing(&self) -> Result<Map<String, Value>, Error> {
        if self.body.trim_ascii().is_empty() {
            Ok(Map::new())
        } else {
            self.object()
        }
    }

    /// The revision that the caller saw last (`If-Match`); `None` when any will do.
    ///
    /// # Errors
    /// `validation_error` at `header`: the value is not one of our tags.
    pub(crate) fn if_match(&self) -> Result<Option<i64>, Error> {
        let Some(value) = self.headers.get(IF_MATCH) else {
            return Ok(None);
        };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(None);
        }
        let tag = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
        tag.parse().map(Some).map_err(|_not_a_number| {
            refuse(
                HEADER,
                "if-match",
                "invalid_value",
                "must be the ETag of an earlier answer",
            )
        })
    }
}

/// A handler with its permission forgotten, so that all routes fit into one table.
pub(crate) type Handler = Arc<
    dyn Fn(Arc<App>, Request, Option<String>) -> Pin<Box<dyn Future<Output = Response> + Send>>
        + Send
        + Sync,
>;

/// Binds a handler to the permission that its argument names.
pub(crate) fn guarded<P: Permission>(
    family: Family,
    handler: fn(&Call<P>) -> Result<Answer, Error>,
) -> Handler {
    Arc::new(move |app, request, id| {
        Box::pin(async move {
            run(app, family, request, id, handler)
                .await
                .unwrap_or_else(|error| edge::refuse(&error, family.dialect()))
        })
    })
}

async fn run<P: Permission>(
    app: Arc<App>,
    family: Family,
    request: Request,
    id: Option<String>,
    handler: fn(&Call<P>) -> Result<Answer, Error>,
) -> Result<Response, Error> {
    let deadline = Instant::now() + TIMEOUT;
    let (
        Parts {
            uri,
            headers,
            extensions,
            ..
        },
        body,
    ) = request.into_parts();

    let (permit, headers) = on_thread(&app, deadline, move |app| {
        let ip = extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map(|info| info.0.ip());
        Ok((authorize::<P>(&app.admin, family, &headers, ip)?, headers))
    })
    .await?;

    let collected = timeout_at(deadline, Limited::new(body, MAX_BODY).collect()).await;
    let body = match collected {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(Error::new(
                Code::PayloadTooLarge,
                "The body is larger than 1 MiB.",
            ));
        }
        Ok(Err(error)) => {
            return Err(Error::new(Code::BadRequest, "The body could not be read.").because(error));
        }
        Err(_elapsed) => {
            return Err(Error::new(
                Code::RequestTimeout,
                "The body did not arrive in time.",
            ));
        }
    };

    let answer = on_thread(&app, deadline, move |app| {
        let call = Call {
            app,
            permit,
            id,
            query: query_of(&uri),
            headers,
            body,
        };
        let answer = handler(&call)?;
        touch(call.admin(), &call.permit);
        Ok(answer)
    })
    .await?;

    let Answer {
        status,
        body,
        revision,
    } = answer;
    let mut response = edge::json(status, body.to_string());
    if let Some(revision) = revision
        && let Ok(tag) = HeaderValue::try_from(format!("\"{revision}\""))
    {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

/// Runs blocking work on a thread of its own, when it is its turn. The work runs to its end even when
/// nobody waits for it any more.
async fn on_thread<T: Send + 'static>(
    app: &Arc<App>,
    deadline: Instant,
    work: impl FnOnce(Arc<App>) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let late = || Error::new(Code::Overloaded, "too slow").retry_after(1);
    let turn = timeout_at(deadline, Arc::clone(&app.turns).acquire_owned())
        .await
        .map_err(|elapsed| late().because(elapsed))?
        .map_err(|closed| Error::new(Code::InternalError, "shut down").because(closed))?;
    let held = Arc::clone(app);
    let running = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work(held)
    });
    timeout_at(deadline, running)
        .await
        .map_err(|elapsed| late().because(elapsed))?
        .map_err(|panic| Error::new(Code::InternalError, "a handler failed").because(panic))?
}

fn query_of(uri: &Uri) -> Vec<(String, String)> {
    url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .into_owned()
        .collect()
}

/// Turns the table into a router. A trailing slash is accepted everywhere (management-api 1).
pub(crate) fn mount(admin: Admin, table: Table) -> Router {
    let app = Arc::new(App {
        admin,
        turns: Arc::new(Semaphore::new(AT_ONCE)),
    });
    let mut router = Router::new();
    for route in table.guarded {
        let Ok(filter) = MethodFilter::try_from(route.method) else {
            continue;
        };
        let handler = route.handler;
        let serve = move |State(app): State<Arc<App>>, params: RawPathParams, request: Request| {
            let id = params.iter().next().map(|(_, value)| value.to_owned());
            handler(app, request, id)
        };
        router = router
            .route(route.path, on(filter, serve.clone()))
            .route(&format!("{}/", route.path), on(filter, serve));
    }
    for Open { path, answer } in table.open {
        let serve = move |State(app): State<Arc<App>>| std::future::ready(answer(&app.admin));
        router = router.route(path, on(MethodFilter::GET, serve));
        if path.len() > 1 {
            router = router.route(&format!("{path}/"), on(MethodFilter::GET, serve));
        }
    }
    router
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .with_state(app)
}

async fn unknown_route() -> Response {
    std::future::ready(edge::refuse(
        &Error::new(Code::NotFound, "There is no such route.").tip(open::DIRECTIONS),
        Dialect::Management,
    ))
    .await
}

/// The router adds `Allow`.
async fn wrong_method() -> Response {
    std::future::ready(edge::refuse(
        &Error::new(
            Code::MethodNotAllowed,
            "The method is not served on this route.",
        ),
        Dialect::Management,
    ))
    .await
}
