//! The files of the watched directory.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Report};
use crate::load::{LoadOptions, load_fragment};
use crate::model::Fragment;

/// Most files of a watched directory that are read.
pub const MAX_FOLDER_FILES: usize = 1000;

/// The files of a watched directory that count: `*.yaml` and `*.yml`, by name, without hidden ones.
///
/// # Errors
/// When the directory cannot be read.
pub fn folder_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if yaml && !hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads the files of a watched directory, each with what it says or what is wrong with it. `taken` has the names that are used
/// elsewhere, each with the place; a name that two files use belongs to the first.
///
/// # Errors
/// When the directory cannot be read.
pub fn load_folder(
    folder: &Path,
    taken: &BTreeMap<String, String>,
    options: &LoadOptions<'_>,
) -> io::Result<Vec<(PathBuf, Result<Fragment, Report>)>> {
    let mut files = folder_files(folder)?;
    let mut loaded = Vec::new();
    if files.len() > MAX_FOLDER_FILES {
        let message = format!("it has {} files, and only the first {MAX_FOLDER_FILES} are read", files.len());
        let diagnostic = Diagnostic::about_file(&folder.to_string_lossy(), message);
        loaded.push((folder.to_owned(), Err(Report { diagnostics: vec![diagnostic], omitted: 0 })));
        files.truncate(MAX_FOLDER_FILES);
    }
    let mut taken = taken.clone();
    for file in files {
        let fragment = load_fragment(&file, &taken, options);
        if let Ok(fragment) = &fragment {
            let name = file.to_string_lossy().into_owned();
            let ids = fragment.tools.keys().chain(fragment.toolsets.keys());
            taken.extend(ids.map(|id| (id.clone(), name.clone())));
        }
        loaded.push((file, fragment));
    }
    Ok(loaded)
}
