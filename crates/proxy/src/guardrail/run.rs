//! Runs the checks of one direction.
//!
//! What is built in goes first: it costs nothing to ask, and what it blocks is shown to no service. Callouts run
//! side by side, each on what the built-in checks attached before it made of the texts. Then changes are chained
//! in the order of attachment; a check whose answer was about other texts than it would now change is made again.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use lw_core::GuardrailId;
use lw_engine::guardrail::{BuiltIn, Verdict};
use tokio::time::{Instant, timeout_at};

use super::callout::{Callout, Decision};
use super::subject::{Subject, Texts};
use super::{
    Blocked, Check, Checked, CheckedRequest, CheckedTexts, Checker, Direction, Failure, Guard,
    Guards, List, Outcome, Unavailable, Who,
};

/// The most callouts of one call at a time (data-plane 16.1).
const AT_ONCE: usize = 8;
/// The most bytes of text that are searched on a data thread: it serves other requests, too.
pub(super) const INLINE: usize = 64 * 1024;

/// What one guardrail says.
enum Said {
    Allow,
    Block(String),
    Modify(Subject),
}

impl Checker {
    /// Checks a request: a JSON body in the caller's dialect, of any surface. One without text passes. What comes
    /// back changed differs from `body` in its texts only; envelopes have to be read again.
    ///
    /// # Errors
    /// A check failed, and the direction fails closed.
    pub async fn request(
        &self,
        guards: &Guards,
        who: &Who,
        body: &Bytes,
    ) -> Result<CheckedRequest, Unavailable> {
        let checked = self
            .run(guards, who, Subject::Request(body.clone()))
            .await?;
        Ok(checked.map(|subject| match subject {
            Subject::Request(body) => body,
            Subject::Texts(..) => Bytes::new(),
        }))
    }

    /// Checks texts of an answer (`Direction::Response`) or of a piece of a stream (`Direction::StreamChunk`); as
    /// many come back. None of them, or only empty ones, pass.
    ///
    /// # Errors
    /// A check failed, and the direction fails closed.
    pub async fn texts(
        &self,
        guards: &Guards,
        who: &Who,
        direction: Direction,
        texts: Vec<String>,
    ) -> Result<CheckedTexts, Unavailable> {
        let subject = Subject::Texts(direction, texts.into());
        let checked = self.run(guards, who, subject).await?;
        Ok(checked.map(|subject| match subject {
            Subject::Texts(_, texts) => texts.to_vec(),
            Subject::Request(_) => Vec::new(),
        }))
    }

    /// What holds when the texts of an answer cannot be read: every check of the direction fails.
    ///
    /// # Errors
    /// The direction fails closed.
    pub fn unreadable(
        &self,
        guards: &Guards,
        direction: Direction,
        unreadable: super::Unreadable,
    ) -> Result<Checked<()>, Unavailable> {
        let list = guards.list(direction);
        let failure = Failure::Unreadable(unreadable);
        let Some(first) = list.guards.first().filter(|_| !list.fails_open) else {
            let failed = list
                .guards
                .iter()
                .map(|guard| (guard.id.clone(), failure.clone()));
            return Ok(Checked {
                outcome: Outcome::Allow,
                failed_open: failed.collect(),
            });
        };
        Err(Unavailable {
            direction,
            guardrail: Some((first.id.clone(), first.name.clone())),
            failure,
        })
    }

    async fn run(
        &self,
        guards: &Guards,
        who: &Who,
        subject: Subject,
    ) -> Result<Checked<Subject>, Unavailable> {
        let direction = subject.direction();
        let list = guards.list(direction);
        let deadline = Instant::now() + self.limit(direction);
        let run = Run {
            checker: self,
            list,
            who,
            direction,
            deadline,
            failed_open: Vec::new(),
        };
        if list.guards.is_empty() {
            return Ok(Checked::allow());
        }
        // Boxed: most requests have no guardrail and should not carry the room for one.
        Box::pin(run.all(subject)).await
    }
}

