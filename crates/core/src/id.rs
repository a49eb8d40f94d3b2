//! Identifiers: one type per kind, so that two of them cannot be swapped.
//!
//! Text ids carry a prefix (`vk_…`) and are cheap to clone. Parsing is the only way in and refuses the
//! wrong kind. They are names, never secrets.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Entropy, UnixMicros};

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the kind `{expected}…`")]
pub struct InvalidId {
    /// The prefix that was expected, with its underscore.
    pub expected: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The prefix of this kind, with its underscore.
            pub const PREFIX: &'static str = concat!($prefix, "_");

            /// Reads an id.
            ///
            /// # Errors
            /// The prefix is another one, the rest is empty, longer than 100 bytes, or holds anything
            /// but letters, digits, `-` and `_` (`:` and `|` separate bucket names, domain 1).
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let error = InvalidId { expected: Self::PREFIX };
                let rest = text.strip_prefix(Self::PREFIX).ok_or_else(|| error.clone())?;
                let fine = !rest.is_empty()
                    && rest.len() <= 100
                    && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
                if fine { Ok(Self(Arc::from(text))) } else { Err(error) }
            }

            /// A new id: the prefix and a ULID, so that ids sort by time of creation.
            pub fn mint(now: UnixMicros, entropy: &dyn Entropy) -> Self {
                Self(Arc::from(format!("{}{}", Self::PREFIX, ulid(now, entropy))))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(de::Error::custom)
            }
        }
    };
}

id!(
    /// An organization: the tenant that owns everything below it.
    OrganizationId,
    "org"
);
id!(
    /// A team inside an organization.
    TeamId,
    "team"
);
id!(
    /// A project inside a team: where traces and spend are filed.
    ProjectId,
    "proj"
);
id!(
    /// A person.
    UserId,
    "user"
);
id!(
    /// A virtual key, as named in the API and the ledger. Never the secret itself.
    VirtualKeyId,
    "vk"
);
id!(
    /// A stored provider credential with its settings.
    ModelProviderId,
    "mp"
);
id!(
    /// A management API key, as named in the API. Never the token itself.
    ApiKeyId,
    "ak"
);
id!(
    /// A routing policy.
    RoutingPolicyId,
    "rp"
);
id!(
    /// A budget.
    BudgetId,
    "bgt"
);
id!(
    /// A cache rule.
    CacheRuleId,
    "rule"
);
id!(
    /// A guardrail.
    GuardrailId,
    "guard"
);
id!(
    /// An organization's own price of a model.
    ModelPriceId,
    "price"
);
id!(
    /// A group of people.
    GroupId,
    "grp"
);
id!(
    /// A custom role.
    RoleId,
    "role"
);
id!(
    /// A role binding.
    RoleBindingId,
    "rb"
);
id!(
    /// An invitation into an organization.
    InviteId,
    "inv"
);

impl VirtualKeyId {
    /// A new id in the form of domain 1: `vk_` + base64url of 16 random bytes.
    pub fn mint_random(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0_u8; 16];
        entropy.fill(&mut bytes);
        let body = data_encoding::BASE64URL_NOPAD.encode(&bytes);
        Self(Arc::from(format!("{}{body}", Self::PREFIX)))
    }
}

/// Crockford's base 32, the alphabet of ULIDs.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A ULID: 10 characters of milliseconds, 16 characters of 80 random bits.
pub fn ulid(now: UnixMicros, entropy: &dyn Entropy) -> String {
    let mut random = [0_u8; 16];
    entropy.fill(&mut random);
    let millis = u128::from(u64::try_from(now.millis()).unwrap_or(0) & 0xFFFF_FFFF_FFFF);
    let bits = (millis << 80) | (u128::from_be_bytes(random) >> 48);
    (0..26_u32)
        .map(|place| {
            let index = usize::try_from((bits >> (5 * (25 - place))) & 31).unwrap_or(0);
            char::from(CROCKFORD.get(index).copied().unwrap_or(b'0'))
        })
        .collect()
}

/// The id of one gateway request: `req_` + 30 hex characters, of which the first 12 are milliseconds.
///
/// The time comes first so that every index that holds these ids is appended to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId([u8; 15]);

impl RequestId {
    /// A new id for a request that arrived at `now`.
    pub fn mint(now: UnixMicros, entropy: &dyn Entropy) -> Self {
        let mut bytes = [0_u8; 15];
        entropy.fill(&mut bytes);
        let millis = u64::try_from(now.millis()).unwrap_or(0).to_be_bytes();
        for (slot, byte) in bytes.iter_mut().zip(millis.iter().skip(2)) {
            *slot = *byte;
        }
        Self(bytes)
    }

    /// Reads `req_` + 30 lowercase hex characters; anything else is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("req_")?;
        let mut bytes = [0_u8; 15];
        if hex.len() != 30 {
            return None;
        }
        data_encoding::HEXLOWER
            .decode_mut(hex.as_bytes(), &mut bytes)
            .ok()?;
        Some(Self(bytes))
    }

    /// The 15 bytes behind the text; they sort by time.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 15] {
        &self.0
    }

    /// From the 15 bytes of [`Self::as_bytes`].
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 15]) -> Self {
        Self(bytes)
    }

    /// Milliseconds since the epoch at which the id was minted.
    #[must_use]
    pub fn millis(&self) -> u64 {
        self.0
            .iter()
            .take(6)
            .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    }

    /// The text, on the stack: 34 ASCII characters.
    #[must_use]
    pub fn to_ascii(&self) -> [u8; 34] {
        let mut out = *b"req_000000000000000000000000000000";
        if let Some(hex) = out.get_mut(4..) {
            data_encoding::HEXLOWER.encode_mut(&self.0, hex);
        }
        out
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ascii = self.to_ascii();
        f.write_str(std::str::from_utf8(&ascii).unwrap_or("req_"))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ascii = self.to_ascii();
        serializer.serialize_str(std::str::from_utf8(&ascii).unwrap_or("req_"))
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("not a request id"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    #[test]
    fn a_request_id_begins_with_its_milliseconds_and_survives_a_round_trip() {
        let id = RequestId::mint(UnixMicros::from_millis(0x0199_ABCD_EF01), &SystemEntropy);
        let text = id.to_string();
        assert!(text.starts_with("req_0199abcdef01"), "{text}");
        assert_eq!(text.len(), 34);
        assert_eq!(RequestId::parse(&text), Some(id));
        assert_eq!(id.millis(), 0x0199_ABCD_EF01);
    }

    #[test]
    fn later_request_ids_sort_later() {
        let early = RequestId::mint(UnixMicros::from_millis(1_000), &SystemEntropy);
        let late = RequestId::mint(UnixMicros::from_millis(1_001), &SystemEntropy);
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
    }

    #[test]
    fn malformed_request_ids_are_refused() {
        for text in ["", "req_", "req_0199ABCDEF01000000000000000000", "vk_x"] {
            assert_eq!(RequestId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn one_kind_of_id_is_not_another() {
        assert!(VirtualKeyId::parse("vk_abc-DEF_1").is_ok());
        assert!(VirtualKeyId::parse("mp_abc").is_err());
        assert!(VirtualKeyId::parse("vk_").is_err());
        assert!(VirtualKeyId::parse("vk_a:b").is_err());
    }

    #[test]
    fn a_ulid_has_its_time_first() {
        let a = ulid(UnixMicros::from_millis(1_469_918_176_385), &SystemEntropy);
        assert_eq!(a.len(), 26);
        assert!(a.starts_with("01ARYZ6S41"), "{a}");
    }
}
