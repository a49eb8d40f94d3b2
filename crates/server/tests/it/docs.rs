//! The commands of the documentation, run as a reader would paste them.
//!
//! A page is one bash script: every block marked `sh` runs, in order, against a gateway of its own with a
//! mock provider; a block marked `sh fails` must fail; a comment `<!-- sh … -->` runs unseen, for what only
//! a test needs. A block marked `output` is what the block before it printed: `…` stands for any text
//! within a line, a line that is `…` for any lines, and runs of spaces count as one. Everything else is
//! not run. Never reaches a network: the mock is the only provider. Start at [`Page::run`].

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lw_mock::MockProvider;

use crate::support::{Gateway, provider};

/// The key of the instance administrator, for the pages that need one.
const INSTANCE_KEY: &str = "instance-administrator-of-the-tests";
/// One test for each page. [`every_page_is_tested`] compares the list with the folder.
macro_rules! pages {
    ($($name:ident: $path:literal,)*) => {
        const PAGES: &[&str] = &[$($path),*];
        $(
            #[test]
            fn $name() {
                Page::read($path).run();
            }
        )*
    };
}

pages! {
    the_readme_holds: "README.md",
    the_map_holds: "docs/README.md",
    access_holds: "docs/access.md",
    api_holds: "docs/api.md",
    audit_holds: "docs/audit.md",
    coding_tools_hold: "docs/coding-tools.md",
    compatibility_holds: "docs/compatibility.md",
    config_as_code_holds: "docs/config-as-code.md",
    getting_started_holds: "docs/getting-started.md",
    how_to_add_a_provider_holds: "docs/how-to-add-a-provider.md",
    migration_holds: "docs/migration.md",
    policies_hold: "docs/policies.md",
    policy_budgets_hold: "docs/policies/budgets.md",
    policy_cache_holds: "docs/policies/cache.md",
    policy_explain_holds: "docs/policies/explain.md",
    policy_fallback_holds: "docs/policies/fallback.md",
    policy_guardrails_hold: "docs/policies/guardrails.md",
    policy_models_hold: "docs/policies/models.md",
    policy_rate_limits_hold: "docs/policies/rate-limits.md",
    policy_rules_hold: "docs/policies/rules.md",
    providers_hold: "docs/providers.md",
    stored_state_holds: "docs/providers/stored-state.md",
    provider_anthropic_holds: "docs/providers/anthropic.md",
    provider_azure_holds: "docs/providers/azure.md",
    provider_bedrock_holds: "docs/providers/bedrock.md",
    provider_custom_holds: "docs/providers/custom.md",
    provider_gemini_holds: "docs/providers/gemini.md",
    provider_openai_holds: "docs/providers/openai.md",
    provider_openai_compatible_holds: "docs/providers/openai-compatible.md",
    provider_vertex_holds: "docs/providers/vertex.md",
    tenancy_holds: "docs/tenancy.md",
    virtual_keys_hold: "docs/virtual-keys.md",
}

