//! What stands before a node or a document: anchors, tags and directives.

use crate::Error;
use crate::scan::{Scanner, TagParts, TokenKind, is_blank, is_blankz, is_breakz, is_word};

impl<'t> Scanner<'t> {
    pub(super) fn scan_anchor(&mut self, alias: bool) -> Result<TokenKind<'t>, Error> {
        self.skip();
        let name = self.take_word();
        let ends = is_blankz(self.peek(0)) || matches!(self.peek(0), '?' | ':' | ',' | ']' | '}' | '%' | '@' | '`');
        if name.is_empty() || !ends {
            return self.error("did not find expected alphabetic or numeric character");
        }
        Ok(if alias { TokenKind::Alias(name) } else { TokenKind::Anchor(name) })
    }

    fn take_word(&mut self) -> &'t str {
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest.iter().take_while(|b| is_word(char::from(**b))).count();
        self.skip_to(self.at + length)
    }

    pub(super) fn scan_tag(&mut self) -> Result<TokenKind<'t>, Error> {
        let (mut handle, mut suffix);
        if self.peek(1) == '<' {
            self.skip();
            self.skip();
            handle = String::new();
            suffix = self.scan_tag_uri("")?;
            if self.peek(0) != '>' {
                return self.error("did not find the expected '>'");
            }
            self.skip();
        } else {
            handle = self.scan_tag_handle(false)?;
            if handle.len() > 1 && handle.ends_with('!') {
                suffix = self.scan_tag_uri("")?;
            } else {
                suffix = self.scan_tag_uri(&handle)?;
                handle = "!".into();
                if suffix.is_empty() {
                    std::mem::swap(&mut handle, &mut suffix);
                }
            }
        }
        if !is_blankz(self.peek(0)) {
            return self.error("did not find expected whitespace or line break");
        }
        Ok(TokenKind::Tag(Box::new(TagParts { handle, suffix })))
    }

    fn scan_tag_handle(&mut self, directive: bool) -> Result<String, Error> {
        if self.peek(0) != '!' {
            return self.error("did not find expected '!'");
        }
        let mut handle = String::new();
        self.read(&mut handle);
        handle.push_str(self.take_word());
        if self.peek(0) == '!' {
            self.read(&mut handle);
        } else if directive && handle != "!" {
            return self.error("did not find expected '!'");
        }
        Ok(handle)
    }

    /// The rest of a tag. `head` is a handle that turned out to be the tag's beginning.
    fn scan_tag_uri(&mut self, head: &str) -> Result<String, Error> {
        let mut bytes: Vec<u8> = head.bytes().skip(1).collect();
        let mut any = !head.is_empty();
        loop {
            let c = self.peek(0);
            if c == '%' {
                self.scan_uri_escape(&mut bytes)?;
            } else if is_word(c) || (c.is_ascii() && ";/?:@&=+$,.!~*'()[]".contains(c)) {
                bytes.push(c as u8);
                self.skip();
            } else {
                break;
            }
            any = true;
        }
        if !any {
            return self.error("did not find expected tag URI");
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// One character written as `%xx` octets.
    fn scan_uri_escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), Error> {
        let mut left = 0;
        loop {
            let (Some(high), Some(low)) = (self.peek(1).to_digit(16), self.peek(2).to_digit(16)) else {
                return self.error("did not find URI escaped octet");
            };
            if self.peek(0) != '%' {
                return self.error("did not find URI escaped octet");
            }
            let octet = (high << 4 | low) as u8;
            if left == 0 {
                left = match octet.leading_ones() {
                    0 => 1,
                    n @ 2..=4 => n,
                    _ => return self.error("found an incorrect leading UTF-8 octet"),
                };
            } else if octet & 0xc0 != 0x80 {
                return self.error("found an incorrect trailing UTF-8 octet");
            }
            bytes.push(octet);
            for _ in 0..3 {
                self.skip();
            }
            left -= 1;
            if left == 0 {
                return Ok(());
            }
        }
    }

    pub(super) fn scan_directive(&mut self) -> Result<TokenKind<'t>, Error> {
        self.skip();
        let name = self.take_word();
        if name.is_empty() {
            return self.error("could not find expected directive name");
        }
        if !is_blankz(self.peek(0)) {
            return self.error("found unexpected non-alphabetical character");
        }
        let kind = match name {
            "YAML" => self.scan_version()?,
            "TAG" => self.scan_tag_directive()?,
            _ => return self.error("found unknown directive name"),
        };
        self.skip_blanks();
        self.skip_comment();
        if !is_breakz(self.peek(0)) {
            return self.error("did not find expected comment or line break");
        }
        self.take_break();
        Ok(kind)
    }

    fn scan_version(&mut self) -> Result<TokenKind<'t>, Error> {
        self.skip_blanks();
        let major = self.scan_version_number()?;
        if self.peek(0) != '.' {
            return self.error("did not find expected digit or '.' character");
        }
        self.skip();
        let minor = self.scan_version_number()?;
        Ok(TokenKind::Version { major, minor })
    }

    fn scan_version_number(&mut self) -> Result<u8, Error> {
        let mut value = 0u8;
        let mut length = 0;
        while let Some(digit) = self.peek(0).to_digit(10) {
            length += 1;
            if length > 2 {
                return self.error("found extremely long version number");
            }
            value = value * 10 + digit as u8;
            self.skip();
        }
        if length == 0 { self.error("did not find expected version number") } else { Ok(value) }
    }

    fn scan_tag_directive(&mut self) -> Result<TokenKind<'t>, Error> {
        self.skip_blanks();
        let handle = self.scan_tag_handle(true)?;
        if !is_blank(self.peek(0)) {
            return self.error("did not find expected whitespace");
        }
        self.skip_blanks();
        let suffix = self.scan_tag_uri("")?;
        if !is_blankz(self.peek(0)) {
            return self.error("did not find expected whitespace or line break");
        }
        Ok(TokenKind::TagDirective(Box::new(TagParts { handle, suffix })))
    }
}
