//! `model-prices` against a scripted server.

use super::{API_KEY, Server, Shell, compact};

const PRICE: &str = r#"{"id":"price_1","organization_id":"org_1","model":"my-finetune","provider":"openai",
    "rates":{"input_cost_per_token":"0.0000025","output_cost_per_token":"0.00001",
    "cache_read_cost_per_token":"0.000000075","cache_creation_cost_per_token":null,
    "cache_creation_1h_cost_per_token":null},"created_at":"2026-07-01T10:00:00.000Z",
    "updated_at":"2026-07-02T10:00:00.000Z"}"#;

fn wrapped() -> String {
    format!(r#"{{"model_price":{PRICE}}}"#)
}

fn page(rows: &str) -> String {
    format!(r#"{{"data":[{rows}],"next_cursor":null}}"#)
}

#[test]
fn set_creates_a_price_that_is_not_there() {
    let other = PRICE.replace("\"openai\"", "null");
    let server = Server::answering([(200, &page(&other)), (201, &wrapped())]);
    let done = Shell::at(&server).run(
        "model-prices set my-finetune --provider OpenAI --input 2.50 --output 10 --cache-read 0.075 \
         --cache-write 3.125 --cache-write-1h 0 -o json",
    );
    assert_eq!(done.json().compact(), compact(PRICE));
    let seen = server.requests();
    assert_eq!(seen[0].line(), "GET /api/gateway/v1/model-prices?limit=200");
    assert_eq!(seen[1].line(), "POST /api/gateway/v1/model-prices");
    assert_eq!(seen[1].header("x-auth-token"), Some(API_KEY));
    let expected = r#"{"model":"my-finetune","provider":"openai","rates":{"input_cost_per_token":"0.0000025",
        "output_cost_per_token":"0.00001","cache_read_cost_per_token":"0.000000075",
        "cache_creation_cost_per_token":"0.000003125","cache_creation_1h_cost_per_token":"0"}}"#;
    assert_eq!(seen[1].body, compact(expected));
}

#[test]
fn set_changes_a_price_that_is_there_and_keeps_its_other_rates() {
    let server = Server::answering([(200, &page(PRICE)), (200, &wrapped())]);
    let done = Shell::at(&server)
        .run("model-prices set my-finetune --provider openai --output 12.34 --cache-read none");
    insta::assert_snapshot!(done.ok(), @r"
    Price of my-finetune updated.

    ID          price_1
    Model       my-finetune
    Provider    openai
    Input       $2.50 per million tokens
    Output      $10.00 per million tokens
    Cache read  $0.075 per million tokens
    Created     2026-07-01 10:00
    Updated     2026-07-02 10:00
    ");
    let seen = server.requests();
    assert_eq!(seen[1].line(), "PATCH /api/gateway/v1/model-prices/price_1");
    let expected = r#"{"rates":{"input_cost_per_token":"0.0000025","output_cost_per_token":"0.00001234",
        "cache_read_cost_per_token":null,"cache_creation_cost_per_token":null,
        "cache_creation_1h_cost_per_token":null}}"#;
    assert_eq!(seen[1].body, compact(expected));
}

#[test]
fn a_price_for_every_kind_is_another_price() {
    let server = Server::answering([(200, &page(PRICE)), (201, &wrapped())]);
    Shell::at(&server)
        .run("model-prices set my-finetune --input 1 -f json")
        .ok();
    let body = server.requests()[1].json();
    assert_eq!(body.get("provider"), Some(&crate::json::Json::Null));
    assert_eq!(
        body.at(&["rates", "input_cost_per_token"]),
        Some(&"0.000001".into())
    );
}

#[test]
fn a_kind_is_sent_by_the_name_that_is_stored() {
    let server = Server::answering([(200, &page("")), (201, &wrapped())]);
    Shell::at(&server)
        .run("model-prices set m --provider google --input 1 -f json")
        .ok();
    assert_eq!(server.requests()[1].json().text("provider"), Some("gemini"));
}

#[test]
fn what_is_no_price_is_refused_before_any_call() {
    for wrong in ["-1", "1e-6", "$2", "", ".5", "2,50"] {
        let done =
            Shell::new().run_words(&["model-prices", "set", "m", &format!("--input={wrong}")]);
        assert!(
            done.failed().contains("dollars for a million tokens"),
            "{}",
            done.err
        );
    }
    let done = Shell::new().run("model-prices set m --output json");
    assert!(
        done.failed().contains("-o chooses the output format"),
        "{}",
        done.err
    );
    let done = Shell::new().run("model-prices set m --provider openai");
    assert!(
        done.failed().starts_with("Error: nothing to set."),
        "{}",
        done.err
    );
}

#[test]
fn list_get_and_delete() {
    let every = r#"{"id":"price_2","model":"llama","provider":null,"rates":{"input_cost_per_token":"0","output_cost_per_token":"odd"}}"#;
    let two = page(&format!("{PRICE},{every}"));
    let server = Server::answering([
        (200, &two),
        (200, &two),
        (200, &page("")),
        (200, &wrapped()),
        (200, &wrapped()),
        (200, &wrapped()),
        (200, &wrapped()),
    ]);
    let shell = Shell::at(&server);
    let done = shell.run("model-prices list -f json");
    assert_eq!(
        done.json().compact(),
        compact(&format!("[{PRICE},{every}]"))
    );
    insta::assert_snapshot!(shell.run("model-prices list").ok(), @r"
    ID       Model        Provider    Input  Output          Cache read  Cache write  Cache write 1h
    ────────────────────────────────────────────────────────────────────────────────────────────────
    price_1  my-finetune  openai      $2.50  $10.00          $0.075      -            -
    price_2  llama        every kind  $0.00  $odd per token  -           -            -

    US dollars for a million tokens; - is the published price.
    ");
    assert!(
        shell
            .run("model-prices list")
            .ok()
            .starts_with("No prices of your own")
    );
    assert_eq!(
        shell
            .run("model-prices get price_1 -f json")
            .json()
            .compact(),
        compact(PRICE)
    );
    insta::assert_snapshot!(shell.run("model-prices get price_1").ok(), @r"
    ID          price_1
    Model       my-finetune
    Provider    openai
    Input       $2.50 per million tokens
    Output      $10.00 per million tokens
    Cache read  $0.075 per million tokens
    Created     2026-07-01 10:00
    Updated     2026-07-02 10:00
    ");
    assert_eq!(
        shell
            .run("model-prices delete price_1 -f json")
            .json()
            .compact(),
        compact(PRICE)
    );
    assert!(
        shell
            .run("model-prices delete price_1")
            .ok()
            .starts_with("Price of my-finetune deleted.\n")
    );
    let lines: Vec<String> = server.requests().iter().map(super::Seen::line).collect();
    assert_eq!(lines[0], "GET /api/gateway/v1/model-prices?limit=200");
    assert_eq!(lines[3], "GET /api/gateway/v1/model-prices/price_1");
    assert_eq!(lines[5], "DELETE /api/gateway/v1/model-prices/price_1");
}
