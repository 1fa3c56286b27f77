//! A whole content as a pattern: every string a recipient may see or that may differ between recipients is
//! compiled once and rendered many times. JSON values are walked, never printed and read again.
//!
//! Not a check of limits: the rendered content has [`Content::validate`].

use super::pattern::Pattern;
use super::{MissingVariable, ParseError, Variable};
use crate::content::{Content, Coordinate, Location, Media, Reaction, TemplateMessage, Text};
use crate::spintax::Draw;
use serde_json::{Map, Value};

/// Deepest nesting of a content's JSON.
const DEPTH_MAX: usize = 32;

/// Where a content cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}`, line {line}, column {column}: {message}")]
pub struct PatternError {
    /// The JSON path of the string, e.g. `template.components[0].parameters[0].text`.
    pub path: String,
    /// Line within the string, from 1.
    pub line: u32,
    /// Column within the string, from 1, in characters.
    pub column: u32,
    /// What is wrong and what to write.
    pub message: String,
}

/// A compiled content.
#[derive(Debug, Clone, PartialEq)]
pub struct ContentPattern {
    shape: Shape,
    variables: Vec<Variable>,
    variants: u64,
}

#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Text {
        body: Pattern,
        preview_url: Option<bool>,
    },
    Media {
        base: Box<Content>,
        fields: Box<MediaFields>,
    },
    Location(Box<Spot>),
    Contacts(Vec<Node>),
    Reaction {
        message_id: Pattern,
        emoji: Pattern,
    },
    Interactive(Node),
    Template {
        base: TemplateMessage,
        components: Vec<Node>,
    },
    /// Nothing to fill in.
    Fixed(Content),
}

#[derive(Debug, Clone, PartialEq)]
struct MediaFields {
    id: Option<Pattern>,
    link: Option<Pattern>,
    caption: Option<Pattern>,
    filename: Option<Pattern>,
}

#[derive(Debug, Clone, PartialEq)]
struct Spot {
    latitude: Place,
    longitude: Place,
    name: Option<Pattern>,
    address: Option<Pattern>,
    url: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum Place {
    Number(f64),
    Text(Pattern),
}

/// A JSON value whose strings are patterns.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Plain(Value),
    Pattern(Pattern),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl ContentPattern {
    /// Compiles every string of a content; with `spintax` alternatives too.
    ///
    /// # Errors
    /// [`PatternError`] for the first string that cannot be read.
    pub fn compile(content: &Content, spintax: bool) -> Result<Self, PatternError> {
        let mut compiler = Compiler { spintax, variables: Vec::new(), variants: 1, plain: true };
        let shape = compiler.content(content)?;
        // A literal may still hold escapes, so the shape is rendered once instead of keeping the content.
        let shape = if compiler.plain {
            let rendered = shape.render(&mut Draw::new(0), &|_| None);
            Shape::Fixed(rendered.expect("invariant: a plain content has no variables").0)
        } else {
            shape
        };
        Ok(Self { shape, variables: compiler.variables, variants: compiler.variants })
    }

    /// The variables in order of first use, each once.
    #[must_use]
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// How many variants the alternatives of all strings give; at least 1, saturating.
    #[must_use]
    pub fn variants(&self) -> u64 {
        self.variants
    }

    /// The variables that have neither value nor default, whether or not this recipient's alternatives use
    /// them: what a campaign counts when it freezes its audience. A blank value counts as none.
    pub fn missing<'p, 'v>(
        &'p self,
        lookup: &'p dyn Fn(&str) -> Option<&'v str>,
    ) -> impl Iterator<Item = &'p str> {
        let absent = |name: &str| lookup(name).is_none_or(|value| value.trim().is_empty());
        let missing = self.variables.iter().filter(move |v| !v.has_default && absent(&v.name));
        missing.map(|v| v.name.as_str())
    }

    /// The content for one recipient.
    ///
    /// # Errors
    /// [`MissingVariable`] for the first one without value and default.
    pub fn render<'v>(
        &self,
        seed: u64,
        lookup: &dyn Fn(&str) -> Option<&'v str>,
    ) -> Result<Content, MissingVariable> {
        self.render_counted(seed, lookup).map(|(content, _)| content)
    }

    /// The content for one recipient and which variant it is: 0 to [`ContentPattern::variants`] − 1.
    ///
    /// # Errors
    /// [`MissingVariable`] for the first one without value and default.
    pub fn render_counted<'v>(
        &self,
        seed: u64,
        lookup: &dyn Fn(&str) -> Option<&'v str>,
    ) -> Result<(Content, u64), MissingVariable> {
        self.shape.render(&mut Draw::new(seed), lookup)
    }
}

