//! Budgets on the request path: what is spent already, whose they are, and how a refusal reads (data-plane 15).
//!
//! Compares integers only. A template is asked for its end user's account, which may have to be read.
//! Start at [`precheck`].

use std::sync::Arc;

use http::header::HeaderValue;
use lw_core::{Code, Error, ModelProviderId, NanoUsd, UnixMicros};
use lw_governor::books::{Account, Accounts, Near, Refusal, Standing};
use lw_store::rows::OnBreach;

use crate::bundle::Bundle;
use crate::governed::buckets;
use crate::worker::Gateway;

/// What is known of a request's budgets before its walk.
#[derive(Debug, Default, Clone)]
pub(crate) struct Checked {
    /// `X-LangWatch-Budget-Warning`.
    pub(crate) warning: Option<HeaderValue>,
    /// Providers whose budgets are spent, with the refusal of each.
    pub(crate) spent: Vec<(ModelProviderId, Error)>,
    /// Budgets of which at least 80 % are spent, with their figures.
    pub(crate) near: Vec<(Arc<Account>, Standing)>,
    /// Accounts of the request's end user.
    pub(crate) of_end_user: Vec<Arc<Account>>,
}

/// Compares what is spent with the limits, before anything is held. `of_end_user`: [`accounts_of`].
///
/// # Errors
/// A budget is spent that refuses whichever provider serves.
pub(crate) fn precheck(
    bundle: &Bundle,
    of_end_user: Vec<Arc<Account>>,
    now: UnixMicros,
) -> Result<Checked, Error> {
    let governed = &bundle.governed;
    let mut checked = Checked {
        of_end_user,
        ..Checked::default()
    };
    let all;
    let accounts = if checked.of_end_user.is_empty() {
        &governed.accounts
    } else {
        all = governed.accounts.with(checked.of_end_user.iter().cloned());
        &all
    };
    if accounts.is_empty() {
        return Ok(checked);
    }
    let mut warnings = String::new();
    for near in accounts.near(now) {
        let Near {
            account,
            standing,
            exhausted,
            retry_after_s,
        } = near;
        checked.near.push((account.clone(), standing));
        if !warnings.is_empty() {
            warnings.push(',');
        }
        warnings.push_str(account.scope());
        if let Some(provider) = account.provider() {
            warnings.push('/');
            warnings.push_str(provider.as_str());
        }
        warnings.push_str(&format!(":{}", standing.percent));
        if exhausted {
            let error = exceeded(account, None, retry_after_s);
            match account.provider() {
                None => return Err(error),
                Some(provider) => checked.spent.push((provider.clone(), error)),
            }
        }
    }
    checked.warning = HeaderValue::from_str(&warnings)
        .ok()
        .filter(|value| !value.is_empty());
    Ok(checked)
}

impl Checked {
    /// Why this provider cannot be asked, if its budget is spent.
    pub(crate) fn refusal_of(&self, provider: &ModelProviderId) -> Option<&Error> {
        let spent = self.spent.iter().find(|(id, _)| id == provider);
        spent.map(|(_, error)| error)
    }

    /// The accounts that a call to a provider counts toward, and their buckets as the spool writes them.
    pub(crate) fn accounts<'a>(
        &self,
        bundle: &'a Bundle,
        lane: usize,
    ) -> (Accounts, std::borrow::Cow<'a, str>) {
        let Some(governed) = bundle.governed.lanes.get(lane) else {
            return (Accounts::default(), std::borrow::Cow::Borrowed(""));
        };
        if self.of_end_user.is_empty() {
            return (
                governed.accounts.clone(),
                std::borrow::Cow::Borrowed(&governed.buckets),
            );
        }
        let id = bundle.lanes.get(lane).map(|lane| &lane.id);
        let counts =
            |account: &&Arc<Account>| account.provider().is_none_or(|only| Some(only) == id);
        let own = self.of_end_user.iter().filter(counts).cloned();
        let accounts = governed.accounts.with(own);
        let buckets = buckets(&accounts);
        (accounts, std::borrow::Cow::Owned(buckets))
    }
}

