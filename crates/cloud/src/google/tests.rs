//! Each kind of credential, with scripted answers; assertions are verified with the public key.

use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};

use super::*;
use crate::outside::{HttpFailure, Reach};
use crate::testing::{START, World, shown};

/// A key that was made for these tests and opens nothing.
const PKCS8: &str = include_str!("../../testdata/throwaway_rsa_pkcs8.pem");
const PKCS1: &str = include_str!("../../testdata/throwaway_rsa_pkcs1.pem");
const PUBLIC: &[u8] = include_bytes!("../../testdata/throwaway_rsa_public.der");
const TOKEN: &str = r#"{"access_token":"ya29.token","expires_in":3599,"token_type":"Bearer"}"#;

fn account(changes: &Value) -> Value {
    let mut json = json!({
        "type": "service_account",
        "project_id": "my-project",
        "private_key_id": "key-1",
        "private_key": PKCS8,
        "client_email": "gw@my-project.iam.gserviceaccount.com",
        "client_id": "1",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
    });
    merge(&mut json, changes);
    json
}

fn user() -> Value {
    json!({
        "type": "authorized_user",
        "client_id": "app",
        "client_secret": "app-s3cret",
        "refresh_token": "refresh-t0ken",
        "quota_project_id": "billed",
    })
}

fn federated(source: &Value, changes: &Value) -> Value {
    let mut json = json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": source,
    });
    merge(&mut json, changes);
    json
}

/// Sets fields; `null` removes one.
fn merge(json: &mut Value, changes: &Value) {
    let fields = json.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object").clone() {
        if value.is_null() {
            fields.remove(&name);
        } else {
            fields.insert(name, value);
        }
    }
}

fn parse(json: &Value, policy: &Policy) -> Result<StoredCredential, CloudError> {
    StoredCredential::parse(&Secret::new(json.to_string()), policy)
}

fn strict(json: &Value) -> StoredCredential {
    parse(json, &Policy::strict()).expect("a credential")
}

fn open() -> Policy {
    Policy {
        ambient: Ambient::Allowed,
        address_allowed: Arc::new(|url| url.host_str() == Some("127.0.0.1")),
    }
}

/// Token and seconds until its end.
async fn fetched(
    credential: &StoredCredential,
    world: &World,
) -> Result<(String, i64), CloudError> {
    let Fresh { value, expires_at } = credential.fetch(&world.outside).await?;
    let life = expires_at.expect("an end").seconds() - START.seconds();
    Ok((value.token().expose().to_owned(), life))
}

/// Header and claims of an assertion whose signature holds.
fn verified(assertion: &str) -> (Value, Value) {
    let (statement, signature) = assertion.rsplit_once('.').expect("three parts");
    let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).expect("base64url");
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, PUBLIC)
        .verify(statement.as_bytes(), &decode(signature))
        .expect("the signature holds");
    let (header, claims) = statement.split_once('.').expect("two parts");
    let json = |part: &str| serde_json::from_slice(&decode(part)).expect("json");
    (json(header), json(claims))
}

#[tokio::test(start_paused = true)]
async fn a_service_account_signs_an_assertion_with_the_claims_that_google_wants() {
    let world = World::new(&[], &[]).answers(200, TOKEN);
    let credential = strict(&account(&json!({})));
    assert_eq!(credential.project_id(), Some("my-project"));
    let got = fetched(&credential, &world).await;
    assert_eq!(got, Ok(("ya29.token".to_owned(), 3_599)));
    let seen = world.seen();
    let [request] = &*seen else {
        panic!("one request: {seen:?}")
    };
    assert_eq!(request.method, "POST");
    assert_eq!(request.url, "https://oauth2.googleapis.com/token");
    assert_eq!(request.reach, Reach::Guarded);
    let form = request.form();
    assert_eq!(
        form.get("grant_type").map(String::as_str),
        Some("urn:ietf:params:oauth:grant-type:jwt-bearer")
    );
    let (header, claims) = verified(form.get("assertion").expect("an assertion"));
    assert_eq!(
        header,
        json!({"alg": "RS256", "typ": "JWT", "kid": "key-1"})
    );
    let now = START.seconds();
    assert_eq!(
        claims,
        json!({
            "iss": "gw@my-project.iam.gserviceaccount.com",
            "scope": "https://www.googleapis.com/auth/cloud-platform",
            "aud": "https://oauth2.googleapis.com/token",
            "iat": now,
            "exp": now + 3_600,
        })
    );
}

