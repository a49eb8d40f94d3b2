//! The endpoint that ECS tasks, EKS pods and Lambda-like platforms give to a container.

use std::net::IpAddr;

use http::header;
use lw_core::Secret;
use url::{Host, Url};

use crate::aws::AwsCredentials;
use crate::aws::chain::Issued;
use crate::error::{Cloud, CloudError};
use crate::exchange::{Ask, read_secret};
use crate::outside::{Env, Outside};
use crate::token::Fresh;

const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
/// Where a relative address points to.
const ECS: &str = "http://169.254.170.2";
/// Hosts that may be asked without TLS, besides loopback: ECS and EKS.
const PLAIN: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// What the environment says.
pub(crate) struct Container {
    url: Url,
    token: Option<Token>,
}

enum Token {
    File(String),
    Text(Secret),
}

impl Container {
    /// `None` when the environment names no endpoint.
    pub(crate) fn configured(env: &dyn Env) -> Result<Option<Self>, CloudError> {
        let url = if let Some(relative) = env.set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            // Joined as text, it could begin with an `@` and name another host.
            Some(relative)
                .filter(|path| path.starts_with('/'))
                .and_then(|path| Url::parse(&format!("{ECS}{path}")).ok())
                .ok_or_else(|| {
                    Cloud::Aws.invalid("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not a path")
                })?
        } else if let Some(full) = env.set("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            Url::parse(&full)
                .ok()
                .filter(|url| url.scheme() == "https" || plain_is_fine(url))
                .ok_or_else(|| {
                    Cloud::Aws.invalid(
                        "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or http at loopback or at \
                         the container endpoints of AWS",
                    )
                })?
        } else {
            return Ok(None);
        };
        let file = env.set(TOKEN_FILE).map(Token::File);
        let token = file.or_else(|| {
            env.set("AWS_CONTAINER_AUTHORIZATION_TOKEN")
                .map(|text| Token::Text(Secret::new(text)))
        });
        Ok(Some(Self { url, token }))
    }

    pub(crate) async fn fetch(
        self,
        outside: &Outside,
    ) -> Result<Fresh<AwsCredentials>, CloudError> {
        let Self { url, token } = self;
        let token = match token {
            None => None,
            Some(Token::Text(text)) => Some(text),
            Some(Token::File(path)) => {
                Some(read_secret(outside, &path, TOKEN_FILE, Cloud::Aws).await?)
            }
        };
        let mut ask = Ask::get(Cloud::Aws, url).on_the_platform();
        if let Some(token) = token {
            let why = "the authorization token of the container endpoint cannot stand in a header";
            ask = ask.secret(header::AUTHORIZATION, &token, why)?;
        }
        Issued::read(&ask.send(outside).await?)
    }
}

fn plain_is_fine(url: &Url) -> bool {
    let address: IpAddr = match url.host() {
        Some(Host::Domain(name)) => return url.scheme() == "http" && name == "localhost",
        Some(Host::Ipv4(address)) => address.into(),
        Some(Host::Ipv6(address)) => address.into(),
        None => return false,
    };
    let known = PLAIN
        .iter()
        .any(|plain| plain.parse().is_ok_and(|plain: IpAddr| plain == address));
    url.scheme() == "http" && (address.is_loopback() || known)
}
