//! Help texts, and what the parser says to mistakes.

use clap::CommandFactory;

use super::{Cli, Shell};

/// Every client command with its subcommands, in order.
fn all_help() -> Vec<(String, String)> {
    let mut root = Cli::command().term_width(100);
    root.build();
    let mut found = Vec::new();
    let mut waiting: Vec<clap::Command> = root.get_subcommands().cloned().collect();
    waiting.reverse();
    while let Some(mut command) = waiting.pop() {
        if matches!(command.get_name(), "serve" | "help") {
            continue;
        }
        let path = command.get_bin_name().unwrap_or_default().to_owned();
        found.push((path, command.render_long_help().to_string()));
        let inner: Vec<clap::Command> = command.get_subcommands().cloned().collect();
        waiting.extend(inner.into_iter().rev());
    }
    found
}

#[test]
fn help_texts() {
    for (path, help) in all_help() {
        insta::assert_snapshot!(path.replace(' ', "_"), help);
    }
}

#[test]
fn every_command_and_flag_is_explained() {
    let mut root = Cli::command();
    root.build();
    let mut waiting = vec![root];
    while let Some(command) = waiting.pop() {
        let path = command.get_bin_name().unwrap_or_default().to_owned();
        assert!(
            path == "langwatch" || command.get_about().is_some(),
            "{path} has no help"
        );
        for arg in command.get_arguments() {
            assert!(
                arg.get_help().is_some(),
                "{path} {} has no help",
                arg.get_id()
            );
        }
        waiting.extend(command.get_subcommands().cloned());
    }
}

#[test]
fn an_unknown_command_gets_a_suggestion_the_help_and_exit_1() {
    let done = Shell::new().run("virtual-key list");
    insta::assert_snapshot!(done.failed(), @r"
    Error: unrecognized subcommand 'virtual-key'

      tip: a similar subcommand exists: 'virtual-keys'
    The way the binary embeds this crate

    Usage: langwatch <COMMAND>

    Commands:
      virtual-keys      Create, list and manage virtual keys, the keys that applications call the
                        gateway with [alias: vk]
      model-provider    Store and manage the credentials of AI providers [alias: model-providers]
      routing-policies  Choose the providers of virtual keys, their order and their rules
      gateway-budgets   Limit what may be spent: by organization, team, project, key, person or end user
      cache-rules       Say which requests the cache answers
      guardrails        Check what goes to models and what comes back
      model-prices      Set prices of your own for models
      apply             Make the server as configuration files say; nothing is ever deleted
      diff              Show what apply would change
      export            Write the settings of the server as a configuration file, without secrets
      trace             Find and read traces, by trace id, gateway request id or text [alias: traces]
      explain           Say what the gateway would do with a request, and why, without sending it
      audit             Read who changed what
      api-keys          Create, list and manage API keys, the keys that scripts call the API with
      projects          Create, list and manage projects and their keys
      teams             Create, list and manage teams and who is in them
      groups            Create, list and manage groups, their members and what they may do
      roles             Create, list and manage custom roles
      role-bindings     Say who may do what, and where
      members           List and manage the people of the organization
      invites           Invite people into the organization
      organization      Show and change the organization
      organizations     Create and list organizations, as the operator of the installation
      claude            Run Claude Code through the gateway
      codex             Run Codex through the gateway
      gemini            Run Gemini CLI through the gateway
      opencode          Run opencode through the gateway
      env               Print the variables that point AI tools at the gateway
      config            Read and change the configuration
      whoami            Show which organization, endpoint and credential the commands use
      login             Keep an API key, a token or an endpoint for the commands to use
      logout            Delete the stored credentials
      open              Open a page of the console in a browser
      completions       Print the completion script of a shell
      serve             A server command
      help              Print this message or the help of the given subcommand(s)

    Options:
      -h, --help  Print help
    ");
    assert_eq!(done.out, "");
}

#[test]
fn an_unknown_flag_gets_the_help_of_its_command() {
    let done = Shell::new().run("virtual-keys get vk_1 --formt json");
    insta::assert_snapshot!(done.failed(), @r#"
    Error: unexpected argument '--formt' found

      tip: a similar argument exists: '--format'
    Show one virtual key

    Usage: langwatch virtual-keys get [OPTIONS] <ID>

    Arguments:
      <ID>  Id of the key

    Options:
      -h, --help  Print help

    Output:
      -f, --format <FORMAT>  Output format; every value but json is the human form [possible values:
                             json, table, text, digest]
      -o, --output <FORMAT>  Output format, before every other selector; agents is compact one-line JSON
                             [possible values: table, json, agents, yaml]
          --json [<FIELDS>]  Print JSON; with FIELDS (a,b.c) only these fields
          --jq <PATH>        Print the part of the JSON at a path: .a.b, .items[].x, and a final "|
                             length"
          --agent            Print for agents: compact JSON, no colour (the default inside coding
                             agents)
    "#);
}

#[test]
fn a_group_without_a_subcommand_prints_its_help_and_fails() {
    let done = Shell::new().run("virtual-keys");
    assert!(
        done.failed().contains("Usage: langwatch virtual-keys"),
        "{}",
        done.err
    );
    assert_eq!(done.out, "");
}

#[test]
fn help_is_a_result() {
    let done = Shell::new().run("help virtual-keys create");
    assert!(done.ok().contains("--budget-limit"));
}

#[test]
fn a_mistyped_secret_is_not_repeated() {
    let done = Shell::new().run("virtual-keys get a vk-lw-01HZX9N3NDEKTSV4RRFFQ69G5F");
    assert!(done.failed().contains("vk-lw-[redacted]") && !done.err.contains("NDEKT"));
}