#[tokio::test(start_paused = true)]
async fn another_token_uri_is_asked_but_the_audience_stays_googles() {
    let world = World::new(&[], &[]).answers(200, TOKEN);
    let json = account(&json!({
        "token_uri": "http://127.0.0.1:9/token",
        "private_key": PKCS1,
        "private_key_id": null,
    }));
    let credential = parse(&json, &open()).expect("a credential");
    fetched(&credential, &world).await.expect("a token");
    let seen = world.seen();
    let request = seen.first().expect("a request");
    assert_eq!(request.url, "http://127.0.0.1:9/token");
    assert_eq!(request.reach, Reach::Guarded);
    let (header, claims) = verified(request.form().get("assertion").expect("an assertion"));
    assert_eq!(header, json!({"alg": "RS256", "typ": "JWT"}));
    assert_eq!(
        claims.get("aud"),
        Some(&json!("https://oauth2.googleapis.com/token"))
    );
}

#[test]
fn token_endpoints_are_googles_unless_the_operator_allows_others() {
    let taken =
        |uri: &str| parse(&account(&json!({ "token_uri": uri })), &Policy::strict()).is_ok();
    for fine in [
        "https://oauth2.googleapis.com/token",
        "https://OAUTH2.GOOGLEAPIS.COM:443/token",
        "https://www.googleapis.com/oauth2/v4/token",
        "https://accounts.google.com/o/oauth2/token",
    ] {
        assert!(taken(fine), "{fine}");
    }
    for refused in [
        "http://oauth2.googleapis.com/token",
        "https://oauth2.googleapis.com:8443/token",
        "https://oauth2.googleapis.com.evil.test/token",
        "https://oauth2.googleapis.com@evil.test/token",
        "https://user@oauth2.googleapis.com/token",
        "https://evilgoogleapis.com/token",
        "https://oauth2.googleapis.com./token",
        "https://127.0.0.1/token",
        "file:///googleapis.com",
        "oauth2.googleapis.com",
        "",
    ] {
        assert!(!taken(refused), "{refused}");
    }
    assert!(
        taken("https://oauth2.googleapis.com\\@evil.test/token"),
        "its host is Google's"
    );
    let local = account(&json!({"token_uri": "http://127.0.0.1:9/token"}));
    assert!(parse(&local, &open()).is_ok());
    let everything = Policy {
        address_allowed: Arc::new(|_| true),
        ..Policy::strict()
    };
    let file = account(&json!({"token_uri": "file:///token"}));
    assert!(parse(&file, &everything).is_err());
}

