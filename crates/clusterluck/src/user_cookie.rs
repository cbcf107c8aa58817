//! The cookie of whoever runs a node and gives it none.
//!
//! It is kept in the user's configuration directory, readable by its owner only, and made by the first node that needs
//! it; the command line looks for it there too. So the nodes and commands of one user on one machine find each other
//! without any configuration, as Erlang's do by `~/.erlang.cookie`. Other machines, and services without a home, are
//! given a cookie.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use netkernel::{Cookie, CookieError};
use thiserror::Error;

/// Why there is no cookie of the user's own.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UserCookieError {
    /// There is no place for it.
    #[error("this user has no home directory to keep a cookie in: give one")]
    NoHome,
    /// It cannot be read or made.
    #[error(transparent)]
    Cookie(#[from] CookieError),
}

/// Where the user's own cookie is kept, whether or not it is there.
///
/// # Errors
///
/// [`UserCookieError::NoHome`]
pub fn path() -> Result<PathBuf, UserCookieError> {
    let folders = etcetera::choose_base_strategy().map_err(|_| UserCookieError::NoHome)?;
    Ok(folders.config_dir().join("clusterluck").join("cookie"))
}

/// The user's own cookie, made if there is none.
///
/// # Errors
///
/// [`UserCookieError`]; one that is there is as it was.
pub fn read_or_make() -> Result<Cookie, UserCookieError> {
    Ok(read_or_make_at(&path()?)?)
}

fn read_or_make_at(path: &Path) -> Result<Cookie, CookieError> {
    if !path.exists() {
        make(path)?;
    }
    Cookie::read_file(path)
}

/// Makes the cookie beside its place and links it there: whoever sees the file sees all of it, and of two nodes
/// started at once one makes it and the other reads it.
fn make(path: &Path) -> Result<(), CookieError> {
    let unwritable = |path: &Path| {
        let path = path.display().to_string();
        |source| CookieError::Unwritable { path, source }
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(unwritable(path))?;
    }
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    Cookie::generate()?.write_new_file(&draft)?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft).map_err(unwritable(&draft))?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(unwritable(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep").join("cookie");
        read_or_make_at(&path).unwrap();
        let first = fs::read(&path).unwrap();
        read_or_make_at(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), first);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "the draft is gone");
    }

    #[test]
    fn where_it_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().join("cookie");
        let Err(CookieError::Unwritable { path: named, .. }) = read_or_make_at(&path) else { panic!() };
        assert_eq!(named, path.display().to_string());
    }
}
