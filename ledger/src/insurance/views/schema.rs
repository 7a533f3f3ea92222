//! How the structures of views are declared: owned, read and written as JSON,
//! and described for OpenAPI where that is asked for.

/// Declares structures of a view.
macro_rules! shown {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
            #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
            pub struct $name {
                $($(#[$field_doc])* pub $field: $kind,)*
            }
        )*
    };
    ($($(#[$doc:meta])* enum $name:ident { $($(#[$word_doc:meta])* $word:ident = $text:literal,)+ })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
            #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
            pub enum $name {
                $($(#[$word_doc])* #[serde(rename = $text)] $word,)+
            }

            impl $name {
                /// The word as it stands in answers.
                #[must_use]
                pub const fn as_str(self) -> &'static str {
                    match self {
                        $(Self::$word => $text,)+
                    }
                }
            }

            impl std::fmt::Display for $name {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.pad(self.as_str())
                }
            }
        )*
    };
}
pub(super) use shown;

/// A record's id is a text to whoever reads the description.
#[cfg(feature = "openapi")]
mod openapi {
    use utoipa::{
        PartialSchema, ToSchema,
        openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
    };

    use crate::digest::RecordId;

    impl PartialSchema for RecordId {
        fn schema() -> RefOr<Schema> {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .description(Some("The id of a record: 64 hexadecimal digits"))
                .into()
        }
    }

    impl ToSchema for RecordId {}
}
