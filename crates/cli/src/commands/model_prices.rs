//! `model-prices`: the organization's own prices, where they differ from the published ones.
//!
//! People give and read dollars for a million tokens, the API counts one token. The point moves as
//! text: no float ever holds a price.

use clap::{Args, Subcommand};

use super::collection::Collection;
use super::model_provider::stored_kind;
use super::virtual_key_view::{field, optional};
use crate::args::when;
use crate::client::Headers;
use crate::context::Context;
use crate::decimal::{per_million, per_token, with_cents};
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;
use crate::style::Style;
use crate::table::{Table, clean, details};

const PRICES: Collection = Collection {
    base: "/api/gateway/v1/model-prices",
    headers: Headers::Project,
    envelope: "model_price",
};

/// The rates: name of the flag, field of the API, label for a person.
const RATES: [(&str, &str, &str); 5] = [
    ("input", "input_cost_per_token", "Input"),
    ("output", "output_cost_per_token", "Output"),
    ("cache-read", "cache_read_cost_per_token", "Cache read"),
    (
        "cache-write",
        "cache_creation_cost_per_token",
        "Cache write",
    ),
    (
        "cache-write-1h",
        "cache_creation_1h_cost_per_token",
        "Cache write 1h",
    ),
];

const SET_EXAMPLES: &str = "\
Prices are in US dollars for a million tokens. A price that is not named stays as it is.

Examples:
  langwatch model-prices set my-finetune --provider openai --input 2.50 --output 10
  langwatch model-prices set llama-3.3-70b --input 0 --output 0
  langwatch model-prices set my-finetune --provider openai --cache-read none";

/// The `model-prices` group.
#[derive(Args, Debug)]
pub struct ModelPricesArgs {
    #[command(subcommand)]
    pub(crate) command: ModelPricesCommand,
}

impl ModelPricesArgs {
    /// How to print. Each subcommand has its own flags for it: `--output` is a price in `set`.
    pub(crate) fn output(&self) -> &OutputArgs {
        match &self.command {
            ModelPricesCommand::List { format }
            | ModelPricesCommand::Get { format, .. }
            | ModelPricesCommand::Delete { format, .. } => format,
            ModelPricesCommand::Set(flags) => &flags.format,
        }
    }
}

/// The `model-prices` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelPricesCommand {
    /// List the organization's own prices, in dollars for a million tokens
    List {
        #[command(flatten)]
        format: OutputArgs,
    },
    /// Show one price
    Get {
        /// Id of the price
        id: String,
        #[command(flatten)]
        format: OutputArgs,
    },
    /// Set the price of a model, of one provider kind or of all
    #[command(after_help = SET_EXAMPLES)]
    Set(Box<SetFlags>),
    /// Delete a price; the published one counts again
    Delete {
        /// Id of the price
        id: String,
        #[command(flatten)]
        format: OutputArgs,
    },
}

/// The flags of `set`.
#[derive(Args, Debug)]
#[command(mut_arg("output", |format| format.long(None)))]
pub(crate) struct SetFlags {
    /// Model, as its provider calls it
    model: String,

    /// Provider kind that the price is for, such as openai (default: every kind)
    #[arg(long, value_name = "KIND")]
    provider: Option<String>,

    /// Tokens of the request; none takes the price away
    #[arg(long, value_name = "USD", value_parser = parse_rate)]
    input: Option<Rate>,

    /// Tokens of the answer; none takes the price away
    #[arg(id = "output_price", long = "output", value_name = "USD", value_parser = parse_rate)]
    output: Option<Rate>,

    /// Tokens read from the provider's cache; none takes the price away
    #[arg(long, value_name = "USD", value_parser = parse_rate)]
    cache_read: Option<Rate>,

    /// Tokens written to the provider's cache; none takes the price away
    #[arg(long, value_name = "USD", value_parser = parse_rate)]
    cache_write: Option<Rate>,

    /// Tokens written to the provider's cache for an hour; none takes the price away
    #[arg(long, value_name = "USD", value_parser = parse_rate)]
    cache_write_1h: Option<Rate>,

    #[command(flatten)]
    format: OutputArgs,
}

/// The price of one token as the API takes it: decimal text, or null for none.
#[derive(Clone, Debug, PartialEq)]
struct Rate(Json);

/// Dollars for a million tokens, or `none`.
fn parse_rate(text: &str) -> Result<Rate, String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("none") {
        return Ok(Rate(Json::Null));
    }
    per_token(text)
        .map(|rate| Rate(rate.into()))
        .ok_or_else(|| {
            "expected dollars for a million tokens, such as 2.50 or 0; or none \
             (-o chooses the output format)"
                .to_owned()
        })
}

