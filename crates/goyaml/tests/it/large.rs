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
    assert_eq!(items(&format!("a:\n{}", "- 1\n".repeat(50_000))), Ok(50_000));
    assert_eq!(items(&format!("a:\n{}", "-\n".repeat(MAX_NODES))), refused);
    assert_eq!(items(&format!("a: {{{}}}", "? ,".repeat(MAX_NODES))), refused);
}

#[test]
fn what_aliases_repeat_counts() {
    let shared = format!("x: &x [{}]\n", "1,".repeat(1000));
    let text = format!("{shared}b: [{}]\na: [{}]\n", "1,".repeat(60_000), "*x,".repeat(450));
    assert_eq!(items(&text), Err(format!("yaml: document has more than {MAX_NODES} nodes")));
}
