//! ASCII armour (RFC 9580, section 6): packets as text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Packets in Base64, 64 letters a line.
pub(super) fn lines(packets: &[u8]) -> String {
    let text = STANDARD.encode(packets);
    let mut lines = String::with_capacity(text.len() + text.len() / 64);
    for (place, letter) in text.chars().enumerate() {
        if place > 0 && place % 64 == 0 {
            lines.push('\n');
        }
        lines.push(letter);
    }
    lines
}

/// The packets of an armoured block that begins with its `BEGIN` line; its `END` line is cut off already. Headers end at
/// the first empty line, and a checksum line is not looked at.
pub(super) fn body(block: &str) -> Option<Vec<u8>> {
    let mut lines = block.lines().skip(1).map(str::trim);
    lines.by_ref().find(|line| line.is_empty())?;
    let text: String = lines.take_while(|line| !line.starts_with('=')).collect();
    STANDARD.decode(text).ok()
}

/// The kinds of blocks in a text and their packets.
pub(super) fn blocks(text: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find("-----BEGIN ") {
        let block = &rest[begin..];
        let kind = block["-----BEGIN ".len()..].split("-----").next().unwrap_or_default().to_owned();
        let end = format!("-----END {kind}-----");
        let length = block.find(&end).ok_or("unexpected EOF")?;
        let packets = body(&block[..length]).ok_or("openpgp: invalid data: armor invalid")?;
        rest = &block[length + end.len()..];
        found.push((kind, packets));
    }
    if found.is_empty() { Err("no keys found".to_owned()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_one_after_the_other() {
        let long: Vec<u8> = (0..=255).collect();
        let block = |kind: &str, data: &[u8]| {
            format!("-----BEGIN {kind}-----\nVersion: x\n\n{}\n=abcd\n-----END {kind}-----\n", lines(data))
        };
        let text = format!("{}words\n{}", block("A", &long), block("B", b"x"));
        assert_eq!(blocks(&text).unwrap(), [("A".to_owned(), long), ("B".to_owned(), b"x".to_vec())]);
        assert!(text.lines().all(|line| line.len() <= 64));
        assert_eq!(blocks("-----BEGIN A-----\n\nAA").unwrap_err(), "unexpected EOF");
        assert!(blocks("-----BEGIN A-----\n\n?\n-----END A-----").unwrap_err().contains("armor"));
        assert_eq!(blocks("").unwrap_err(), "no keys found");
    }
}
