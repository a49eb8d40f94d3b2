//! Known answers: AWS's published suite, and Bedrock requests computed with botocore 1.44 and, again,
//! with nothing but HMAC and SHA-256.

use lw_core::Secret;
use proptest::prelude::*;

use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// 2015-08-30T12:36:00Z, the time of AWS's suite.
const SUITE: UnixMicros = UnixMicros(1_440_938_160_000_000);
/// 2026-07-01T00:00:00.9Z; fractions are dropped.
const JULY: UnixMicros = UnixMicros(1_782_864_000_900_000);
const BODY: &[u8] = br#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;

fn keys(id: &str, token: Option<&str>) -> AwsCredentials {
    let token = token.map(Secret::new);
    AwsCredentials::new(id, &Secret::new(SECRET), token.as_ref()).expect("credentials")
}

/// Signs for AWS's suite and gives back the signature.
fn suite(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
    let request = Request {
        method,
        host: "example.amazonaws.com",
        path_and_query: path,
        headers,
        body: BodyHash::of([body]),
    };
    let scope = Scope {
        region: "us-east-1",
        service: "service",
    };
    let signed = sign(&keys("AKIDEXAMPLE", None), scope, request, SUITE).expect("signed");
    assert_eq!(signed.date, "20150830T123600Z");
    signature(&signed)
}

fn signature(signed: &Signed) -> String {
    let text = signed.authorization.to_str().expect("text");
    let (_, signature) = text.rsplit_once("Signature=").expect("a signature");
    signature.to_owned()
}

fn bedrock<'a>(host: &'a str, path_and_query: &'a str) -> Request<'a> {
    Request {
        method: "POST",
        host,
        path_and_query,
        headers: &[("content-type", "application/json")],
        body: BodyHash::of([BODY]),
    }
}

#[test]
fn the_published_suite_is_met() {
    assert_eq!(
        suite("GET", "/", &[], b""),
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        "get-vanilla"
    );
    assert_eq!(
        suite("GET", "/?Param2=value2&Param1=value1", &[], b""),
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        "get-vanilla-query-order-key-case"
    );
    assert_eq!(
        suite("POST", "/", &[], b""),
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        "post-vanilla"
    );
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    assert_eq!(
        suite("POST", "/", &form, b"Param1=value1"),
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        "post-x-www-form-urlencoded"
    );
}

#[test]
fn the_path_of_a_model_id_with_a_colon_is_encoded_once_more() {
    let id = encode_model_id("anthropic.claude-3-haiku-20240307-v1:0");
    let path = format!("/model/{id}/converse");
    let scope = Scope {
        region: "us-east-1",
        service: BEDROCK,
    };
    let request = bedrock("bedrock-runtime.us-east-1.amazonaws.com", &path);
    let signed = sign(&keys("AKIDEXAMPLE", None), scope, request, JULY).expect("signed");
    assert_eq!(signed.date, "20260701T000000Z");
    assert!(signed.security_token.is_none());
    assert_eq!(
        signed.authorization,
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260701/us-east-1/bedrock/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, \
         Signature=5d81a31b503d10032f552b03f9e036ff63f07de93dde04c833214b5936ed7fed"
    );
}

#[test]
fn an_arn_and_a_session_token_at_a_private_endpoint_are_signed_for_the_rows_region() {
    let id = encode_model_id(
        "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/\
         eu.anthropic.claude-sonnet-4-20250514-v1:0",
    );
    let path = format!("/model/{id}/converse-stream");
    let scope = Scope {
        region: "eu-west-1",
        service: BEDROCK,
    };
    let host = "vpce-0a1b.bedrock-runtime.eu-west-1.vpce.amazonaws.com";
    let keys = keys("ASIAEXAMPLE", Some("FwoGZXIvYXdzEXAMPLE+token/with=="));
    let signed = sign(&keys, scope, bedrock(host, &path), JULY).expect("signed");
    assert_eq!(
        signed.authorization,
        "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/20260701/eu-west-1/bedrock/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, \
         Signature=513ddc0580fc84202c70b01a7b2ab42bb6136126590c7a57d2ac7adc6c5c9d29"
    );
    let mut headers = HeaderMap::new();
    headers.insert(X_AMZ_SECURITY_TOKEN, HeaderValue::from_static("stale"));
    signed.put_on(&mut headers);
    assert_eq!(
        headers.get("x-amz-security-token").expect("a token"),
        "FwoGZXIvYXdzEXAMPLE+token/with=="
    );
    assert!(headers.get("authorization").expect("signed").is_sensitive());
    assert!(
        headers
            .get("x-amz-security-token")
            .expect("a token")
            .is_sensitive()
    );
}

