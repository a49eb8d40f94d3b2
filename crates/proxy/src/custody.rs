//! What is kept at a provider is reachable only for the project whose request created it (README, "tenants
//! cannot see each other").
//!
//! A credential that several projects share opens everything that was ever stored under it: answers that a
//! conversation goes on from, files, caches, containers. So before a request is sent on such a row
//! ([`Lane::guards`]), whatever it names there must be its project's. Owners are recorded with the money of
//! the request that made a thing; a bounded cache bridges the moment until they are. Fails closed: what
//! cannot be looked up is 503, and what nobody's request made is nobody's. Must never tell apart what is
//! another's from what is not there. Start at [`check`].

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lw_core::{Code, Error, ModelProviderId, ProjectId, UnixMicros};
use lw_store::StoreError;
use lw_store::objects::ProviderObjects;
use lw_wire::Surface;
use lw_wire::stored::{Reference, references};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::call::Call;
use crate::foreign::Exchange;
use crate::lane::Lane;
use crate::signs::Signs;
use crate::stages::Target;

/// Owners that are remembered.
const REMEMBERED: usize = 32_768;
/// Questions that may wait for a thread.
const QUEUE: usize = 1_024;
/// Threads that ask the store.
const THREADS: usize = 2;
/// How long a request waits for an answer.
const LIMIT: Duration = Duration::from_secs(5);
/// How much of a name a refusal repeats, characters.
const SHOWN: usize = 128;

/// Who owns what. One for the process.
pub struct Custody {
    known: Cache<(ModelProviderId, String), ProjectId>,
    questions: mpsc::Sender<Question>,
}

/// Something for the store, and where its answer goes.
enum Question {
    Owners {
        provider: ModelProviderId,
        ids: Vec<String>,
        answer: oneshot::Sender<Result<Vec<Option<ProjectId>>, StoreError>>,
    },
    Keep {
        provider: ModelProviderId,
        project: ProjectId,
        id: String,
        at: UnixMicros,
        answer: oneshot::Sender<Result<(), StoreError>>,
    },
}

impl Custody {
    /// Starts the threads that ask `store`. They end when the value is dropped.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(store: &Arc<dyn ProviderObjects>) -> std::io::Result<Arc<Self>> {
        let (questions, receiver) = mpsc::channel(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        for index in 0..THREADS {
            let (receiver, store) = (receiver.clone(), store.clone());
            std::thread::Builder::new()
                .name(format!("custody-{index}"))
                .spawn(move || {
                    loop {
                        let next: Option<Question> = receiver.lock().blocking_recv();
                        let Some(question) = next else { return };
                        let asking = AssertUnwindSafe(|| ask(&*store, question));
                        if std::panic::catch_unwind(asking).is_err() {
                            tracing::error!("a lookup of an owner panicked");
                        }
                    }
                })?;
        }
        Ok(Arc::new(Self {
            known: Cache::new(REMEMBERED),
            questions,
        }))
    }

    /// Remembers what an answer says that it left at the provider. What has an owner keeps it.
    pub(crate) fn learn(&self, provider: &ModelProviderId, project: &ProjectId, ids: &[String]) {
        for id in ids {
            let key = (provider.clone(), id.clone());
            if self.known.get(&key).is_none() {
                self.known.insert(key, project.clone());
            }
        }
    }

    /// Whether each of `ids` is the project's, in their order.
    ///
    /// # Errors
    /// The owners could not be looked up.
    pub(crate) async fn owned(
        &self,
        provider: &ModelProviderId,
        project: &ProjectId,
        ids: Vec<String>,
    ) -> Result<Vec<bool>, Error> {
        let mut owned = Vec::with_capacity(ids.len());
        let mut open = Vec::new();
        for id in ids {
            let key = (provider.clone(), id);
            match self.known.get(&key) {
                Some(owner) => owned.push(owner == *project),
                None => {
                    open.push((owned.len(), key.1));
                    owned.push(false);
                }
            }
        }
        if open.is_empty() {
            return Ok(owned);
        }
        let (answer, answered) = oneshot::channel();
        let question = Question::Owners {
            provider: provider.clone(),
            ids: open.iter().map(|(_, id)| id.clone()).collect(),
            answer,
        };
        let owners = self.asked(question, answered).await?;
        for ((at, id), owner) in open.into_iter().zip(owners) {
            let Some(owner) = owner else { continue };
            if let Some(slot) = owned.get_mut(at) {
                *slot = owner == *project;
            }
            self.known.insert((provider.clone(), id), owner);
        }
        Ok(owned)
    }