struct Compiler {
    spintax: bool,
    variables: Vec<Variable>,
    variants: u64,
    plain: bool,
}

impl Compiler {
    fn content(&mut self, content: &Content) -> Result<Shape, PatternError> {
        let kind = content.kind();
        if let Some(media) = content.media() {
            let fields = Box::new(self.media(kind, media)?);
            return Ok(Shape::Media { base: Box::new(content.clone()), fields });
        }
        Ok(match content {
            Content::Text(text) => Shape::Text {
                body: self.pattern(&text.body, || "text.body".to_owned())?,
                preview_url: text.preview_url,
            },
            Content::Location(location) => Shape::Location(Box::new(Spot {
                latitude: self.place(&location.latitude, "location.latitude")?,
                longitude: self.place(&location.longitude, "location.longitude")?,
                name: self.optional(location.name.as_deref(), "location", "name")?,
                address: self.optional(location.address.as_deref(), "location", "address")?,
                url: location.url.clone(),
            })),
            Content::Contacts(cards) => Shape::Contacts(self.list(cards, kind, 0)?),
            Content::Reaction(reaction) => Shape::Reaction {
                message_id: self.pattern(&reaction.message_id, || "reaction.message_id".to_owned())?,
                emoji: self.pattern(&reaction.emoji, || "reaction.emoji".to_owned())?,
            },
            Content::Interactive(value) => Shape::Interactive(self.node(value, kind, 0)?),
            Content::Template(template) => Shape::Template {
                base: TemplateMessage { components: Vec::new(), ..template.clone() },
                components: self.list(&template.components, "template.components", 0)?,
            },
            other => Shape::Fixed(other.clone()),
        })
    }

    fn media(&mut self, kind: &str, media: &Media) -> Result<MediaFields, PatternError> {
        Ok(MediaFields {
            id: self.optional(media.id.as_deref(), kind, "id")?,
            link: self.optional(media.link.as_deref(), kind, "link")?,
            caption: self.optional(media.caption.as_deref(), kind, "caption")?,
            filename: self.optional(media.filename.as_deref(), kind, "filename")?,
        })
    }

    fn place(&mut self, place: &Coordinate, path: &str) -> Result<Place, PatternError> {
        Ok(match place {
            Coordinate::Number(number) => Place::Number(*number),
            Coordinate::Text(text) => Place::Text(self.pattern(text, || path.to_owned())?),
        })
    }

    fn optional(
        &mut self,
        text: Option<&str>,
        kind: &str,
        field: &str,
    ) -> Result<Option<Pattern>, PatternError> {
        text.map(|text| self.pattern(text, || format!("{kind}.{field}"))).transpose()
    }

    fn pattern(&mut self, text: &str, path: impl Fn() -> String) -> Result<Pattern, PatternError> {
        let pattern = Pattern::parse(text, self.spintax).map_err(|error| {
            let ParseError { line, column, message } = error;
            PatternError { path: path(), line, column, message }
        })?;
        pattern.collect(&mut self.variables);
        self.variants = self.variants.saturating_mul(pattern.variants());
        self.plain &= pattern.as_literal().is_some();
        Ok(pattern)
    }

    fn list(&mut self, values: &[Value], path: &str, depth: usize) -> Result<Vec<Node>, PatternError> {
        let items = values.iter().enumerate();
        items.map(|(index, value)| self.node(value, &format!("{path}[{index}]"), depth + 1)).collect()
    }

    fn node(&mut self, value: &Value, path: &str, depth: usize) -> Result<Node, PatternError> {
        if depth > DEPTH_MAX {
            let message = format!("the JSON is nested deeper than {DEPTH_MAX}");
            return Err(PatternError { path: path.to_owned(), line: 1, column: 1, message });
        }
        Ok(match value {
            Value::String(text) => {
                let pattern = self.pattern(text, || path.to_owned())?;
                match pattern.as_literal() {
                    Some(literal) => Node::Plain(Value::String(literal.to_owned())),
                    None => Node::Pattern(pattern),
                }
            }
            Value::Array(values) => Node::Array(self.list(values, path, depth)?),
            Value::Object(object) => {
                let fields = object.iter().map(|(key, value)| {
                    Ok((key.clone(), self.node(value, &format!("{path}.{key}"), depth + 1)?))
                });
                Node::Object(fields.collect::<Result<_, PatternError>>()?)
            }
            plain => Node::Plain(plain.clone()),
        })
    }
}