#[test]
fn keys_are_read_in_every_shape_that_people_store() {
    let spelled = PKCS8.replace('\n', "\\n");
    for key in [PKCS8, PKCS1, &spelled] {
        let json = account(&json!({"private_key": key}));
        assert!(parse(&json, &Policy::strict()).is_ok());
    }
    let cut = PKCS8.get(..PKCS8.len() / 2).expect("half of it");
    for key in [
        "x",
        cut,
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ] {
        let json = account(&json!({"private_key": key}));
        let error = parse(&json, &Policy::strict()).expect_err("no key");
        insta::allow_duplicates! {
            insta::assert_snapshot!(error, @"the Google credential cannot be used: its `private_key` is not a PEM of an RSA key with 2048 to 4096 bits");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_is_refreshed() {
    let world = World::new(&[], &[]).answers(200, TOKEN);
    let credential = strict(&user());
    assert_eq!(credential.project_id(), Some("billed"));
    fetched(&credential, &world).await.expect("a token");
    let seen = world.seen();
    let request = seen.first().expect("a request");
    assert_eq!(request.url, "https://oauth2.googleapis.com/token");
    assert_eq!(
        request.body,
        "grant_type=refresh_token&client_id=app&client_secret=app-s3cret&refresh_token=refresh-t0ken"
    );
}

#[tokio::test(start_paused = true)]
async fn a_federated_identity_exchanges_the_token_of_its_address_and_acts_for_a_service_account() {
    let json = federated(
        &json!({
            "url": "https://idp.test/token?aud=x",
            "headers": {"Metadata": "True"},
            "format": {"type": "json", "subject_token_field_name": "value"},
        }),
        &json!({
            "service_account_impersonation_url":
                "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/gw@p:generateAccessToken",
            "service_account_impersonation": {"token_lifetime_seconds": 1_800},
        }),
    );
    let world = World::new(&[], &[])
        .answers(200, r#"{"value":"subject-t0ken"}"#)
        .answers(200, r#"{"access_token":"federated","expires_in":3600}"#)
        .answers(
            200,
            r#"{"accessToken":"acting","expireTime":"2026-07-01T00:30:00Z"}"#,
        );
    let got = fetched(&strict(&json), &world).await;
    assert_eq!(got, Ok(("acting".to_owned(), 1_800)));
    let seen = world.seen();
    let [subject, exchange, acting] = &*seen else {
        panic!("three requests: {seen:?}")
    };
    assert_eq!(subject.url, "https://idp.test/token?aud=x");
    assert_eq!(subject.header("metadata"), Some("True"));
    assert_eq!(
        subject.reach,
        Reach::Guarded,
        "a tenant's address is guarded"
    );
    assert_eq!(exchange.url, "https://sts.googleapis.com/v1/token");
    let form = exchange.form();
    let mut fields: Vec<_> = form
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    fields.sort();
    insta::assert_snapshot!(fields.join("\n"), @"
    audience=//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q
    grant_type=urn:ietf:params:oauth:grant-type:token-exchange
    requested_token_type=urn:ietf:params:oauth:token-type:access_token
    scope=https://www.googleapis.com/auth/cloud-platform
    subject_token=subject-t0ken
    subject_token_type=urn:ietf:params:oauth:token-type:jwt
    ");
    assert_eq!(acting.header("authorization"), Some("Bearer federated"));
    let body: Value = serde_json::from_str(&acting.body).expect("json");
    assert_eq!(
        body,
        json!({
            "delegates": [],
            "scope": ["https://www.googleapis.com/auth/cloud-platform"],
            "lifetime": "1800s",
        })
    );
}

#[tokio::test(start_paused = true)]
async fn a_subject_token_in_a_file_needs_the_operators_word() {
    let json = federated(
        &json!({"file": "/var/run/token"}),
        &json!({
            "client_id": "app",
            "client_secret": "app-s3cret",
            "workforce_pool_user_project": "ignored-with-a-client",
        }),
    );
    let error = parse(&json, &Policy::strict()).expect_err("refused");
    assert!(
        error
            .to_string()
            .contains("LW_GATEWAY_ALLOW_AMBIENT_CLOUD_IDENTITY"),
        "{error}"
    );

    let credential = parse(&json, &open()).expect("a credential");
    let world = World::new(&[], &[("/var/run/token", "from-a-file\n")]).answers(200, TOKEN);
    fetched(&credential, &world).await.expect("a token");
    let seen = world.seen();
    let request = seen.first().expect("a request");
    let form = request.form();
    assert_eq!(
        form.get("subject_token").map(String::as_str),
        Some("from-a-file")
    );
    assert_eq!(form.get("options"), None);
    assert_eq!(
        request.header("authorization"),
        Some("Basic YXBwOmFwcC1zM2NyZXQ=")
    );

    let workforce = federated(
        &json!({"file": "/var/run/token"}),
        &json!({"workforce_pool_user_project": "billed"}),
    );
    let credential = parse(&workforce, &open()).expect("a credential");
    let world = World::new(&[], &[("/var/run/token", "t")]).answers(200, TOKEN);
    fetched(&credential, &world).await.expect("a token");
    let seen = world.seen();
    let form = seen.first().expect("a request").form();
    assert_eq!(
        form.get("options").map(String::as_str),
        Some(r#"{"userProject":"billed"}"#)
    );
}

#[tokio::test(start_paused = true)]
async fn an_impersonation_goes_from_its_source_to_its_service_account() {
    let json = json!({
        "type": "impersonated_service_account",
        "service_account_impersonation_url":
            "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/x:generateAccessToken",
        "delegates": ["between"],
        "source_credentials": user(),
    });
    let world = World::new(&[], &[]).answers(200, TOKEN).answers(
        200,
        r#"{"accessToken":"acting","expireTime":"2026-07-01T01:00:00Z"}"#,
    );
    let credential = strict(&json);
    assert_eq!(credential.project_id(), Some("billed"));
    assert_eq!(
        fetched(&credential, &world).await,
        Ok(("acting".to_owned(), 3_600))
    );
    let seen = world.seen();
    let acting = seen.last().expect("a request");
    assert_eq!(acting.header("authorization"), Some("Bearer ya29.token"));
    assert!(
        acting.body.contains(r#""delegates":["between"]"#),
        "{}",
        acting.body
    );

    let mut twice = json.clone();
    merge(&mut twice, &json!({"source_credentials": json}));
    assert!(parse(&twice, &Policy::strict()).is_err());
}

#[test]
fn what_a_credential_lacks_is_named_and_its_secrets_are_not() {
    let of = |json: &Value| parse(json, &Policy::strict()).expect_err("incomplete");
    let mut told = Vec::new();
    for field in ["type", "client_email", "private_key"] {
        told.push(of(&account(&json!({ field: null }))));
    }
    for field in ["client_id", "client_secret", "refresh_token"] {
        let mut json = user();
        merge(&mut json, &json!({ field: " " }));
        told.push(of(&json));
    }
    let source = || json!({"url": "https://idp.test/"});
    for field in [
        "audience",
        "subject_token_type",
        "token_url",
        "credential_source",
    ] {
        told.push(of(&federated(&source(), &json!({ field: null }))));
    }
    told.push(of(&federated(
        &source(),
        &json!({"token_url": "https://evil.test/"}),
    )));
    let evil = json!({"service_account_impersonation_url": "https://evil.test/"});
    told.push(of(&federated(&source(), &evil)));
    told.push(of(&federated(
        &json!({"executable": {"command": "/bin/x"}}),
        &json!({}),
    )));
    told.push(of(&federated(
        &json!({"environment_id": "aws1"}),
        &json!({}),
    )));
    told.push(of(&federated(&json!({"url": "file:///x"}), &json!({}))));
    told.push(of(&account(&json!({"type": "gdch_service_account"}))));
    told.push(of(&account(&json!({"private_key": ["app-s3cret"]}))));
    let text: Vec<_> = told.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(text.join("\n"));
    for error in &told {
        assert!(
            !shown(error).contains("s3cret") && !shown(error).contains("MII"),
            "{error:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_never_repeats_the_assertion() {
    let credential = strict(&account(&json!({})));
    let world = World::new(&[], &[]).answers(
        400,
        r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#,
    );
    let error = credential.fetch(&world.outside).await.expect_err("refused");
    insta::assert_snapshot!(error, @"oauth2.googleapis.com refused to issue a token (status 400, invalid_grant): the key or refresh token was deleted, revoked or has expired, or the clock of the gateway's machine is wrong");

    // A part of what was sent, short enough to look like a code.
    let credential = strict(&user());
    let world = World::new(&[], &[]).answers(400, r#"{"error":"refresh-t0ken"}"#);
    let error = credential.fetch(&world.outside).await.expect_err("refused");
    assert!(!shown(&error).contains("t0ken"), "{error:?}");
}

#[test]
fn without_the_operators_word_the_machines_identity_is_refused() {
    let error = ambient(Ambient::Refused).expect_err("refused");
    let cloud = Cloud::Google;
    assert_eq!(error, CloudError::AmbientRefused { cloud });
}

#[tokio::test(start_paused = true)]
async fn the_operators_file_comes_first_and_may_name_what_a_tenants_may_not() {
    let vars = [("GOOGLE_APPLICATION_CREDENTIALS", "/adc.json")];
    let file = federated(
        &json!({"url": "http://169.254.169.254/identity"}),
        &json!({}),
    )
    .to_string();
    let world = World::new(&vars, &[("/adc.json", &file)])
        .answers(200, "subject")
        .answers(200, TOKEN);
    let cached = ambient(Ambient::Allowed).expect("allowed");
    let token = cached.get(&world.outside).await.expect("a token");
    assert_eq!(token.header(), "Bearer ya29.token");
    let seen = world.seen();
    let reaches: Vec<_> = seen.iter().map(|request| request.reach).collect();
    assert_eq!(reaches, [Reach::Platform, Reach::Guarded]);

    let missing = World::new(&vars, &[]);
    let cached = ambient(Ambient::Allowed).expect("allowed");
    let error = cached.get(&missing.outside).await.expect_err("no file");
    insta::assert_snapshot!(error, @"the file that GOOGLE_APPLICATION_CREDENTIALS names does not exist");
}

#[tokio::test(start_paused = true)]
async fn the_metadata_server_is_asked_last_and_must_say_who_it_is() {
    let flavor = [("Metadata-Flavor", "Google")];
    let world = World::new(&[], &[]).answers_with(200, &flavor, TOKEN);
    let cached = ambient(Ambient::Allowed).expect("allowed");
    cached.get(&world.outside).await.expect("a token");
    let seen = world.seen();
    let request = seen.first().expect("a request");
    assert_eq!(
        request.url,
        "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token\
         ?scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform"
    );
    assert_eq!(request.header("metadata-flavor"), Some("Google"));
    assert_eq!(request.reach, Reach::Platform);

    let error_of = async |world: World| {
        let cached = ambient(Ambient::Allowed).expect("allowed");
        cached.get(&world.outside).await.expect_err("no token")
    };
    let impostor = World::new(&[("GCE_METADATA_HOST", "10.0.0.1:80")], &[]).answers(200, TOKEN);
    let error = error_of(impostor).await;
    assert!(matches!(error, CloudError::Answer { .. }), "{error}");
    let away = World::new(&[], &[]).fails(HttpFailure::Unreachable);
    let error = error_of(away).await;
    assert!(matches!(error, CloudError::NoIdentity { .. }), "{error}");
}

proptest! {
    #[test]
    fn no_json_makes_the_parser_panic_or_show_itself(
        kind in prop_oneof![
            Just("service_account"), Just("authorized_user"), Just("external_account"),
            Just("impersonated_service_account"),
        ],
        field in prop_oneof![
            Just("token_uri"), Just("token_url"), Just("private_key"), Just("credential_source"),
            Just("source_credentials"), Just("service_account_impersonation_url"),
        ],
        value in prop_oneof![
            any::<String>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            Just(Value::Null),
            any::<String>().prop_map(|text| json!({"url": text, "file": null})),
        ],
    ) {
        let mut json = federated(&json!({"url": "https://idp.test/"}), &account(&json!({})));
        merge(&mut json, &user());
        merge(&mut json, &json!({ "type": kind, field: value }));
        if let Err(error) = parse(&json, &Policy::strict()) {
            prop_assert!(!shown(&error).contains("s3cret"));
            prop_assert!(!shown(&error).contains("MII"));
        }
    }
}