impl Guards {
    /// Makes a check on the spot, when nothing has to be waited for: everything is built in and the texts are
    /// small. `None` otherwise.
    pub(super) fn check_here(
        &self,
        direction: Direction,
        texts: &Arc<[String]>,
    ) -> Option<CheckedTexts> {
        let list = self.list(direction);
        let here = list
            .guards
            .iter()
            .all(|guard| !matches!(guard.check, Check::Callout(_)));
        if !here || texts.iter().map(String::len).sum::<usize>() > INLINE {
            return None;
        }
        let original: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut content: Option<Vec<String>> = None;
        let mut checked = Checked::allow();
        let mut applied = Vec::new();
        // Blocks are looked for in what was sent, as everywhere.
        for guard in &list.guards {
            match &guard.check {
                Check::BuiltIn(built) => {
                    if let Verdict::Block { reason, .. } = built.check(&original) {
                        checked.outcome = Outcome::Block(guard.blocked(direction, reason));
                        return Some(checked);
                    }
                }
                Check::Broken(why) => {
                    let failure = Failure::Settings(why.clone());
                    checked.failed_open.push((guard.id.clone(), failure));
                }
                Check::Callout(_) => return None,
            }
        }
        for guard in &list.guards {
            let Check::BuiltIn(built) = &guard.check else {
                continue;
            };
            let now: Vec<&str> = match &content {
                Some(content) => content.iter().map(String::as_str).collect(),
                None => original.clone(),
            };
            if let Verdict::Modify { texts, .. } = built.check(&now) {
                content = Some(texts);
                applied.push(guard.id.clone());
            }
        }
        if let Some(content) = content {
            checked.outcome = Outcome::Modify { content, applied };
        }
        Some(checked)
    }
}

impl Guard {
    fn blocked(&self, direction: Direction, reason: String) -> Blocked {
        Blocked {
            direction,
            guardrail: self.name.clone(),
            reason,
            policies: vec![self.id.clone()],
        }
    }
}

/// One call.
struct Run<'a> {
    checker: &'a Checker,
    list: &'a List,
    who: &'a Who,
    direction: Direction,
    deadline: Instant,
    failed_open: Vec<(GuardrailId, Failure)>,
}

/// What is known of one guardrail: what it was asked about, and what it said; `None` when it failed.
type Known = (Subject, Option<Said>);

impl Run<'_> {
    async fn all(mut self, subject: Subject) -> Result<Checked<Subject>, Unavailable> {
        match subject.texts() {
            Ok(texts) if texts.each.iter().all(String::is_empty) => return Ok(Checked::allow()),
            Ok(_) => {}
            Err(failure) => {
                for guard in &self.list.guards {
                    self.failed(guard, failure.clone())?;
                }
                return Ok(self.done(Outcome::Allow));
            }
        }
        let mut known: Vec<Option<Known>> = Vec::new();
        for guard in &self.list.guards {
            let said = match &guard.check {
                Check::Callout(_) => {
                    known.push(None);
                    continue;
                }
                Check::BuiltIn(_) | Check::Broken(_) => self.judge(guard, &subject).await?,
            };
            if let Some(Said::Block(reason)) = said {
                let blocked = guard.blocked(self.direction, reason);
                return Ok(self.done(Outcome::Block(blocked)));
            }
            known.push(Some((subject.clone(), said)));
        }
        if let Some(blocked) = self.call_out(&subject, &mut known).await? {
            return Ok(self.done(Outcome::Block(blocked)));
        }
        self.chain(subject, known).await
    }

    /// Runs the callouts side by side. Answers when one of them blocks; the others are dropped then.
    async fn call_out(
        &mut self,
        subject: &Subject,
        known: &mut [Option<Known>],
    ) -> Result<Option<Blocked>, Unavailable> {
        let list = self.list;
        let mut asked = subject.clone();
        let mut waiting = Vec::new();
        for (index, guard) in list.guards.iter().enumerate() {
            match (&guard.check, known.get(index)) {
                (Check::Callout(callout), _) => {
                    waiting.push((index, guard, callout, asked.clone()))
                }
                (_, Some(Some((about, Some(Said::Modify(made)))))) => {
                    asked = if *about == asked {
                        made.clone()
                    } else {
                        match self.judge(guard, &asked).await? {
                            Some(Said::Modify(made)) => made,
                            Some(Said::Allow) | None => asked,
                            Some(Said::Block(reason)) => {
                                return Ok(Some(guard.blocked(self.direction, reason)));
                            }
                        }
                    };
                }
                _ => {}
            }
        }
        let (checker, who, deadline) = (self.checker, self.who, self.deadline);
        let mut waiting = waiting
            .into_iter()
            .map(|(index, guard, callout, asked)| async move {
                let said = call(callout, guard, checker, who, &asked, deadline).await;
                (index, guard, asked, said)
            });
        let mut running: FuturesUnordered<_> = waiting.by_ref().take(AT_ONCE).collect();
        while let Some((index, guard, asked, said)) = running.next().await {
            let said = match said {
                Ok(Said::Block(reason)) => return Ok(Some(guard.blocked(self.direction, reason))),
                Ok(said) => Some(said),
                Err(failure) => {
                    self.failed(guard, failure)?;
                    None
                }
            };
            if let Some(slot) = known.get_mut(index) {
                *slot = Some((asked, said));
            }
            running.extend(waiting.next());
        }
        Ok(None)
    }

    /// Applies the changes in the order of attachment.
    async fn chain(
        mut self,
        subject: Subject,
        known: Vec<Option<Known>>,
    ) -> Result<Checked<Subject>, Unavailable> {
        let mut content = subject.clone();
        let mut applied = Vec::new();
        let list = self.list;
        for (guard, known) in list.guards.iter().zip(known) {
            let Some((about, Some(Said::Modify(made)))) = known else {
                continue;
            };
            let made = if about == content {
                made
            } else {
                match self.judge(guard, &content).await? {
                    Some(Said::Modify(made)) => made,
                    Some(Said::Allow) | None => continue,
                    Some(Said::Block(reason)) => {
                        let blocked = guard.blocked(self.direction, reason);
                        return Ok(self.done(Outcome::Block(blocked)));
                    }
                }
            };
            content = made;
            applied.push(guard.id.clone());
        }
        let outcome = if content == subject {
            Outcome::Allow
        } else {
            Outcome::Modify { content, applied }
        };
        Ok(self.done(outcome))
    }

    fn done(mut self, outcome: Outcome<Subject>) -> Checked<Subject> {
        let place = |id: &GuardrailId| self.list.guards.iter().position(|guard| guard.id == *id);
        self.failed_open.sort_by_key(|(id, _)| place(id));
        Checked {
            outcome,
            failed_open: self.failed_open,
        }
    }

    /// Asks one guardrail; `None` when that failed and lets pass.
    async fn judge(
        &mut self,
        guard: &Guard,
        subject: &Subject,
    ) -> Result<Option<Said>, Unavailable> {
        let said = match &guard.check {
            Check::BuiltIn(built) => built_in(built, subject, self.deadline).await,
            Check::Callout(callout) => {
                call(
                    callout,
                    guard,
                    self.checker,
                    self.who,
                    subject,
                    self.deadline,
                )
                .await
            }
            Check::Broken(why) => Err(Failure::Settings(why.clone())),
        };
        match said {
            Ok(said) => Ok(Some(said)),
            Err(failure) => self.failed(guard, failure).map(|()| None),
        }
    }

    /// A check failed: the direction's mode decides. A piece of a stream always passes.
    fn failed(&mut self, guard: &Guard, failure: Failure) -> Result<(), Unavailable> {
        if self.list.fails_open || self.direction == Direction::StreamChunk {
            if !self.failed_open.iter().any(|(id, _)| *id == guard.id) {
                self.failed_open.push((guard.id.clone(), failure));
            }
            return Ok(());
        }
        Err(Unavailable {
            direction: self.direction,
            guardrail: Some((guard.id.clone(), guard.name.clone())),
            failure,
        })
    }
}

