//! The files of the repository.

use std::path::PathBuf;
use std::process::Command;

use crate::failure::Failure;

/// A text file, named as git names it: from the root, with slashes.
#[derive(Debug)]
pub(crate) struct TextFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl TextFile {
    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// The root of the repository. Cargo says where, because a target directory may be shared by several clones.
pub(crate) fn root() -> Result<PathBuf, Failure> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let root = package.as_deref().and_then(std::path::Path::parent);
    root.map(PathBuf::from).ok_or_else(|| Failure::new("run it as `cargo xtask COMMAND`"))
}

/// Where builds with settings of their own go, so that they do not throw away each other's work.
pub(crate) fn target(name: &str) -> Result<PathBuf, Failure> {
    let shared = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    Ok(root()?.join(shared.unwrap_or_else(|| "target".into())).join(name))
}

/// Every text file that is tracked, or new and not ignored.
pub(crate) fn files() -> Result<Vec<TextFile>, Failure> {
    let root = root()?;
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(&root)
        .output()
        .map_err(|error| Failure::new(format!("git cannot be run: {error}")))?;
    if !output.status.success() {
        return Err(Failure::new(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    let names = String::from_utf8_lossy(&output.stdout);
    // What cannot be read as text is an image, or a file that was deleted and is still in the index.
    let read = |path: &str| Some(TextFile { text: std::fs::read_to_string(root.join(path)).ok()?, path: path.into() });
    Ok(names.split_terminator('\0').filter_map(read).collect())
}
