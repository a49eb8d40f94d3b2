//! Runs one request: credential, body, handler, answer; and mounts the table of routes.
//!
//! Order matters. The credential comes before the body, so that strangers cannot make us hold a
//! megabyte. The handler is a plain function on a blocking thread: when the caller hangs up or the time
//! is over, it still runs to its end, so no committed change goes unannounced.
//!
//! Bounds: bodies of 1 MiB, 30 seconds, [`AT_ONCE`] requests on blocking threads; reaching one is an
//! answer, never a silent cut. Start at [`mount`].

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{ConnectInfo, RawPathParams, Request, State};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, IF_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use lw_core::error::Dialect;
use lw_core::{Code, Error, OrganizationId};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::caller::{At, Permit, authorize, touch};
use crate::edge::{self, Family};
use crate::input::{BODY, HEADER, refuse};
use crate::limit::Meters;
use crate::permission::Permission;
use crate::routes::{Open, Table};
use crate::{Admin, open};

/// The largest request body.
const MAX_BODY: usize = 1024 * 1024;
/// The longest that a request may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Requests that may occupy a blocking thread at the same time; the others wait for their turn.
const AT_ONCE: usize = 32;
/// Tests of providers in a minute in one organization: each is a call to somebody else (management-api
/// 28.5).
const PROVIDER_TESTS: u32 = 10;

/// What the running router holds.
pub(crate) struct App {
    pub(crate) admin: Admin,
    meters: Meters,
    provider_tests: Meters,
    turns: Arc<Semaphore>,
}

/// What a route asks for before it runs: proof that the caller may do it.
pub(crate) trait Warrant: Sized + Send + Sync + 'static {
    /// Checks the credential of a request.
    ///
    /// # Errors
    /// The refusal, or the store failed.
    fn check(
        admin: &Admin,
        family: Family,
        at: At,
        headers: &HeaderMap,
        ip: Option<IpAddr>,
    ) -> Result<Self, Error>;

    /// What the call is counted under.
    fn meter(&self) -> &str;

    /// Told when the call succeeded.
    fn served(&self, admin: &Admin);
}

impl<P: Permission> Warrant for Permit<P> {
    fn check(
        admin: &Admin,
        family: Family,
        at: At,
        headers: &HeaderMap,
        ip: Option<IpAddr>,
    ) -> Result<Self, Error> {
        authorize(admin, family, at, headers, ip)
    }

    fn meter(&self) -> &str {
        (**self).meter()
    }

    fn served(&self, admin: &Admin) {
        touch(admin, self);
    }
}

/// One authorized request, as a handler sees it.
pub(crate) struct Asked<W> {
    app: Arc<App>,
    /// Proof that the caller may do what this route does.
    pub(crate) permit: W,
    params: Vec<(String, String)>,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
}

/// A request of a caller with the permission `P`.
pub(crate) type Call<P> = Asked<Permit<P>>;

/// What a handler answers with.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    body: String,
    revision: Option<i64>,
    again: bool,
    content_type: &'static str,
    next_cursor: Option<String>,
}

impl Answer {
    /// 200.
    pub(crate) fn ok(body: impl Into<Value>) -> Self {
        Self::with(StatusCode::OK, &body.into())
    }

    /// 201.
    pub(crate) fn created(body: impl Into<Value>) -> Self {
        Self::with(StatusCode::CREATED, &body.into())
    }

    fn with(status: StatusCode, body: &Value) -> Self {
        Self {
            status,
            body: body.to_string(),
            revision: None,
            again: false,
            content_type: "application/json",
            next_cursor: None,
        }
    }

    /// 200 with comma-separated values.
    pub(crate) const fn csv(body: String) -> Self {
        Self {
            status: StatusCode::OK,
            body,
            revision: None,
            again: false,
            content_type: "text/csv; charset=utf-8",
            next_cursor: None,
        }
    }

    /// Says where an answer that has no place for a cursor in its body goes on (`X-Next-Cursor`).
    pub(crate) fn goes_on(mut self, cursor: Option<String>) -> Self {
        self.next_cursor = cursor;
        self
    }

    /// The answer of an earlier call, byte for byte.
    pub(crate) fn again(status: u16, body: String, revision: Option<i64>) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::OK),
            body,
            revision,
            again: true,
            content_type: "application/json",
            next_cursor: None,
        }
    }

    /// Says which revision of a row this is (`ETag`).
    pub(crate) const fn at_revision(mut self, revision: i64) -> Self {
        self.revision = Some(revision);
        self
    }

    /// Status, body and revision: what is kept of it.
    pub(crate) fn parts(&self) -> (u16, &str, Option<i64>) {
        (self.status.as_u16(), &self.body, self.revision)
    }

    fn into_response(self) -> Response {
        let Self {
            status,
            body,
            revision,
            again,
            content_type,
            next_cursor,
        } = self;
        let mut response = edge::json(status, body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(revision) = revision
            && let Ok(tag) = HeaderValue::try_from(format!("\"{revision}\""))
        {
            headers.insert(ETAG, tag);
        }
        if let Some(cursor) = next_cursor.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(HeaderName::from_static("x-next-cursor"), cursor);
        }
        if again {
            let name = HeaderName::from_static("x-idempotent-replay");
            headers.insert(name, HeaderValue::from_static("true"));
        }
        response
    }
}