pub(crate) fn run(command: ModelPricesCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        ModelPricesCommand::List { format: _ } => {
            let prices = context.send_all("list model prices", PRICES.list())?;
            context.show(prices.into(), list)
        }
        ModelPricesCommand::Get { id, format: _ } => {
            let price = PRICES.one(context, "get the model price", &PRICES.get(&id))?;
            context.show(price, one)
        }
        ModelPricesCommand::Set(flags) => set(context, &flags),
        ModelPricesCommand::Delete { id, format: _ } => {
            let price = PRICES.one(context, "delete the model price", &PRICES.delete(&id))?;
            context.show(price, |price, style| changed(price, style, "deleted"))
        }
    }
}

/// Changes the price of this model and provider when there is one, else creates it. All rates are
/// sent, so that it does not matter whether the server merges or replaces them.
fn set(context: &mut Context<'_>, flags: &SetFlags) -> Result<(), CliError> {
    let given = flags.rates();
    if given.is_empty() {
        return Err(CliError::usage(
            "nothing to set. Provide at least one of --input, --output, --cache-read, \
             --cache-write, --cache-write-1h.",
        ));
    }
    let model = flags.model.trim();
    let provider = flags.provider.as_deref().map(str::trim);
    let provider = provider.map(str::to_ascii_lowercase);
    let provider: Json = provider.as_deref().map(stored_kind).into();
    let rows = context.send_all("look up the model price", PRICES.list())?;
    let same = |row: &&Json| {
        row.text("model") == Some(model) && *row.get("provider").unwrap_or(&Json::Null) == provider
    };
    let stored = rows.iter().find(same);
    let mut rates = Json::Object(Vec::new());
    for (_, name, _) in RATES {
        let known = stored.and_then(|row| row.at(&["rates", name]));
        rates.set(name, known.cloned().unwrap_or(Json::Null));
    }
    for (name, rate) in given {
        rates.set(name, rate);
    }
    let (request, done) = match stored.and_then(|row| row.text("id")) {
        Some(id) => {
            let body = Json::object([("rates", rates)]);
            (PRICES.patch(id, body), "updated")
        }
        None => {
            let body = Json::object([
                ("model", model.into()),
                ("provider", provider),
                ("rates", rates),
            ]);
            (PRICES.create(body, None), "created")
        }
    };
    let price = PRICES.one(context, "set the model price", &request)?;
    context.show(price, |price, style| changed(price, style, done))
}

impl SetFlags {
    /// The named rates by their field.
    fn rates(&self) -> Vec<(&'static str, Json)> {
        let Self {
            model: _,
            provider: _,
            format: _,
            input,
            output,
            cache_read,
            cache_write,
            cache_write_1h,
        } = self;
        let given = [input, output, cache_read, cache_write, cache_write_1h];
        RATES
            .iter()
            .zip(given)
            .filter_map(|((_, name, _), rate)| Some((*name, rate.as_ref()?.0.clone())))
            .collect()
    }
}

fn list(prices: &Json, style: Style) -> String {
    if prices.items().is_empty() {
        return "No prices of your own: the published ones count. Set one with:\n  \
                langwatch model-prices set <model> --provider <kind> --input 2.50 --output 10\n"
            .to_owned();
    }
    let mut table = Table::new([
        "ID",
        "Model",
        "Provider",
        "Input",
        "Output",
        "Cache read",
        "Cache write",
        "Cache write 1h",
    ]);
    for price in prices.items() {
        let [input, output, read, write, write_1h] =
            RATES.map(|(_, name, _)| rate(price, name).unwrap_or_else(|| "-".to_owned()));
        table.row([
            style.grey(&field(price, "id")),
            style.cyan(&field(price, "model")),
            provider(price),
            input,
            output,
            read,
            write,
            write_1h,
        ]);
    }
    let note = style.grey("US dollars for a million tokens; - is the published price.");
    format!("{}\n{note}\n", table.render(style))
}

fn one(price: &Json, style: Style) -> String {
    let mut rows = vec![
        ("ID", Some(field(price, "id"))),
        ("Model", Some(field(price, "model"))),
        ("Provider", Some(provider(price))),
    ];
    for (_, name, label) in RATES {
        let text = rate(price, name).map(|rate| format!("{rate} per million tokens"));
        rows.push((label, text));
    }
    rows.push(("Created", when(price.get("created_at"))));
    rows.push(("Updated", when(price.get("updated_at"))));
    details(style, 0, &rows)
}

fn changed(price: &Json, style: Style, done: &str) -> String {
    let sentence = format!("Price of {} {done}.", field(price, "model"));
    format!("{}\n\n{}", style.green(&sentence), one(price, style))
}

fn provider(price: &Json) -> String {
    optional(price, "provider").unwrap_or_else(|| "every kind".to_owned())
}

/// Dollars for a million tokens; what is no decimal is shown as it came, for one token.
fn rate(price: &Json, name: &str) -> Option<String> {
    let text = price
        .at(&["rates", name])
        .filter(|rate| !rate.is_null())?
        .display();
    let million = per_million(&text).and_then(|rate| with_cents(&rate));
    Some(match million {
        Some(rate) => format!("${rate}"),
        None => clean(&format!("${text} per token")),
    })
}
