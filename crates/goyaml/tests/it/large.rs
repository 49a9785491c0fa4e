//! Documents as large as they may be, and larger.

use goyaml::MAX_NODES;

/// A document's outcome: how many items it has, or the complaint.
fn items(text: &str) -> Result<usize, String> {
    let value = goyaml::parse(text).map_err(|error| error.to_string())?;
    Ok(value["a"].as_array().map_or(0, Vec::len))
}

#[test]
fn the_number_of_nodes_is_bounded() {
    let refused = Err(format!("yaml: document has more than {MAX_NODES} nodes"));
    for item in ["- 1\n", "-\n"] {
        assert_eq!(items(&format!("a:\n{}", item.repeat(50_000))), Ok(50_000));
        assert_eq!(items(&format!("a:\n{}", item.repeat(MAX_NODES))), refused);
    }
    for (open, item, close) in [("[", "1,", "]"), ("[", "a: 1,", "]"), ("{", "a,", "}"), ("{", "? ,", "}")] {
        assert_eq!(items(&format!("a: {open}{}{close}", item.repeat(MAX_NODES))), refused, "{item}");
    }
    let keys: String = (0..MAX_NODES / 2).map(|i| format!("k{i}:\n")).collect();
    assert_eq!(items(&keys), refused);
}

#[test]
fn what_aliases_repeat_counts() {
    let shared = format!("x: &x [{}]\n", "1,".repeat(1000));
    let text = format!("{shared}b: [{}]\na: [{}]\n", "1,".repeat(60_000), "*x,".repeat(450));
    assert_eq!(items(&text), Err(format!("yaml: document has more than {MAX_NODES} nodes")));
}
