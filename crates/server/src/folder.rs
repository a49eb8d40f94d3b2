//! The data folder: who holds it, its sealing key, and where each file is.
//!
//! | file | what it is |
//! |---|---|
//! | `langwatch.lock` | held by the one process that uses the folder |
//! | `sealing.key` | the sealing key, 64 hex characters, mode 0600; every stored credential needs it |
//! | `sealing.check` | a known text under that key: tells a wrong key from damaged data |
//! | `config.db` | organizations, providers, keys |
//! | `ledger.db` | money |
//! | `traces.db` | traces |
//! | `spend-spool/` | spend records on their way into the ledger |
//! | `listening.json` | where the running process listens |
//!
//! Must never start with a key that does not open what is stored, or make a new key beside old data.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use lw_core::{Entropy, Secret};
use lw_crypto::{Place, Sealer, SealingKey};

const CHECK: &[u8] = b"langwatch";
const CHECK_PLACE: Place<'static> = Place {
    table: "folder",
    column: "sealing.check",
    row_id: "1",
};

/// Why the folder cannot be used. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    #[error("the data folder {0} cannot be used")]
    Unusable(PathBuf, #[source] std::io::Error),
    #[error(
        "another langwatch process uses the data folder {0}: stop it or choose another --data-dir"
    )]
    Taken(PathBuf),
    #[error(
        "the sealing key is missing, but {0} holds stored data: restore `sealing.key` or set CREDENTIALS_SECRET"
    )]
    KeyMissing(PathBuf),
    #[error("the sealing key is malformed: it is 64 hexadecimal characters")]
    KeyMalformed(#[source] lw_crypto::CryptoError),
    #[error(
        "the sealing key is not the one that {0} was sealed with: restore the former `sealing.key` or CREDENTIALS_SECRET"
    )]
    KeyWrong(PathBuf),
    #[error("the sealing check could not be made")]
    Check(#[source] lw_crypto::CryptoError),
}

/// A data folder that this process holds until it is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder when it is not there and takes it for this process.
    pub(crate) fn open(path: &Path) -> Result<Self, FolderError> {
        let unusable = |error| FolderError::Unusable(path.to_owned(), error);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(unusable)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("langwatch.lock"))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(fs::TryLockError::WouldBlock) => Err(FolderError::Taken(path.to_owned())),
            Err(fs::TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// A file of the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The sealing key: the configured one, the stored one, or on an empty folder a new one.
    pub(crate) fn sealing_key(
        &self,
        configured: Option<&Secret>,
        entropy: &dyn Entropy,
    ) -> Result<SealingKey, FolderError> {
        let stored = self.file("sealing.key");
        if let Some(secret) = configured {
            return SealingKey::parse(secret).map_err(FolderError::KeyMalformed);
        }
        match fs::read_to_string(&stored) {
            Ok(text) => {
                SealingKey::parse(&Secret::new(text.trim())).map_err(FolderError::KeyMalformed)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if self.file("config.db").exists() {
                    return Err(FolderError::KeyMissing(self.path.clone()));
                }
                let (key, text) = SealingKey::generate(entropy);
                self.write_private("sealing.key", format!("{}\n", text.expose()).as_bytes())?;
                Ok(key)
            }
            Err(error) => Err(FolderError::Unusable(stored, error)),
        }
    }

    /// Checks that `sealer` opens what this folder was sealed with.
    pub(crate) fn check(&self, sealer: &Sealer, entropy: &dyn Entropy) -> Result<(), FolderError> {
        let path = self.file("sealing.check");
        let mut text = String::new();
        match File::open(&path).and_then(|mut file| file.read_to_string(&mut text)) {
            Ok(_) => match sealer.open(text.trim(), CHECK_PLACE) {
                Ok(plain) if *plain == CHECK => Ok(()),
                Ok(_) | Err(_) => Err(FolderError::KeyWrong(self.path.clone())),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let sealed = sealer
                    .seal(CHECK, CHECK_PLACE, entropy)
                    .map_err(FolderError::Check)?;
                self.write_private("sealing.check", sealed.as_bytes())
            }
            Err(error) => Err(FolderError::Unusable(path, error)),
        }
    }

    /// Writes a file for this user only, whole or not at all, and durably.
    pub(crate) fn write_private(&self, name: &str, content: &[u8]) -> Result<(), FolderError> {
        let path = self.file(name);
        let unusable = |error| FolderError::Unusable(path.clone(), error);
        let temporary = self.file(&format!("{name}.new"));
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(unusable)?;
        file.write_all(content)
            .and_then(|()| file.sync_all())
            .map_err(unusable)?;
        fs::rename(&temporary, &path).map_err(unusable)?;
        File::open(&self.path)
            .and_then(|folder| folder.sync_all())
            .map_err(unusable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lw_core::SystemEntropy;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_folder_is_held_by_one_process_and_its_key_is_private() {
        let temp = tempfile::tempdir().expect("a folder");
        let path = temp.path().join("data");
        let folder = Folder::open(&path).expect("the folder");
        assert!(matches!(Folder::open(&path), Err(FolderError::Taken(_))));
        let key = folder.sealing_key(None, &SystemEntropy).expect("a key");
        let sealer = Sealer::new(&key, &[]);
        folder
            .check(&sealer, &SystemEntropy)
            .expect("a first check");
        let mode = fs::metadata(path.join("sealing.key"))
            .expect("the file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(folder);
        let folder = Folder::open(&path).expect("the folder again");
        let again = folder
            .sealing_key(None, &SystemEntropy)
            .expect("the same key");
        folder
            .check(&Sealer::new(&again, &[]), &SystemEntropy)
            .expect("a second check");
        let (other, _) = SealingKey::generate(&SystemEntropy);
        let wrong = folder.check(&Sealer::new(&other, &[]), &SystemEntropy);
        assert!(matches!(wrong, Err(FolderError::KeyWrong(_))));
    }

    #[test]
    fn a_lost_key_is_never_replaced_beside_old_data() {
        let temp = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(temp.path()).expect("the folder");
        fs::write(folder.file("config.db"), b"data").expect("a file");
        let missing = folder.sealing_key(None, &SystemEntropy);
        assert!(matches!(missing, Err(FolderError::KeyMissing(_))));
        let blank = folder.sealing_key(Some(&Secret::new("zz")), &SystemEntropy);
        assert!(matches!(blank, Err(FolderError::KeyMalformed(_))));
    }
}
