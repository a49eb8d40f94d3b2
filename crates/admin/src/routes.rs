//! The one table of what is served: each resource lists its rows, and the short list of what is open to
//! everybody stands here.
//!
//! The permission is a type parameter of each row, and the handler takes a call with that type: a row
//! that names another permission than its handler does not compile. A row also says what the API
//! description says of it, so that neither can be forgotten ([`crate::openapi`]). The tests walk this
//! table and try every row without a credential, with bad ones, and with another organization's.
//!
//! Must never hold a rule. To serve something new, add a row to its resource's `routes`. Start at
//! [`table`] and [`Route`].

use axum::response::Response;
use http::Method;
use lw_core::{Code, Error};
use serde_json::Value;

use crate::caller::{At, Permit};
use crate::edge::Family;
use crate::permission::Permission;
use crate::serve::{Answer, Asked, Call, Handler, Warrant, guarded};
use crate::{
    Admin, api_keys, audit, budgets, cache_rules, groups, guardrails, instance, keys, me, open,
    openapi, organization, policies, prices, projects, providers, requests, roles, teams, traces,
};

/// Everything that is served.
pub(crate) struct Table {
    /// What needs a credential and a permission.
    pub(crate) guarded: Vec<Route>,
    /// What everybody may ask. May only shrink.
    pub(crate) open: [Open; 8],
}

/// A row that needs a credential.
pub(crate) struct Route {
    /// The method; GET answers HEAD too.
    pub(crate) method: Method,
    /// The path, `{id}` and the like standing for what varies.
    pub(crate) path: String,
    /// What the caller must be permitted; `any` where a credential is enough to ask.
    pub(crate) permission: String,
    /// Where it must be held.
    pub(crate) at: At,
    /// The envelope and the credentials.
    pub(crate) family: Family,
    /// What the API description says.
    pub(crate) doc: Doc,
    pub(crate) handler: Handler,
}

/// What the API description says of a row.
#[derive(Debug, Clone, Default)]
pub(crate) struct Doc {
    /// `operationId`; unique.
    pub(crate) id: &'static str,
    /// One line.
    pub(crate) summary: &'static str,
    /// The query parameters that it reads.
    pub(crate) query: Vec<Param>,
    /// The headers that it reads beyond those of its credential.
    pub(crate) headers: Vec<Param>,
    /// What it wants in the body.
    pub(crate) body: Option<Body>,
    /// The status of a success.
    pub(crate) status: u16,
    /// What a success answers.
    pub(crate) answer: Option<Value>,
    /// The codes that it may refuse with, beyond those that every row of its family has.
    pub(crate) refusals: Vec<Code>,
}

/// A parameter of a row.
#[derive(Debug, Clone)]
pub(crate) struct Param {
    /// The name as it is sent.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) about: &'static str,
    /// What it takes.
    pub(crate) schema: Value,
}

/// The body of a row.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    /// Whether it must be sent.
    pub(crate) required: bool,
    /// What it takes.
    pub(crate) schema: Value,
}

/// A row that needs none; GET only.
#[derive(Clone, Copy)]
pub(crate) struct Open {
    /// The path.
    pub(crate) path: &'static str,
    pub(crate) answer: fn(&Admin) -> Response,
}

impl Route {
    /// A row whose permission is asked for in the context of the request.
    pub(crate) fn new<P: Permission>(
        family: Family,
        method: Method,
        path: impl Into<String>,
        handler: fn(&Call<P>) -> Result<Answer, Error>,
    ) -> Self {
        Self::of::<Permit<P>>(family, At::Context, method, path, P::name(), handler)
    }

    /// A row whose permission may be held at any scope that the caller is bound to: its service checks
    /// each row that it touches.
    pub(crate) fn anywhere<P: Permission>(
        family: Family,
        method: Method,
        path: impl Into<String>,
        handler: fn(&Call<P>) -> Result<Answer, Error>,
    ) -> Self {
        Self::of::<Permit<P>>(family, At::Anywhere, method, path, P::name(), handler)
    }

    /// A row that asks for `W`, which is called `permission`.
    pub(crate) fn of<W: Warrant>(
        family: Family,
        at: At,
        method: Method,
        path: impl Into<String>,
        permission: String,
        handler: fn(&Asked<W>) -> Result<Answer, Error>,
    ) -> Self {
        Self {
            method,
            path: path.into(),
            permission,
            at,
            family,
            doc: Doc {
                status: 200,
                ..Doc::default()
            },
            handler: guarded(family, at, handler),
        }
    }

    /// Its `operationId` and what it does, in one line.
    pub(crate) const fn named(mut self, id: &'static str, summary: &'static str) -> Self {
        self.doc.id = id;
        self.doc.summary = summary;
        self
    }

    /// Query parameters that it reads.
    pub(crate) fn query(mut self, params: Vec<Param>) -> Self {
        self.doc.query.extend(params);
        self
    }

    /// Headers that it reads.
    pub(crate) fn headers(mut self, params: Vec<Param>) -> Self {
        self.doc.headers.extend(params);
        self
    }

    /// The body that it needs.
    pub(crate) fn body(mut self, schema: Value) -> Self {
        self.doc.body = Some(Body {
            required: true,
            schema,
        });
        self
    }

    /// The body that it takes.
    pub(crate) fn optional_body(mut self, schema: Value) -> Self {
        self.doc.body = Some(Body {
            required: false,
            schema,
        });
        self
    }

    /// What a success answers.
    pub(crate) fn answers(mut self, status: u16, schema: Value) -> Self {
        self.doc.status = status;
        self.doc.answer = Some(schema);
        self
    }

    /// Codes that it may refuse with.
    pub(crate) fn refuses(mut self, codes: &[Code]) -> Self {
        self.doc.refusals.extend_from_slice(codes);
        self
    }
}

/// The table.
pub(crate) fn table() -> Table {
    let guarded = [
        organization::routes(),
        teams::routes(),
        projects::routes(),
        groups::routes(),
        roles::routes(),
        api_keys::routes(),
        instance::routes(),
        me::routes(),
        keys::routes(),
        budgets::routes(),
        providers::routes(),
        requests::routes(),
        traces::routes(),
        policies::routes(),
        cache_rules::routes(),
        guardrails::routes(),
        prices::routes(),
        audit::routes(),
    ];
    Table {
        guarded: guarded.into_iter().flatten().collect(),
        open: [
            Open {
                path: "/",
                answer: open::front,
            },
            Open {
                path: "/api/health",
                answer: open::health,
            },
            Open {
                path: "/healthz",
                answer: open::health,
            },
            Open {
                path: "/readyz",
                answer: open::ready,
            },
            Open {
                path: "/api/gateway/v1/openapi.json",
                answer: openapi::serve,
            },
            Open {
                path: "/api/openapi.json",
                answer: openapi::serve,
            },
            Open {
                path: "/.well-known/openapi",
                answer: openapi::serve,
            },
            Open {
                path: "/.well-known/langwatch",
                answer: open::whereabouts,
            },
        ],
    }
}
