//! Programs that hostprof hands over to: beside it, or on the path.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// A program's file; `None` where it is nowhere.
///
/// # Errors
///
/// hostprof cannot find itself.
pub fn program(name: &str) -> Result<Option<PathBuf>> {
    let here = env::current_exe().context("find hostprof itself")?;
    Ok(find(name, &here, &env::var_os("PATH").unwrap_or_default()))
}

/// Beside hostprof, then along the path.
fn find(name: &str, here: &Path, path: &OsString) -> Option<PathBuf> {
    let beside = here.parent().map(Path::to_owned);
    beside.into_iter().chain(env::split_paths(path)).map(|dir| dir.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_program_beside_hostprof_comes_before_one_on_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let [beside, on_path] = ["beside", "path"].map(|name| dir.path().join(name));
        let here = beside.join("hostprof");
        let path = on_path.clone().into_os_string();
        assert_eq!(find("other", &here, &path), None);
        for place in [&on_path, &beside] {
            fs::create_dir(place).unwrap();
            fs::write(place.join("other"), "").unwrap();
            assert_eq!(find("other", &here, &path), Some(place.join("other")));
        }
    }
}
