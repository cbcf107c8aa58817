//! A cookie that a passphrase stands for.

use std::io;
use std::path::Path;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use thiserror::Error;
use zeroize::Zeroizing;

use super::cookie::Cookie;
use super::secret::Secret;
use super::secret_file::{self, FileError};

/// Why a passphrase stands for no cookie. No message contains any part of one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// It is too short to withstand guessing.
    #[error("a passphrase has at least {least} characters; six random words are a good one")]
    Short {
        /// The fewest characters, white space around it not counted.
        least: usize,
    },
    /// It is longer than any passphrase that is typed.
    #[error("a passphrase has at most {most} bytes")]
    Long {
        /// The most bytes.
        most: usize,
    },
    /// The file cannot be read.
    #[error("cannot read the passphrase file {path}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// There is something else than a file: a folder, a pipe, a device.
    #[error("{path} is no regular file, so it cannot hold a passphrase")]
    NotAFile {
        /// The path.
        path: String,
    },
    /// Others than the file's owner can read it.
    #[error("the passphrase file {path} can be read by others (mode {mode:04o}); run: chmod 600 {path}")]
    Shared {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The system gives no memory for the computation.
    #[error("no room for the 64 MiB that it takes to make a cookie of a passphrase")]
    Memory,
}

impl Cookie {
    /// The cookie that a passphrase stands for, the same on every node. White space around it does not count.
    ///
    /// Its UTF-8 bytes are what counts, and nothing is normalised: an `é` that one system writes as one character and another
    /// as `e` and an accent (Unicode's forms NFC and NFD) makes two cookies, whose nodes refuse each other as of different
    /// cookies. Take a passphrase of ASCII, or bring it into one form first.
    ///
    /// A random cookie ([`generate`](Cookie::generate)) is better wherever a file can be copied: it cannot be guessed. A
    /// passphrase can, offline, by whoever has recorded one handshake, and as all nodes have to come to one cookie there
    /// is no salt but a fixed one, so that guesses are good for all clusters at once. Argon2id (RFC 9106: version 19, 64 MiB,
    /// 3 passes, 4 lanes, the salt `clusterluck netkernel v1 passphrase`) makes each guess cost as much as this call: some
    /// tenths of a second and 64 MiB. Take six words drawn at random, or more.
    ///
    /// It blocks for that time: call it once, and from async code in `spawn_blocking`.
    ///
    /// ```no_run
    /// # use netkernel::Cookie;
    /// let cookie = Cookie::from_passphrase("violet anchor pepper tundra mosaic velcro")?;
    /// # Ok::<(), netkernel::PassphraseError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PassphraseError::Short`] under 20 characters, [`PassphraseError::Long`] over 1,024 bytes,
    /// [`PassphraseError::Memory`].
    pub fn from_passphrase(passphrase: &str) -> Result<Self, PassphraseError> {
        let passphrase = passphrase.trim();
        if passphrase.chars().count() < CHARACTERS_MIN {
            return Err(PassphraseError::Short { least: CHARACTERS_MIN });
        }
        if passphrase.len() > BYTES_MAX {
            return Err(PassphraseError::Long { most: BYTES_MAX });
        }
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(Self::BYTES)).expect("they are in range");
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(params.block_count()).map_err(|_| PassphraseError::Memory)?;
        blocks.resize(params.block_count(), Block::default());
        let mut blocks = Zeroizing::new(blocks);
        let mut secret = Secret::zero();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let made = argon2.hash_password_into_with_memory(
            passphrase.as_bytes(),
            SALT,
            secret.bytes_mut(),
            blocks.as_mut_slice(),
        );
        made.expect("lengths and memory are as the parameters say");
        Ok(Self::from_secret(secret))
    }

    /// The cookie that the passphrase in a file stands for. On Unix a file that its group or others can read is refused.
    ///
    /// # Errors
    ///
    /// [`PassphraseError`]
    pub fn from_passphrase_file(path: impl AsRef<Path>) -> Result<Self, PassphraseError> {
        let path = path.as_ref();
        let shown = || path.display().to_string();
        let text = secret_file::read(path).map_err(|error| match error {
            FileError::Unreadable(source) => PassphraseError::Unreadable { path: shown(), source },
            FileError::NotAFile => PassphraseError::NotAFile { path: shown() },
            FileError::Shared(mode) => PassphraseError::Shared { path: shown(), mode },
        })?;
        Self::from_passphrase(&text)
    }
}

/// The second recommendation of RFC 9106, section 4, for where 2 GiB are too much: nodes run in small containers.
const MEMORY_KIB: u32 = 64 * 1_024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// All nodes come to one cookie by the passphrase alone.
const SALT: &[u8] = b"clusterluck netkernel v1 passphrase";
/// Shorter ones are passwords.
const CHARACTERS_MIN: usize = 20;
const BYTES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    const PASSPHRASE: &str = "correct horse battery staple";

    /// The value that the reference implementation gives for these parameters.
    #[test]
    fn a_passphrase_stands_for_the_same_cookie_everywhere() {
        let cookie = Cookie::from_passphrase(PASSPHRASE).unwrap();
        assert_eq!(&*cookie.reveal(), "e8b3ed4beb1a9dd49d9beae0a432f449bb3eb422b8d1c07be217fea164704da8");
    }

    /// As its documentation says: what looks alike need not be.
    #[test]
    fn an_accent_of_its_own_makes_another_cookie() {
        let [one, two] = ["caf\u{e9} anchor pepper tundra", "cafe\u{301} anchor pepper tundra"]
            .map(|text| Cookie::from_passphrase(text).unwrap());
        assert_ne!(*one.reveal(), *two.reveal());
    }

    #[test]
    fn what_is_no_passphrase_is_refused_and_not_repeated() {
        for short in ["", "   ", "nineteen characters", &format!("{}   \n", "é".repeat(19))] {
            let error = Cookie::from_passphrase(short).unwrap_err();
            assert!(matches!(error, PassphraseError::Short { least: 20 }), "{short:?}");
            assert!(short.trim().is_empty() || !format!("{error} {error:?}").contains(short.trim()));
        }
        let error = Cookie::from_passphrase(&"x".repeat(1_025)).unwrap_err();
        assert!(matches!(error, PassphraseError::Long { most: 1_024 }));
    }

    #[test]
    fn a_passphrase_file_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        let missing = Cookie::from_passphrase_file(&path);
        assert!(matches!(missing, Err(PassphraseError::Unreadable { .. })), "{missing:?}");
        let no_file = Cookie::from_passphrase_file(folder.path());
        assert!(matches!(no_file, Err(PassphraseError::NotAFile { .. })), "{no_file:?}");
        std::fs::write(&path, "short\n").unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
            let shared = Cookie::from_passphrase_file(&path);
            assert!(matches!(shared, Err(PassphraseError::Shared { mode: 0o640, .. })), "{shared:?}");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let short = Cookie::from_passphrase_file(&path);
        assert!(matches!(short, Err(PassphraseError::Short { .. })), "{short:?}");
    }
}
