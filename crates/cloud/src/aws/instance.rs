//! Instance metadata, version 2: a session token first, then the role's name, then its credentials.

use http::{HeaderName, HeaderValue};
use lw_core::Secret;
use url::Url;

use crate::aws::AwsCredentials;
use crate::aws::chain::Issued;
use crate::error::{Cloud, CloudError};
use crate::exchange::{Ask, Reply};
use crate::outside::{Env, Outside};
use crate::token::Fresh;

const IPV4: &str = "http://169.254.169.254";
const IPV6: &str = "http://[fd00:ec2::254]";
const ROLES: &str = "latest/meta-data/iam/security-credentials/";
const TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
const SESSION: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
/// How long the session token is asked for. It is used for the next two requests only.
const TTL_SECONDS: HeaderValue = HeaderValue::from_static("60");
/// When the service that renews the credentials is down, it hands out expired ones and AWS goes on
/// accepting them; they are asked for again after this time.
const STALE_SECONDS: i64 = 10 * 60;
/// Shown when this last place of the chain does not exist.
const NOWHERE: &str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run it with a role \
                       (web identity, container endpoint or instance profile)";

pub(crate) async fn fetch(outside: &Outside) -> Result<Fresh<AwsCredentials>, CloudError> {
    let env = outside.env.as_ref();
    if env.is_on("AWS_EC2_METADATA_DISABLED") {
        return Err(CloudError::NoIdentity {
            cloud: Cloud::Aws,
            hint: NOWHERE,
        });
    }
    let base = base(env)?;
    let at = |path: &str| {
        base.join(path)
            .map_err(|_| Cloud::Aws.invalid("the instance metadata names a role that is not one"))
    };

    let session = Ask::put(Cloud::Aws, at("latest/api/token")?)
        .header(TTL, TTL_SECONDS)
        .on_the_platform()
        .send(outside)
        .await
        .map_err(|error| error.nobody_there(Cloud::Aws, NOWHERE))?;
    let session = Secret::new(session.text()?);
    let ask = async |url| -> Result<Reply, CloudError> {
        Ask::get(Cloud::Aws, url)
            .on_the_platform()
            .secret(
                SESSION,
                &session,
                "the instance metadata's session token is not one",
            )?
            .send(outside)
            .await
    };

    let roles = ask(at(ROLES)?).await?;
    let role = roles.text()?.lines().next().unwrap_or_default().trim();
    if role.is_empty() || role.contains(['/', '?', '#']) {
        return Err(roles.unusable("it names no role"));
    }
    let asked_at = outside.now();
    let mut fresh = Issued::read(&ask(at(&format!("{ROLES}{role}"))?).await?)?;
    if fresh.expires_at.is_some_and(|end| end <= asked_at) {
        tracing::warn!(
            "the instance metadata handed out expired credentials; they are used for now"
        );
        fresh.expires_at = Some(crate::exchange::after(asked_at, STALE_SECONDS));
    }
    Ok(fresh)
}

fn base(env: &dyn Env) -> Result<Url, CloudError> {
    let ipv6 = || {
        env.set("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")
            .is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6"))
    };
    let text = env
        .set("AWS_EC2_METADATA_SERVICE_ENDPOINT")
        .unwrap_or_else(|| if ipv6() { IPV6 } else { IPV4 }.to_owned());
    Url::parse(&format!("{}/", text.trim_end_matches('/')))
        .map_err(|_| Cloud::Aws.invalid("AWS_EC2_METADATA_SERVICE_ENDPOINT is not an address"))
}
