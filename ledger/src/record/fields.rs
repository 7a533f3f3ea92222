//! From checked JSON to typed fields: a serde deserializer over [`Json`] whose
//! errors carry a code, the field, and a sentence for people.
//!
//! Types say how they are read by deriving `Deserialize` as usual. What they
//! ask for decides the sentence (`must be a text`), so that no wording of
//! serde's ever reaches a broker and no error text is ever parsed.

use std::{borrow::Cow, fmt, slice};

use serde::{
    Deserialize,
    de::{
        self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess,
        Unexpected, Visitor, value::StrDeserializer,
    },
    forward_to_deserialize_any,
};

use super::{
    json::{Json, Member},
    path::Path,
};
use crate::{
    insurance::{AMOUNT_MARKER, Parsed},
    refusal::{Code, Refusal},
};

/// Why a field is refused; it learns its place on the way out.
#[derive(Debug)]
pub(crate) struct FieldError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    /// The full path, once known.
    field: Option<String>,
    /// A member below the place that raised the error: the one that is missing.
    below: Option<&'static str>,
    /// What the field must be or is, without the field itself.
    predicate: Cow<'static, str>,
}

impl FieldError {
    pub(crate) fn new(code: Code, predicate: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { code, field: None, below: None, predicate: predicate.into() }))
    }

    fn malformed(predicate: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Malformed, predicate)
    }

    /// A defect of the member `name` of the object that is being read.
    pub(crate) fn of_member(name: &'static str, predicate: impl Into<Cow<'static, str>>) -> Self {
        let mut error = Self::malformed(predicate);
        error.0.below = Some(name);
        error
    }

    /// Says where it is, unless somebody deeper has.
    pub(crate) fn at(mut self, path: &Path<'_>) -> Self {
        if self.0.field.is_none() {
            self.0.field = Some(match self.0.below {
                Some(name) => path.member(name).to_string(),
                None => path.to_string(),
            });
        }
        self
    }
}

impl From<FieldError> for Refusal {
    fn from(error: FieldError) -> Self {
        let Inner { code, field, predicate, .. } = *error.0;
        match field {
            Some(field) => {
                let detail = format!("{field} {predicate}");
                Self::of_field(code, field, detail)
            }
            None => Self::new(code, predicate),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.predicate)
    }
}

impl std::error::Error for FieldError {}

fn one_of(words: &[&str]) -> String {
    words.join(", ")
}

impl de::Error for FieldError {
    fn custom<T: fmt::Display>(predicate: T) -> Self {
        Self::malformed(predicate.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::malformed(format!("must be {expected}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::malformed(format!("must be {expected}"))
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::malformed(format!("must be {expected}"))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::malformed(format!("must be one of: {}", one_of(expected)))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(
            Code::UnknownField,
            format!("is not a field that may stand here; these may: {}", one_of(expected)),
        )
    }

    fn missing_field(field: &'static str) -> Self {
        Self::of_member(field, "is missing")
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::of_member(field, "stands twice in the same object")
    }
}

/// A value and its place, to be read as a type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'p, 't, 'a> {
    value: &'t Json<'a>,
    path: &'p Path<'p>,
    except: Option<&'static str>,
}

impl<'p, 't, 'a> Field<'p, 't, 'a> {
    pub(crate) const fn new(value: &'t Json<'a>, path: &'p Path<'p>) -> Self {
        Self { value, path, except: None }
    }

    /// The same field, with a member hidden that somebody else reads.
    pub(crate) const fn without(self, member: &'static str) -> Self {
        Self { except: Some(member), ..self }
    }

    pub(crate) const fn path(&self) -> &'p Path<'p> {
        self.path
    }

    pub(crate) const fn value(&self) -> &'t Json<'a> {
        self.value
    }

    /// Reads a text through `parse`, whose error ends a sentence that begins with the field.
    pub(crate) fn text<T, E: fmt::Display>(
        self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, FieldError> {
        self.deserialize_str(Parsed(parse))
    }

    pub(crate) fn read<T: Deserialize<'t>>(self) -> Result<T, FieldError> {
        T::deserialize(self)
    }

    /// The member `name`, where the value is an object that has it.
    pub(crate) fn value_of(&self, name: &str) -> Option<&'t Json<'a>> {
        match self.value {
            Json::Object(members) => {
                members.iter().find(|member| member.name == name).map(|member| &member.value)
            }
            _ => None,
        }
    }

    fn wrong<T>(self, predicate: &'static str) -> Result<T, FieldError> {
        Err(FieldError::malformed(predicate).at(self.path))
    }

    fn visit<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.value {
            Json::Bool(value) => visitor.visit_bool(*value),
            Json::Integer(value) => match u64::try_from(*value) {
                Ok(value) => visitor.visit_u64(value),
                Err(_) => visitor.visit_i64(*value),
            },
            Json::Text(text) => visitor.visit_borrowed_str(text),
            Json::List(items) => {
                visitor.visit_seq(Items { items: items.iter().enumerate(), path: self.path })
            }
            Json::Object(members) => visitor.visit_map(Members {
                members: members.iter(),
                current: None,
                path: self.path,
                except: self.except,
            }),
        }
        .map_err(|error| error.at(self.path))
    }
}

macro_rules! integers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, FieldError> {
            match self.value {
                Json::Integer(_) => self.visit(visitor),
                _ => self.wrong("must be a whole number"),
            }
        })*
    };
}

