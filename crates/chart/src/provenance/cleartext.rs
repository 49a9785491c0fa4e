//! Texts signed in the clear (RFC 9580, section 7).

use super::armor;

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";
/// The only header that may stand in front of a text, and what it may say.
const HASHES: &[&str] = &["MD5", "SHA1", "RIPEMD160", "SHA224", "SHA256", "SHA384", "SHA512", "SHA3-256", "SHA3-512"];

/// A signed text.
pub(super) struct Message {
    /// The text, with plain line ends.
    pub(super) text: String,
    /// What the signature covers: lines end in CR LF.
    pub(super) signed: Vec<u8>,
    /// The packets of the signature.
    pub(super) signature: Vec<u8>,
}

/// Finds the first signed text. What is before and behind it does not count.
pub(super) fn read(data: &[u8]) -> Option<Message> {
    let text = String::from_utf8_lossy(data);
    let rest = match text.strip_prefix(BEGIN) {
        Some(rest) => rest,
        None => text.split_once(&format!("\n{BEGIN}"))?.1,
    };
    let (behind, mut rest) = line(rest);
    if !behind.is_empty() {
        return None;
    }
    loop {
        if rest.is_empty() {
            return None;
        }
        let (header, behind) = line(rest);
        rest = behind;
        if header.trim().is_empty() {
            break;
        }
        let (name, values) = header.split_once(':')?;
        let known = |value: &str| HASHES.contains(&value.trim().to_uppercase().as_str());
        if name.trim() != "Hash" || !values.split(',').all(known) {
            return None;
        }
    }
    let mut lines = Vec::new();
    loop {
        let (current, behind) = line(rest);
        if current.is_empty() && behind.is_empty() {
            return None;
        }
        if current == SIGNATURE {
            break;
        }
        rest = behind;
        lines.push(current.strip_prefix("- ").unwrap_or(current).trim_end_matches([' ', '\t']));
    }
    let end = rest.find(&format!("\n{END}"))?;
    let signature = armor::body(&rest[..end])?;
    Some(Message { text: lines.join("\n"), signed: lines.join("\r\n").into_bytes(), signature })
}

/// The first line and what is behind it.
fn line(text: &str) -> (&str, &str) {
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    (line.strip_suffix('\r').unwrap_or(line), rest)
}

/// A text that is to be signed.
pub(super) struct Body {
    /// How it is written: lines that begin with a hyphen are escaped, blanks at their ends left out.
    written: String,
    /// What the signature covers.
    pub(super) signed: String,
}

impl Body {
    pub(super) fn of(text: &str) -> Body {
        let lines: Vec<&str> = text.split('\n').map(|line| line.trim_end_matches([' ', '\t', '\r'])).collect();
        let escaped = |line: &&str| if line.starts_with('-') { format!("- {line}") } else { (*line).to_owned() };
        let written: Vec<String> = lines.iter().map(escaped).collect();
        Body { written: written.join("\n"), signed: lines.join("\r\n") }
    }

    /// The whole message.
    pub(super) fn with_signature(&self, packets: &[u8]) -> String {
        format!("{BEGIN}\nHash: SHA512\n\n{}\n{SIGNATURE}\n\n{}\n{END}", self.written, armor::lines(packets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let body = Body::of("a: 1  \n- dash\n\n...\nend\n");
        assert_eq!(body.signed, "a: 1\r\n- dash\r\n\r\n...\r\nend\r\n");
        let message = read(body.with_signature(b"packets").as_bytes()).unwrap();
        assert_eq!(message.text, "a: 1\n- dash\n\n...\nend\n");
        assert_eq!(message.signed, body.signed.as_bytes());
        assert_eq!(message.signature, b"packets");
    }

    #[test]
    fn a_text_may_stand_among_others_and_have_other_line_ends() {
        let body = Body::of("x\ny").with_signature(b"p").replace('\n', "\r\n");
        let message = read(format!("before\n{body}\nbehind").as_bytes()).unwrap();
        assert_eq!((message.text.as_str(), message.signed.as_slice()), ("x\ny", &b"x\r\ny"[..]));
    }

    #[test]
    fn what_is_no_signed_text() {
        let good = Body::of("x").with_signature(b"p");
        let header = |line: &str| good.replace("Hash: SHA512", line);
        let bad = [
            String::new(),
            "text".to_owned(),
            good.replace("END PGP", "END"),
            good.replace("MESSAGE-----\n", "MESSAGE----- x\n"),
            header("Hash: SHA7"),
            header("Comment: x"),
            header("no header"),
            BEGIN.to_owned(),
            format!("{BEGIN}\n\nx\n"),
        ];
        for text in bad {
            assert!(read(text.as_bytes()).is_none(), "{text}");
        }
    }
}
