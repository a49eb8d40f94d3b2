//! What a credential stands for (management-api 22). Start at [`project`].

use http::Method;
use lw_core::{Code, Error};
use lw_store::rows::{Project, ProjectKind};
use serde_json::json;

use crate::edge::Family::OwnProject;
use crate::permission::AnyCredential;
use crate::routes::Route;
use crate::schemas::{Named, boolean, named, object, text};
use crate::serve::{Answer, Call};

/// The rows of the table.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new::<AnyCredential>(OwnProject, Method::GET, "/api/me/project", project)
            .named("getMyProject", "Read the project of the credential")
            .answers(200, named("MyProject")),
    ]
}

/// The shapes of the API description.
pub(crate) fn schemas() -> Vec<Named> {
    vec![(
        "MyProject",
        object(
            &[
                ("id", text()),
                ("name", text()),
                ("slug", text()),
                ("isPersonal", boolean()),
            ],
            &[],
        ),
    )]
}

/// `GET /api/me/project`.
fn project(call: &Call<AnyCredential>) -> Result<Answer, Error> {
    let missing = || Error::new(Code::ProjectNotFound, "Project not found.");
    let row = call.permit.project.as_ref().ok_or_else(missing)?;
    let Project {
        id,
        name,
        slug,
        kind,
        ..
    } = row;
    Ok(Answer::ok(json!({
        "id": id,
        "name": name,
        "slug": slug,
        "isPersonal": *kind == ProjectKind::Personal,
    })))
}
