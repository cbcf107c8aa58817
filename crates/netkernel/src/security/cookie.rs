//! The cluster's shared secret.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

use thiserror::Error;
use zeroize::Zeroizing;

use super::secret::Secret;
use super::secret_file::FileError;

/// The secret all nodes of a cluster share. Written down as 64 hexadecimal digits.
///
/// It proves that its holder belongs to the cluster, not which member it is. It is wiped from memory when dropped, stays in
/// one place until then, and never appears in `Debug` output, errors or logs.
///
/// ```
/// use netkernel::Cookie;
///
/// let cookie = Cookie::generate()?;
/// assert_eq!(format!("{cookie:?}"), "Cookie(..)");
/// # Ok::<(), netkernel::CookieError>(())
/// ```
#[derive(Clone)]
pub struct Cookie(Secret);

impl Cookie {
    /// Its length, in bytes.
    pub const BYTES: usize = 32;

    /// A fresh random cookie.
    ///
    /// # Errors
    ///
    /// [`CookieError::Randomness`] if the system gives no random bytes.
    pub fn generate() -> Result<Self, CookieError> {
        let mut cookie = Self(Secret::zero());
        getrandom::fill(cookie.0.bytes_mut()).map_err(|_| CookieError::Randomness)?;
        Ok(cookie)
    }

    /// Reads a cookie file: 64 hexadecimal digits, white space around them ignored. On Unix a file that its group
    /// or others can read is refused.
    ///
    /// # Errors
    ///
    /// [`CookieError`]
    pub fn read_file(path: impl AsRef<Path>) -> Result<Self, CookieError> {
        let path = path.as_ref();
        let shown = || path.display().to_string();
        let text = super::secret_file::read(path).map_err(|error| match error {
            FileError::Unreadable(source) => CookieError::Unreadable { path: shown(), source },
            FileError::NotAFile => CookieError::NotAFile { path: shown() },
            FileError::Shared(mode) => CookieError::Shared { path: shown(), mode },
        })?;
        text.parse()
    }

    #[cfg(feature = "passphrase")]
    pub(super) fn from_secret(secret: Secret) -> Self {
        Self(secret)
    }

    /// Writes the cookie to a new file that only its owner can read.
    ///
    /// # Errors
    ///
    /// [`CookieError::Unwritable`], also if the file exists: a cookie in use is never overwritten. Half a cookie is not
    /// left behind.
    pub fn write_new_file(&self, path: impl AsRef<Path>) -> Result<(), CookieError> {
        let path = path.as_ref();
        let unwritable = |source| CookieError::Unwritable { path: path.display().to_string(), source };
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(unwritable)?;
        let text = self.reveal();
        let written = file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n"));
        written.and_then(|()| file.sync_all()).map_err(|error| {
            // It was made just now. If it cannot be removed either, the first error says what is wrong with the disk.
            drop(std::fs::remove_file(path));
            unwritable(error)
        })
    }

    /// The cookie as 64 hexadecimal digits. Whoever reads them is a member of the cluster.
    #[must_use]
    pub fn reveal(&self) -> Revealed {
        let mut text = Zeroizing::new(String::with_capacity(2 * Self::BYTES));
        for byte in self.0.bytes() {
            for digit in [byte >> 4, byte & 0x0f] {
                text.push(char::from_digit(u32::from(digit), 16).expect("four bits are one digit"));
            }
        }
        Revealed(text)
    }

    pub(super) fn secret(&self) -> &[u8; Self::BYTES] {
        self.0.bytes()
    }
}

impl FromStr for Cookie {
    type Err = CookieError;

    /// Reads 64 hexadecimal digits, white space around them ignored.
    fn from_str(text: &str) -> Result<Self, CookieError> {
        let digits = text.trim().as_bytes();
        if digits.is_empty() {
            return Err(CookieError::Empty);
        }
        let mut cookie = Self(Secret::zero());
        if digits.len() != 2 * Self::BYTES {
            return Err(CookieError::Malformed);
        }
        for (byte, pair) in cookie.0.bytes_mut().iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(CookieError::Malformed);
            *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).expect("two digits are one byte");
        }
        Ok(cookie)
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Cookie(..)")
    }
}

/// A cookie's digits, for the eyes of its owner. Wiped from memory when dropped, and not shown by `Debug`.
pub struct Revealed(Zeroizing<String>);

impl std::ops::Deref for Revealed {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Revealed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Revealed(..)")
    }
}

/// Why there is no cookie. No message contains any part of one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CookieError {
    /// Nothing at all: an empty cookie would let everyone in.
    #[error("the cookie is empty")]
    Empty,
    /// Not 64 hexadecimal digits.
    #[error("a cookie is 64 hexadecimal digits; make one with `clusterluck cookie new`")]
    Malformed,
    /// The file cannot be read.
    #[error("cannot read the cookie file {path}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// There is something else than a file: a folder, a pipe, a device.
    #[error("{path} is no regular file, so it cannot hold a cookie")]
    NotAFile {
        /// The path.
        path: String,
    },
    /// Others than the file's owner can read it.
    #[error("the cookie file {path} can be read by others (mode {mode:04o}); run: chmod 600 {path}")]
    Shared {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The file cannot be written.
    #[error("cannot write the cookie file {path}")]
    Unwritable {
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Randomness,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cookie");
        let cookie = Cookie::generate().unwrap();
        cookie.write_new_file(&path).unwrap();
        assert_eq!(Cookie::read_file(&path).unwrap().secret(), cookie.secret());
        assert!(matches!(cookie.write_new_file(&path), Err(CookieError::Unwritable { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cookie");
        Cookie::generate().unwrap().write_new_file(&path).unwrap();
        for mode in [0o640, 0o604, 0o644, 0o666] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(Cookie::read_file(&path), Err(CookieError::Shared { .. })), "{mode:o}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn folders_and_devices_hold_no_cookie() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path(), Path::new("/dev/zero")] {
            assert!(
                matches!(Cookie::read_file(path), Err(CookieError::NotAFile { .. })),
                "{}",
                path.display()
            );
        }
    }

    #[test]
    fn empty_and_malformed_cookies_are_refused_and_not_repeated() {
        assert!(matches!("".parse::<Cookie>(), Err(CookieError::Empty)));
        assert!(matches!(" \n".parse::<Cookie>(), Err(CookieError::Empty)));
        for text in ["secret", &"0".repeat(63), &"0".repeat(65), &"x".repeat(64), &"é".repeat(32)] {
            let error = text.parse::<Cookie>().unwrap_err();
            assert!(matches!(error, CookieError::Malformed));
            assert!(!format!("{error} {error:?}").contains(text));
        }
    }
}
