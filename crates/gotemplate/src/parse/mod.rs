//! Builds trees from tokens: texts, templates, actions. Their expressions are in `expression`.

mod expression;

use std::sync::Arc;

use crate::ast::*;
use crate::bytestr::Str;
use crate::error::{Error, ParseError};
use crate::function::Functions;
use crate::hash::HashMap;
use crate::lex::{Kind, Lexer, Token};
use crate::quote::unquote;

type Result<T> = std::result::Result<T, Box<ParseError>>;

/// How many parts (texts, actions, operands) the templates of a set may have together. The largest of the well-known charts
/// have some ten thousand; five megabytes of dense templates have 600000.
pub(crate) const MAX_PARTS: usize = 1_000_000;

/// How deep blocks may nest; what follows `else` is nested, too. Go has a bound for parentheses only, which is this one.
const MAX_BLOCKS: usize = 10_000;

/// Parses a text into the templates that it defines; the one called `name` is the text itself. `room` is how many parts it
/// may have, and what remains of these.
pub(crate) fn parse(
    name: &str,
    text: &Str,
    functions: &Functions,
    room: &mut usize,
) -> std::result::Result<Vec<Tree>, Error> {
    let (lossy, readable);
    let text = match text.as_utf8() {
        Some(utf8) => {
            readable = text.clone();
            utf8
        }
        None => {
            lossy = text.lossy();
            readable = Str::from(&*lossy);
            &lossy
        }
    };
    let source = Source { name: Arc::from(name), text: readable, ..Source::default() };
    let mut lexer = Lexer::new(text);
    lexer.break_is_keyword = functions.get("break").is_none();
    lexer.continue_is_keyword = functions.get("continue").is_none();
    let mut parser = Parser {
        text,
        lexer,
        functions,
        source,
        words: HashMap::default(),
        callees: HashMap::default(),
        trees: Vec::new(),
        places: HashMap::default(),
        scope: Scope::new(),
        room: *room,
        blocks: 0,
        nodes: Vec::new(),
        commands: Vec::new(),
        operands: Vec::new(),
    };
    // The first word, see `DOLLAR`.
    parser.intern("$");
    let root = parser.top_level().map_err(Error::Parse)?;
    parser.add(Arc::from(name), root).map_err(Error::Parse)?;
    *room = parser.room;
    parser.source.shrink();
    let source = Arc::new(parser.source);
    Ok(parser.trees.into_iter().map(|(name, root)| Tree { name, source: source.clone(), root }).collect())
}

/// What belongs to the template being parsed: a `define` starts with a fresh one.
struct Scope {
    /// The latest token, and those put back before it.
    tokens: [Option<Token>; 3],
    peeked: usize,
    variables: Vec<Word>,
    /// Where the current action starts.
    action: Option<Pos>,
    ranges: usize,
    parens: usize,
}

impl Scope {
    fn new() -> Scope {
        Scope { tokens: [None, None, None], peeked: 0, variables: vec![DOLLAR], action: None, ranges: 0, parens: 0 }
    }
}

struct Parser<'t> {
    text: &'t str,
    lexer: Lexer<'t>,
    functions: &'t Functions,
    source: Source,
    /// Where each name is in the source.
    words: HashMap<Arc<str>, Word>,
    /// Where each function is in the source.
    callees: HashMap<&'t str, u32>,
    trees: Vec<(Arc<str>, BlockId)>,
    /// Where each of them is.
    places: HashMap<Arc<str>, usize>,
    scope: Scope,
    /// Parts that there may still be.
    room: usize,
    /// Blocks around this place.
    blocks: usize,
    /// What has been read of the blocks, pipelines and commands that are not at their end yet, of each behind what is of the one
    /// around it.
    nodes: Vec<Node>,
    commands: Vec<Command>,
    operands: Vec<Operand>,
}

/// What ends a list of nodes.
#[derive(Clone, Copy, PartialEq)]
enum Ending {
    End,
    Else,
}

impl Ending {
    fn describe(self) -> &'static str {
        match self {
            Ending::End => "{{end}}",
            Ending::Else => "{{else}}",
        }
    }
}

/// A node, or what ends the list of nodes.
enum Item {
    Node(Node),
    Ending(Ending),
}

/// The context of a pipeline: what it is called in messages and what ends it.
#[derive(Clone, Copy)]
struct Place {
    name: &'static str,
    end: Kind,
}

const fn place(name: &'static str) -> Place {
    Place { name, end: Kind::RightDelim }
}

impl<'t> Parser<'t> {
    // Tokens.

    fn next(&mut self) -> Token {
        if self.scope.peeked > 0 {
            self.scope.peeked -= 1;
        } else {
            self.scope.tokens[0] = Some(self.lexer.next());
        }
        self.current()
    }

