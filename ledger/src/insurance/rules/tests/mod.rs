//! The rules between records.