/// The accounts of the request's end user, for a key with a budget for each. One that cannot be read is left
/// out where its budget only warns.
///
/// # Errors
/// No end user is named, or an account of a budget that refuses cannot be read.
pub(crate) async fn accounts_of(
    gateway: &Gateway,
    bundle: &Arc<Bundle>,
    end_user: Option<&str>,
) -> Result<Vec<Arc<Account>>, Error> {
    let end_user = end_user.ok_or_else(no_end_user)?;
    let mut accounts = Vec::with_capacity(bundle.governed.templates.len());
    for (index, template) in bundle.governed.templates.iter().enumerate() {
        if let Some(account) = template.held(end_user) {
            accounts.push(account);
            continue;
        }
        let (lookups, bundle, user) =
            (gateway.lookups.clone(), bundle.clone(), end_user.to_owned());
        let now = gateway.clock.now();
        let read = tokio::task::spawn_blocking(move || {
            let governed = &bundle.governed;
            let template = governed.templates.get(index)?;
            Some(template.read(governed, &*lookups.source, &user, now))
        });
        let failed = match read.await {
            Ok(Some(Ok(account))) => {
                accounts.push(account);
                continue;
            }
            Ok(Some(Err(error))) => error.to_string(),
            Ok(None) => continue,
            Err(error) => error.to_string(),
        };
        tracing::error!(error = failed, budget = %template.budget.id, "an end user's budget cannot be read");
        if template.budget.on_breach == OnBreach::Block {
            return Err(Error::new(
                Code::BudgetUnavailable,
                "the budget of the end user cannot be read right now; try again",
            )
            .because(failed)
            .retry_after(1));
        }
    }
    Ok(accounts)
}

pub(crate) fn no_end_user() -> Error {
    Error::new(
        Code::EndUserRequired,
        "this virtual key has a budget for each end user, and the request names none",
    )
    .at("user")
    .tip("Set the body field `user`, or the header `X-LangWatch-End-User-Id`, to a stable name of your user.")
}

/// The refusal of a call that does not fit.
pub(crate) fn exceeded_by(refusal: &Refusal) -> Error {
    let spent = refusal.standing.spent >= refusal.standing.limit;
    exceeded(
        &refusal.account,
        (!spent).then_some(refusal.needed),
        refusal.retry_after_s,
    )
}

/// The end of a stream that outgrew what is left (data-plane 17.4).
pub(crate) fn ran_out(refusal: &Refusal) -> Error {
    let account = &refusal.account;
    let (scope, window) = (account.scope(), account.window());
    Error::new(
        Code::BudgetExceeded,
        format!("the {window} budget of the {scope} ran out while the answer was being written"),
    )
}

/// The refusal of data-plane 15.4. `needed`: the budget is not spent, but this call does not fit.
fn exceeded(account: &Account, needed: Option<NanoUsd>, retry_after_s: Option<u64>) -> Error {
    let (scope, window) = (account.scope(), account.window());
    let place = match account.provider() {
        Some(_) => format!("the {window} budget of the {scope} for this provider"),
        None => format!("the {window} budget of the {scope}"),
    };
    let mut error = match needed {
        None => Error::new(Code::BudgetExceeded, format!("{place} is spent"))
            .tip("Ask an administrator to raise the limit, or wait until its period is over."),
        Some(needed) => Error::new(
            Code::BudgetExceeded,
            format!("{place} has no room for this call, which may cost up to {needed} USD"),
        )
        .tip("Set a lower limit on output tokens (`max_tokens`), ask an administrator to raise the budget, or to make it `soft`."),
    };
    error = error
        .with("budget_id", account.budget().as_str())
        .with("budget_scope", scope)
        .with("budget_window", window);
    if let Some(provider) = account.provider() {
        error = error.with("budget_provider", provider.as_str());
    }
    match retry_after_s {
        Some(seconds) => error.retry_after(seconds),
        None => error,
    }
}
