//! `open`: a page of the console, in a browser.

use clap::Args;
use url::Url;

use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;
use crate::table::clean;

pub(crate) const EXAMPLES: &str = "\
Examples:
  langwatch open
  langwatch open gateway/virtual-keys
  langwatch open settings/members --browser firefox
  langwatch open --browser none";

/// The flags of `open`.
#[derive(Args, Debug)]
pub struct OpenArgs {
    /// Path of the page (default: the first page)
    #[arg(default_value = "", hide_default_value = true)]
    path: String,

    /// chrome, chromium, firefox, safari, none (print the address only) or the path of a program
    /// (default: LANGWATCH_BROWSER, then the browser of the system)
    #[arg(long, value_name = "NAME")]
    browser: Option<String>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

pub(crate) fn run(args: &OpenArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    let path = format!("/{}", args.path.trim().trim_start_matches('/'));
    let address = context.link(&path)?;
    let unusable = |_| CliError::usage(format!("\"{}\" is not the path of a page.", args.path));
    let address = Url::parse(&address).map_err(unusable)?.to_string();
    let browser = args.browser.as_deref().map(str::trim);
    let browser = browser
        .filter(|name| !name.is_empty())
        .or_else(|| context.variables.get("LANGWATCH_BROWSER"))
        .map(str::to_owned);
    let opened = start(context, browser.as_deref(), &address)?;
    let result = Json::object([("url", address.as_str().into()), ("opened", opened.into())]);
    context.show(result, |result, style| {
        let address = clean(result.text("url").unwrap_or_default());
        if opened {
            format!("{} Opened {}\n", style.green("✓"), style.cyan(&address))
        } else {
            format!("{address}\n")
        }
    })
}

/// Starts the first program there is; `false` when none was wanted.
fn start(context: &Context<'_>, browser: Option<&str>, address: &str) -> Result<bool, CliError> {
    if browser.is_some_and(|name| name.eq_ignore_ascii_case("none")) {
        return Ok(false);
    }
    let mut failures = Vec::new();
    for (program, before) in candidates(browser, std::env::consts::OS) {
        let mut arguments = before;
        arguments.push(address);
        match context.env.launch(program, &arguments) {
            Ok(()) => return Ok(true),
            Err(error) => failures.push(format!("{program}: {error}")),
        }
    }
    Err(CliError::usage(format!(
        "No browser could be started ({}). Open {address} yourself, or print the address with \
         --browser none.",
        failures.join("; ")
    )))
}

/// The programs to try in order, with what goes before the address.
fn candidates<'a>(browser: Option<&'a str>, os: &str) -> Vec<(&'a str, Vec<&'a str>)> {
    let known = browser.map(str::to_ascii_lowercase);
    let plain = |programs: &[&'static str]| -> Vec<(&'a str, Vec<&'a str>)> {
        programs.iter().map(|name| (*name, Vec::new())).collect()
    };
    match (known.as_deref(), os) {
        (None, "macos") => plain(&["open"]),
        (None, "windows") => vec![("rundll32", vec!["url.dll,FileProtocolHandler"])],
        (None, _) => plain(&["xdg-open"]),
        (Some("chrome"), "macos") => vec![("open", vec!["-a", "Google Chrome"])],
        (Some("chromium"), "macos") => vec![("open", vec!["-a", "Chromium"])],
        (Some("firefox"), "macos") => vec![("open", vec!["-a", "Firefox"])],
        (Some("safari"), _) => vec![("open", vec!["-a", "Safari"])],
        (Some("chrome"), "windows") => plain(&["chrome.exe"]),
        (Some("chrome"), _) => plain(&["google-chrome", "google-chrome-stable", "chrome"]),
        (Some("chromium"), _) => plain(&["chromium", "chromium-browser"]),
        (Some("firefox"), _) => plain(&["firefox"]),
        (Some(_), _) => browser.map(|path| (path, Vec::new())).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::candidates;

    #[test]
    fn each_system_has_its_own_way_to_open_a_page() {
        let first = |browser, os| {
            let (program, before) = candidates(browser, os).remove(0);
            format!("{program} {}", before.join(" ")).trim().to_owned()
        };
        assert_eq!(first(None, "linux"), "xdg-open");
        assert_eq!(first(None, "macos"), "open");
        assert_eq!(
            first(None, "windows"),
            "rundll32 url.dll,FileProtocolHandler"
        );
        assert_eq!(first(Some("Chrome"), "macos"), "open -a Google Chrome");
        assert_eq!(first(Some("chrome"), "linux"), "google-chrome");
        assert_eq!(first(Some("/opt/My/b"), "linux"), "/opt/My/b");
    }
}