#[test]
fn every_page_is_tested() {
    let mut folders = vec!["docs".to_owned()];
    let mut found = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a name");
            let path = format!("{folder}/{name}");
            if entry.path().is_dir() {
                folders.push(path);
            } else if name.ends_with(".md") {
                found.insert(path);
            }
        }
    }
    let tested: BTreeSet<String> = PAGES.iter().map(|page| (*page).to_owned()).collect();
    let untested: Vec<_> = found.difference(&tested).collect();
    assert!(untested.is_empty(), "no test runs {untested:?}");
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut broken = Vec::new();
    for path in PAGES {
        let page = Page::read(path);
        let folder = root().join(path).parent().expect("a folder").to_owned();
        for (at, target) in page.links() {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if file.is_empty() {
                root().join(path)
            } else {
                folder.join(file)
            };
            let fine = match fs::read_to_string(&file) {
                Ok(text) => anchor.is_empty() || anchors(&text).contains(anchor),
                Err(_) => file.is_dir() && anchor.is_empty(),
            };
            if !fine {
                broken.push(format!("{path}:{at}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn a_page_fails_by_line_when_a_command_or_its_output_does() {
    let ran = |text: &str| Page::new("page.md", text).outcome();
    assert_eq!(
        ran("# t\n\n```sh\necho a  b\n```\n```output\na b\n```\n"),
        Ok(())
    );
    assert_eq!(
        ran("# t\n```sh\nA=x; echo $A; echo y >&2; echo z\n```\n```output\nx\n…\n```\n"),
        Ok(())
    );
    assert_eq!(ran("# t\n```sh fails\nfalse\n```\n"), Ok(()));
    assert_eq!(
        ran("# t\n\n<!-- sh\nSEEN=later\n-->\n\n```sh\necho \"$SEEN\"\n```\n```output\nl…r\n```\n"),
        Ok(())
    );
    for (text, wanted) in [
        ("# t\n\n```sh\ntrue\nfalse\ntrue\n```\n", "page.md:5: "),
        ("# t\n```sh\necho \"$NEVER_SET\"\n```\n", "page.md:3: "),
        ("# t\n```sh fails\ntrue\n```\n", "page.md:2: "),
        (
            "# t\n```sh\necho a\n```\n```output\nb\n```\n",
            "page.md:5: ",
        ),
        (
            "# t\n```sh\necho a\n```\n```output\na\n…\nb\n```\n",
            "page.md:5: ",
        ),
        (
            "# t\n```sh\necho a; echo b\n```\n```output\na\n```\n",
            "page.md:5: ",
        ),
        ("# t\n```output\na\n```\n", "page.md:2: "),
        ("# t\n```\na\n```\n", "page.md:2: "),
        ("# t\n```sh\nunended\n", "page.md:2: "),
    ] {
        let said = ran(text).expect_err(text);
        assert!(said.starts_with(wanted), "{text}\n{said}");
    }
}

/// The root of the repository.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("a root").to_owned()
}

/// What a block is for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Run; must succeed.
    Run,
    /// Run in a subshell; must fail.
    Fails,
    /// What the block before it printed.
    Output,
    /// Shown, not run.
    Shown,
}

/// A fenced block.
#[derive(Debug)]
struct Block {
    kind: Kind,
    /// The number of the line that opens it, from 1.
    line: usize,
    lines: Vec<String>,
    closed: bool,
}

/// A page and its blocks.
struct Page {
    path: String,
    text: String,
    blocks: Vec<Block>,
    /// A fence that says nothing about itself, or nothing known.
    unmarked: Vec<usize>,
}

impl Page {
    fn read(path: &str) -> Self {
        let text = fs::read_to_string(root().join(path));
        Self::new(
            path,
            &text.unwrap_or_else(|error| panic!("{path}: {error}")),
        )
    }

    fn new(path: &str, text: &str) -> Self {
        let mut blocks: Vec<Block> = Vec::new();
        let mut unmarked = Vec::new();
        let mut open: Option<(&str, Block)> = None;
        for (number, raw) in (1..).zip(text.lines()) {
            let line = raw.trim();
            if let Some((end, block)) = &mut open {
                if line == *end {
                    block.closed = true;
                    blocks.extend(open.take().map(|(_, block)| block));
                } else {
                    block.lines.push(raw.to_owned());
                }
                continue;
            }
            let (end, kind) = match line {
                "<!-- sh" => ("-->", Kind::Run),
                "```sh" => ("```", Kind::Run),
                "```sh fails" => ("```", Kind::Fails),
                "```output" => ("```", Kind::Output),
                "```text" | "```json" | "```yaml" | "```toml" | "```python" | "```rust" => {
                    ("```", Kind::Shown)
                }
                _ if line.starts_with("```") => {
                    unmarked.push(number);
                    ("```", Kind::Shown)
                }
                _ => continue,
            };
            let block = Block {
                kind,
                line: number,
                lines: Vec::new(),
                closed: false,
            };
            open = Some((end, block));
        }
        blocks.extend(open.map(|(_, block)| block));
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            blocks,
            unmarked,
        }
    }

    /// Runs the page and fails the test with file and line.
    fn run(&self) {
        if let Err(said) = self.outcome() {
            panic!("{said}");
        }
    }

    /// Runs the page; what went wrong, with file and line.
    fn outcome(&self) -> Result<(), String> {
        let at = |line: usize, what: &str| Err(format!("{}:{line}: {what}", self.path));
        if let Some(line) = self.unmarked.first() {
            return at(
                *line,
                "say what the block is: sh, output, text, json, yaml, toml",
            );
        }
        if let Some(open) = self.blocks.iter().find(|block| !block.closed) {
            return at(open.line, "the block does not end");
        }
        if self.blocks.iter().all(|block| block.kind == Kind::Shown) {
            return Ok(());
        }
        let stage = Stage::new(&self.path);
        fs::write(stage.folder.path().join("page"), self.script()).expect("the script");
        let ran = stage.bash();
        let printed = |block: &Block| {
            let path = stage.folder.path().join(format!("out/{}", block.line));
            fs::read_to_string(path).unwrap_or_default()
        };
        if !ran.status.success() {
            let out = |block: &&Block| stage.folder.path().join(format!("out/{}", block.line));
            let last = self.blocks.iter().rfind(|block| out(block).exists());
            let said = last.map(printed).unwrap_or_default();
            let stderr = String::from_utf8_lossy(&ran.stderr);
            let told = format!("{said}{stderr}");
            let trapped = fs::read_to_string(stage.folder.path().join("failed")).ok();
            // Bash itself gives up without the trap: a variable that is not set, a broken quote.
            let bash = || {
                told.split(": line ")
                    .nth(1)?
                    .split(':')
                    .next()?
                    .parse()
                    .ok()
            };
            let line = trapped
                .and_then(|line| line.trim().parse().ok())
                .or_else(bash);
            return at(line.unwrap_or(0), &format!("{}\n{told}", ran.status));
        }
        let mut before = None;
        for block in &self.blocks {
            match (block.kind, before) {
                (Kind::Run | Kind::Fails, _) => before = Some(block),
                (Kind::Output, None) => return at(block.line, "no block before it ran"),
                (Kind::Output, Some(ran)) => {
                    let said = printed(ran);
                    let lines: Vec<&str> = said.lines().collect();
                    let wanted: Vec<&str> = block.lines.iter().map(String::as_str).collect();
                    if !matches(&wanted, &lines) {
                        return at(block.line, &format!("it printed\n{said}"));
                    }
                }
                (Kind::Shown, _) => {}
            }
        }
        Ok(())
    }

    /// The page as a script with the same line numbers, so that a failure names a line of the page.
    fn script(&self) -> String {
        // The first line is the title of the page.
        let set_up = "set -Eeuo pipefail; failed() { echo \"$1\" >../failed; }; \
                      trap 'failed $LINENO' ERR";
        let mut lines = vec![String::new(); self.text.lines().count() + 1];
        let mut put = |number: usize, text: String| {
            if let Some(line) = lines.get_mut(number - 1) {
                *line = text;
            }
        };
        put(1, set_up.to_owned());
        for block in &self.blocks {
            let (line, last) = (block.line, block.line + block.lines.len() + 1);
            let out = format!("../out/{line}");
            let (open, close) = match block.kind {
                Kind::Run => ("{".to_owned(), format!("}} >{out} 2>&1")),
                Kind::Fails => (
                    "set +e; trap - ERR; ( set -e".to_owned(),
                    format!(
                        ") >{out} 2>&1; S=$?; set -e; trap 'failed $LINENO' ERR; \
                         if [ $S = 0 ]; then failed {line}; exit 99; fi"
                    ),
                ),
                Kind::Output | Kind::Shown => continue,
            };
            put(line, open);
            for (number, text) in (line + 1..).zip(&block.lines) {
                put(number, text.clone());
            }
            put(last, close);
        }
        let mut script = String::new();
        for line in lines {
            let _ = writeln!(script, "{line}");
        }
        script
    }

    /// The targets of its links inside of the repository, with their lines.
    fn links(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (number, line) in (1..).zip(self.text.lines()) {
            for piece in line.split("](").skip(1) {
                let target = piece.split(')').next().unwrap_or_default();
                if !target.starts_with("http") {
                    found.push((number, target.to_owned()));
                }
            }
        }
        found
    }
}

/// A gateway and a mock provider for one page.
struct Stage {
    folder: tempfile::TempDir,
    gateway: Gateway,
    mock: MockProvider,
    api_key: String,
}

impl Stage {
    fn new(path: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["bin", "home", "work", "out"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        let binary = folder.path().join("bin/langwatch");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_langwatch"), binary).expect("a link");
        let examples = folder.path().join("work/examples");
        std::os::unix::fs::symlink(root().join("docs/examples"), examples).expect("a link");
        let mut builder = Gateway::builder().env("LANGWATCH_INSTANCE_ADMIN_API_KEY", INSTANCE_KEY);
        if path == "README.md" || path == "docs/getting-started.md" {
            // What a first start without any setting makes.
            builder = builder.env("LANGWATCH_INIT_ORG", "default");
        }
        let api_key = builder.api_key().to_owned();
        Self {
            folder,
            gateway: builder.start(),
            mock: provider(),
            api_key,
        }
    }

    /// Runs the script of the page to its end.
    fn bash(&self) -> std::process::Output {
        let here = self.folder.path();
        let path = format!(
            "{}:/usr/local/bin:/usr/bin:/bin",
            here.join("bin").display()
        );
        let url = self.mock.base_url();
        // Longer than any page takes, so that one that waits for ever fails by name.
        Command::new("timeout")
            .args(["120", "bash"])
            .arg(here.join("page"))
            .current_dir(here.join("work"))
            .env_clear()
            .env("PATH", path)
            .env("HOME", here.join("home"))
            .env("LC_ALL", "C.UTF-8")
            .env("LANGWATCH_API_KEY", &self.api_key)
            .env(
                "LANGWATCH_ENDPOINT",
                format!("http://{}", self.gateway.control),
            )
            .env(
                "LANGWATCH_GATEWAY_URL",
                format!("http://{}", self.gateway.addr),
            )
            .env("LANGWATCH_INSTANCE_ADMIN_API_KEY", INSTANCE_KEY)
            .env("OPENAI_API_KEY", "sk-mock-openai-credential")
            .env("ANTHROPIC_API_KEY", "sk-mock-anthropic-credential")
            .env("MOCK", &url)
            .env("MOCK_OPENAI", format!("{url}/v1"))
            .env("MOCK_ANTHROPIC", &url)
            .stdin(Stdio::null())
            .output()
            .expect("bash")
    }
}

/// Whether `lines` are what was `wanted`: `…` alone stands for any lines, inside of a line for any text.
fn matches(wanted: &[&str], lines: &[&str]) -> bool {
    let Some((first, rest)) = wanted.split_first() else {
        return lines.is_empty();
    };
    if first.trim() == "…" {
        return (0..=lines.len()).any(|skipped| matches(rest, &lines[skipped..]));
    }
    let Some((line, others)) = lines.split_first() else {
        return false;
    };
    line_matches(&squeezed(first), &squeezed(line)) && matches(rest, others)
}

fn line_matches(wanted: &str, line: &str) -> bool {
    let Some((before, after)) = wanted.split_once('…') else {
        return wanted == line;
    };
    let Some(rest) = line.strip_prefix(before) else {
        return false;
    };
    let starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    let mut tails = starts.map(|at| &rest[at..]);
    tails.any(|tail| line_matches(after, tail))
}

/// With runs of spaces as one.
fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The names that the headings of a page can be linked by.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}
