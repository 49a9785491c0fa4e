//! `husk man DIRECTORY`: a man page for every verb, made from the same description as `--help`.

use crate::cli::Cli;
use crate::error::{Failure, Result};
use clap::{Command, CommandFactory};
use std::path::Path;

/// Writes `husk.1`, `husk-up.1`, … into a directory, which is made if need be.
pub(crate) fn write(directory: &Path) -> Result<()> {
    let fail = |error: std::io::Error| Failure::plain(format!("{}: {error}", directory.display()));
    std::fs::create_dir_all(directory).map_err(fail)?;
    for (name, page) in pages(Cli::command()).map_err(fail)? {
        std::fs::write(directory.join(name), page).map_err(fail)?;
    }
    Ok(())
}

fn pages(mut root: Command) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    root.build();
    let mut pages = Vec::new();
    let mut open = vec![("husk".to_owned(), root)];
    while let Some((name, command)) = open.pop() {
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            open.push((format!("{name}-{}", verb.get_name()), verb.clone()));
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(command).title(name.clone()).render(&mut page)?;
        pages.push((format!("{name}.1"), page));
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page_that_names_its_options() {
        let pages = pages(Cli::command()).unwrap();
        let page = |name: &str| {
            let bytes = &pages.iter().find(|(file, _)| file == name).unwrap_or_else(|| panic!("no {name}")).1;
            String::from_utf8_lossy(bytes).replace('\\', "")
        };
        assert!(page("husk.1").contains("husk-up"), "{}", page("husk.1"));
        assert!(page("husk-status.1").contains("--watch"));
        assert!(page("husk-sandbox-up.1").contains("--hosts"));
        assert!(pages.iter().all(|(file, _)| file != "husk-sandbox-serve.1"), "hidden verbs have no page");
    }
}
