//! Where the cookie comes from.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Once;

use anyhow::{Context, Result, anyhow, bail};
use clusterluck::netkernel::{Cookie, CookieError};
use clusterluck::user_cookie::{self, UserCookieError};
use zeroize::Zeroizing;

use crate::args::Options;
use crate::output;

/// A cookie, and where it was found, so that a refusal can say which one was wrong.
pub(crate) struct Found {
    pub(crate) cookie: Cookie,
    pub(crate) source: Source,
}

/// Where a cookie was found, first the one that wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Key,
    File(PathBuf),
    Environment,
    /// The user's own, made by the first `start` that was given none.
    Own(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => formatter.write_str("the cookie of --key"),
            Self::File(path) | Self::Own(path) => write!(formatter, "the cookie in {}", path.display()),
            Self::Environment => write!(formatter, "the cookie of {VARIABLE}"),
        }
    }
}

/// The cookie to use: the first of `--key`, `--cookie-file`, `CLUSTERLUCK_COOKIE` and the user's own file.
///
/// One that was given and is wrong is an error: going on to the next would use a cookie nobody meant.
pub(crate) fn find(options: &Options) -> Result<Found> {
    match given(options)? {
        Some(found) => Ok(found),
        None => {
            let path = own_path()?;
            match Cookie::read_file(&path) {
                Ok(cookie) => Ok(Found { cookie, source: Source::Own(path) }),
                Err(CookieError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    bail!(
                        "no cookie: give --cookie-file, set {VARIABLE}, or start a node without one, which makes {}",
                        path.display()
                    )
                }
                Err(error) => Err(explained(&path, &error)),
            }
        }
    }
}

/// What a node is to be started with: `None` for the user's own, which it makes if there is none.
pub(crate) fn for_start(options: &Options) -> Result<Option<Found>> {
    given(options)
}

/// Where the user's own cookie is kept.
pub(crate) fn own_path() -> Result<PathBuf> {
    user_cookie::path().map_err(|error| unmade(&error))
}

/// Why there is no cookie of the user's own.
pub(crate) fn unmade(error: &UserCookieError) -> anyhow::Error {
    match (error, user_cookie::path()) {
        (UserCookieError::Cookie(CookieError::Unwritable { source, .. }), Ok(path)) => anyhow!(
            "cannot make this user's cookie {} ({}): give --cookie-file or set {VARIABLE}",
            path.display(),
            reason(source)
        ),
        (UserCookieError::Cookie(error), Ok(path)) => explained(&path, error),
        _ => anyhow!("this user has no home directory: give --cookie-file or set {VARIABLE}"),
    }
}

/// Writes a new cookie to `path`, random or of the passphrase in a file, making its folder, and never replaces one.
pub(crate) fn write_new(path: &Path, passphrase_file: Option<&Path>) -> Result<()> {
    let cookie = match passphrase_file {
        None => Cookie::generate()?,
        Some(file) => Cookie::from_passphrase_file(file)
            .with_context(|| format!("the passphrase in {} makes no cookie", file.display()))?,
    };
    make_folder_of(path)?;
    cookie.write_new_file(path).map_err(|error| explained(path, &error))
}

fn given(options: &Options) -> Result<Option<Found>> {
    if let Some(key) = &options.key {
        WARNED.call_once(|| {
            output::warn(&format!(
                "other users can see --key in the process list; prefer --cookie-file or {VARIABLE}"
            ));
        });
        let cookie = key.0.parse().map_err(|error| anyhow!("--key: {}", advised(&error)))?;
        return Ok(Some(Found { cookie, source: Source::Key }));
    }
    if let Some(path) = &options.cookie_file {
        let cookie = Cookie::read_file(path).map_err(|error| explained(path, &error))?;
        return Ok(Some(Found { cookie, source: Source::File(path.clone()) }));
    }
    let Some(text) = env::var_os(VARIABLE) else { return Ok(None) };
    let text = OsString::into_string(text).map_err(|_| anyhow!("{VARIABLE}: {}", CookieError::Malformed))?;
    let cookie = Zeroizing::new(text).parse().map_err(|error| anyhow!("{VARIABLE}: {}", advised(&error)))?;
    Ok(Some(Found { cookie, source: Source::Environment }))
}

fn make_folder_of(path: &Path) -> Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// The error with what to do about it.
fn explained(path: &Path, error: &CookieError) -> anyhow::Error {
    let shown = path.display();
    match error {
        CookieError::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => anyhow!(
            "there is no cookie file {shown}: check the path, or make one with `clusterluck cookie new {shown}`"
        ),
        CookieError::Unreadable { source, .. } => anyhow!(
            "cannot read the cookie file {shown} ({}): run as its owner, or give another with --cookie-file",
            reason(source)
        ),
        CookieError::NotAFile { .. } => anyhow!("{error}: give the path of a cookie file"),
        CookieError::Unwritable { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
            anyhow!(
                "{shown} exists, and a cookie in use is never overwritten: remove it, or give another path"
            )
        }
        CookieError::Unwritable { source, .. } => {
            anyhow!("cannot write the cookie file {shown} ({}): give another path", reason(source))
        }
        CookieError::Empty | CookieError::Malformed => anyhow!("the cookie file {shown}: {}", advised(error)),
        _ => anyhow!(advised(error)),
    }
}

fn advised(error: &CookieError) -> String {
    match error {
        CookieError::Empty => format!("{error}, which would let everyone in; {}", CookieError::Malformed),
        _ => error.to_string(),
    }
}

/// What the system says, without the error number.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_lowercase()
}

/// Holds the cookie itself: 64 hexadecimal digits, as in a cookie file.
const VARIABLE: &str = "CLUSTERLUCK_COOKIE";
/// A session looks for the cookie at each command; the warning is for all of them.
static WARNED: Once = Once::new();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep").join("cookie");
        write_new(&path, None).unwrap();
        let first = fs::read(&path).unwrap();
        assert!(write_new(&path, None).unwrap_err().to_string().contains("never overwritten"));
        assert_eq!(fs::read(&path).unwrap(), first);
    }

    #[cfg(unix)]
    #[test]
    fn a_passphrase_makes_one_cookie_everywhere_and_a_bad_one_none() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (passphrase, cookies) =
            (folder.path().join("passphrase"), ["a", "b"].map(|of| folder.path().join(of)));
        let write = |text: &str| {
            fs::write(&passphrase, text).unwrap();
            fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
        };
        write("too short");
        let error = format!("{:#}", write_new(&cookies[0], Some(&passphrase)).unwrap_err());
        assert!(error.contains("makes no cookie: a passphrase has at least 20 characters"), "{error}");
        assert!(!error.contains("too short") && !cookies[0].exists());
        write("violet anchor pepper tundra mosaic velcro\n");
        for cookie in &cookies {
            write_new(cookie, Some(&passphrase)).unwrap();
        }
        let written = cookies.map(|cookie| fs::read(cookie).unwrap());
        assert_eq!((written[0].len(), &written[0]), (65, &written[1]));
    }

    #[test]
    fn an_empty_cookie_file_says_what_a_cookie_is() {
        assert!(advised(&CookieError::Empty).contains("64 hexadecimal digits"));
    }
}
