//! A strict reader of I-JSON (RFC 7493), which is all the JSON a record may hold.
//!
//! serde_json does the lexing. On top of it this reader refuses what two
//! readers could understand differently: floating-point numbers in any
//! spelling, integers that not every reader keeps exact, a name that stands
//! twice, noncharacters, `null`. It also bounds depth and length, and it knows
//! the place of every defect.

use std::{borrow::Cow, cell::Cell, fmt};

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::path::Path;
use crate::{
    limits::{INTEGER_MAX, JSON_DEPTH_MAX, LIST_ITEMS_MAX, OBJECT_MEMBERS_MAX},
    refusal::{Code, Refusal},
};

const NOT_AN_INTEGER: &str = "must be a whole number within ±(2^53 − 1), without a decimal point \
                              or exponent; amounts count cents (minor units)";

/// A JSON value that has passed every check of this module. Texts without
/// escapes are borrowed from the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json<'a> {
    Bool(bool),
    /// Within ±(2^53 − 1).
    Integer(i64),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Object(Vec<Member<'a>>),
}

/// A name and its value in an object; no name stands twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) value: Json<'a>,
}

/// Reads one object that fills `bytes` from the first to the last.
pub(crate) fn parse_object<'a>(
    bytes: &'a [u8],
    root: &Path<'_>,
) -> Result<Vec<Member<'a>>, Refusal> {
    match parse_between(bytes, root, ['{', '}'], "object")? {
        Json::Object(members) => Ok(members),
        _ => Err(refusal(root, "must be one JSON object")),
    }
}

/// Reads one list that fills `bytes` from the first to the last.
pub(crate) fn parse_list<'a>(bytes: &'a [u8], root: &Path<'_>) -> Result<Vec<Json<'a>>, Refusal> {
    match parse_between(bytes, root, ['[', ']'], "list")? {
        Json::List(items) => Ok(items),
        _ => Err(refusal(root, "must be one JSON list")),
    }
}

fn parse_between<'a>(
    bytes: &'a [u8],
    root: &Path<'_>,
    [first, last]: [char; 2],
    kind: &str,
) -> Result<Json<'a>, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let near = error.valid_up_to();
        refusal(root, &format!("is not valid UTF-8 after byte {near}"))
    })?;
    let alone =
        || refusal(root, &format!("must be one JSON {kind} with nothing before or after it"));
    if !(text.starts_with(first) && text.ends_with(last)) {
        return Err(alone());
    }
    let reading = Reading { defect: Cell::new(None) };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Value { reading: &reading, path: root, depth: 0 }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| match reading.defect.take() {
            Some(Defect::Refused(refusal)) => *refusal,
            Some(Defect::Broken(field)) => {
                let detail = format!(
                    "{field} is not well-formed JSON near line {}, column {}",
                    error.line(),
                    error.column()
                );
                Refusal::of_field(Code::Malformed, field, detail)
            }
            None => alone(),
        })
}

fn refusal(path: &Path<'_>, predicate: &str) -> Refusal {
    let field = path.to_string();
    let detail = format!("{field} {predicate}");
    Refusal::of_field(Code::Malformed, field, detail)
}

/// What went wrong, noted where it was seen; serde_json's own error only says
/// that something did.
enum Defect {
    Refused(Box<Refusal>),
    /// The JSON itself is broken in this field.
    Broken(String),
}

struct Reading {
    defect: Cell<Option<Defect>>,
}

impl Reading {
    fn refuse<E: serde::de::Error>(&self, path: &Path<'_>, predicate: &str) -> E {
        self.defect.set(Some(Defect::Refused(Box::new(refusal(path, predicate)))));
        E::custom("refused")
    }

    /// Notes where the JSON broke, unless a deeper frame has noted it.
    fn broken<E>(&self, path: &Path<'_>, error: E) -> E {
        let noted = self.defect.take().unwrap_or_else(|| Defect::Broken(path.to_string()));
        self.defect.set(Some(noted));
        error
    }

