//! The key of a project: its legacy credential, and what gateways export its traces with (domain 5.2).
//!
//! It is sealed at rest and shown to who may change the project. Reading never makes one: a project of the
//! first version has none until somebody asks for a new one. Must never log it. Start at [`regenerate`].

use lw_core::{Code, Error, Secret};
use lw_engine::access::Action;
use lw_store::config::{Known, Write};
use lw_store::rows::Project;
use serde_json::json;

use super::{project, reach, traced_keys};
use crate::edge::stored;
use crate::permission::{ProjectManage, ProjectUpdate};
use crate::serve::{Answer, Call};
use crate::stamp::{self, landed};
use crate::tenant::{opened, project_key};
use crate::write::{Act, commit, until_fresh};

/// `GET /projects/:id/api-key`.
pub(super) fn get(call: &Call<ProjectUpdate>) -> Result<Answer, Error> {
    let admin = call.admin();
    let row = reach(admin, &call.permit, call.id(), project(Action::Update))?;
    let refused = |message: &str| {
        Error::new(Code::BadRequest, message)
            .tip("Make a new one: `langwatch projects regenerate-api-key <project>`.")
    };
    let Some(key) = &row.key else {
        return Err(refused("The project has no key yet."));
    };
    match opened(&row.id, key, &admin.sealer) {
        Some(token) => {
            // It hands a whole credential out: the audit log keeps who asked.
            let change = Act {
                action: "project.api_key.read",
                target_id: row.id.as_str(),
                ..Act::default()
            }
            .by(admin, &call.permit, admin.clock.now());
            commit(admin, &[], &change).map_err(stored)?;
            Ok(shown(&token))
        }
        None => Err(refused(
            "The key of the project cannot be opened with the sealing keys of this installation.",
        )),
    }
}

/// `POST /projects/:id/regenerate-api-key`.
pub(super) fn regenerate(call: &Call<ProjectManage>) -> Result<Answer, Error> {
    call.object_or_nothing()?;
    let (admin, caller) = (call.admin(), &*call.permit);
    let broken = |cause: &dyn std::fmt::Display| {
        Error::new(Code::InternalError, "a project key could not be sealed").because(cause)
    };
    until_fresh(
        || {
            let before = reach(admin, caller, call.id(), project(Action::Manage))?;
            let now = admin.clock.now();
            let (entropy, pepper) = (admin.entropy.as_ref(), &admin.credential_pepper);
            let key = project_key(&before.id, entropy, pepper, &admin.sealer)
                .map_err(|error| broken(&error))?;
            let token = opened(&before.id, &key, &admin.sealer)
                .ok_or_else(|| broken(&"it does not open again"))?;
            let after = Project {
                key: Some(key),
                updated_at: stamp::next(now, before.updated_at),
                ..before.clone()
            };
            let writes = [
                Write::StillIs(Known::Project(&before)),
                Write::UpdateProject(&after),
                traced_keys(&after, now),
            ];
            let change = Act {
                action: "project.api_key_regenerated",
                target_id: after.id.as_str(),
                ..Act::default()
            }
            .by(admin, caller, now);
            landed(commit(admin, &writes, &change), shown(&token), stored)
        },
        stamp::conflict,
    )
}

fn shown(token: &Secret) -> Answer {
    Answer::ok(json!({ "apiKey": token.expose() }))
}
