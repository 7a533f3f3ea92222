//! What members record about contracts, signatures, settlements and the
//! membership itself: the types of record, what each must say, and who may sign it.
//!
//! [`RecordType`] is the table of all types. [`Data`] holds what a record of
//! each type says. A value that has one of these types is well-formed by
//! itself; whether it can be true after what other records say is decided by
//! rules between records.

#[cfg(test)]
mod catalogue;
pub mod contract;
pub mod disclosure;
pub mod member;
mod references;
pub mod rules;
pub mod settlement;
pub mod signature;
pub mod state;
mod time;
mod types;
mod values;
pub mod views;

pub(crate) use values::{AMOUNT_MARKER, Parsed, read_as_text};

pub use references::{ClaimRef, ContractRef};
pub use time::{Day, DayOrMoment, Moment, Period};
pub use types::{Data, Family, RecordType, References, UnknownName};
pub use values::{
    Amount, AmountOrText, Channel, Code, Count, Currency, Ordinal, Text, TextOrInteger, ValueError,
};
