//! What the data plane asks when it meets a key that it does not hold.

use crate::StoreError;
use crate::rows::{ModelPrice, ModelProvider, Organization, Project, RoutingPolicy, VirtualKey};

/// Everything that one key's bundle is compiled from.
#[derive(Debug, Clone)]
pub struct KeyRecord {
    /// The key.
    pub key: VirtualKey,
    /// Whether the presented secret is the one before the last rotation.
    pub previous_secret: bool,
    /// Its organization.
    pub organization: Organization,
    /// The project that receives traces and spend.
    pub trace_project: Project,
    /// Enabled providers that are reachable from the key's scopes, in dispatch order (domain 9 steps 1
    /// and 2; `providersAllowed` is not applied yet).
    pub providers: Vec<ModelProvider>,
    /// The key's routing policy. `None` although the key names one: it belongs to nobody any more, and
    /// nothing may be dispatched.
    pub policy: Option<RoutingPolicy>,
    /// The organization's own prices.
    pub prices: Vec<ModelPrice>,
}

/// The data plane's port: one read per unknown key.
pub trait KeySource: Send + Sync + 'static {
    /// Finds a key by one of the hashes that its secret may be stored under (current pepper first). A
    /// previous secret is found whether or not its grace has ended: the caller compares
    /// `previous_secret_valid_until` with its clock. `Ok(None)` means that there is no such key.
    ///
    /// The whole answer comes from one read transaction.
    ///
    /// # Errors
    /// The store could not be asked. The caller answers 503, never 401.
    fn key_by_hash(&self, hashes: &[String]) -> Result<Option<KeyRecord>, StoreError>;

    /// Replaces the stored hash of a key that was found under the previous pepper (domain 7.4): the row
    /// that has `old` as its current or previous hash gets `new` there. Neither audited nor announced:
    /// the secret is the same.
    ///
    /// # Errors
    /// The store could not be written. The caller goes on: the old hash still finds the key.
    fn rehash_virtual_key(&self, old: &str, new: &str) -> Result<(), StoreError>;
}