impl<W> Asked<W> {
    /// What the control plane works with.
    pub(crate) fn admin(&self) -> &Admin {
        &self.app.admin
    }

    /// Counts a test of a provider of an organization.
    ///
    /// # Errors
    /// `rate_limited`.
    pub(crate) fn count_provider_test(&self, organization: &OrganizationId) -> Result<(), Error> {
        let meters = &self.app.provider_tests;
        meters.spend(organization.as_str(), Instant::now())
    }

    /// What stands in the path for `{name}`; empty on routes without it.
    pub(crate) fn param(&self, name: &str) -> &str {
        let found = self.params.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// What stands in the path for `{id}`.
    pub(crate) fn id(&self) -> &str {
        self.param("id")
    }

    /// The first value of a query parameter.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A header of the request.
    pub(crate) fn header(&self, name: &str) -> Option<&HeaderValue> {
        self.headers.get(name)
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

    /// A field of the body as it was sent, byte for byte: for what is handed on unread. `None` when it is not
    /// there, or when the body is no object.
    pub(crate) fn verbatim(&self, field: &str) -> Option<&str> {
        let fields: HashMap<String, &RawValue> = serde_json::from_slice(&self.body).ok()?;
        fields.get(field).map(|value| value.get())
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

/// What varies in the path of a request.
pub(crate) type Params = Vec<(String, String)>;

/// A handler with its permission forgotten, so that all routes fit into one table.
pub(crate) type Handler = Arc<
    dyn Fn(Arc<App>, Request, Params) -> Pin<Box<dyn Future<Output = Response> + Send>>
        + Send
        + Sync,
>;

/// Binds a handler to what its argument names.
pub(crate) fn guarded<W: Warrant>(
    family: Family,
    at: At,
    handler: fn(&Asked<W>) -> Result<Answer, Error>,
) -> Handler {
    Arc::new(move |app, request, params| {
        Box::pin(async move {
            run(app, family, at, request, params, handler)
                .await
                .unwrap_or_else(|error| edge::refuse(&error, family.dialect()))
        })
    })
}

async fn run<W: Warrant>(
    app: Arc<App>,
    family: Family,
    at: At,
    request: Request,
    params: Params,
    handler: fn(&Asked<W>) -> Result<Answer, Error>,
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
        Ok((W::check(&app.admin, family, at, &headers, ip)?, headers))
    })
    .await?;
    if family.is_rate_limited() {
        app.meters.spend(permit.meter(), Instant::now())?;
    }

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
        let call = Asked {
            app,
            permit,
            params,
            query: query_of(&uri),
            headers,
            body,
        };
        let answer = handler(&call)?;
        call.permit.served(call.admin());
        Ok(answer)
    })
    .await?;
    Ok(answer.into_response())
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
        meters: Meters::new(
            admin.settings.rate_limit_rpm,
            "calls in a minute with this credential",
        ),
        provider_tests: Meters::new(
            PROVIDER_TESTS,
            "tests of providers in a minute in this organization",
        ),
        admin,
        turns: Arc::new(Semaphore::new(AT_ONCE)),
    });
    let mut router = Router::new();
    for route in table.guarded {
        let Ok(filter) = MethodFilter::try_from(route.method) else {
            continue;
        };
        let handler = route.handler;
        type Raw = Result<RawPathParams, RawPathParamsRejection>;
        let serve = move |State(app): State<Arc<App>>, params: Raw, request: Request| {
            // A path that is not text names nothing: its parameters stay empty, and nothing is found.
            let params = params.map_or_else(
                |_not_text| Params::new(),
                |params| {
                    let pairs = params.iter();
                    let owned = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
                    owned.collect()
                },
            );
            handler(app, request, params)
        };
        router = router
            .route(&route.path, on(filter, serve.clone()))
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

/// The envelope of a path that no row serves: that of its family.
fn dialect_of(uri: &Uri) -> Dialect {
    if uri.path().starts_with("/api/gateway") || !uri.path().starts_with("/api/") {
        Dialect::Management
    } else {
        Dialect::ManagementLegacy
    }
}

async fn unknown_route(uri: Uri) -> Response {
    std::future::ready(edge::refuse(
        &Error::new(Code::NotFound, "There is no such route.").tip(open::DIRECTIONS),
        dialect_of(&uri),
    ))
    .await
}

/// The router adds `Allow`.
async fn wrong_method(uri: Uri) -> Response {
    std::future::ready(edge::refuse(
        &Error::new(
            Code::MethodNotAllowed,
            "The method is not served on this route.",
        ),
        dialect_of(&uri),
    ))
    .await
}