    /// Records, durably, that a request of the project has just made `id`.
    ///
    /// # Errors
    /// It could not be recorded, or not in time.
    pub(crate) async fn keep(
        &self,
        provider: &ModelProviderId,
        project: &ProjectId,
        id: String,
        at: UnixMicros,
    ) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        let question = Question::Keep {
            provider: provider.clone(),
            project: project.clone(),
            id: id.clone(),
            at,
            answer,
        };
        self.asked(question, answered).await?;
        self.known.insert((provider.clone(), id), project.clone());
        Ok(())
    }

    async fn asked<T>(
        &self,
        question: Question,
        answer: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, Error> {
        self.questions
            .try_send(question)
            .map_err(|_| unavailable("the queue of lookups is full"))?;
        match timeout(LIMIT, answer).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(error))) => Err(unavailable(&error.to_string())),
            Ok(Err(_)) => Err(unavailable("the lookup failed")),
            Err(_) => Err(unavailable("the lookup took too long")),
        }
    }
}

fn ask(store: &dyn ProviderObjects, question: Question) {
    match question {
        // Whoever left does not need the answer.
        Question::Owners { answer, .. } if answer.is_closed() => {}
        Question::Owners {
            provider,
            ids,
            answer,
        } => {
            let _ = answer.send(store.owners(&provider, &ids));
        }
        Question::Keep {
            provider,
            project,
            id,
            at,
            answer,
        } => {
            let _ = answer.send(store.keep(&provider, &project, &id, at));
        }
    }
}

fn unavailable(cause: &str) -> Error {
    Error::new(
        Code::AuthUpstreamUnavailable,
        "it could not be looked up whose it is what the request names at the provider; try again",
    )
    .because(cause)
    .retry_after(1)
}

/// Whether a body that goes on as it came has to be looked at: `signs` is what it shows.
pub(crate) fn may_refer(surface: Surface, refers_at_top: bool, signs: Signs) -> bool {
    refers_at_top || signs.refers || (signs.ids && surface == Surface::Responses)
}

/// Refuses a request that names something at the provider which is not its project's. `body` is what names
/// it, in the provider's dialect.
///
/// # Errors
/// 404 for what is another's or nobody's, alike; 503 when that cannot be told.
pub(crate) async fn check(call: &Call, lane: &Lane, body: &[u8]) -> Result<(), Error> {
    let own_host = lane.endpoint.as_ref().ok();
    let named = references(body, own_host.map(lw_upstream::Endpoint::authority))
        .map_err(|unclear| Error::new(Code::BadRequest, unclear.to_string()))?;
    check_named(call, lane, named).await
}

/// [`check`] for a body that was written for its provider: with what the row adds to every body, which is
/// the row's owner's own.
pub(crate) async fn check_written(call: &Call, lane: &Lane, target: &Target) -> Result<(), Error> {
    if matches!(target.exchange, Exchange::Vectors(_)) {
        return Ok(());
    }
    let body = target.body.clone().into_inner();
    if !body
        .iter()
        .any(|piece| Signs::of(piece, Signs::all()) != Signs::default())
    {
        return Ok(());
    }
    let own_host = lane.endpoint.as_ref().ok();
    let own_host = own_host.map(lw_upstream::Endpoint::authority);
    let unclear =
        |unclear: lw_wire::stored::Unclear| Error::new(Code::BadRequest, unclear.to_string());
    let mut named = references(&body.concat(), own_host).map_err(unclear)?;
    if !named.is_empty() && !lane.extra_body.is_empty() {
        let added = references(&members(&lane.extra_body), own_host).map_err(unclear)?;
        named.retain(|reference| !added.contains(reference));
    }
    check_named(call, lane, named).await
}

/// The object of these members.
fn members(members: &[(String, Bytes)]) -> Vec<u8> {
    let mut object = vec![b'{'];
    for (key, json) in members {
        if object.len() > 1 {
            object.push(b',');
        }
        object.extend_from_slice(serde_json::Value::from(key.as_str()).to_string().as_bytes());
        object.push(b':');
        object.extend_from_slice(json);
    }
    object.push(b'}');
    object
}

