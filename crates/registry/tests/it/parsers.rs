//! Whatever comes from files, servers and command lines is taken or refused; nothing makes a parser panic.

use crate::place::Place;
use proptest::prelude::*;
use registry::cache::bare_digest;
use registry::credentials::Store;
use registry::oci::Reference;
use registry::repository::RepositoryFile;
use registry::url::{Url, base_name, clean, join, resolve_reference, same};

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn urls(text in "([a-z]{0,5}:)?(//)?([a-zé]{0,3}(:[a-z]?)?@)?\\PC{0,12}(:[0-9]{0,6})?[/?#%\\[\\].:]{0,4}\\PC{0,8}", base in "https?://h(/[a-z.]{0,4}){0,3}") {
        if let Ok(url) = Url::parse(&text) {
            // Written and read again, it is the same place.
            let again = url.to_string();
            prop_assert_eq!(Url::parse(&again).map(|url| url.to_string()), Ok(again.clone()));
            url.origin();
            prop_assert!(same(&again, &again));
        }
        let _ = (join(&base, &text), base_name(&text), clean(&text));
        if let Ok(resolved) = resolve_reference(&base, &text) {
            prop_assert!(Url::parse(&resolved).is_ok_and(|url| url.is_absolute()), "{}", resolved);
        }
    }

    #[test]
    fn references(text in "(oci://)?[a-zA-Z0-9.:é-]{0,8}(/[a-zA-Z0-9._-]{0,6}){0,3}(:[a-z0-9+_é.-]{0,9})?(@(sha256:)?[0-9a-fg]{0,66})?") {
        if let Ok(reference) = Reference::parse(&text) {
            let written = reference.to_string();
            let again = Reference::parse(&written).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(again.to_string(), written);
            prop_assert!(!reference.tag.contains('+'));
        }
    }

    #[test]
    fn digests(text in "\\PC{0,5}:?[0-9a-fA-Fg]{0,66}") {
        if let Ok(digest) = bare_digest(&text) {
            prop_assert_eq!(digest.len(), 64);
        }
    }

    #[test]
    fn configurations(json in "[{\\[]?(\"(auths|credsStore|credHelpers|x)\": ?([0-9]|\"[a-z]?\"|\\{\"h\":(\\{\"auth\":\"[A-Za-z=:]{0,6}\"\\}|1)\\}|null),?){0,3}[}\\]]?", yaml in "(repositories:\n|- name: [a-z1\"]{0,3}\n|  url: [\\[{a-z:/]{0,6}\n|  pass_credentials_all: [a-z1]{0,5}\n){0,6}") {
        let place = Place::new();
        for (path, text) in [(&place.paths.registry_config, &json), (&place.paths.repository_config, &yaml)] {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let _ = RepositoryFile::load(&place.paths.repository_config);
        if let Ok(store) = Store::open(&place.paths) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(store.get("h"));
        }
    }
}
