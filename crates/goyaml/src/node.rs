//! Tokens to nodes: the first document of a text as a tree, anchors resolved to the nodes they name.

use crate::decode::too_many_nodes;
use crate::scan::{Mark, Scanner, TagParts, TokenKind};
use crate::{Error, MAX_DEPTH, MAX_NODES};
use std::borrow::Cow;
use std::collections::HashMap;

/// Index of a node in its [`Document`].
pub(crate) type Id = usize;

#[derive(Debug)]
pub(crate) enum Kind<'t> {
    Scalar {
        value: Cow<'t, str>,
        /// Whether the scalar was plain, so that it may be something else than text.
        plain: bool,
    },
    Alias {
        target: Id,
        name: &'t str,
    },
    Sequence(Vec<Id>),
    /// Keys and values in turn.
    Mapping(Vec<Id>),
}

#[derive(Debug)]
pub(crate) struct Node<'t> {
    pub(crate) kind: Kind<'t>,
    pub(crate) tag: Option<String>,
    /// Line of the first character, counted from 1.
    pub(crate) line: usize,
}

/// Nodes live side by side, so that aliases are plain indices and dropping a deep document needs no deep stack.
#[derive(Debug)]
pub(crate) struct Document<'t> {
    pub(crate) nodes: Vec<Node<'t>>,
    pub(crate) root: Id,
}

/// Parses the first document of `text`; `None` when there is none. What follows that document is looked at only so far as
/// to find its end.
pub(crate) fn first_document(text: &str) -> Result<Option<Document<'_>>, Error> {
    let mut parser =
        Parser { scanner: Scanner::new(text)?, nodes: Vec::new(), anchors: HashMap::new(), tags: Vec::new(), depth: 0 };
    use TokenKind::{DocumentStart, StreamEnd};
    let explicit = match parser.peek()? {
        StreamEnd => return Ok(None),
        TokenKind::Version { .. } | TokenKind::TagDirective(_) | DocumentStart => true,
        _ => false,
    };
    parser.directives()?;
    if explicit {
        if *parser.peek()? != DocumentStart {
            return parser.fail("did not find expected <document start>", None);
        }
        parser.scanner.next_token()?;
    }
    let empty = explicit
        && matches!(
            parser.peek()?,
            TokenKind::Version { .. } | TokenKind::TagDirective(_) | DocumentStart | TokenKind::DocumentEnd | StreamEnd
        );
    let root = if empty { parser.empty_here()? } else { parser.node(true, false)? };
    parser.peek()?;
    Ok(Some(Document { nodes: parser.nodes, root }))
}

/// What a node's first token announced.
enum Opened {
    Nothing,
    IndentlessSequence,
    FlowSequence,
    FlowMapping,
    BlockSequence,
    BlockMapping,
}

