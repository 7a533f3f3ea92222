//! How fast a ledger is, and how fast the machine lets it be.
//!
//! A figure such as "15 000 records a second" says little by itself: on another
//! machine it is another one. So everything here measures the machine's own
//! rates first ([`machine`]) and gives its figures as a ratio to them.
//! [`load`] appends records to a node over HTTP; [`fixture`] is a whole ledger
//! in this process, for the benches, whose results [`figures`] prints;
//! [`records`] makes the records for both.

pub mod figures;
pub mod fixture;
pub mod load;
pub mod machine;
pub mod records;