impl<'t> Deserializer<'t> for Field<'_, 't, '_> {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, FieldError> {
        self.visit(visitor)
    }

    fn deserialize_bool<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.value {
            Json::Bool(_) => self.visit(visitor),
            _ => self.wrong("must be true or false"),
        }
    }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_str<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.value {
            Json::Text(_) => self.visit(visitor),
            _ => self.wrong("must be a text"),
        }
    }

    fn deserialize_string<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, FieldError> {
        self.deserialize_str(visitor)
    }

    // No field may be null, so a field that is there has a value.
    fn deserialize_option<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'t>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        if name != AMOUNT_MARKER {
            return visitor.visit_newtype_struct(self);
        }
        match self.value {
            Json::Integer(amount) if *amount < 0 => Err(FieldError::new(
                Code::AmountNegative,
                "is an amount below zero; say by the type of the record which way money goes",
            )
            .at(self.path)),
            _ => self.visit(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.value {
            Json::List(_) => self.visit(visitor),
            _ => self.wrong("must be a list"),
        }
    }

    fn deserialize_map<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.value {
            Json::Object(_) => self.visit(visitor),
            _ => self.wrong("must be an object with named fields"),
        }
    }

    fn deserialize_struct<V: Visitor<'t>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'t>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        let Json::Text(word) = self.value else {
            return Err(FieldError::malformed(format!("must be one of: {}", one_of(variants)))
                .at(self.path));
        };
        let word: StrDeserializer<'_, FieldError> = word.as_ref().into_deserializer();
        visitor.visit_enum(word).map_err(|error| error.at(self.path))
    }

    forward_to_deserialize_any! {
        <V: Visitor<'t>>
        i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
        ignored_any
    }
}

struct Items<'p, 't, 'a> {
    items: std::iter::Enumerate<slice::Iter<'t, Json<'a>>>,
    path: &'p Path<'p>,
}

impl<'t> SeqAccess<'t> for Items<'_, 't, '_> {
    type Error = FieldError;

    fn next_element_seed<T: DeserializeSeed<'t>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, FieldError> {
        let Some((index, value)) = self.items.next() else { return Ok(None) };
        let path = self.path.item(index);
        seed.deserialize(Field::new(value, &path)).map(Some).map_err(|error| error.at(&path))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Members<'p, 't, 'a> {
    members: slice::Iter<'t, Member<'a>>,
    current: Option<&'t Member<'a>>,
    path: &'p Path<'p>,
    except: Option<&'static str>,
}

impl<'t> MapAccess<'t> for Members<'_, 't, '_> {
    type Error = FieldError;

    fn next_key_seed<K: DeserializeSeed<'t>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, FieldError> {
        let member = loop {
            match self.members.next() {
                None => return Ok(None),
                Some(member) if self.except.is_some_and(|hidden| member.name == hidden) => {}
                Some(member) => break member,
            }
        };
        self.current = Some(member);
        let name: StrDeserializer<'_, FieldError> = member.name.as_ref().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|error| error.at(&self.path.member(&member.name)))
    }

    fn next_value_seed<V: DeserializeSeed<'t>>(&mut self, seed: V) -> Result<V::Value, FieldError> {
        // serde asks for a value only after its key.
        let Some(member) = self.current.take() else {
            return Err(FieldError::malformed("has a value without a name"));
        };
        let path = self.path.member(&member.name);
        seed.deserialize(Field::new(&member.value, &path)).map_err(|error| error.at(&path))
    }
}