#[test]
fn model_ids_become_one_segment() {
    assert_eq!(encode_model_id("a:0"), "a%3A0");
    assert_eq!(encode_model_id("arn:aws/x y"), "arn%3Aaws%2Fx%20y");
    assert_eq!(encode_model_id("us.meta_llama~1-2"), "us.meta_llama~1-2");
    assert_eq!(encode_model_id(".."), "%2E%2E");
    assert_eq!(encode_model_id("é%"), "%C3%A9%25");
}

#[test]
fn what_cannot_be_signed_is_an_error() {
    let scope = Scope {
        region: "us-east-1",
        service: BEDROCK,
    };
    let keys = keys("AKIDEXAMPLE", None);
    let refused = |request, at| sign(&keys, scope, request, at).expect_err("refused");
    assert_eq!(refused(bedrock("", "/x"), JULY), SignError::Request);
    assert_eq!(refused(bedrock("h", "/x y"), JULY), SignError::Request);
    let broken = Request {
        headers: &[("content-type", "two\nlines")],
        ..bedrock("h", "/x")
    };
    assert_eq!(refused(broken, JULY), SignError::Request);
    assert_eq!(refused(bedrock("h", "/x"), UnixMicros(-1)), SignError::Time);
    assert_eq!(
        refused(bedrock("h", "/x"), UnixMicros(i64::MAX)),
        SignError::Time
    );
}

#[test]
fn credentials_that_cannot_sign_are_refused_and_white_space_is_not_a_part_of_them() {
    let secret = Secret::new(SECRET);
    let new = |id: &str, secret: &Secret, token: Option<&str>| {
        AwsCredentials::new(id, secret, token.map(Secret::new).as_ref())
    };
    assert!(new("", &secret, None).is_err());
    assert!(new("AKID EXAMPLE", &secret, None).is_err());
    assert!(new("AKID/EXAMPLE", &secret, None).is_err());
    assert!(new("AKIDEXAMPLE", &Secret::new(" "), None).is_err());
    assert!(new("AKIDEXAMPLE", &secret, Some("two\nlines")).is_err());

    let pasted = new(
        " AKIDEXAMPLE\n",
        &Secret::new(format!("{SECRET}\n")),
        Some(" "),
    )
    .expect("credentials");
    let exact = keys("AKIDEXAMPLE", None);
    let scope = Scope {
        region: "us-east-1",
        service: BEDROCK,
    };
    let of = |keys| signature(&sign(keys, scope, bedrock("h", "/x"), JULY).expect("signed"));
    assert_eq!(of(&pasted), of(&exact));
}

#[test]
fn credentials_and_signatures_do_not_show_themselves() {
    let keys = keys("ASIAEXAMPLE", Some("FwoGtoken"));
    let scope = Scope {
        region: "us-east-1",
        service: BEDROCK,
    };
    let signed = sign(&keys, scope, bedrock("h", "/x"), JULY).expect("signed");
    let shown = format!("{keys:?} {signed:?} {:?}", keys.identity());
    for hidden in [SECRET, "FwoGtoken", "Signature="] {
        assert!(!shown.contains(hidden), "{shown}");
    }
    assert_eq!(keys.secrets().count(), 2);
}

proptest! {
    #[test]
    fn a_body_in_pieces_has_the_hash_of_the_whole(
        body in prop::collection::vec(any::<u8>(), 0..600),
        size in 1_usize..64,
    ) {
        prop_assert_eq!(BodyHash::of(body.chunks(size)), BodyHash::of([&*body]));
    }

    #[test]
    fn any_model_id_can_be_signed_and_stays_one_segment(id in any::<String>()) {
        let encoded = encode_model_id(&id);
        prop_assert!(!encoded.contains('/') && encoded != ".." && encoded != ".");
        let decoded = percent_encoding::percent_decode_str(&encoded).decode_utf8().expect("utf-8");
        prop_assert_eq!(&*decoded, &*id);
        let scope = Scope { region: "us-east-1", service: BEDROCK };
        let path = format!("/model/{encoded}/converse");
        prop_assert!(sign(&keys("AKIDEXAMPLE", None), scope, bedrock("h", &path), JULY).is_ok());
    }
}

/// `cargo test -p lw-cloud --profile quick -- --nocapture a_signature_is_cheap` prints what it takes.
/// The bound is for a debug build on a busy machine: it finds a mistake of two orders of magnitude.
#[test]
fn a_signature_is_cheap() {
    let keys = keys("ASIAEXAMPLE", Some(&"t".repeat(800)));
    let scope = Scope {
        region: "us-east-1",
        service: BEDROCK,
    };
    let rounds = 2_000;
    let begun = tokio::time::Instant::now();
    for _ in 0..rounds {
        let request = bedrock(
            "bedrock-runtime.us-east-1.amazonaws.com",
            "/model/a%3A0/converse",
        );
        sign(&keys, scope, request, JULY).expect("signed");
    }
    let each = begun.elapsed() / rounds;
    println!("one signature: {each:?}");
    assert!(each < Duration::from_millis(5), "{each:?}");
}
