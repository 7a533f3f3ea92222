//! How the values of the domain stand in the state (docs/FORMATS.md, "State").
//!
//! What is read back is checked as it was when it came in a record.

use bincode::{
    Decode, Encode,
    de::Decoder,
    enc::Encoder,
    error::{DecodeError, EncodeError},
};
use jiff::{Timestamp, civil::Date};

use crate::{
    digest::{Digest, RecordId},
    insurance::{Amount, ClaimRef, Code, ContractRef, Currency, Day, Moment, Ordinal},
    membership::MemberId,
};

/// Stores a type as another one that bincode knows.
macro_rules! stored_as {
    ($($name:ty: $as:ty = $write:expr, $read:expr;)*) => {
        $(
            impl Encode for $name {
                fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
                    let write: fn(&Self) -> $as = $write;
                    write(self).encode(encoder)
                }
            }

            impl<Context> Decode<Context> for $name {
                fn decode<D: Decoder<Context = Context>>(
                    decoder: &mut D,
                ) -> Result<Self, DecodeError> {
                    let read: fn($as) -> Option<Self> = $read;
                    read(<$as as Decode<Context>>::decode(decoder)?)
                        .ok_or(DecodeError::Other(concat!("no ", stringify!($name))))
                }
            }

            bincode::impl_borrow_decode!($name);
        )*
    };
}

stored_as! {
    Amount: u64 = |amount| amount.minor_units(), Self::new;
    Ordinal: u64 = |ordinal| ordinal.get(), Self::new;
    RecordId: [u8; 32] = |id| *id.as_bytes(), |id| Some(Self::from_digest(Digest::from_bytes(id)));
    Day: (i16, i8, i8) = |day| (day.date().year(), day.date().month(), day.date().day()),
        |(year, month, day)| Date::new(year, month, day).ok().map(Self::from);
    Moment: (i64, i32) = |moment| {
            let moment = moment.timestamp();
            (moment.as_second(), moment.subsec_nanosecond())
        },
        |(second, nanosecond)| Timestamp::new(second, nanosecond).ok().map(Self::from);
    Currency: [u8; 3] = |currency| currency.code().as_bytes().try_into().unwrap_or_default(),
        |code| std::str::from_utf8(&code).ok()?.parse().ok();
}

/// Stores a text with its length.
macro_rules! stored_as_text {
    ($($name:ty)*) => {
        $(
            impl Encode for $name {
                fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
                    self.as_str().encode(encoder)
                }
            }

            impl<Context> Decode<Context> for $name {
                fn decode<D: Decoder<Context = Context>>(
                    decoder: &mut D,
                ) -> Result<Self, DecodeError> {
                    <String as Decode<Context>>::decode(decoder)?
                        .parse()
                        .map_err(|_| DecodeError::Other(concat!("no ", stringify!($name))))
                }
            }

            bincode::impl_borrow_decode!($name);
        )*
    };
}

stored_as_text! { Code ContractRef ClaimRef MemberId }
