//! `cache-rules`: which requests are answered from the cache, and which never are.

use clap::{Args, Subcommand};

use super::cache_rule_flags::{CreateFlags, UpdateFlags};
use super::cache_rule_view as view;
use super::collection::Collection;
use crate::client::Headers;
use crate::context::Context;
use crate::error::CliError;
use crate::output::OutputArgs;

const RULES: Collection = Collection {
    base: "/api/gateway/v1/cache-rules",
    headers: Headers::Project,
    envelope: "cache_rule",
};

const CREATE_EXAMPLES: &str = "\
Examples:
  langwatch cache-rules create --name evals --mode force --ttl 86400 --vk-tag eval
  langwatch cache-rules create --name never-for-billing --mode disable --priority 900 \\
    --header x-team=billing";

/// The `cache-rules` group.
#[derive(Args, Debug)]
pub struct CacheRulesArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: CacheRulesCommand,
}

/// The `cache-rules` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheRulesCommand {
    /// List cache rules in the order in which they are tried
    List,
    /// Show one cache rule
    Get {
        /// Id of the cache rule
        id: String,
    },
    /// Create a cache rule; all of its conditions must hold, and the first rule that fits counts
    #[command(after_help = CREATE_EXAMPLES)]
    Create(Box<CreateFlags>),
    /// Change a cache rule; what is not named stays
    Update(Box<UpdateFlags>),
    /// End a cache rule
    Archive {
        /// Id of the cache rule
        id: String,
    },
}

pub(crate) fn run(command: CacheRulesCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    let (rule, done) = match command {
        CacheRulesCommand::List => {
            let rules = context.send_all("list cache rules", RULES.list())?;
            return context.show(rules.into(), view::list);
        }
        CacheRulesCommand::Get { id } => {
            let rule = RULES.one(context, "get the cache rule", &RULES.get(&id))?;
            return context.show(rule, view::rule);
        }
        CacheRulesCommand::Create(flags) => {
            let request = RULES.create(flags.body()?, flags.idempotency_key());
            let rule = RULES.one(context, "create the cache rule", &request)?;
            (rule, "created")
        }
        CacheRulesCommand::Update(flags) => {
            // Conditions and action are replaced as a whole: what is not named has to travel along.
            let mut stored = None;
            if flags.needs_stored() {
                let request = RULES.get(flags.id());
                stored = Some(RULES.one(context, "get the cache rule", &request)?);
            }
            let request = RULES.patch(flags.id(), flags.body(stored)?);
            let rule = RULES.one(context, "update the cache rule", &request)?;
            (rule, "updated")
        }
        CacheRulesCommand::Archive { id } => {
            let rule = RULES.one(context, "archive the cache rule", &RULES.delete(&id))?;
            (rule, "archived")
        }
    };
    context.show(rule, |rule, style| view::changed(rule, style, done))
}
