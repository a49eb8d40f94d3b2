//! Each place of the chain, with scripted answers.

use super::*;
use crate::outside::{Ambient, HttpFailure, Reach};
use crate::testing::{START, World, shown};

const ISSUED: &str = r#"{"Code":"Success","LastUpdated":"2026-06-30T23:00:00Z","Type":"AWS-HMAC",
    "AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"issued-secret","Token":"issued-token",
    "Expiration":"2026-07-01T06:00:00Z","RoleArn":"arn:aws:iam::1:role/r"}"#;
const STS: &str = r#"<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn></AssumedRoleUser>
    <Credentials>
      <SessionToken>issued-token+/==</SessionToken>
      <SecretAccessKey>issued-secret</SecretAccessKey>
      <Expiration>2026-07-01T01:00:00Z</Expiration>
      <AccessKeyId>ASIAEXAMPLE</AccessKeyId>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"#;

/// What the chain brings: secrets, joined.
async fn fetched(world: &World) -> Result<String, CloudError> {
    let cached = ambient(Ambient::Allowed).expect("allowed");
    let credentials = cached.get(&world.outside).await?;
    let secrets: Vec<_> = credentials.secrets().map(Secret::expose).collect();
    Ok(secrets.join(" "))
}

#[test]
fn without_the_operators_word_the_machines_identity_is_refused() {
    let error = ambient(Ambient::Refused).expect_err("refused");
    assert_eq!(error, CloudError::AmbientRefused { cloud: Cloud::Aws });
}

