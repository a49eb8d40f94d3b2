//! Each place of the chain, with scripted answers.

use super::*;
use crate::outside::{HttpFailure, Reach};
use crate::testing::{START, World, shown};

const TOKEN: &str = r#"{"token_type":"Bearer","expires_in":3599,"access_token":"entra-token"}"#;
const APPLICATION: [(&str, &str); 3] = [
    ("AZURE_TENANT_ID", "11111111-2222-3333-4444-555555555555"),
    ("AZURE_CLIENT_ID", "my-app"),
    ("AZURE_CLIENT_SECRET", "s3cr~t.value"),
];

async fn fetched(world: &World) -> Result<Fresh<Bearer>, CloudError> {
    Machine.fetch(&world.outside).await
}

/// The token, the seconds until its end, and the one request.
async fn exchanged(world: &World) -> (String, i64, crate::testing::Seen) {
    let Fresh { value, expires_at } = fetched(world).await.expect("a token");
    let end = expires_at.expect("an end");
    let seen = world.seen();
    let [request] = &*seen else {
        panic!("one request: {seen:?}")
    };
    let life = end.seconds() - START.seconds();
    (value.token().expose().to_owned(), life, request.clone())
}

#[test]
fn without_the_operators_word_the_machines_identity_is_refused() {
    let error = ambient(Ambient::Refused).expect_err("refused");
    insta::assert_snapshot!(error, @"the provider has no Azure credential and may not use the gateway's own: store a credential, or start the gateway with LW_GATEWAY_ALLOW_AMBIENT_CLOUD_IDENTITY=true");
}

#[tokio::test(start_paused = true)]
async fn a_client_secret_comes_first() {
    let vars = [
        &APPLICATION[..],
        &[
            ("AZURE_FEDERATED_TOKEN_FILE", "/token"),
            ("IDENTITY_ENDPOINT", "http://127.0.0.1:41000/msi/token"),
            ("IDENTITY_HEADER", "h"),
        ],
    ]
    .concat();
    let world = World::new(&vars, &[]).answers(200, TOKEN);
    let (token, life, request) = exchanged(&world).await;
    assert_eq!((token.as_str(), life), ("entra-token", 3_599));
    assert_eq!(request.method, "POST");
    assert_eq!(
        request.url,
        "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token"
    );
    assert_eq!(request.reach, Reach::Guarded);
    let form = request.form();
    let field = |name: &str| form.get(name).map(String::as_str);
    assert_eq!(field("grant_type"), Some("client_credentials"));
    assert_eq!(field("client_id"), Some("my-app"));
    assert_eq!(field("client_secret"), Some("s3cr~t.value"));
    assert_eq!(
        field("scope"),
        Some("https://cognitiveservices.azure.com/.default")
    );
}

