use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The largest file that a configuration can name, in bytes.
pub const MAX_SOURCE_BYTES: usize = 16 << 20;

/// Where a configuration finds what it names: files and environment variables.
///
/// The text of an error becomes part of a message, so it must not contain what is in a file or a variable.
pub trait Sources {
    /// The content of a file.
    ///
    /// # Errors
    ///
    /// Any that explains itself in one line.
    fn file(&self, path: &str) -> io::Result<String>;

    /// The value of an environment variable.
    ///
    /// # Errors
    ///
    /// Any that explains itself in one line.
    fn variable(&self, name: &str) -> io::Result<String>;
}

/// The files and the environment of this process.
#[derive(Clone, Debug)]
pub struct SystemSources {
    directory: PathBuf,
}

impl SystemSources {
    /// Relative paths begin in this directory.
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }
}

impl Sources for SystemSources {
    /// At most [`MAX_SOURCE_BYTES`] of UTF-8.
    fn file(&self, path: &str) -> io::Result<String> {
        read(&self.directory.join(path), MAX_SOURCE_BYTES)
    }

    fn variable(&self, name: &str) -> io::Result<String> {
        let value = std::env::var_os(name).ok_or_else(|| io::Error::new(ErrorKind::NotFound, "it is not set"))?;
        value.into_string().map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8"))
    }
}

/// Nothing: a configuration that names a file or a variable is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSources;

impl Sources for NoSources {
    fn file(&self, _: &str) -> io::Result<String> {
        Err(io::Error::new(ErrorKind::Unsupported, "files are not read here"))
    }

    fn variable(&self, _: &str) -> io::Result<String> {
        Err(io::Error::new(ErrorKind::Unsupported, "the environment is not read here"))
    }
}

/// Reads a file, or nothing of one that is larger.
pub(super) fn read(path: &Path, most: usize) -> io::Result<String> {
    let mut text = String::new();
    let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(bound).read_to_string(&mut text)?;
    if text.len() > most {
        return Err(io::Error::new(ErrorKind::InvalidData, format!("it is larger than {most} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound_and_no_further() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let whole = std::fs::read_to_string(&path).unwrap();
        assert_eq!(read(&path, whole.len()).unwrap(), whole);
        let error = read(&path, whole.len() - 1).unwrap_err();
        assert_eq!(error.to_string(), format!("it is larger than {} bytes", whole.len() - 1));
    }

    #[test]
    fn paths_are_relative_to_the_directory() {
        let sources = SystemSources::in_directory(env!("CARGO_MANIFEST_DIR"));
        assert!(sources.file("Cargo.toml").unwrap().contains("flashops-core"));
        assert!(sources.file("no such file").is_err());
        let absolute = format!("{}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
        assert!(SystemSources::in_directory("/nowhere").file(&absolute).is_ok());
    }

    #[test]
    fn a_variable_that_is_not_set_or_no_name_is_an_error() {
        let sources = SystemSources::in_directory("");
        assert_eq!(sources.variable("CARGO_PKG_NAME").unwrap(), "flashops-core");
        for name in ["", "a=b", "a\0b", "FLASHOPS_NOT_SET"] {
            assert_eq!(sources.variable(name).unwrap_err().to_string(), "it is not set", "{name:?}");
        }
    }
}
