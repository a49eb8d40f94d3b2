//! Connects the control plane's question with the data plane, which decides requests and can say how.

use std::sync::Arc;

use lw_admin::explain::{
    Candidate, Explaining, Explains, Explanation, Question, Refusal, Step, Verdict,
};
use lw_core::{OrganizationId, VirtualKeyId};
use lw_proxy::explain::{self, Asked, Explained};
use lw_proxy::worker::Gateway;

/// The data plane, as the control plane asks it.
pub(crate) struct Explainer(pub(crate) Arc<Gateway>);

impl Explains for Explainer {
    fn explain<'a>(
        &'a self,
        organization: &'a OrganizationId,
        key: &'a VirtualKeyId,
        question: Question,
    ) -> Explaining<'a> {
        let Question {
            path,
            headers,
            body,
        } = question;
        let question = explain::Question {
            path,
            headers,
            body,
        };
        Box::pin(async move {
            let explained = explain::explain(&self.0, organization, key, &question)?;
            Ok(told(explained))
        })
    }
}

fn told(explained: Explained) -> Explanation {
    let Explained {
        steps,
        asked,
        refusal,
    } = explained;
    let step = |step: explain::Step| Step {
        stage: step.stage.to_owned(),
        outcome: match step.verdict {
            explain::Verdict::Pass => Verdict::Pass,
            explain::Verdict::Refuse => Verdict::Refuse,
            explain::Verdict::Skip => Verdict::Skip,
            explain::Verdict::Warn => Verdict::Warn,
            explain::Verdict::Info => Verdict::Info,
        },
        detail: step.detail,
    };
    let candidate = |asked: Asked| Candidate {
        provider: asked.provider.to_owned(),
        model_provider_id: asked.model_provider_id,
        model: asked.model,
        note: asked.note,
    };
    Explanation {
        steps: steps.into_iter().map(step).collect(),
        would_dispatch: asked.into_iter().map(candidate).collect(),
        refusal: refusal.as_ref().map(Refusal::from),
    }
}
