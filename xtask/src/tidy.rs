//! The shape of the tree: which crate may use which, how long a file may get, what must not stand in it.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::{metadata, root};

/// Which of our crates a crate may depend on (ARCHITECTURE.md). Tests may use more.
const ARROWS: &[(&str, &[&str])] = &[
    ("lw-core", &[]),
    ("lw-crypto", &["lw-core"]),
    ("lw-wire", &["lw-core"]),
    ("lw-translate", &["lw-core", "lw-wire"]),
    ("lw-engine", &["lw-core"]),
    ("lw-upstream", &["lw-core"]),
    ("lw-cloud", &["lw-core"]),
    ("lw-store", &["lw-core"]),
    ("lw-store-sql", &["lw-core", "lw-store"]),
    ("lw-spool", &["lw-core", "lw-store"]),
    ("lw-governor", &["lw-core", "lw-engine", "lw-store"]),
    (
        "lw-proxy",
        &[
            "lw-core",
            "lw-crypto",
            "lw-wire",
            "lw-translate",
            "lw-engine",
            "lw-governor",
            "lw-upstream",
            "lw-cloud",
            "lw-store",
            "lw-spool",
        ],
    ),
    (
        "lw-admin",
        &["lw-core", "lw-crypto", "lw-wire", "lw-engine", "lw-store"],
    ),
    ("lw-cli", &["lw-core"]),
    ("lw-mock", &[]),
    (
        "langwatch",
        &[
            "lw-core",
            "lw-crypto",
            "lw-wire",
            "lw-engine",
            "lw-governor",
            "lw-upstream",
            "lw-cloud",
            "lw-store",
            "lw-store-sql",
            "lw-spool",
            "lw-proxy",
            "lw-admin",
            "lw-cli",
            "lw-mock",
        ],
    ),
    ("xtask", &[]),
];

/// Lines after which a file holds more than one idea.
const LONGEST: usize = 900;

pub(crate) fn run() -> anyhow::Result<()> {
    let mut found = Vec::new();
    arrows(&mut found)?;
    files(&mut found)?;
    if found.is_empty() {
        return Ok(());
    }
    bail!("the tree is untidy:\n  {}", found.join("\n  "));
}

fn arrows(found: &mut Vec<String>) -> anyhow::Result<()> {
    let metadata = metadata()?;
    let packages = metadata
        .get("packages")
        .and_then(|packages| packages.as_array());
    for package in packages.context("cargo metadata lists no packages")? {
        let name = package
            .get("name")
            .and_then(|name| name.as_str())
            .unwrap_or_default();
        let Some((_, allowed)) = ARROWS.iter().find(|(crate_name, _)| *crate_name == name) else {
            found.push(format!(
                "the crate {name} is not in the table of arrows (xtask/src/tidy.rs)"
            ));
            continue;
        };
        let dependencies = package.get("dependencies").and_then(|list| list.as_array());
        for dependency in dependencies.into_iter().flatten() {
            let normal = dependency
                .get("kind")
                .is_none_or(serde_json::Value::is_null);
            let used = dependency
                .get("name")
                .and_then(|name| name.as_str())
                .unwrap_or_default();
            let ours = used.starts_with("lw-") || used == "langwatch";
            if normal && ours && !allowed.contains(&used) {
                found.push(format!("{name} must not depend on {used}"));
            }
        }
    }
    Ok(())
}

fn files(found: &mut Vec<String>) -> anyhow::Result<()> {
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output()?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        let source = name.ends_with(".rs") || name.ends_with(".ts") || name.ends_with(".tsx");
        let text = [".rs", ".md", ".toml", ".py", ".ts", ".sh"]
            .iter()
            .any(|end| name.ends_with(end));
        if !text {
            continue;
        }
        let Ok(content) = fs::read_to_string(root().join(name)) else {
            continue;
        };
        let lines = content.lines().count();
        if source && lines > LONGEST {
            found.push(format!("{name} has {lines} lines: split it by idea"));
        }
        // Spelled apart, so that this file does not find itself.
        for path in [
            concat!("/ro", "ot/"),
            concat!("/wo", "rk/"),
            concat!("/ho", "me/"),
        ] {
            if content.contains(path) {
                found.push(format!("{name} names a path of a machine ({path}...)"));
            }
        }
    }
    Ok(())
}