#[tokio::test(start_paused = true)]
async fn the_environment_comes_first_and_needs_both_halves() {
    let vars = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "env-secret"),
        ("AWS_SESSION_TOKEN", "env-token"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x"),
    ];
    let world = World::new(&vars, &[]);
    assert_eq!(fetched(&world).await.as_deref(), Ok("env-secret env-token"));
    assert!(world.seen().is_empty());

    let half = World::new(&[("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")], &[]);
    let error = fetched(&half).await.expect_err("one half is missing");
    assert!(matches!(error, CloudError::Invalid { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn web_identity_is_exchanged_at_the_regional_sts() {
    let vars = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ("AWS_REGION", "eu-west-1"),
    ];
    let world = World::new(&vars, &[("/token", "header.pay-load.sig\n")]).answers(200, STS);
    assert_eq!(
        fetched(&world).await.as_deref(),
        Ok("issued-secret issued-token+/==")
    );
    let seen = world.seen();
    let [request] = &*seen else {
        panic!("one request: {seen:?}")
    };
    assert_eq!(request.method, "POST");
    assert_eq!(request.url, "https://sts.eu-west-1.amazonaws.com/");
    assert_eq!(request.reach, Reach::Guarded);
    assert_eq!(request.header("authorization"), None);
    assert_eq!(request.header("accept"), Some("application/xml"));
    let form = request.form();
    let field = |name: &str| form.get(name).map(String::as_str);
    assert_eq!(field("Action"), Some("AssumeRoleWithWebIdentity"));
    assert_eq!(field("Version"), Some("2011-06-15"));
    assert_eq!(field("RoleArn"), Some("arn:aws:iam::1:role/r"));
    assert_eq!(field("RoleSessionName"), Some("langwatch-gateway"));
    assert_eq!(field("WebIdentityToken"), Some("header.pay-load.sig"));
}

#[tokio::test(start_paused = true)]
async fn the_sts_of_a_workload_follows_its_region() {
    let url = async |more: &[(&str, &str)]| {
        let base = [
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ];
        let world = World::new(&[&base, more].concat(), &[("/token", "t")]).answers(200, STS);
        fetched(&world).await?;
        let seen = world.seen();
        Ok::<_, CloudError>(seen.first().expect("a request").url.clone())
    };
    let at = |text: &str| Ok(text.to_owned());
    assert_eq!(url(&[]).await, at("https://sts.amazonaws.com/"));
    assert_eq!(
        url(&[("AWS_DEFAULT_REGION", "cn-north-1")]).await,
        at("https://sts.cn-north-1.amazonaws.com.cn/")
    );
    assert_eq!(
        url(&[("AWS_ENDPOINT_URL_STS", "https://sts.internal.test")]).await,
        at("https://sts.internal.test/")
    );
    assert!(url(&[("AWS_REGION", "evil.test/")]).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_sts_is_the_answer_and_no_other_place_is_asked() {
    let vars = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x"),
    ];
    let body = "<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredTokenException</Code>\
                <Message>Token expired: t0ken-in-a-message</Message></Error></ErrorResponse>";
    let world = World::new(&vars, &[("/token", "t0ken-in-a-message")]).answers(400, body);
    let error = fetched(&world).await.expect_err("refused");
    assert!(!error.temporary());
    insta::assert_snapshot!(error, @"sts.amazonaws.com refused to issue a token (status 400, ExpiredTokenException): check that the platform renews the file that AWS_WEB_IDENTITY_TOKEN_FILE names, and the identity provider of the account");
    assert_eq!(world.seen().len(), 1);

    let missing = World::new(&vars, &[]);
    let error = fetched(&missing).await.expect_err("no file");
    insta::assert_snapshot!(error, @"the file that AWS_WEB_IDENTITY_TOKEN_FILE names does not exist");
}

#[tokio::test(start_paused = true)]
async fn a_container_asks_its_endpoint_with_the_token_of_its_file() {
    let vars = [
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "http://169.254.170.23/v1/credentials",
        ),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/pod"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "not this one"),
    ];
    let world = World::new(&vars, &[("/pod", "pod-token\n")]).answers(200, ISSUED);
    assert_eq!(
        fetched(&world).await.as_deref(),
        Ok("issued-secret issued-token")
    );
    let seen = world.seen();
    let request = seen.first().expect("a request");
    assert_eq!(request.method, "GET");
    assert_eq!(request.url, "http://169.254.170.23/v1/credentials");
    assert_eq!(request.reach, Reach::Platform);
    assert_eq!(request.header("authorization"), Some("pod-token"));
}

#[tokio::test(start_paused = true)]
async fn a_relative_address_is_at_the_ecs_endpoint_and_wins() {
    let vars = [
        (
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "/v2/credentials/x?a=b",
        ),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "https://other.test/"),
    ];
    let world = World::new(&vars, &[]).answers(200, ISSUED);
    assert!(fetched(&world).await.is_ok());
    let seen = world.seen();
    let request = seen.first().expect("a request");
    assert_eq!(request.url, "http://169.254.170.2/v2/credentials/x?a=b");
    assert_eq!(request.header("authorization"), None);
}

#[test]
fn plain_container_endpoints_are_those_of_aws_and_loopback() {
    let accepted = |name: &str, value: &str| {
        let world = World::new(&[(name, value)], &[]);
        let found = container::Container::configured(world.outside.env.as_ref());
        matches!(found, Ok(Some(_)))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let _in_runtime = runtime.as_ref().expect("a runtime").enter();
    for fine in [
        "http://127.0.0.1:8080/x",
        "http://localhost/x",
        "http://[::1]/x",
        "http://169.254.170.2/x",
        "http://[fd00:ec2::23]/v1",
        "https://credentials.test/x",
    ] {
        assert!(
            accepted("AWS_CONTAINER_CREDENTIALS_FULL_URI", fine),
            "{fine}"
        );
    }
    for refused in [
        "http://credentials.test/x",
        "http://10.0.0.1/x",
        "http://169.254.169.254/x",
        "file:///etc/passwd",
        "nonsense",
    ] {
        assert!(
            !accepted("AWS_CONTAINER_CREDENTIALS_FULL_URI", refused),
            "{refused}"
        );
    }
    assert!(!accepted(
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "@evil.test/"
    ));
}

#[tokio::test(start_paused = true)]
async fn an_instance_asks_its_metadata_in_three_steps() {
    let world = World::new(&[], &[])
        .answers(200, "session-token")
        .answers(200, "my-role\n")
        .answers(200, ISSUED);
    assert_eq!(
        fetched(&world).await.as_deref(),
        Ok("issued-secret issued-token")
    );
    let seen = world.seen();
    let [session, role, keys] = &*seen else {
        panic!("three requests: {seen:?}")
    };
    assert_eq!(session.method, "PUT");
    assert_eq!(session.url, "http://169.254.169.254/latest/api/token");
    assert_eq!(
        session.header("x-aws-ec2-metadata-token-ttl-seconds"),
        Some("60")
    );
    let roles = "http://169.254.169.254/latest/meta-data/iam/security-credentials/";
    assert_eq!(role.url, roles);
    assert_eq!(keys.url, format!("{roles}my-role"));
    for request in [role, keys] {
        assert_eq!(request.method, "GET");
        assert_eq!(request.reach, Reach::Platform);
        assert_eq!(
            request.header("x-aws-ec2-metadata-token"),
            Some("session-token")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn expired_credentials_of_an_instance_are_used_for_ten_minutes() {
    let stale = ISSUED.replace("2026-07-01T06", "2026-06-30T06");
    let world = World::new(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6")], &[])
        .answers(200, "session-token")
        .answers(200, "my-role")
        .answers(200, &stale);
    let fresh = instance::fetch(&world.outside).await.expect("credentials");
    let end = fresh.expires_at.expect("an end");
    assert_eq!(end, START.plus_micros(600_000_000));
    let seen = world.seen();
    let first = seen.first().expect("a request");
    assert_eq!(first.url, "http://[fd00:ec2::254]/latest/api/token");
}

#[tokio::test(start_paused = true)]
async fn a_machine_outside_aws_says_what_would_give_it_an_identity() {
    let away = World::new(&[], &[]).fails(HttpFailure::Unreachable);
    let off = World::new(&[("AWS_EC2_METADATA_DISABLED", "true")], &[]);
    for world in [away, off] {
        let error = fetched(&world).await.expect_err("no identity");
        assert!(matches!(error, CloudError::NoIdentity { .. }), "{error}");
        assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
    }
    let no_role = World::new(&[], &[])
        .answers(200, "session-token")
        .answers(404, "");
    let error = fetched(&no_role).await.expect_err("no role");
    insta::assert_snapshot!(error, @"169.254.169.254 refused to issue a token (status 404): no role is attached to the machine");
}

#[tokio::test(start_paused = true)]
async fn credentials_are_renewed_five_minutes_before_their_end() {
    let vars = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x")];
    let world = World::new(&vars, &[])
        .answers(200, ISSUED)
        .answers(200, &ISSUED.replace("issued-secret", "second-secret"));
    let cached = ambient(Ambient::Allowed).expect("allowed");
    let first = cached.get(&world.outside).await.expect("credentials");
    tokio::time::advance(std::time::Duration::from_secs(6 * 3_600 - 300)).await;
    let second = cached.get(&world.outside).await.expect("credentials");
    assert!(
        std::sync::Arc::ptr_eq(&first, &second),
        "the old one, at once"
    );
    tokio::task::yield_now().await;
    assert_eq!(world.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn answers_that_make_no_sense_show_nothing_of_themselves() {
    let vars = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x")];
    for body in [
        "issued-secret",
        r#"{"AccessKeyId":"issued-secret"}"#,
        &ISSUED.replace("2026-07-01T06:00:00Z", "issued-secret"),
        &ISSUED.replace("ASIAEXAMPLE", "issued-secret issued-secret"),
    ] {
        let world = World::new(&vars, &[]).answers(200, body);
        let error = fetched(&world).await.expect_err("nonsense");
        assert!(matches!(error, CloudError::Answer { .. }), "{error}");
        assert!(!shown(&error).contains("issued-secret"), "{error:?}");
    }
}
