//! One identity asks for a token of a service account that it may act for.

use http::header;
use lw_core::{Secret, UnixMicros};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::SCOPE;
use crate::bearer::Bearer;
use crate::error::{Cloud, CloudError};
use crate::exchange::Ask;
use crate::outside::Outside;
use crate::token::Fresh;

/// Life of such a token unless the JSON says otherwise, and the most that Google grants on request.
const USUAL_SECONDS: u32 = 3_600;
const LONGEST_SECONDS: u32 = 43_200;

/// The service account to act for.
pub(super) struct Impersonation {
    url: Url,
    delegates: Vec<String>,
    lifetime: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Generated {
    access_token: String,
    expire_time: String,
}

impl Impersonation {
    /// `lifetime` is in seconds.
    pub(super) fn new(url: Url, delegates: Vec<String>, lifetime: Option<u32>) -> Self {
        let seconds = lifetime.unwrap_or(USUAL_SECONDS).clamp(1, LONGEST_SECONDS);
        Self {
            url,
            delegates,
            lifetime: format!("{seconds}s"),
        }
    }

    pub(super) async fn token(
        &self,
        own: &Bearer,
        outside: &Outside,
    ) -> Result<Fresh<Bearer>, CloudError> {
        let Self {
            url,
            delegates,
            lifetime,
        } = self;
        let body = json!({"delegates": delegates, "scope": [SCOPE], "lifetime": lifetime});
        let reply = Ask::json(Cloud::Google, url.clone(), &body)
            .header(header::AUTHORIZATION, own.header().clone())
            .send(outside)
            .await?;
        let Generated {
            access_token,
            expire_time,
        } = reply.json()?;
        let value = Bearer::new(Secret::new(access_token))
            .ok_or_else(|| reply.unusable("its accessToken is empty or not one"))?;
        let expires_at = UnixMicros::parse_rfc3339(&expire_time)
            .ok_or_else(|| reply.unusable("its expireTime is not a time"))?;
        Ok(Fresh {
            value,
            expires_at: Some(expires_at),
        })
    }
}
