//! `cargo xtask sdk`: the official Python clients of OpenAI and Anthropic against the gateway.
//!
//! Each file of `tests/sdk/clients` names the packages of one environment, exactly. It is installed from PyPI under the
//! target folder once, and again when the file or the interpreter changes. The checks are in `tests/sdk`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cargo::cargo;
use crate::failure::Failure;
use crate::steps::Steps;
use crate::tree::{self, TextFile};

mod python;
mod table;

use python::Python;
use table::Table;

/// Where the lists of packages are.
const CLIENTS: &str = "tests/sdk/clients/";

pub(crate) fn run(steps: &mut Steps) -> Result<(), Failure> {
    let python = Python::find()?;
    let folder = tree::target("sdk")?;
    // The same packages and features as those of the tests, so that nothing is built twice.
    let build = ["build", "--workspace", "--all-features", "--locked", "--example", "gateway"];
    steps.command("clients: gateway", cargo()?.args(build))?;
    let mut table = Table::default();
    for list in lists(&tree::files()?)? {
        let environment = folder.join(&list.name);
        steps.step(&format!("clients: packages of {}", list.name), || python.install(&environment, &list.file))?;
        let results = folder.join(format!("{}.tsv", list.name));
        steps.tests(&format!("clients: {}", list.name), &mut checks(&environment, &folder, &results)?)?;
        table.read(&fs::read_to_string(&results).map_err(|error| at(&results, &error))?);
    }
    println!("\n{table}");
    Ok(())
}

/// The packages of one environment.
struct List {
    name: String,
    file: PathBuf,
}

fn lists(files: &[TextFile]) -> Result<Vec<List>, Failure> {
    let root = tree::root()?;
    let name = |file: &TextFile| Some(file.path.strip_prefix(CLIENTS)?.strip_suffix(".txt")?.to_owned());
    let list = |file: &TextFile| Some(List { name: name(file)?, file: root.join(&file.path) });
    let lists: Vec<List> = files.iter().filter_map(list).collect();
    if lists.is_empty() { Err(Failure::new(format!("there is no list of packages in {CLIENTS}"))) } else { Ok(lists) }
}

fn checks(environment: &Path, folder: &Path, results: &Path) -> Result<Command, Failure> {
    let gateway = tree::target("debug")?.join("examples").join(format!("gateway{}", std::env::consts::EXE_SUFFIX));
    let mut command = Command::new(python::interpreter(environment));
    command.arg(tree::root()?.join("tests/sdk/main.py")).arg(gateway).arg(results);
    // What python compiles goes where everything goes that can be made again.
    command.env("PYTHONPYCACHEPREFIX", folder.join("pycache"));
    Ok(command)
}

fn at(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_of_packages_is_an_environment() {
        let files = ["tests/sdk/clients/a.txt", "tests/sdk/clients/b.txt", "tests/sdk/main.py", "docs/a.txt"];
        let files = files.map(|path| TextFile::new(path, ""));
        let found: Vec<String> = lists(&files).unwrap().into_iter().map(|list| list.name).collect();
        assert_eq!(found, ["a", "b"]);
        assert!(lists(&files[2..]).is_err());
    }
}
