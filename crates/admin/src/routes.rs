//! The one table of what is served: method, path, permission, handler; and the short list of what is
//! open to everybody.
//!
//! The permission is a type parameter of each row, and the handler takes a call with that type: a row
//! that names another permission than its handler does not compile. The tests walk this table and try
//! every row without a credential, with bad ones, and with another organization's.
//!
//! Must never hold a rule. To serve something new, add a row. Start at [`table`].

use axum::response::Response;
use http::Method;
use lw_core::Error;

use crate::edge::Family::{self, Gateway, Organization, Project};
use crate::permission::{
    GatewayUsageView, ModelProvidersManage, ModelProvidersUpdate, ModelProvidersView,
    OrganizationView, Permission, ProjectView, TeamView, TracesView, VirtualKeysCreate,
    VirtualKeysDelete, VirtualKeysRotate, VirtualKeysUpdate, VirtualKeysView,
};
use crate::serve::{Answer, Call, Handler, guarded};
use crate::{Admin, keys, open, providers, requests, tenants, traces};

/// Everything that is served.
pub(crate) struct Table {
    /// What needs a credential and a permission.
    pub(crate) guarded: Vec<Route>,
    /// What everybody may ask. May only shrink.
    pub(crate) open: [Open; 4],
}

/// A row that needs a credential.
pub(crate) struct Route {
    /// The method; GET answers HEAD too.
    pub(crate) method: Method,
    /// The path, `{id}` standing for what varies.
    pub(crate) path: &'static str,
    /// What the caller must be permitted.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the walk over the table reads it")
    )]
    pub(crate) permission: &'static str,
    /// The envelope and the credentials.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the walk over the table reads it")
    )]
    pub(crate) family: Family,
    pub(crate) handler: Handler,
}

/// A row that needs none; GET only.
#[derive(Clone, Copy)]
pub(crate) struct Open {
    /// The path.
    pub(crate) path: &'static str,
    pub(crate) answer: fn(&Admin) -> Response,
}

/// The table.
pub(crate) fn table() -> Table {
    use http::Method as M;
    let mut guarded = vec![
        row::<OrganizationView>(
            Organization,
            M::GET,
            "/api/organization",
            tenants::organization,
        ),
        row::<TeamView>(Organization, M::GET, "/api/teams", tenants::teams),
        row::<ProjectView>(Organization, M::GET, "/api/projects", tenants::projects),
        row::<VirtualKeysView>(Gateway, M::GET, "/api/gateway/v1/virtual-keys", keys::list),
        row::<VirtualKeysCreate>(
            Gateway,
            M::POST,
            "/api/gateway/v1/virtual-keys",
            keys::create,
        ),
        row::<VirtualKeysView>(
            Gateway,
            M::GET,
            "/api/gateway/v1/virtual-keys/{id}",
            keys::get,
        ),
        row::<VirtualKeysUpdate>(
            Gateway,
            M::PATCH,
            "/api/gateway/v1/virtual-keys/{id}",
            keys::update,
        ),
        row::<GatewayUsageView>(
            Gateway,
            M::GET,
            "/api/gateway/v1/virtual-keys/{id}/spend",
            keys::spend,
        ),
        row::<VirtualKeysRotate>(
            Gateway,
            M::POST,
            "/api/gateway/v1/virtual-keys/{id}/rotate",
            keys::rotate,
        ),
        row::<VirtualKeysUpdate>(
            Gateway,
            M::POST,
            "/api/gateway/v1/virtual-keys/{id}/disable",
            keys::disable,
        ),
        row::<VirtualKeysUpdate>(
            Gateway,
            M::POST,
            "/api/gateway/v1/virtual-keys/{id}/enable",
            keys::enable,
        ),
        row::<VirtualKeysDelete>(
            Gateway,
            M::POST,
            "/api/gateway/v1/virtual-keys/{id}/revoke",
            keys::revoke,
        ),
        row::<TracesView>(
            Gateway,
            M::GET,
            "/api/gateway/v1/requests/{id}",
            requests::get,
        ),
        row::<TracesView>(Project, M::POST, "/api/traces/search", traces::search),
        row::<TracesView>(Project, M::GET, "/api/traces/{id}", traces::get),
        // The tombstone of the old provider bindings (12.3).
        row::<ModelProvidersView>(
            Gateway,
            M::GET,
            "/api/gateway/v1/providers",
            providers::gone,
        ),
        row::<ModelProvidersView>(
            Gateway,
            M::POST,
            "/api/gateway/v1/providers",
            providers::gone,
        ),
        row::<ModelProvidersView>(
            Gateway,
            M::PATCH,
            "/api/gateway/v1/providers/{id}",
            providers::gone,
        ),
        row::<ModelProvidersView>(
            Gateway,
            M::DELETE,
            "/api/gateway/v1/providers/{id}",
            providers::gone,
        ),
    ];
    for (list, one) in [
        (
            "/api/gateway/v1/model-providers",
            "/api/gateway/v1/model-providers/{id}",
        ),
        (
            "/api/gateway-platform/v1/model-providers",
            "/api/gateway-platform/v1/model-providers/{id}",
        ),
    ] {
        guarded.extend([
            row::<ModelProvidersView>(Gateway, M::GET, list, providers::list),
            row::<ModelProvidersManage>(Gateway, M::POST, list, providers::create),
            row::<ModelProvidersView>(Gateway, M::GET, one, providers::get),
            row::<ModelProvidersUpdate>(Gateway, M::PATCH, one, providers::update),
            row::<ModelProvidersManage>(Gateway, M::DELETE, one, providers::delete),
        ]);
    }
    Table {
        guarded,
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
        ],
    }
}

fn row<P: Permission>(
    family: Family,
    method: Method,
    path: &'static str,
    handler: fn(&Call<P>) -> Result<Answer, Error>,
) -> Route {
    Route {
        method,
        path,
        permission: P::NAME,
        family,
        handler: guarded(family, handler),
    }
}
