//! Credential helpers: programs in `PATH` that are asked instead of the file.

use crate::place::Place;
use registry::credentials::{Credential, Store};
use registry::{Error, Paths};
use std::os::unix::fs::PermissionsExt;

/// A helper that keeps one secret for each registry in a file of that name.
const HELPER: &str = r#"#!/bin/sh
dir=$(dirname "$0")/kept
mkdir -p "$dir"
case $1 in
store) input=$(cat); host=${input#*ServerURL\":\"}; printf %s "$input" > "$dir/${host%%\"*}" ;;
get) read -r host; if [ -e "$dir/$host" ]; then cat "$dir/$host"; else echo "credentials not found in native keychain"; exit 1; fi ;;
erase) read -r host; rm -f "$dir/$host" ;;
esac
"#;

fn with_helper(place: &Place, name: &str, config: &str) -> Paths {
    let bin = place.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let program = bin.join(format!("docker-credential-{name}"));
    std::fs::write(&program, HELPER).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let paths = Paths { programs: vec![bin], ..place.paths.clone() };
    if !config.is_empty() {
        std::fs::create_dir_all(paths.registry_config.parent().unwrap()).unwrap();
        std::fs::write(&paths.registry_config, config).unwrap();
    }
    paths
}

#[tokio::test]
async fn a_helper_keeps_what_it_is_given() {
    let place = Place::new();
    let paths = with_helper(&place, "test", r#"{"credsStore":"test"}"#);
    let secret = Credential::basic("me", "s<&cret");
    let mut store = Store::open(&paths).unwrap();
    assert_eq!(store.get("h:1").await, Ok(Credential::default()));
    store.put("h:1", &secret).await.unwrap();
    assert_eq!(store.get("h:1").await, Ok(secret));
    let token = Credential { refresh_token: "identity".into(), ..Credential::default() };
    store.put("h:2", &token).await.unwrap();
    assert_eq!(store.get("h:2").await, Ok(token));
    let text = std::fs::read_to_string(&paths.registry_config).unwrap();
    assert_eq!(text, r#"{"credsStore":"test"}"#, "the secret is not in the file");
    store.delete("h:1").await.unwrap();
    assert_eq!(store.get("h:1").await, Ok(Credential::default()));
}

#[tokio::test]
async fn a_registry_may_have_a_helper_of_its_own() {
    let place = Place::new();
    let config = r#"{"auths":{"h:2":{"auth":"YTpi"}},"credHelpers":{"h:1":"test","h:3":"absent"}}"#;
    let paths = with_helper(&place, "test", config);
    let mut store = Store::open(&paths).unwrap();
    store.put("h:1", &Credential::basic("me", "x")).await.unwrap();
    assert!(place.path("bin/kept/h:1").exists());
    assert_eq!(store.get("h:2").await, Ok(Credential::basic("a", "b")));
    let error = store.get("h:3").await.unwrap_err();
    let why = "exec: \"docker-credential-absent\": executable file not found in $PATH";
    assert_eq!(error, Error::Credentials(why.into()));
}

#[tokio::test]
async fn an_installed_helper_is_taken_into_use() {
    let place = Place::new();
    let paths = with_helper(&place, "secretservice", "");
    Store::open(&paths).unwrap().put("h:1", &Credential::basic("me", "x")).await.unwrap();
    let text = std::fs::read_to_string(&paths.registry_config).unwrap();
    assert_eq!(text, "{\n\t\"auths\": {},\n\t\"credsStore\": \"secretservice\"\n}");
    assert_eq!(Store::open(&paths).unwrap().get("h:1").await, Ok(Credential::basic("me", "x")));
}