    fn current(&mut self) -> Token {
        match &self.scope.tokens[self.scope.peeked] {
            Some(token) => *token,
            None => self.lexer.next(),
        }
    }

    fn backup(&mut self) {
        self.scope.peeked += 1;
    }

    fn peek(&mut self) -> Token {
        let token = self.next();
        self.backup();
        token
    }

    fn next_non_space(&mut self) -> Token {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    fn peek_non_space(&mut self) -> Token {
        let token = self.next_non_space();
        self.backup();
        token
    }

    fn value(&self, token: &Token) -> &'t str {
        token.of(self.text)
    }

    fn intern(&mut self, name: &str) -> Word {
        if let Some(known) = self.words.get(name) {
            return *known;
        }
        let (new, word) = (Arc::<str>::from(name), Word(self.source.words.len() as u32));
        self.source.words.push(new.clone());
        self.words.insert(new, word);
        word
    }

    // Errors.

    /// The line, from 1.
    fn line(&self, at: Pos) -> usize {
        self.source.position(at).0
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T> {
        let line = self.scope.tokens[0].map_or(0, |token| self.line(token.start));
        Err(Box::new(ParseError { template: self.source.name.clone(), line, message: message.into() }))
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Result<T> {
        let shown = token.describe(self.text, &self.lexer.message);
        if token.kind != Kind::Error {
            return self.error(format!("unexpected {shown} in {context}"));
        }
        let Some(started) = self.scope.action.map(|at| self.line(at)).filter(|line| *line != self.line(token.start))
        else {
            return self.error(shown);
        };
        let action = if shown.ends_with(" action") { "" } else { " in action" };
        self.error(format!("{shown}{action} started at {}:{started}", self.source.name))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Token> {
        let token = self.next_non_space();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    // Templates.

    fn add(&mut self, name: Arc<str>, root: BlockId) -> Result<()> {
        let known = self.places.get(&name).and_then(|at| self.trees.get_mut(*at));
        match known {
            None => {
                self.places.insert(name.clone(), self.trees.len());
                self.trees.push((name, root));
            }
            Some((_, old)) if is_empty(&self.source, *old) => *old = root,
            Some(_) if is_empty(&self.source, root) => {}
            Some(_) => {
                let name = crate::quote::quoted(name.as_bytes());
                return self.error(format!("template: multiple definition of template {name}"));
            }
        }
        Ok(())
    }

    /// A block of the nodes that were read since.
    fn new_block(&mut self, from: usize) -> BlockId {
        let nodes = settle(&mut self.nodes, from, &mut self.source.nodes);
        self.source.blocks.push(nodes);
        BlockId(self.source.blocks.len() as u32 - 1)
    }

    fn top_level(&mut self) -> Result<BlockId> {
        while self.peek().kind != Kind::Eof {
            if self.peek().kind == Kind::LeftDelim {
                let delim = self.next();
                if self.next_non_space().kind == Kind::Define {
                    self.definition()?;
                    continue;
                }
                self.scope.tokens[1] = Some(delim);
                self.scope.peeked = 2;
            }
            match self.text_or_action()? {
                Item::Node(node) => self.nodes.push(node),
                Item::Ending(ending) => return self.error(format!("unexpected {}", ending.describe())),
            }
        }
        Ok(self.new_block(0))
    }

    /// `{{ define "name" }} … {{ end }}`; the keyword is read.
    fn definition(&mut self) -> Result<()> {
        const CONTEXT: &str = "define clause";
        let outer = std::mem::replace(&mut self.scope, Scope::new());
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        self.expect(Kind::RightDelim, CONTEXT)?;
        self.body(name, CONTEXT)?;
        self.scope = outer;
        Ok(())
    }

    /// The rest of a `define` or `block`, in its own scope.
    fn body(&mut self, name: Word, context: &str) -> Result<()> {
        let (root, ending) = self.item_list()?;
        if ending != Ending::End {
            return self.error(format!("unexpected {} in {context}", ending.describe()));
        }
        self.add(self.source.word(name).clone(), root)
    }

    fn template_name(&mut self, token: &Token, context: &str) -> Result<Word> {
        match token.kind {
            Kind::String | Kind::RawString => {
                let name = self.unquoted(token)?;
                Ok(self.intern(&crate::utf8::lossy(&name)))
            }
            _ => self.unexpected(token, context),
        }
    }

    fn unquoted(&self, token: &Token) -> Result<Str> {
        match unquote(self.value(token)) {
            Some(bytes) => Ok(Str::from(&*bytes)),
            None => self.error("invalid syntax"),
        }
    }

    // Actions.

    /// Nodes up to `end` or `else`.
    fn item_list(&mut self) -> Result<(BlockId, Ending)> {
        if self.blocks >= MAX_BLOCKS {
            return self.error(format!("blocks are nested more than {MAX_BLOCKS} deep"));
        }
        self.blocks += 1;
        crate::stack::grow(|| {
            let outer = self.nodes.len();
            while self.peek_non_space().kind != Kind::Eof {
                match self.text_or_action()? {
                    Item::Node(node) => self.nodes.push(node),
                    Item::Ending(ending) => {
                        self.blocks -= 1;
                        return Ok((self.new_block(outer), ending));
                    }
                }
            }
            self.error("unexpected EOF")
        })
    }

    /// Counts one more part.
    fn part(&mut self) -> Result<()> {
        match self.room.checked_sub(1) {
            Some(room) => self.room = room,
            None => return self.error(format!("templates have more than {MAX_PARTS} parts")),
        }
        Ok(())
    }

    fn text_or_action(&mut self) -> Result<Item> {
        self.part()?;
        let token = self.next_non_space();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text { start: token.start, end: token.end })),
            Kind::LeftDelim => {
                self.scope.action = Some(token.start);
                let item = self.action()?;
                self.scope.action = None;
                Ok(item)
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Result<Item> {
        let token = self.next_non_space();
        let node = match token.kind {
            Kind::Block => self.block()?,
            Kind::Break => self.jump("{{break}}", Node::Break)?,
            Kind::Continue => self.jump("{{continue}}", Node::Continue)?,
            Kind::Else => return self.otherwise(),
            Kind::End => {
                self.expect(Kind::RightDelim, "end")?;
                return Ok(Item::Ending(Ending::End));
            }
            Kind::If => Node::If(self.control("if")?),
            Kind::Range => Node::Range(self.control("range")?),
            Kind::With => Node::With(self.control("with")?),
            Kind::Template => self.template()?,
            _ => {
                self.backup();
                let pos = self.peek().start;
                // Variables declared here live until the surrounding `end`.
                Node::Action { pos, pipe: self.pipeline(place("command"))? }
            }
        };
        Ok(Item::Node(node))
    }

    fn jump(&mut self, name: &str, node: Node) -> Result<Node> {
        let token = self.next_non_space();
        if token.kind != Kind::RightDelim {
            return self.unexpected(&token, name);
        }
        if self.scope.ranges == 0 {
            return self.error(format!("{name} outside {{{{range}}}}"));
        }
        Ok(node)
    }

    /// `else`; a following `if` or `with` is left for the control that it belongs to.
    fn otherwise(&mut self) -> Result<Item> {
        if !matches!(self.peek_non_space().kind, Kind::If | Kind::With) {
            self.expect(Kind::RightDelim, "else")?;
        }
        Ok(Item::Ending(Ending::Else))
    }

    /// `if`, `with` or `range`; the keyword is read.
    fn control(&mut self, keyword: &'static str) -> Result<Branch> {
        crate::stack::grow(|| {
            let variables = self.scope.variables.len();
            let pipe = self.pipeline(place(keyword))?;
            let looping = usize::from(keyword == "range");
            self.scope.ranges += looping;
            let (body, ending) = self.item_list()?;
            self.scope.ranges -= looping;
            let otherwise = match ending {
                Ending::End => None,
                Ending::Else => Some(self.else_branch(keyword)?),
            };
            self.scope.variables.truncate(variables);
            Ok(Branch { pos: self.source.pipe(pipe).pos, pipe, body, otherwise })
        })
    }

    fn else_branch(&mut self, keyword: &'static str) -> Result<BlockId> {
        let chained = matches!((keyword, self.peek().kind), ("if", Kind::If) | ("with", Kind::With));
        if chained {
            // `else if` is an `else` holding an `if` that shares its `end`.
            self.next();
            self.blocks += 1;
            let branch = self.control(keyword)?;
            self.blocks -= 1;
            let node = if keyword == "if" { Node::If(branch) } else { Node::With(branch) };
            self.nodes.push(node);
            return Ok(self.new_block(self.nodes.len() - 1));
        }
        let (block, ending) = self.item_list()?;
        if ending != Ending::End {
            return self.error(format!("expected end; found {}", ending.describe()));
        }
        Ok(block)
    }

    /// `{{ block "name" pipeline }} … {{ end }}`; the keyword is read.
    fn block(&mut self) -> Result<Node> {
        const CONTEXT: &str = "block clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = self.pipeline(place(CONTEXT))?;
        let outer = std::mem::replace(&mut self.scope, Scope::new());
        self.body(name, CONTEXT)?;
        self.scope = outer;
        Ok(Node::Template { pos: token.start, name, pipe: Some(pipe) })
    }

    fn template(&mut self) -> Result<Node> {
        const CONTEXT: &str = "template clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let mut pipe = None;
        if self.next_non_space().kind != Kind::RightDelim {
            self.backup();
            pipe = Some(self.pipeline(place(CONTEXT))?);
        }
        Ok(Node::Template { pos: token.start, name, pipe })
    }
}