async fn check_named(call: &Call, lane: &Lane, named: Vec<Reference>) -> Result<(), Error> {
    let Some(bundle) = call.bundle.as_ref().filter(|_| !named.is_empty()) else {
        return Ok(());
    };
    let ids = named.iter().map(|reference| reference.id.clone()).collect();
    let custody = &call.worker.gateway.custody;
    let owned = custody.owned(&lane.id, &bundle.project_id, ids).await?;
    match named.iter().zip(owned).find(|(_, owned)| !owned) {
        Some((Reference { param, id }, _)) => Err(not_found(param, id)),
        None => Ok(()),
    }
}

/// The answer to a name that is not the project's.
pub(crate) fn not_found(param: &str, id: &str) -> Error {
    let shown: String = id.chars().take(SHOWN).collect();
    Error::new(
        Code::NotFound,
        format!("`{shown}` is not kept at the provider for this project"),
    )
    .at(param)
    .with("reason", "not_created_by_this_project")
    .tip(
        "Several projects share this provider's credential, so what is stored there can be used only by \
         the project whose request through this gateway created it.",
    )
    .tip(
        "For what was uploaded elsewhere: give the project a provider of its own, or let an administrator \
         set `shared_state` in the provider's settings.",
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// A store in memory that can be told to fail.
    #[derive(Default)]
    struct Shelf {
        owners: Mutex<HashMap<String, ProjectId>>,
        fails: Mutex<bool>,
    }

    impl ProviderObjects for Shelf {
        fn owners(
            &self,
            _: &ModelProviderId,
            ids: &[String],
        ) -> Result<Vec<Option<ProjectId>>, StoreError> {
            if *self.fails.lock() {
                return Err(StoreError::Unavailable("told to".to_owned()));
            }
            let owners = self.owners.lock();
            Ok(ids.iter().map(|id| owners.get(id).cloned()).collect())
        }

        fn keep(
            &self,
            _: &ModelProviderId,
            project: &ProjectId,
            id: &str,
            _: UnixMicros,
        ) -> Result<(), StoreError> {
            self.owners.lock().insert(id.to_owned(), project.clone());
            Ok(())
        }
    }

    fn ids() -> (ModelProviderId, ProjectId, ProjectId) {
        (
            ModelProviderId::parse("mp_1").expect("an id"),
            ProjectId::parse("proj_a").expect("an id"),
            ProjectId::parse("proj_b").expect("an id"),
        )
    }

    fn start(shelf: &Arc<Shelf>) -> Arc<Custody> {
        let store: Arc<dyn ProviderObjects> = shelf.clone();
        Custody::start(&store).expect("threads")
    }

    fn texts(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[tokio::test]
    async fn what_was_learned_or_kept_is_its_projects_and_the_rest_nobodys() {
        let (provider, ours, theirs) = ids();
        let shelf = Arc::new(Shelf::default());
        let custody = start(&shelf);
        custody.learn(&provider, &ours, &texts(&["resp_1"]));
        // A second owner does not take it.
        custody.learn(&provider, &theirs, &texts(&["resp_1"]));
        let at = UnixMicros(1);
        custody
            .keep(&provider, &theirs, "cachedContents/1".to_owned(), at)
            .await
            .expect("is kept");
        shelf.owners.lock().insert("old".to_owned(), ours.clone());
        let all = texts(&["cachedContents/1", "old", "resp_1", "unknown"]);
        let owned = async |project| {
            let asked = custody.owned(&provider, project, all.clone());
            asked.await.expect("is looked up")
        };
        assert_eq!(owned(&ours).await, [false, true, true, false]);
        assert_eq!(owned(&theirs).await, [true, false, false, false]);
    }

    #[tokio::test]
    async fn what_cannot_be_looked_up_is_neither_served_nor_missing() {
        let (provider, ours, _) = ids();
        let shelf = Arc::new(Shelf::default());
        *shelf.fails.lock() = true;
        let custody = start(&shelf);
        custody.learn(&provider, &ours, &texts(&["resp_1"]));
        let known = custody.owned(&provider, &ours, texts(&["resp_1"])).await;
        assert_eq!(known.expect("needs no lookup"), [true]);
        let asked = custody.owned(&provider, &ours, texts(&["resp_1", "resp_2"]));
        let error = asked.await.expect_err("fails");
        assert_eq!(error.code(), Code::AuthUpstreamUnavailable);
        *shelf.fails.lock() = false;
        let again = custody.owned(&provider, &ours, texts(&["resp_2"])).await;
        assert_eq!(again.expect("is looked up"), [false]);
    }
}