struct Parser<'t> {
    scanner: Scanner<'t>,
    nodes: Vec<Node<'t>>,
    anchors: HashMap<&'t str, Id>,
    /// Tag handles and the prefixes they stand for.
    tags: Vec<(String, String)>,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn peek(&mut self) -> Result<&TokenKind<'t>, Error> {
        Ok(&self.scanner.peek_token()?.kind)
    }

    /// Where the next token starts. Every loop over children asks, so this is where their number is bounded.
    fn here(&mut self) -> Result<Mark, Error> {
        if self.nodes.len() > MAX_NODES {
            return Err(too_many_nodes());
        }
        Ok(self.scanner.peek_token()?.start)
    }

    /// Takes the next token when it is `kind`.
    fn accept(&mut self, kind: &TokenKind<'t>) -> Result<bool, Error> {
        let found = self.peek()? == kind;
        if found {
            self.scanner.next_token()?;
        }
        Ok(found)
    }

    /// An error at the next token. Unlike the scanner, Go's parser names its line counted from zero, and the line where
    /// the surrounding construct began when that is the first one.
    fn fail<T>(&mut self, problem: &str, context: Option<Mark>) -> Result<T, Error> {
        let mark = self.here()?;
        fail_at(problem, mark, context)
    }

    fn directives(&mut self) -> Result<(), Error> {
        let mut version_seen = false;
        loop {
            match self.peek()? {
                TokenKind::Version { .. } if version_seen => return self.fail("found duplicate %YAML directive", None),
                TokenKind::Version { major: 1, minor: 1 } => version_seen = true,
                TokenKind::Version { .. } => return self.fail("found incompatible YAML document", None),
                TokenKind::TagDirective(parts) => {
                    let TagParts { handle, suffix } = &**parts;
                    let (handle, prefix) = (handle.clone(), suffix.clone());
                    if self.tags.iter().any(|(known, _)| *known == handle) {
                        return self.fail("found duplicate %TAG directive", None);
                    }
                    self.tags.push((handle, prefix));
                }
                _ => break,
            }
            self.scanner.next_token()?;
        }
        for (handle, prefix) in [("!", "!"), ("!!", "tag:yaml.org,2002:")] {
            if !self.tags.iter().any(|(known, _)| known == handle) {
                self.tags.push((handle.into(), prefix.into()));
            }
        }
        Ok(())
    }

    fn add(&mut self, kind: Kind<'t>, tag: Option<String>, mark: Mark, anchor: Option<&'t str>) -> Id {
        let id = self.nodes.len();
        self.nodes.push(Node { kind, tag, line: mark.line + 1 });
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, id);
        }
        id
    }

    fn empty(&mut self, mark: Mark) -> Id {
        self.add(Kind::Scalar { value: Cow::Borrowed(""), plain: true }, None, mark, None)
    }

    fn empty_here(&mut self) -> Result<Id, Error> {
        let mark = self.here()?;
        Ok(self.empty(mark))
    }

    fn tag(&mut self, parts: TagParts, start: Mark, mark: Mark) -> Result<String, Error> {
        let TagParts { handle, suffix } = parts;
        if handle.is_empty() {
            return Ok(suffix);
        }
        match self.tags.iter().find(|(known, _)| *known == handle) {
            Some((_, prefix)) => Ok(format!("{prefix}{suffix}")),
            None => fail_at("found undefined tag handle", mark, Some(start)),
        }
    }

    /// One node. `block` says that block collections may start here, `indentless` that a sequence may stand at the column
    /// of the key that it belongs to.
    fn node(&mut self, block: bool, indentless: bool) -> Result<Id, Error> {
        if self.depth > MAX_DEPTH {
            return Err(Error::Yaml(format!("exceeded max depth of {MAX_DEPTH}")));
        }
        self.depth += 1;
        let result = self.node_inner(block, indentless);
        self.depth -= 1;
        result
    }

    // The functions that call each other once a level are kept apart from those with many locals, which keeps a level
    // small on the stack.
    fn node_inner(&mut self, block: bool, indentless: bool) -> Result<Id, Error> {
        let (id, opened) = self.begin_node(block, indentless)?;
        match opened {
            Opened::Nothing => Ok(id),
            Opened::IndentlessSequence => self.indentless_sequence(id),
            Opened::FlowSequence => self.flow_sequence(id),
            Opened::FlowMapping => self.flow_mapping(id),
            Opened::BlockSequence => self.block_sequence(id),
            Opened::BlockMapping => self.block_mapping(id),
        }
    }

    /// Anchor and tag in either order, the tag resolved to its long form.
    fn properties(&mut self, start: Mark) -> Result<(Option<&'t str>, Option<String>), Error> {
        let (mut anchor, mut tag) = (None, None);
        for _ in 0..2 {
            let wanted = match self.peek()? {
                TokenKind::Anchor(_) => anchor.is_none(),
                TokenKind::Tag(_) => tag.is_none(),
                _ => false,
            };
            if !wanted {
                break;
            }
            let token = self.scanner.next_token()?;
            match token.kind {
                TokenKind::Anchor(name) => anchor = Some(name),
                TokenKind::Tag(parts) => tag = Some((*parts, token.start)),
                _ => {}
            }
        }
        self.peek()?;
        let tag = match tag {
            Some((parts, mark)) => Some(self.tag(parts, start, mark)?).filter(|t| !t.is_empty()),
            None => None,
        };
        Ok((anchor, tag))
    }

    /// Adds the node that starts here; a scalar or an alias is complete then, a collection has yet to be filled.
    fn begin_node(&mut self, block: bool, indentless: bool) -> Result<(Id, Opened), Error> {
        let start = self.here()?;
        if let TokenKind::Alias(name) = *self.peek()? {
            let Some(&target) = self.anchors.get(name) else {
                return Err(Error::Yaml(format!("unknown anchor '{name}' referenced")));
            };
            self.scanner.next_token()?;
            return Ok((self.add(Kind::Alias { target, name }, None, start, None), Opened::Nothing));
        }
        let (anchor, tag) = self.properties(start)?;
        let opened = match self.peek()? {
            TokenKind::BlockEntry if indentless => Opened::IndentlessSequence,
            TokenKind::FlowSequenceStart => Opened::FlowSequence,
            TokenKind::FlowMappingStart => Opened::FlowMapping,
            TokenKind::BlockSequenceStart if block => Opened::BlockSequence,
            TokenKind::BlockMappingStart if block => Opened::BlockMapping,
            TokenKind::Scalar { .. } => Opened::Nothing,
            _ if anchor.is_some() || tag.is_some() => {
                let kind = Kind::Scalar { value: Cow::Borrowed(""), plain: tag.is_none() };
                return Ok((self.add(kind, tag, start, anchor), Opened::Nothing));
            }
            _ => return self.fail("did not find expected node content", Some(start)),
        };
        let kind = match opened {
            Opened::FlowMapping | Opened::BlockMapping => Kind::Mapping(Vec::new()),
            Opened::FlowSequence | Opened::BlockSequence | Opened::IndentlessSequence => Kind::Sequence(Vec::new()),
            Opened::Nothing => match self.scanner.next_token()?.kind {
                TokenKind::Scalar { value, plain } => {
                    Kind::Scalar { value, plain: (plain && tag.is_none()) || tag.as_deref() == Some("!") }
                }
                _ => return self.fail("did not find expected node content", Some(start)),
            },
        };
        Ok((self.add(kind, tag, start, anchor), opened))
    }

    fn put(&mut self, parent: Id, child: Id) {
        if let Kind::Sequence(children) | Kind::Mapping(children) = &mut self.nodes[parent].kind {
            children.push(child);
        }
    }

    fn block_sequence(&mut self, id: Id) -> Result<Id, Error> {
        let start = self.scanner.next_token()?.start;
        loop {
            let mark = self.here()?;
            if self.accept(&TokenKind::BlockEntry)? {
                let child = match self.peek()? {
                    TokenKind::BlockEntry | TokenKind::BlockEnd => self.empty(mark),
                    _ => self.node(true, false)?,
                };
                self.put(id, child);
            } else if self.accept(&TokenKind::BlockEnd)? {
                return Ok(id);
            } else {
                return self.fail("did not find expected '-' indicator", Some(start));
            }
        }
    }

    fn indentless_sequence(&mut self, id: Id) -> Result<Id, Error> {
        loop {
            let mark = self.here()?;
            if !self.accept(&TokenKind::BlockEntry)? {
                return Ok(id);
            }
            let child = match self.peek()? {
                TokenKind::BlockEntry | TokenKind::Key | TokenKind::Value | TokenKind::BlockEnd => self.empty(mark),
                _ => self.node(true, false)?,
            };
            self.put(id, child);
        }
    }

    fn block_mapping(&mut self, id: Id) -> Result<Id, Error> {
        let start = self.scanner.next_token()?.start;
        loop {
            let mark = self.here()?;
            if self.accept(&TokenKind::BlockEnd)? {
                return Ok(id);
            }
            if !self.accept(&TokenKind::Key)? {
                return self.fail("did not find expected key", Some(start));
            }
            let key = self.block_mapping_part(mark)?;
            self.put(id, key);
            let mark = self.here()?;
            let value = if self.accept(&TokenKind::Value)? { self.block_mapping_part(mark)? } else { self.empty(mark) };
            self.put(id, value);
        }
    }

    /// A key or a value whose indicator stood at `mark`.
    fn block_mapping_part(&mut self, mark: Mark) -> Result<Id, Error> {
        match self.peek()? {
            TokenKind::Key | TokenKind::Value | TokenKind::BlockEnd => Ok(self.empty(mark)),
            _ => self.node(true, true),
        }
    }

    fn flow_sequence(&mut self, id: Id) -> Result<Id, Error> {
        let start = self.scanner.next_token()?.start;
        let mut first = true;
        loop {
            if self.accept(&TokenKind::FlowSequenceEnd)? {
                return Ok(id);
            }
            if !first && !self.accept(&TokenKind::FlowEntry)? {
                return self.fail("did not find expected ',' or ']'", Some(start));
            }
            first = false;
            let mark = self.here()?;
            let child = if self.accept(&TokenKind::Key)? {
                self.pair_in_sequence(mark)?
            } else if self.accept(&TokenKind::FlowSequenceEnd)? {
                return Ok(id);
            } else {
                self.node(false, false)?
            };
            self.put(id, child);
        }
    }

    /// `[a: b]` is a list of one mapping with one entry.
    fn pair_in_sequence(&mut self, mark: Mark) -> Result<Id, Error> {
        let id = self.add(Kind::Mapping(Vec::new()), None, mark, None);
        let key = match self.peek()? {
            TokenKind::Value | TokenKind::FlowEntry | TokenKind::FlowSequenceEnd => {
                // Go's parser swallows the token here, and so must its equal.
                let mark = self.scanner.next_token()?.start;
                self.empty(mark)
            }
            _ => self.node(false, false)?,
        };
        self.put(id, key);
        let value = if self.accept(&TokenKind::Value)? {
            match self.peek()? {
                TokenKind::FlowEntry | TokenKind::FlowSequenceEnd => self.empty_here()?,
                _ => self.node(false, false)?,
            }
        } else {
            self.empty_here()?
        };
        self.put(id, value);
        Ok(id)
    }

    fn flow_mapping(&mut self, id: Id) -> Result<Id, Error> {
        let start = self.scanner.next_token()?.start;
        let mut first = true;
        loop {
            if self.accept(&TokenKind::FlowMappingEnd)? {
                return Ok(id);
            }
            if !first && !self.accept(&TokenKind::FlowEntry)? {
                return self.fail("did not find expected ',' or '}'", Some(start));
            }
            first = false;
            let is_pair = self.accept(&TokenKind::Key)?;
            let key = match self.peek()? {
                TokenKind::Value | TokenKind::FlowEntry | TokenKind::FlowMappingEnd if is_pair => self.empty_here()?,
                TokenKind::FlowMappingEnd => {
                    self.scanner.next_token()?;
                    return Ok(id);
                }
                _ => self.node(false, false)?,
            };
            self.put(id, key);
            let value = if is_pair && self.accept(&TokenKind::Value)? {
                match self.peek()? {
                    TokenKind::FlowEntry | TokenKind::FlowMappingEnd => self.empty_here()?,
                    _ => self.node(false, false)?,
                }
            } else {
                self.empty_here()?
            };
            self.put(id, value);
        }
    }
}

fn fail_at<T>(problem: &str, mark: Mark, context: Option<Mark>) -> Result<T, Error> {
    let line = if mark.line != 0 { mark.line } else { context.map_or(0, |c| c.line) };
    Err(Error::Yaml(if line == 0 { problem.to_string() } else { format!("line {line}: {problem}") }))
}
