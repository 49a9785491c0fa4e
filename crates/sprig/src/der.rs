//! DER, the binary form of keys and certificates, and PEM around it. Only what those need.

/// Tags.
pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OBJECT_ID: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// The tag `[n]` around other elements.
pub(crate) const fn explicit(n: u8) -> u8 {
    0xa0 | n
}

/// The tag `[n]` in place of an element's own.
pub(crate) const fn implicit(n: u8) -> u8 {
    0x80 | n
}

/// One element.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
        out.push(0x80 | bytes.len() as u8);
        out.extend_from_slice(&bytes);
    }
    out.extend_from_slice(content);
    out
}

/// Elements one after the other in a sequence.
pub(crate) fn sequence(elements: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, &elements.concat())
}

/// A number that is not negative, from its bytes (highest first).
pub(crate) fn integer(bytes: &[u8]) -> Vec<u8> {
    let mut digits: Vec<u8> = bytes.iter().copied().skip_while(|b| *b == 0).collect();
    if digits.first().is_none_or(|first| *first >= 0x80) {
        digits.insert(0, 0);
    }
    element(INTEGER, &digits)
}

/// A bit string of whole bytes.
pub(crate) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], bytes].concat())
}

/// Reads elements one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'d>(&'d [u8]);

/// An element that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'d> {
    pub(crate) tag: u8,
    pub(crate) content: &'d [u8],
    /// Tag, length and content.
    pub(crate) whole: &'d [u8],
}

impl<'d> Reader<'d> {
    pub(crate) fn new(bytes: &'d [u8]) -> Reader<'d> {
        Reader(bytes)
    }

    /// The next element; `None` at the end or when the bytes are malformed.
    pub(crate) fn next(&mut self) -> Option<Element<'d>> {
        let (&[tag, first], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f)).filter(|(b, _)| b.len() <= 4)?;
            (bytes.iter().fold(0, |length, b| length << 8 | usize::from(*b)), rest)
        };
        let (content, after) = rest.split_at_checked(length)?;
        let whole = &self.0[..self.0.len() - after.len()];
        self.0 = after;
        Some(Element { tag, content, whole })
    }

    /// The next element, if it has this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Option<Element<'d>> {
        self.next().filter(|element| element.tag == tag)
    }

    /// The inside of the next sequence.
    pub(crate) fn enter(&mut self) -> Option<Reader<'d>> {
        self.expect(SEQUENCE).map(|element| Reader(element.content))
    }

    /// The next element, if it has this tag; otherwise nothing is read.
    pub(crate) fn optional(&mut self, tag: u8) -> Option<Element<'d>> {
        let mut ahead = *self;
        let element = ahead.expect(tag)?;
        *self = ahead;
        Some(element)
    }
}

/// A PEM block: its label and bytes.
pub(crate) struct Pem {
    pub(crate) label: String,
    pub(crate) bytes: Vec<u8>,
}

impl Pem {
    /// The first block of a text.
    pub(crate) fn find(text: &str) -> Option<Pem> {
        let (_, tail) = text.split_once("-----BEGIN ")?;
        let (label, tail) = tail.split_once("-----")?;
        let (body, _) = tail.split_once(&format!("-----END {label}-----"))?;
        // Lines with a colon are headers; an empty line separates them from the content.
        let content: String = body.lines().filter(|line| !line.contains(':')).flat_map(str::split_whitespace).collect();
        let bytes = crate::encoding::decode64(content.as_bytes()).ok()?;
        Some(Pem { label: label.to_owned(), bytes })
    }

    /// The block as text, with a newline behind it.
    pub(crate) fn write(label: &str, bytes: &[u8]) -> String {
        let content = crate::encoding::encode64(bytes);
        let mut out = format!("-----BEGIN {label}-----\n");
        for line in content.as_bytes().chunks(64) {
            out.push_str(&String::from_utf8_lossy(line));
            out.push('\n');
        }
        out.push_str(&format!("-----END {label}-----\n"));
        out
    }
}