/// One rendering: the draw goes on from string to string, and the variant counts over all of them.
struct Renderer<'r, 'v> {
    draw: &'r mut Draw,
    lookup: &'r dyn Fn(&str) -> Option<&'v str>,
    variant: u64,
}

impl Renderer<'_, '_> {
    fn text(&mut self, pattern: &Pattern) -> Result<String, MissingVariable> {
        if let Some(literal) = pattern.as_literal() {
            return Ok(literal.to_owned());
        }
        let rendered = pattern.draw(self.draw, self.lookup)?;
        self.variant = self.variant.wrapping_mul(pattern.variants()).wrapping_add(rendered.variant);
        Ok(rendered.text)
    }

    fn optional(&mut self, pattern: Option<&Pattern>) -> Result<Option<String>, MissingVariable> {
        pattern.map(|pattern| self.text(pattern)).transpose()
    }

    fn place(&mut self, place: &Place) -> Result<Coordinate, MissingVariable> {
        Ok(match place {
            Place::Number(number) => Coordinate::Number(*number),
            Place::Text(pattern) => Coordinate::Text(self.text(pattern)?),
        })
    }

    fn node(&mut self, node: &Node) -> Result<Value, MissingVariable> {
        Ok(match node {
            Node::Plain(value) => value.clone(),
            Node::Pattern(pattern) => Value::String(self.text(pattern)?),
            Node::Array(items) => Value::Array(self.list(items)?),
            Node::Object(fields) => {
                let mut object = Map::new();
                for (key, node) in fields {
                    object.insert(key.clone(), self.node(node)?);
                }
                Value::Object(object)
            }
        })
    }

    fn list(&mut self, nodes: &[Node]) -> Result<Vec<Value>, MissingVariable> {
        nodes.iter().map(|node| self.node(node)).collect()
    }

    fn media(&mut self, base: &Content, fields: &MediaFields) -> Result<Content, MissingVariable> {
        let mut content = base.clone();
        if let Content::Image(media)
        | Content::Video(media)
        | Content::Audio(media)
        | Content::Document(media)
        | Content::Sticker(media) = &mut content
        {
            media.id = self.optional(fields.id.as_ref())?;
            media.link = self.optional(fields.link.as_ref())?;
            media.caption = self.optional(fields.caption.as_ref())?;
            media.filename = self.optional(fields.filename.as_ref())?;
        }
        Ok(content)
    }
}