    fn check_text<E: serde::de::Error>(&self, path: &Path<'_>, text: &str) -> Result<(), E> {
        if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return Ok(());
        }
        if text.chars().any(char::is_control) {
            return Err(self.refuse(path, "must not hold control characters"));
        }
        if text.chars().any(is_noncharacter) {
            return Err(self.refuse(path, "must not hold Unicode noncharacters"));
        }
        Ok(())
    }
}

/// Code points that are never characters (Unicode 23.7; RFC 7493 section 2.1).
const fn is_noncharacter(character: char) -> bool {
    let code = character as u32;
    (code >= 0xfdd0 && code <= 0xfdef) || code & 0xfffe == 0xfffe
}

/// Reads the value at `path`, which `depth` lists or objects enclose.
#[derive(Clone, Copy)]
struct Value<'r, 'p> {
    reading: &'r Reading,
    path: &'p Path<'p>,
    depth: usize,
}

impl Value<'_, '_> {
    fn text<'de, E: serde::de::Error>(self, text: Cow<'de, str>) -> Result<Json<'de>, E> {
        self.reading.check_text(self.path, &text)?;
        Ok(Json::Text(text))
    }

    fn deeper<E: serde::de::Error>(self) -> Result<usize, E> {
        if self.depth < JSON_DEPTH_MAX {
            Ok(self.depth + 1)
        } else {
            Err(self.reading.refuse(
                self.path,
                &format!("nests lists and objects more than {JSON_DEPTH_MAX} deep"),
            ))
        }
    }

    fn not_full<E: serde::de::Error>(self, length: usize, length_max: usize) -> Result<(), E> {
        if length < length_max {
            Ok(())
        } else {
            Err(self
                .reading
                .refuse(self.path, &format!("must not hold more than {length_max} entries")))
        }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = Json<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self).map_err(|error| self.reading.broken(self.path, error))
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Json<'de>, E> {
        match i64::try_from(value) {
            Ok(integer) if value <= INTEGER_MAX => Ok(Json::Integer(integer)),
            _ => Err(self.reading.refuse(self.path, NOT_AN_INTEGER)),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Json<'de>, E> {
        if value.unsigned_abs() <= INTEGER_MAX {
            Ok(Json::Integer(value))
        } else {
            Err(self.reading.refuse(self.path, NOT_AN_INTEGER))
        }
    }

    // Every number that is no 64-bit integer in plain digits comes here: 1.0,
    // 1e3, -0, and integers of more than 64 bits.
    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Json<'de>, E> {
        Err(self.reading.refuse(self.path, NOT_AN_INTEGER))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Json<'de>, E> {
        Err(self.reading.refuse(self.path, "is null; leave a field out that has no value"))
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Json<'de>, E> {
        self.text(Cow::Borrowed(text))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Json<'de>, E> {
        self.text(Cow::Owned(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        let depth = self.deeper()?;
        let mut list = Vec::new();
        loop {
            let path = self.path.item(list.len());
            let value = Value { path: &path, depth, ..self };
            let Some(item) = items.next_element_seed(value)? else {
                return Ok(Json::List(list));
            };
            self.not_full(list.len(), LIST_ITEMS_MAX)?;
            list.push(item);
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json<'de>, A::Error> {
        let depth = self.deeper()?;
        let mut members: Vec<Member<'de>> = Vec::with_capacity(8);
        while let Some(name) = entries.next_key_seed(Name)? {
            let path = self.path.member(&name);
            self.not_full(members.len(), OBJECT_MEMBERS_MAX)?;
            self.reading.check_text(&path, &name)?;
            if members.iter().any(|member| member.name == name) {
                return Err(self.reading.refuse(&path, "stands twice in the same object"));
            }
            let value = entries.next_value_seed(Value { path: &path, depth, ..self })?;
            members.push(Member { name, value });
        }
        Ok(Json::Object(members))
    }
}

/// Reads a member's name, borrowed where it has no escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}