async fn built_in(
    built: &Arc<BuiltIn>,
    subject: &Subject,
    deadline: Instant,
) -> Result<Said, Failure> {
    let texts = subject.texts()?;
    let look = |built: &BuiltIn, texts: &Texts| {
        let each: Vec<&str> = texts.each.iter().map(String::as_str).collect();
        match built.check(&each) {
            Verdict::Allow => {
                let together: Vec<&str> = texts.together.iter().map(String::as_str).collect();
                built.check_together(&together)
            }
            verdict => verdict,
        }
    };
    let verdict = if texts.size() <= INLINE {
        look(built, &texts)
    } else {
        let built = built.clone();
        let looking = tokio::task::spawn_blocking(move || look(&built, &texts));
        timeout_at(deadline, looking)
            .await
            .map_err(|_elapsed| Failure::Timeout)?
            .map_err(|_stopped| Failure::Overloaded)?
    };
    Ok(match verdict {
        Verdict::Allow => Said::Allow,
        Verdict::Block { reason, .. } => Said::Block(reason),
        Verdict::Modify { texts, .. } => Said::Modify(subject.with_texts(texts)?),
    })
}

async fn call(
    callout: &Callout,
    guard: &Guard,
    checker: &Checker,
    who: &Who,
    subject: &Subject,
    deadline: Instant,
) -> Result<Said, Failure> {
    let mut made = subject.clone();
    for (index, ask) in subject
        .asks(guard.id.as_str(), who)?
        .into_iter()
        .enumerate()
    {
        match callout.ask(checker, ask, deadline).await? {
            Decision::Allow => {}
            Decision::Block(reason) => return Ok(Said::Block(reason)),
            Decision::Modify(content) => made = made.with_answer(index, &content)?,
        }
    }
    Ok(if made == *subject {
        Said::Allow
    } else {
        Said::Modify(made)
    })
}

impl<T> Checked<T> {
    fn map<U>(self, with: impl FnOnce(T) -> U) -> Checked<U> {
        let Self {
            outcome,
            failed_open,
        } = self;
        let outcome = match outcome {
            Outcome::Allow => Outcome::Allow,
            Outcome::Block(blocked) => Outcome::Block(blocked),
            Outcome::Modify { content, applied } => Outcome::Modify {
                content: with(content),
                applied,
            },
        };
        Checked {
            outcome,
            failed_open,
        }
    }
}