#[tokio::test(start_paused = true)]
async fn a_workload_identity_proves_itself_with_its_file() {
    let vars = [
        ("AZURE_TENANT_ID", "contoso.onmicrosoft.com"),
        ("AZURE_CLIENT_ID", "my-app"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/token"),
        ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/"),
    ];
    let world = World::new(&vars, &[("/token", "a.b.c\n")]).answers(200, TOKEN);
    let (_, _, request) = exchanged(&world).await;
    assert_eq!(
        request.url,
        "https://login.microsoftonline.us/contoso.onmicrosoft.com/oauth2/v2.0/token"
    );
    let form = request.form();
    let field = |name: &str| form.get(name).map(String::as_str);
    assert_eq!(field("client_assertion"), Some("a.b.c"));
    assert_eq!(
        field("client_assertion_type"),
        Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
    );
    assert_eq!(field("client_secret"), None);
}

#[tokio::test(start_paused = true)]
async fn app_service_gives_its_managed_identity() {
    let vars = [
        ("IDENTITY_ENDPOINT", "http://127.0.0.1:41000/msi/token"),
        ("IDENTITY_HEADER", "platform-header"),
        ("AZURE_CLIENT_ID", "user-assigned"),
    ];
    // 2026-07-01T08:00:00Z, as this endpoint writes it.
    let body = r#"{"access_token":"msi-token","expires_on":"1782892800","resource":"r"}"#;
    let world = World::new(&vars, &[]).answers(200, body);
    let (token, life, request) = exchanged(&world).await;
    assert_eq!((token.as_str(), life), ("msi-token", 8 * 3_600));
    assert_eq!(request.method, "GET");
    assert_eq!(
        request.url,
        "http://127.0.0.1:41000/msi/token?api-version=2019-08-01\
         &resource=https%3A%2F%2Fcognitiveservices.azure.com&client_id=user-assigned"
    );
    assert_eq!(request.header("x-identity-header"), Some("platform-header"));
    assert_eq!(request.reach, Reach::Platform);
}

#[tokio::test(start_paused = true)]
async fn a_virtual_machine_asks_its_metadata() {
    let body = r#"{"access_token":"imds-token","expires_in":"86399","expires_on":"1"}"#;
    let world = World::new(&[], &[]).answers(200, body);
    let (token, life, request) = exchanged(&world).await;
    assert_eq!((token.as_str(), life), ("imds-token", 86_399));
    assert_eq!(
        request.url,
        "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01\
         &resource=https%3A%2F%2Fcognitiveservices.azure.com"
    );
    assert_eq!(request.header("metadata"), Some("true"));
    assert_eq!(request.reach, Reach::Platform);
}

#[tokio::test(start_paused = true)]
async fn what_the_environment_lacks_is_named() {
    let error_of = async |vars: &[(&str, &str)]| {
        let world = World::new(vars, &[("/token", "t")]);
        fetched(&world).await.expect_err("incomplete").to_string()
    };
    let [tenant, client, secret] = APPLICATION;
    assert!(
        error_of(&[tenant, secret])
            .await
            .contains("AZURE_CLIENT_ID")
    );
    assert!(
        error_of(&[client, secret])
            .await
            .contains("AZURE_TENANT_ID")
    );
    let evil = ("AZURE_TENANT_ID", "x/../../evil");
    assert!(
        error_of(&[evil, client, secret])
            .await
            .contains("AZURE_TENANT_ID")
    );
    let file = ("AZURE_FEDERATED_TOKEN_FILE", "/elsewhere");
    assert!(
        error_of(&[tenant, client, file])
            .await
            .contains("AZURE_FEDERATED_TOKEN_FILE")
    );

    let away = World::new(&[], &[]).fails(HttpFailure::TimedOut);
    let error = fetched(&away).await.expect_err("no identity");
    insta::assert_snapshot!(error, @"the gateway has no Azure identity: set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or run it with a workload identity or managed identity");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_entras_number_and_never_what_was_sent() {
    let body = r#"{"error":"invalid_client","error_codes":[7000215],
        "error_description":"AADSTS7000215: Invalid client secret 's3cr~t.value' provided."}"#;
    let world = World::new(&APPLICATION, &[]).answers(401, body);
    let error = fetched(&world).await.expect_err("refused");
    assert!(!error.temporary());
    insta::assert_snapshot!(error, @"login.microsoftonline.com refused to issue a token (status 401, invalid_client, AADSTS7000215): check AZURE_TENANT_ID, AZURE_CLIENT_ID and the secret's value, or the federated credential of the application");

    for echo in [
        r#"{"error":"s3cr~t.value"}"#,
        r#"{"error":{"status":"s3cr~t.value"}}"#,
        r#"{"code":"my-app"}"#,
        "s3cr~t.value",
    ] {
        let world = World::new(&APPLICATION, &[]).answers(400, echo);
        let error = fetched(&world).await.expect_err("refused");
        assert!(!shown(&error).contains("s3cr"), "{error:?}");
        assert!(!shown(&error).contains("my-app"), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_authority_is_a_passing_matter() {
    let busy = World::new(&APPLICATION, &[]).answers(503, "<html>busy</html>");
    assert!(fetched(&busy).await.expect_err("busy").temporary());
    let guarded = World::new(&APPLICATION, &[]).fails(HttpFailure::Refused);
    assert!(!fetched(&guarded).await.expect_err("guarded").temporary());
    let empty = World::new(&APPLICATION, &[]).answers(200, r#"{"access_token":""}"#);
    let error = fetched(&empty).await.expect_err("no token");
    assert!(matches!(error, CloudError::Answer { .. }), "{error}");
}