impl Shape {
    fn render<'v>(
        &self,
        draw: &mut Draw,
        lookup: &dyn Fn(&str) -> Option<&'v str>,
    ) -> Result<(Content, u64), MissingVariable> {
        let mut renderer = Renderer { draw, lookup, variant: 0 };
        let content = match self {
            Self::Text { body, preview_url } => {
                Content::Text(Text { body: renderer.text(body)?, preview_url: *preview_url })
            }
            Self::Media { base, fields } => renderer.media(base, fields)?,
            Self::Location(spot) => Content::Location(Location {
                latitude: renderer.place(&spot.latitude)?,
                longitude: renderer.place(&spot.longitude)?,
                name: renderer.optional(spot.name.as_ref())?,
                address: renderer.optional(spot.address.as_ref())?,
                url: spot.url.clone(),
            }),
            Self::Contacts(cards) => Content::Contacts(renderer.list(cards)?),
            Self::Reaction { message_id, emoji } => Content::Reaction(Reaction {
                message_id: renderer.text(message_id)?,
                emoji: renderer.text(emoji)?,
            }),
            Self::Interactive(node) => Content::Interactive(renderer.node(node)?),
            Self::Template { base, components } => {
                Content::Template(TemplateMessage { components: renderer.list(components)?, ..base.clone() })
            }
            Self::Fixed(content) => content.clone(),
        };
        Ok((content, renderer.variant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use std::collections::BTreeSet;

    fn lookup(name: &str) -> Option<&'static str> {
        match name {
            "name" => Some("Ana"),
            "order" => Some("A-81"),
            "quote" => Some("\"}{|"),
            _ => None,
        }
    }

    fn compile(message: &Value, spintax: bool) -> Result<ContentPattern, PatternError> {
        ContentPattern::compile(&Content::from_json(message).unwrap(), spintax)
    }

    #[test]
    fn every_string_of_every_type_is_filled_in() {
        for (message, expected) in [
            (
                json!({"type": "text", "text": {"body": "Hi {{name}}", "preview_url": true}}),
                json!({"type": "text", "text": {"body": "Hi Ana", "preview_url": true}}),
            ),
            (
                json!({"type": "document", "document": {"link": "https://a.example/{{order}}", "caption": "{{name}}", "filename": "{{order}}.pdf"}}),
                json!({"type": "document", "document": {"link": "https://a.example/A-81", "caption": "Ana", "filename": "A-81.pdf"}}),
            ),
            (
                json!({"type": "location", "location": {"latitude": "{{lat|default:\"48\"}}", "longitude": 16.0, "name": "{{name}}"}}),
                json!({"type": "location", "location": {"latitude": "48", "longitude": 16.0, "name": "Ana"}}),
            ),
            (
                json!({"type": "contacts", "contacts": [{"name": {"formatted_name": "{{name}} B"}}]}),
                json!({"type": "contacts", "contacts": [{"name": {"formatted_name": "Ana B"}}]}),
            ),
            (
                json!({"type": "interactive", "interactive": {"type": "button", "body": {"text": "{{quote}}"}, "n": 1}}),
                json!({"type": "interactive", "interactive": {"type": "button", "body": {"text": "\"}{|"}, "n": 1}}),
            ),
            (
                json!({"type": "template", "template": {"name": "a", "language": {"code": "id"}, "components": [
                {"type": "body", "parameters": [{"type": "text", "text": "{{name|upper}}"}]}]}}),
                json!({"type": "template", "template": {"name": "a", "language": {"code": "id"}, "components": [
                {"type": "body", "parameters": [{"type": "text", "text": "ANA"}]}]}}),
            ),
            (
                json!({"type": "text", "text": {"body": "\\{{name}}"}}),
                json!({"type": "text", "text": {"body": "{{name}}"}}),
            ),
        ] {
            let rendered = compile(&message, false).unwrap().render(0, &lookup).unwrap();
            assert_eq!(rendered.to_json(), expected);
        }
    }

    #[test]
    fn alternatives_of_all_strings_count_as_one_variant() {
        let message = json!({"type": "interactive", "interactive": {"type": "button", "body": {"text": "{a|b}"},
            "footer": {"text": "{1|2|3}"}}});
        let pattern = compile(&message, true).unwrap();
        assert_eq!(pattern.variants(), 6);
        let rendered = (0..500).map(|seed| pattern.render_counted(seed, &lookup).unwrap());
        let seen: BTreeSet<(u64, String)> =
            rendered.map(|(c, variant)| (variant, c.to_json().to_string())).collect();
        assert_eq!(seen.iter().map(|(variant, _)| *variant).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        let plain = compile(&message, false).unwrap();
        assert_eq!((plain.variants(), plain.render(3, &lookup).unwrap().to_json()), (1, message));
    }

    #[test]
    fn a_mistake_names_its_path() {
        let message = json!({"type": "template", "template": {"name": "a", "language": {"code": "id"}, "components": [
            {"type": "body", "parameters": [{"type": "text", "text": "x"}, {"type": "text", "text": "a\n {{b"}]}]}});
        let error = compile(&message, false).unwrap_err();
        assert_eq!(
            (error.path.as_str(), error.line, error.column),
            ("template.components[0].parameters[1].text", 2, 2)
        );
        let caption = json!({"type": "image", "image": {"id": "1", "caption": "{{"}});
        assert_eq!(compile(&caption, false).unwrap_err().path, "image.caption");
    }

    #[test]
    fn missing_values_are_known_before_and_named_while_rendering() {
        let message = json!({"type": "text", "text": {"body": "{{name}} {a|{{gone}}} {{x|default:\"\"}}"}});
        let pattern = compile(&message, true).unwrap();
        assert_eq!(pattern.missing(&lookup).collect::<Vec<_>>(), ["gone"]);
        assert_eq!(pattern.missing(&|_| Some("v")).count(), 0);
        let errors = (0..50).filter(|seed| pattern.render(*seed, &lookup).is_err()).count();
        assert!((1..50).contains(&errors), "only recipients whose alternative uses it: {errors}");
        let names: Vec<_> = pattern.variables().iter().map(|v| (v.name.as_str(), v.has_default)).collect();
        assert_eq!(names, [("name", false), ("gone", false), ("x", true)]);
    }

    proptest! {
        #[test]
        fn compiling_never_panics_and_rendering_is_repeatable(text in "[{}|\\\\\"a \n]{0,30}", seed: u64, spintax: bool) {
            let message = json!({"type": "interactive", "interactive": {"body": [text]}});
            if let Ok(pattern) = compile(&message, spintax) {
                prop_assert_eq!(pattern.render_counted(seed, &lookup), pattern.render_counted(seed, &lookup));
            }
        }
    }
}
